"""The KTV till "星海KTV V8.6": TCP, text frames in GBK."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import Adapter, hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type[Adapter]]:
    """The adapter class of this plugin."""
    from plugins.ktv.adapter import KtvAdapter  # only when it is wanted: the simulator does not need it

    return (KtvAdapter,)
