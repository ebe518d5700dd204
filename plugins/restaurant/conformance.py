"""What the conformance suite must know of the restaurant chain: its tills, and the members of its head office."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar

from gateway.sdk import (
    Bill,
    BillHold,
    BillLookup,
    BillPrice,
    BillRef,
    Enrol,
    Identity,
    IdentityType,
    MemberLookup,
    Method,
    OrderLine,
    OrderPost,
    PointsEarn,
    PointsReserve,
    Secret,
    StatementRequest,
    TenderLine,
    Value,
    ValueOrder,
    ValueReserve,
    ValueTopup,
)
from gateway.testing import Far, Profile
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.members import SILENT, RestaurantMembersAdapter
from plugins.restaurant.protocol import decode_reply
from plugins.restaurant.protocol_members import BUCKETS
from plugins.restaurant.simulator import RestaurantSimulator
from plugins.restaurant.simulator_seed import APP_KEY, APP_SECRET, BRAND_ID, OPERATOR, OPERATOR_PASSWORD

#: A member of the first day with 5000 points and 500.00 paid in.
MEMBER, PHONE = "C810005", "13800002005"


def _office(far: Far) -> dict[str, Any]:
    return {
        "office_url": far.address("office"),
        "brand_id": BRAND_ID,
        "app_key": APP_KEY,
        "app_secret": far.secret("office", APP_SECRET),
        "timeout_s": 2.0,
    }


def _day(far: Far) -> StatementRequest:
    """The business day ends at four in the morning."""
    local = far.now().astimezone(far.adapter.context.timezone) - timedelta(hours=4)
    return StatementRequest(business_date=local.date())


class RestaurantProfile(Profile):
    """Guests sit down in the first shop by the simulator's lever, and their bill is paid."""

    adapter = RestaurantAdapter
    simulator = RestaurantSimulator
    options: ClassVar[Mapping[str, str]] = {"soldout_every_s": "0"}
    store_id = "sh-01"
    leaves: ClassVar[Mapping[str, tuple[str, ...]]] = {"order_post": ("open", "settled")}
    #: A bill is opened again while dishes are taken off it.
    traces: ClassVar[Mapping[str, tuple[str, ...]]] = {"order_return": ("open",)}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            **_office(far),
            "till_url": far.address("till"),
            "operator": OPERATOR,
            "password": far.secret("till", OPERATOR_PASSWORD),
            "shops": {"sh-01": {"code": "SH01", "service_basis": "net", "rounding": "jiao"}},
            "sold_out_folder": far.address("sold"),
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {"a shop that is not there": {"shops": {"sh-01": {"code": "SH99"}}}}

    def prepare(self, far: Far) -> None:
        far.control("write_soldout", shop="SH01")

    def statement(self, far: Far) -> StatementRequest:
        return _day(far)

    def bill_find(self, far: Far) -> Any:
        return BillLookup(store_id="sh-01", bill_ids=(_seated(far).bill_id,))

    def bill_price(self, far: Far) -> Any:
        return BillPrice(site=far.site(), bills=(_ref(_seated(far)),), tenders=())

    def bill_hold(self, far: Far) -> Any:
        return BillHold(site=far.site(), bills=(_ref(_seated(far)),), order_no=far.number("WEB"))

    def order_post(self, far: Far) -> Any:
        bill = _seated(far)
        tender = TenderLine(
            tender_id="t1", method=Method.PAYMENT_CODE, channel="wechat", amount=bill.due_amount, ref="4200001"
        )
        return OrderPost(
            order_no=far.number("WEB"),
            site=far.site(),
            currency="CNY",
            lines=tuple(_line(line, bill.bill_id) for line in bill.lines),
            tenders=(tender,),
            splits=(),
            gross_amount=bill.due_amount,
            discount_amount=0,
            payable_amount=bill.due_amount,
            sold_at=far.now(),
            bills=(_ref(bill),),
        )

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "bill_hold":
            held = self.bill_hold(far)
            yield "bill_changed", replace(held, bills=(replace(held.bills[0], version="older"),))

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        yield decode_reply, '{"code":0,"msg":"成功","data":{"bsId":"BS1","lastTotal":12.30}}'.encode("gbk")

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {
            "money": sum(books["money"].values()),
            "open": books["open_bills"],
            "settled": books["settled_bills"],
            "held": sum(1 for bill in books["bills"].values() if bill["pre_settled"]),
        }


def _seated(far: Far) -> Bill:
    bill_id = str(far.control("seat", shop="SH01")["bsId"])
    found: tuple[Bill, ...] = far.read("bill_find", BillLookup(store_id="sh-01", bill_ids=(bill_id,)))
    return found[0]


def _ref(bill: Bill) -> BillRef:
    return BillRef(bill_id=bill.bill_id, version=bill.version)


def _line(line: Any, bill_id: str) -> OrderLine:
    return OrderLine(
        line_id=line.line_id,
        sku=line.sku,
        name=line.name,
        quantity=line.quantity,
        unit_amount=line.unit_amount,
        gross_amount=line.gross_amount,
        discount_amount=0,
        net_amount=line.gross_amount,
        bill_id=bill_id,
    )


class RestaurantMembersProfile(Profile):
    """One member's points and value move; others join."""

    adapter = RestaurantMembersAdapter
    simulator = RestaurantSimulator
    options: ClassVar[Mapping[str, str]] = {"soldout_every_s": "0"}
    store_id = "sh-01"
    silent: ClassVar[tuple[str, ...]] = SILENT

    def settings(self, far: Far) -> Mapping[str, Any]:
        return _office(far)

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {"a key that the head office does not know": {"app_key": "nobody"}}

    def statement(self, far: Far) -> StatementRequest:
        return _day(far)

    def personal(self) -> Iterable[str]:
        return (PHONE,)

    def member_find(self, far: Far) -> Any:
        return MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret(PHONE)))

    def member_enrol(self, far: Far) -> Any:
        phone = Identity(type=IdentityType.PHONE, value=Secret(far.number("13700")))
        return Enrol(identities=(phone,), display_name="新会员", store_id="sh-01")

    def points_reserve(self, far: Far) -> Any:
        return _points(far, 100)

    def points_earn(self, far: Far) -> Any:
        return PointsEarn(member_ref=MEMBER, points=50, basis_amount=5000, order_no=far.number("WEB"), site=far.site())

    def value_reserve(self, far: Far) -> Any:
        return _value(far, 1000)

    def value_topup(self, far: Far) -> Any:
        return ValueTopup(account=MEMBER, value=Value(real=1000), site=far.site())

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "points_reserve":
            yield "insufficient_points", _points(far, 9_000_000)
        if hook == "value_reserve":
            yield "insufficient_value", _value(far, 900_000_000)

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        members = list(books["crm"]["members"].values())
        names = ("points", "frozen", *BUCKETS)
        return {"members": len(members), **{name: sum(int(one[name]) for one in members) for name in names}}


def _points(far: Far, points: int) -> PointsReserve:
    return PointsReserve(
        member_ref=MEMBER, points=points, amount=points, order_no=far.number("WEB"), site=far.site(), ttl_s=600
    )


def _value(far: Far, amount: int) -> ValueReserve:
    return ValueReserve(
        account=MEMBER,
        amount=amount,
        order=ValueOrder.REAL_FIRST,
        order_no=far.number("WEB"),
        site=far.site(),
        ttl_s=600,
    )
