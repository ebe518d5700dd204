"""A card processor of Stripe's kind (PaymentIntents): the channel's adapter and its simulator."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import Adapter, hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type[Adapter]]:
    """The adapters of this plugin."""
    from plugins.stripe.adapter import StripeAdapter  # only when it is wanted: the simulator does not need it

    return (StripeAdapter,)
