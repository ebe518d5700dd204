"""Messages of an official account to its followers and subscribers: the adapter and the account's simulator."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import Adapter, hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type[Adapter]]:
    """The adapters of this plugin."""
    from plugins.messages.adapter import OfficialAccountAdapter  # only when wanted: the simulator does not need it

    return (OfficialAccountAdapter,)
