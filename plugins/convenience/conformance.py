"""What the conformance suite must know of the convenience chain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

from gateway.sdk import (
    Identity,
    IdentityType,
    MemberLookup,
    Method,
    OrderLine,
    OrderPost,
    Secret,
    TenderLine,
)
from gateway.testing import Far, Profile
from plugins.convenience.adapter import ConvenienceAdapter
from plugins.convenience.files import PluRow, Refused, encode_plu, parse_answer, parse_plu
from plugins.convenience.simulator import ConvenienceSimulator

#: Meat buns at 3.00 yuan.
BUN, PRICE = "980001", 300


class ConvenienceProfile(Profile):
    """Buns are sold by file; the tills ring them up at once and upload when the suite lets them."""

    adapter = ConvenienceAdapter
    simulator = ConvenienceSimulator
    options: ClassVar[Mapping[str, str]] = {"upload_delay_s": "off", "poll_ms": "5"}
    store_id = "wulin"
    faults: ClassVar[Mapping[str, int]] = {"disk_full": 0, "locked": 200, "torn_upload": 0}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            "database": far.address("database"),
            "drop_folder": far.address("drop"),
            "branches": {"wulin": "0101", "wensan": "0102"},
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "a branch that head office does not know": {"branches": {"wulin": "9999"}},
            "a database that is not there": {"database": str(far.folder / "nothing.db")},
            "a folder that is not there": {"drop_folder": str(far.folder / "nowhere")},
        }

    def member_find(self, far: Far) -> Any:
        card = next(iter(far.panel_books()["points"]))
        return MemberLookup(identity=Identity(type=IdentityType.CARD, value=Secret(card)), store_id="wulin")

    def order_post(self, far: Far) -> Any:
        return _sale(far, BUN)

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "order_post":
            yield "not_found", _sale(far, "111111")

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        answer = Refused("01K7TEST000000000000000001", "10", "没有此商品").encode()
        yield parse_answer, answer
        yield parse_plu, encode_plu([PluRow(BUN, "6901", "鲜肉包", Decimal("3.0000"), "个")])

    def advance(self, far: Far) -> None:
        far.control("upload")

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {
            "money": sum(books["money"].values()),
            "sales": books["sales_amount"],
            "returns": books["returns_amount"],
        }


def _sale(far: Far, sku: str) -> OrderPost:
    line = OrderLine(
        line_id="1",
        sku=sku,
        name="鲜肉包",
        quantity=Decimal(4),
        unit_amount=PRICE,
        gross_amount=4 * PRICE,
        discount_amount=0,
        net_amount=4 * PRICE,
    )
    number = far.number("2026112222")
    tender = TenderLine(tender_id="t1", method=Method.PAYMENT_CODE, amount=4 * PRICE, channel="alipay", ref=number)
    return OrderPost(
        order_no=far.number("WEB"),
        site=replace(far.site(), till_id="01"),
        currency="CNY",
        lines=(line,),
        tenders=(tender,),
        splits=(),
        gross_amount=4 * PRICE,
        discount_amount=0,
        payable_amount=4 * PRICE,
        sold_at=far.now(),
    )
