"""What the conformance suite must know of the house's own books."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, ClassVar

from gateway.sdk import (
    CouponIssue,
    CouponList,
    CouponLookup,
    CouponUse,
    Enrol,
    Identity,
    IdentityType,
    Link,
    MemberLookup,
    Method,
    OrderLine,
    OrderPost,
    PointsEarn,
    PointsReserve,
    RewardSend,
    Secret,
    StockItem,
    StockMove,
    StockReserve,
    TenderLine,
    Value,
    ValueOrder,
    ValueReserve,
    ValueTopup,
)
from gateway.testing import Far, Made, Profile
from plugins.house.accounts import PREFIX
from plugins.house.adapter import HouseAdapter
from plugins.house.importing import check, put

MEMBER, PHONE, PASS, CARD = "mem", "13800001001", "PASS", "CARD"
_FIRST_DAY = {
    "products": [{"sku": "A", "name": "鲜肉包", "unit_amount": 300}, {"sku": "B", "name": "豆浆", "unit_amount": 250}],
    "stock": [{"store_id": "S1", "sku": "A", "quantity": "1000"}, {"store_id": "S2", "sku": "A", "quantity": "10"}],
    "members": [
        {
            "ref": MEMBER,
            "name": "王小姐",
            "tier": "gold",
            "phone": PHONE,
            "points": 100_000,
            "real_amount": 1_000_000,
            "account_limit_amount": 50_000,
        }
    ],
    "coupons": [
        {"code": PASS, "kind": "count_pass", "title": "次卡", "count": 1000, "member_ref": MEMBER},
        {"code": CARD, "kind": "gift_card", "title": "礼品卡", "balance_amount": 10_000},
    ],
}
#: What the books show, by name: each a sum over one of the house's tables.
_SUMS = {
    "members": "SELECT COUNT(*) AS n FROM house_members",
    "identities": "SELECT COUNT(*) AS n FROM house_identities",
    "points": "SELECT SUM(points) AS n FROM house_members",
    "points held": "SELECT SUM(points_held) AS n FROM house_members",
    "value": "SELECT SUM(real + gift + prepaid) AS n FROM house_members",
    "coupons": "SELECT COUNT(*) AS n FROM house_coupons WHERE voided = 0",
    "uses held": "SELECT SUM(held) AS n FROM house_coupons",
    "uses": "SELECT SUM(used) AS n FROM house_coupons",
    "balances": "SELECT SUM(balance) AS n FROM house_coupons",
    "owed": "SELECT SUM(owed) AS n FROM house_accounts",
    "on hand in S1": "SELECT SUM(on_hand) AS n FROM house_stock WHERE store_id = 'S1'",
    "on hand in S2": "SELECT SUM(on_hand) AS n FROM house_stock WHERE store_id = 'S2'",
    "reserved": "SELECT SUM(reserved) AS n FROM house_stock",
    "value spent": "SELECT SUM(amount) AS n FROM house_ledger WHERE hook = 'value_confirm'",
    "value returned": "SELECT SUM(amount) AS n FROM house_ledger WHERE hook = 'value_return'",
    "sold": "SELECT SUM(amount) AS n FROM house_ledger WHERE hook = 'order_post'",
    "taken back": "SELECT SUM(amount) AS n FROM house_ledger WHERE hook IN ('order_return', 'order_void')",
}


class HouseProfile(Profile):
    """The house has no far system: the suite looks into its tables."""

    adapter = HouseAdapter
    #: Given back later, or not at all: what is earned stays a coupon of nothing.
    leaves: ClassVar[Mapping[str, tuple[str, ...]]] = {"reward_send": ("coupons",)}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {"tiers": {"gold": 9500}, "templates": {"PASS5": {"kind": "count_pass", "title": "五次卡"}}}

    def prepare(self, far: Far) -> None:
        far.database.tx(lambda tx: put(tx, far.merchant, check(_FIRST_DAY), int(far.now().timestamp() * 1000)))

    def books(self, far: Far) -> Mapping[str, Any]:
        return {name: far.database.read(lambda tx, sql=sql: tx.one(sql)["n"] or 0) for name, sql in _SUMS.items()}

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        names = {name: int(value) for name, value in books.items()}
        names["sold"] -= names.pop("taken back")
        names["value spent"] -= names.pop("value returned")
        return names

    def personal(self) -> Iterable[str]:
        return (PHONE,)

    # -- looking

    def member_find(self, far: Far) -> Any:
        return MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret(PHONE)))

    def coupon_find(self, far: Far) -> Any:
        return CouponLookup(code=PASS)

    def coupon_list(self, far: Far) -> Any:
        return CouponList(member_ref=MEMBER)

    # -- changes

    def member_enrol(self, far: Far) -> Any:
        return Enrol(identities=(_phone(far),), display_name="新会员")

    def member_link(self, far: Far, made: Made) -> Any:
        return Link(member_ref=made.ref, identity=_phone(far))

    def points_reserve(self, far: Far) -> Any:
        return _points(far, 100)

    def points_earn(self, far: Far) -> Any:
        return PointsEarn(member_ref=MEMBER, points=50, basis_amount=5000, order_no=far.number("W"), site=far.site())

    def value_reserve(self, far: Far) -> Any:
        return _value(far, MEMBER, 1000)

    def value_topup(self, far: Far) -> Any:
        return ValueTopup(account=MEMBER, value=Value(real=1000), site=far.site())

    def coupon_issue(self, far: Far) -> Any:
        return CouponIssue(template="PASS5", count=5, member_ref=MEMBER)

    def coupon_reserve(self, far: Far) -> Any:
        return _use(far, PASS, 600, 2)

    def reward_send(self, far: Far) -> Any:
        return RewardSend(kind="red_envelope", amount=500, order_no=far.number("W"), site=far.site(), member_ref=MEMBER)

    def stock_reserve(self, far: Far) -> Any:
        return _goods(far, 2)

    def stock_move(self, far: Far) -> Any:
        items = (StockItem(sku="A", quantity=Decimal(3)),)
        return StockMove(from_store_id="S1", to_store_id="S2", items=items, transfer_no=far.number("T"))

    def order_post(self, far: Far) -> Any:
        line = OrderLine(
            line_id="1",
            sku="A",
            name="鲜肉包",
            quantity=Decimal(4),
            unit_amount=300,
            gross_amount=1200,
            discount_amount=0,
            net_amount=1200,
        )
        return OrderPost(
            order_no=far.number("W"),
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

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "points_reserve":
            yield "insufficient_points", _points(far, 900_000_000)
        if hook == "stock_reserve":
            yield "out_of_stock", _goods(far, 900_000)
        if hook == "value_reserve":
            yield "insufficient_value", _value(far, MEMBER, 900_000_000)
            yield "limit_exceeded", _value(far, f"{PREFIX}{MEMBER}", 50_001)
            yield "limit_exceeded", _value(far, f"{PREFIX}nobody", 1)
        if hook == "coupon_reserve":
            yield "coupon_exhausted", _use(far, CARD, 10_001)


def _phone(far: Far) -> Identity:
    return Identity(type=IdentityType.PHONE, value=Secret(far.number("13700")))


def _points(far: Far, points: int) -> PointsReserve:
    return PointsReserve(
        member_ref=MEMBER, points=points, amount=points, order_no=far.number("W"), site=far.site(), ttl_s=600
    )


def _value(far: Far, account: str, amount: int) -> ValueReserve:
    return ValueReserve(
        account=account,
        amount=amount,
        order=ValueOrder.REAL_FIRST,
        order_no=far.number("W"),
        site=far.site(),
        ttl_s=600,
    )


def _use(far: Far, code: str, amount: int, count: int = 1) -> CouponUse:
    return CouponUse(code=code, count=count, amount=amount, order_no=far.number("W"), site=far.site(), ttl_s=600)


def _goods(far: Far, quantity: int) -> StockReserve:
    items = (StockItem(sku="A", quantity=Decimal(quantity)),)
    return StockReserve(store_id="S1", items=items, slots=(), order_no=far.number("W"), site=far.site(), ttl_s=600)
