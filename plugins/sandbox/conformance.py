"""What the conformance suite must know of the sandbox; its troubles are its own magic amounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from gateway.sdk import (
    Authorize,
    CouponIssue,
    CouponLookup,
    CouponUse,
    Enrol,
    Identity,
    IdentityType,
    MemberLookup,
    Message,
    Method,
    OrderLine,
    OrderPost,
    PointsEarn,
    PointsReserve,
    Secret,
    StockItem,
    StockReserve,
    TenderLine,
    Value,
    ValueOrder,
    ValueReserve,
    ValueTopup,
)
from gateway.testing import Far, Profile, charge
from plugins.sandbox.adapter import SandboxAdapter
from plugins.sandbox.book import Row
from plugins.sandbox.machine import CONFIRMS, RETURNS

#: The root of what gives back: what is returned of a hold is taken off it.
_TROUBLE = {2: "unknown, then done", 3: "pending, then done", 4: "late", 5: "lost"}


class SandboxProfile(Profile):
    """Every hook, and for each the endings that leave its outcome open."""

    adapter = SandboxAdapter
    settle_s = 2.0

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {"wait_s": 0.3}

    def books(self, far: Far) -> Mapping[str, Any]:
        now = far.now().timestamp()
        rows = [{**asdict(row), "state": row.at(now)} for row in far.adapter.book.all()]  # type: ignore[attr-defined]
        return {"rows": rows}

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        rows = {row["key"]: Row(**row) for row in books["rows"]}
        sums: Counter[str] = Counter()
        for row in rows.values():
            if row.state != "done":
                continue
            first = rows.get(row.original)
            if row.hook in RETURNS and first is not None:
                sums[first.hook] -= row.amount
            elif not row.original or row.hook in CONFIRMS:
                sums[row.hook] += row.amount
        return sums

    def trouble(self, far: Far, hook: str) -> Mapping[str, Any]:
        root = getattr(self, hook, None)
        if root is None or hook in ("member_enrol", "message_send", "coupon_issue", "value_topup"):
            return {}
        return {name: _with(root(far), hook, ending) for ending, name in _TROUBLE.items()}

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "payment_charge":
            yield "declined", charge(far, amount=1201)
            yield "insufficient_funds", charge(far, amount=1207)

    # -- looking

    def member_find(self, far: Far) -> Any:
        return MemberLookup(identity=_phone("13800001001"))

    def coupon_find(self, far: Far) -> Any:
        return CouponLookup(code="SB100")

    # -- changes

    def payment_charge(self, far: Far) -> Any:
        return charge(far, method=Method.QR_CODE)

    def payment_authorize(self, far: Far) -> Any:
        return Authorize(
            amount=20000, currency="CNY", method=Method.BANK_CARD, order_no="W1", subject="deposit", site=far.site()
        )

    def member_enrol(self, far: Far) -> Any:
        return Enrol(identities=(_phone(far.number("13700")),))

    def points_reserve(self, far: Far) -> Any:
        return PointsReserve(member_ref="SBM1", points=100, amount=100, order_no="W1", site=far.site(), ttl_s=600)

    def points_earn(self, far: Far) -> Any:
        return PointsEarn(member_ref="SBM1", points=200, basis_amount=5000, order_no="W1", site=far.site())

    def value_reserve(self, far: Far) -> Any:
        order = ValueOrder.REAL_FIRST
        return ValueReserve(account="SBM1", amount=1000, order=order, order_no="W1", site=far.site(), ttl_s=600)

    def value_topup(self, far: Far) -> Any:
        return ValueTopup(account="SBM1", value=Value(real=1000), site=far.site())

    def coupon_issue(self, far: Far) -> Any:
        return CouponIssue(template="SB", count=2)

    def coupon_reserve(self, far: Far) -> Any:
        return CouponUse(code="SB100", count=2, amount=600, order_no="W1", site=far.site(), ttl_s=600)

    def stock_reserve(self, far: Far) -> Any:
        items = (StockItem(sku="SB001", quantity=Decimal(2)),)
        return StockReserve(store_id="S1", items=items, slots=(), order_no="W1", site=far.site(), ttl_s=600)

    def order_post(self, far: Far) -> Any:
        line = OrderLine(
            line_id="1",
            sku="SB001",
            name="沙箱商品",
            quantity=Decimal(4),
            unit_amount=300,
            gross_amount=1200,
            discount_amount=0,
            net_amount=1200,
        )
        return OrderPost(
            order_no=far.number("WEB"),
            site=far.site(),
            currency="CNY",
            lines=(line,),
            tenders=(TenderLine(tender_id="t1", method=Method.CASH, amount=1200),),
            splits=(),
            gross_amount=1200,
            discount_amount=0,
            payable_amount=1200,
            sold_at=far.now(),
        )

    def message_send(self, far: Far) -> Any:
        return Message(channel="sms", template="T1", receiver=Secret("13800001001"))


def _phone(number: str) -> Identity:
    return Identity(type=IdentityType.PHONE, value=Secret(number))


def _with(request: Any, hook: str, ending: int) -> Any:
    """The request with this ending, without a change of what it is about."""
    if hook == "order_post":
        return replace(request, order_no=f"{request.order_no}-{ending:02d}")
    if hook == "stock_reserve":
        return replace(request, items=(replace(request.items[0], sku=f"SB001-{ending:02d}"),))
    name = "points" if hook.startswith("points") else "amount"
    return replace(request, **{name: getattr(request, name) + ending})
