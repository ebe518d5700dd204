"""A system that does what its magic amounts say, for platforms to test against."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type]:
    from plugins.sandbox.adapter import SandboxAdapter

    return [SandboxAdapter]
