"""The restaurant system 食通天下: a till in each shop's network, a head office, a sold-out file."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type]:
    """The adapter class of this plugin."""
    from plugins.restaurant.adapter import RestaurantAdapter

    return (RestaurantAdapter,)
