"""What a merchant's file adds to a price: the meal periods that it is, and what a coupon of a known template means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from gateway.domain.coupons import Coupon
from gateway.engine.reading import coupon_document


def periods_at(periods: Mapping[str, Iterable[str]], local: datetime) -> list[str]:
    """The names of the periods (``HH:MM-HH:MM``, which may cross midnight) that a local time is in, sorted."""
    clock = f"{local:%H:%M}"
    return sorted(name for name, windows in periods.items() if any(_within(clock, window) for window in windows))


def _within(clock: str, window: str) -> bool:
    begins, _, ends = window.partition("-")
    return begins <= clock < ends if begins < ends else clock >= begins or clock < ends


def coupon_terms(templates: Iterable[Mapping[str, Any]], coupon: Coupon) -> dict[str, Any]:
    """A coupon as the pricing document has it: its own terms, over those that the file has for its template."""
    own = coupon_document(coupon)
    known = next((item for item in templates if coupon.template and item.get("template") == coupon.template), {})
    return {**known, **own}
