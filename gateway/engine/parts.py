"""The parts of a checkout, as a merchant's policy names them, and the legs that they are made of."""

from __future__ import annotations

#: Which part of a checkout, as the policy names it, a leg belongs to, by the first word of its name.
_PARTS = {
    "stock": "stock",
    "slot": "slots",
    "session": "slots",
    "bill": "bill",
    "coupon": "coupons",
    "points": "points",
    "tender": "payments",
    "order": "order_post",
    "earn": "earn",
    "reward": "rewards",
}
#: Parts that the price depends on: without them it is another one.
REPRICED = frozenset({"points", "coupons"})


def part_of(leg: str) -> str:
    """The part of a checkout that a leg belongs to; ``""`` for one of the gateway's own."""
    return _PARTS.get(leg.removeprefix("lock:").partition(":")[0], "")


def which(leg: str) -> str:
    """Which one of its part a leg is; ``""`` where there is one only."""
    return leg.partition(":")[2]
