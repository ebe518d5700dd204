"""What the conformance suite must know of the karaoke till."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from gateway.sdk import (
    BillLookup,
    BillPrice,
    BillRef,
    DepositPost,
    Identity,
    IdentityType,
    MemberLookup,
    Method,
    OrderPost,
    Secret,
    SessionClose,
    SessionMove,
    SessionOpen,
    StatementRequest,
    TenderLine,
)
from gateway.testing import Far, Made, Profile
from plugins.ktv import protocol as p
from plugins.ktv.adapter import KtvAdapter
from plugins.ktv.simulator import KtvSimulator
from plugins.ktv.simulator_seed import MANAGER_CODE

#: A small room with the overnight package.
PACKAGE, FEE = "TC03", 16800


class KtvProfile(Profile):
    """Rooms of the eighth floor are opened, and sessions move up to the ninth."""

    adapter = KtvAdapter
    simulator = KtvSimulator
    options: ClassVar[Mapping[str, str]] = {"idle_s": "0.3"}
    store_id = "s1"
    unchecked_secrets: ClassVar[Mapping[str, str]] = {"manager_code": "the till asks for it only where money goes back"}
    leaves: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "order_post": ("open",),
        "session_open": ("paid",),
    }

    def settings(self, far: Far) -> Mapping[str, Any]:
        host, port = far.address("till").split(":")
        return {
            "host": host,
            "port": int(port),
            "store_id": "s1",
            "manager_code": far.secret("manager", MANAGER_CODE),
            "price_list": str(far.data / "price-list.csv"),
            "command_timeout_s": 1,
            "read_timeout_s": 2,
            "query_timeout_s": 2,
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {"an area that is not there": {"areas": ["77F"]}}

    def statement(self, far: Far) -> StatementRequest:
        evening = far.now().astimezone(far.adapter.context.timezone) - timedelta(hours=6)
        return StatementRequest(business_date=evening.date())

    # -- looking

    def member_find(self, far: Far) -> Any:
        return MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret("13900000001")))

    def bill_find(self, far: Far) -> Any:
        return BillLookup(store_id="s1", bill_ids=(far.do("session_open", self.session_open(far)).ref,))

    def bill_price(self, far: Far) -> Any:
        bill = BillRef(bill_id=far.do("session_open", self.session_open(far)).ref, version="")
        return BillPrice(site=far.site(), bills=(bill,), tenders=())

    # -- changes

    def session_open(self, far: Far) -> Any:
        return _opening(far, _idle(far, "80"))

    def session_move(self, far: Far, made: Made) -> Any:
        return SessionMove(site=far.site(), session_id=made.ref, to_resource_id=_idle(far, "9"))

    def session_close(self, far: Far, made: Made) -> Any:
        if made.ref[:1] == "K":
            far.control("pay", bill=made.ref, amount=FEE)
        return SessionClose(site=far.site(), session_id=made.ref, original=made.original)

    def deposit_post(self, far: Far) -> Any:
        session = far.do("session_open", self.session_open(far)).ref
        return DepositPost(site=far.site(), amount=20000, order_no=far.number("WEB"), session_id=session)

    def order_post(self, far: Far) -> Any:
        session = far.do("session_open", self.session_open(far)).ref
        tender = TenderLine(tender_id="t1", method=Method.CASH, amount=FEE)
        return OrderPost(
            order_no=far.number("WEB"),
            site=far.site(),
            currency="CNY",
            lines=(),
            tenders=(tender,),
            splits=(),
            gross_amount=FEE,
            discount_amount=0,
            payable_amount=FEE,
            sold_at=far.now(),
            session_id=session,
            bills=(BillRef(bill_id=session, version=""),),
        )

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "session_open":
            room = _idle(far, "80")
            far.control("open_room", room=room)
            yield "slot_taken", _opening(far, room)

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        yield p.parse_reply, "BL|7|0|成功|K1403080017|268.00".encode("gb18030")

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        bills = list(books["bills"].values())
        standing = [bill for bill in bills if bill["state"] != p.BILL_REFUNDED]
        open_bills = [bill for bill in bills if bill["state"] == p.BILL_OPEN]
        in_rooms = [row["amount"] for room in books["rooms"].values() for row in room["deposits"]]
        return {
            "open": len(open_bills),
            "upstairs": sum(1 for bill in open_bills if bill["room"].startswith("9")),
            "extended": sum(1 for bill in bills for line in bill["lines"] if line["kind"] == "X"),
            "paid": sum(bill["paid"] for bill in standing),
            "deposits": sum(bill["deposit"] for bill in bills) + sum(in_rooms),
            "bookings": sum(1 for booking in books["bookings"].values() if booking["state"] == "booked"),
        }


def _idle(far: Far, floor: str) -> str:
    """A small idle room. Raises ``RuntimeError`` if there is none."""
    for code, room in far.panel_books()["rooms"].items():
        if code.startswith(floor) and room["room_class"] == "S" and room["state"] == 0:
            return str(code)
    raise RuntimeError(f"no idle room begins with {floor}")


def _opening(far: Far, room: str) -> SessionOpen:
    start = far.now()
    return SessionOpen(
        site=far.site(),
        resource_id=room,
        resource_class="S",
        start=start,
        end=start + timedelta(hours=3),
        order_no=far.number("WEB"),
        package_sku=PACKAGE,
        guests=4,
    )
