"""An adapter in a process of its own, for drivers that hang, crash or are not trusted; see ``runner.py``."""

from gateway.runtime.runner.runner import Runner, Spec

__all__ = ["Runner", "Spec"]
