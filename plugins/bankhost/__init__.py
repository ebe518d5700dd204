"""A bank's host that speaks ISO 8583 to terminals: its adapter and its simulator."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import Adapter, hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type[Adapter]]:
    """The adapters of this plugin."""
    from plugins.bankhost.adapter import BankHostAdapter  # only when it is wanted: the simulator does not need it

    return (BankHostAdapter,)
