"""What a part of a checkout may do while its system is down, as a merchant may set it in ``[policy.when_down]``.

``block``: the checkout is refused and nothing is held. ``without``: it goes on without this part, and says so.
``defer``: the sale completes, and this part is done when its system is back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Choice = Literal["block", "without", "defer"]

#: What each part may do; the first is what it does where nothing is set.
CHOICES: Mapping[str, tuple[Choice, ...]] = {
    "member": ("block", "without"),
    "points": ("block", "without"),
    "coupons": ("block", "without"),
    "stock": ("block", "without"),
    "bill": ("block", "without"),
    "slots": ("block",),
    "stored_value": ("block",),
    "payments": ("block",),
    "order_post": ("defer", "block"),
    "earn": ("defer", "block", "without"),
    "rewards": ("defer", "block", "without"),
}

_PAID = "is how the sale is paid, and what is not paid is not sold"
_PRICED = "must be known before the price is"
#: Why the others may not be.
_WHY: Mapping[tuple[str, str], str] = {
    ("member", "defer"): f"a member {_PRICED}",
    ("points", "defer"): f"whether points pay {_PRICED}; for points that are earned, see earn",
    ("coupons", "defer"): f"whether a coupon can be used {_PRICED}",
    ("stock", "defer"): "goods that are held after they were sold may not be there",
    ("bill", "defer"): "a bill that is frozen after it was paid may have changed meanwhile",
    ("slots", "without"): "a room that nobody holds may be sold twice",
    ("slots", "defer"): "a room that nobody holds may be sold twice",
    ("stored_value", "without"): f"stored value {_PAID}",
    ("stored_value", "defer"): f"stored value {_PAID}",
    ("payments", "without"): f"this {_PAID}",
    ("payments", "defer"): f"this {_PAID}",
    ("order_post", "without"): "every sale must be booked in the till in the end",
}


def refusal(part: str, choice: str) -> str:
    """Why a part cannot have this choice; ``""`` if it can."""
    choices = CHOICES.get(part)
    if choices is None:
        return f"there is no such part; expected one of: {', '.join(CHOICES)}"
    if choice in choices:
        return ""
    why = _WHY.get((part, choice))
    return f"{f'{why}; ' if why else ''}expected one of: {', '.join(choices)}"
