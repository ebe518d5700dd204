"""E-vouchers whose codes the merchant makes: the adapter of the platform 凭证通 and its simulator."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import Adapter, hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type[Adapter]]:
    """The adapters of this plugin."""
    from plugins.evoucher.adapter import EVoucherAdapter  # only when it is wanted: the simulator does not need it

    return (EVoucherAdapter,)
