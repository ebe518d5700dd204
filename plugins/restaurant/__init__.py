"""The restaurant system 食通天下: a till in each shop's network, a head office, a sold-out file."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type]:
    """The adapter classes of this plugin: the tills, and the head office's members."""
    from plugins.restaurant.adapter import RestaurantAdapter
    from plugins.restaurant.members import RestaurantMembersAdapter

    return (RestaurantAdapter, RestaurantMembersAdapter)
