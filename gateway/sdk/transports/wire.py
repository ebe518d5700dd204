"""Whether a byte has left us in this thread's running call; the transports note it, the guard asks.

``Misconfigured`` and ``NotSupported`` count as not sent only if nothing left; an adapter with sockets of its own
should call :func:`left` before it sends.
"""

from __future__ import annotations

import threading


class _Wire(threading.local):
    sends: int = 0


_wire = _Wire()


def begin() -> None:
    """A call begins in this thread: nothing has left yet."""
    _wire.sends = 0


def left() -> None:
    """Something is about to leave us, or may have."""
    _wire.sends += 1


def sends() -> int:
    """How often something may have left us since the call began."""
    return _wire.sends
