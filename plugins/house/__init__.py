"""The house plugin: members, points, stored value, coupons and stock in the gateway's own database."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import hookimpl
from plugins.house.adapter import HouseAdapter


@hookimpl
def o2o_adapters() -> Sequence[type]:
    """The adapters of this plugin."""
    return (HouseAdapter,)
