"""How the request of a second hook follows from what a first one did: an undo from its change, a confirm from its hold.

A profile makes the first requests of its system only; it may still make any other one itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.domain.common import Original, Step
from gateway.domain.coupons import CouponHeld, CouponRestore, CouponVoid, RewardRevoke
from gateway.domain.membership import (
    Link,
    Merge,
    PointsHeld,
    PointsReturn,
    PointsRevoke,
    Unmerge,
    Value,
    ValueHeld,
    ValueReturn,
    ValueUntopup,
)
from gateway.domain.orders import BillRelease, DepositVoid, OrderVoid, SessionClose, SessionExtend
from gateway.domain.payments import Capture, PaymentRefund, Release, Reverse
from gateway.domain.stock import StockHeld, StockItem, StockReturn
from gateway.testing.kinds import returned


@dataclass(frozen=True, slots=True)
class Made:
    """A change that was made: its hook, key and request, what was answered, when it was sent, what it journalled."""

    hook: str
    key: str
    request: Any
    answer: Any = None
    sent_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    steps: tuple[Step, ...] = ()

    @property
    def ref(self) -> str:
        return str(getattr(self.answer, "ref", ""))

    @property
    def facts(self) -> Mapping[str, Any]:
        return getattr(self.answer, "facts", None) or {}

    @property
    def original(self) -> Original:
        """What an undo is given of it."""
        return Original(key=self.key, ref=self.ref, facts=self.facts, at=self.sent_at)


#: What must have been done before a hook can be called; its request follows from the first of them.
BEFORE: Mapping[str, tuple[str, ...]] = {
    "payment_reverse": ("payment_charge",),
    "payment_refund": ("payment_charge",),
    "payment_capture": ("payment_authorize",),
    "payment_release": ("payment_authorize",),
    "payment_share": ("payment_charge",),
    "payment_share_return": ("payment_share",),
    "member_link": ("member_enrol",),
    "member_merge": ("member_enrol",),
    "member_unmerge": ("member_merge",),
    "points_confirm": ("points_reserve",),
    "points_cancel": ("points_reserve",),
    "points_return": ("points_reserve", "points_confirm"),
    "points_revoke": ("points_earn",),
    "value_confirm": ("value_reserve",),
    "value_cancel": ("value_reserve",),
    "value_return": ("value_reserve", "value_confirm"),
    "value_untopup": ("value_topup",),
    "coupon_void": ("coupon_issue",),
    "coupon_extend": ("coupon_issue",),
    "coupon_confirm": ("coupon_reserve",),
    "coupon_cancel": ("coupon_reserve",),
    "coupon_restore": ("coupon_redeem",),
    "reward_revoke": ("reward_send",),
    "stock_confirm": ("stock_reserve",),
    "stock_cancel": ("stock_reserve",),
    "stock_return": ("stock_reserve", "stock_confirm"),
    "bill_release": ("bill_hold",),
    "order_void": ("order_post",),
    "order_return": ("order_post",),
    "deposit_void": ("deposit_post",),
    "session_extend": ("session_open",),
    "session_move": ("session_open",),
    "session_close": ("session_open",),
}

#: The same for an adapter that reserves and confirms instead of redeeming at once.
RESERVING: Mapping[str, tuple[str, ...]] = {"coupon_restore": ("coupon_reserve", "coupon_confirm")}


def before(hook: str, implemented: frozenset[str]) -> tuple[str, ...]:
    """The hooks to call first, as far as this adapter has them."""
    chain = BEFORE.get(hook, ())
    if hook in RESERVING and chain[0] not in implemented:
        chain = RESERVING[hook]
    return tuple(name for name in chain if name in implemented)


def _undo(kind: Callable[..., Any], *names: str) -> Callable[[Made], Any]:
    """A request with the original and these fields of the first one's request."""
    return lambda made: kind(original=made.original, **{name: getattr(made.request, name) for name in names})


def _restored_value(made: Made) -> ValueReturn:
    buckets = Value(**made.facts.get("buckets", {"real": made.request.amount}))
    asked = made.request
    return ValueReturn(
        original=made.original, account=asked.account, amount=asked.amount, buckets=buckets, site=asked.site
    )


def _extended(made: Made) -> SessionExtend:
    opened = made.request
    end = opened.end + timedelta(hours=1)
    return SessionExtend(
        site=opened.site, session_id=made.ref, start=opened.end, end=end, order_no=f"{opened.order_no}-2"
    )


DERIVED: Mapping[str, Callable[[Made], Any]] = {
    "payment_reverse": _undo(Reverse, "amount", "currency", "site"),
    "payment_refund": lambda made: PaymentRefund(
        original=made.original,
        amount=made.request.amount,
        charged_amount=made.request.amount,
        currency=made.request.currency,
        reason="returned goods",
        site=made.request.site,
    ),
    "payment_capture": lambda made: Capture(
        original=made.original,
        amount=made.request.amount,
        held_amount=made.request.amount,
        currency=made.request.currency,
        site=made.request.site,
    ),
    "payment_release": _undo(Release, "amount", "currency", "site"),
    "member_unmerge": _undo(Unmerge, "member_ref", "merged_ref"),
    "points_confirm": _undo(PointsHeld, "member_ref", "points", "site"),
    "points_cancel": _undo(PointsHeld, "member_ref", "points", "site"),
    "points_return": _undo(PointsReturn, "member_ref", "points", "site"),
    "points_revoke": _undo(PointsRevoke, "member_ref", "points", "site"),
    "value_confirm": _undo(ValueHeld, "account", "amount", "site"),
    "value_cancel": _undo(ValueHeld, "account", "amount", "site"),
    "value_return": _restored_value,
    "value_untopup": _undo(ValueUntopup, "account", "value", "site"),
    "coupon_void": lambda made: CouponVoid(original=made.original, code=made.request.code or made.ref),
    "coupon_confirm": _undo(CouponHeld, "code", "count", "amount", "site"),
    "coupon_cancel": _undo(CouponHeld, "code", "count", "amount", "site"),
    "coupon_restore": _undo(CouponRestore, "code", "count", "amount", "site"),
    "reward_revoke": _undo(RewardRevoke, "amount", "site"),
    "stock_confirm": _undo(StockHeld, "store_id", "items", "slots", "site"),
    "stock_cancel": _undo(StockHeld, "store_id", "items", "slots", "site"),
    "stock_return": _undo(StockReturn, "store_id", "items", "slots", "site"),
    "bill_release": _undo(BillRelease, "site", "bills"),
    "order_void": lambda made: OrderVoid(
        original=made.original,
        order_no=made.request.order_no,
        site=made.request.site,
        amount=made.request.payable_amount,
    ),
    "order_return": lambda made: returned(made.request, made.original, f"RF{made.key[-10:]}"),
    "deposit_void": _undo(DepositVoid, "site", "amount", "session_id", "resource_id"),
    "session_extend": _extended,
    "session_close": lambda made: SessionClose(site=made.request.site, session_id=made.ref, original=made.original),
}

#: Hooks of which a part can be asked for, and the field that says how much; of ``stock_return`` it is the items.
PARTS: Mapping[str, str] = {
    "payment_refund": "amount",
    "payment_capture": "amount",
    "points_return": "points",
    "points_revoke": "points",
    "value_return": "amount",
    "coupon_restore": "count",
}


def part_of(hook: str, request: Any) -> Any | None:
    """The request for a part of it, or ``None`` where there is no part to ask for."""
    if hook == "stock_return":
        return _some(request, _halves(request.items))
    name = PARTS.get(hook)
    whole = getattr(request, name) if name else 0
    if name is None or whole < 2:
        return None
    part = replace(request, **{name: whole // 2})
    if hook == "coupon_restore":
        return replace(part, amount=request.amount * part.count // whole)
    return replace(part, buckets=_halved(request.buckets, whole // 2)) if hook == "value_return" else part


def _halves(items: tuple[StockItem, ...]) -> dict[str, Decimal]:
    """Half of each article, in whole pieces."""
    return {item.sku: item.quantity // 2 for item in items}


def _some(request: StockReturn, quantities: Mapping[str, Decimal]) -> StockReturn | None:
    """So much of each article; ``None`` where that is nothing."""
    items = tuple(
        replace(item, quantity=quantities[item.sku]) for item in request.items if quantities.get(item.sku, 0) > 0
    )
    return replace(request, items=items) if items else None


def _halved(buckets: Value, amount: int) -> Value:
    """``amount`` of what was taken, from the first buckets that hold it."""
    real = min(buckets.real, amount)
    gift = min(buckets.gift, amount - real)
    return Value(real=real, gift=gift, prepaid=amount - real - gift)


def rest_of(hook: str, request: Any, part: Any) -> Any:
    """What is left of a request after a part of it."""
    if hook == "stock_return":
        gone = {item.sku: item.quantity for item in part.items}
        return _some(request, {item.sku: item.quantity - gone.get(item.sku, Decimal(0)) for item in request.items})
    name = PARTS[hook]
    rest = replace(request, **{name: getattr(request, name) - getattr(part, name)})
    if hook == "coupon_restore":
        return replace(rest, amount=request.amount - part.amount)
    if hook != "value_return":
        return rest
    whole, some = request.buckets, part.buckets
    left = Value(real=whole.real - some.real, gift=whole.gift - some.gift, prepaid=whole.prepaid - some.prepaid)
    return replace(rest, buckets=left)


__all__ = ["BEFORE", "DERIVED", "PARTS", "Link", "Made", "Merge", "before", "part_of"]
