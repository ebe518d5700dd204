"""What the conformance suite must know of Tryton. There is no simulator: it runs on the real server."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from weakref import WeakSet

from gateway.sdk import (
    CouponLookup,
    CouponUse,
    Enrol,
    Identity,
    IdentityType,
    MemberLookup,
    Method,
    OrderLine,
    OrderPost,
    Secret,
    StockItem,
    StockReserve,
    TenderLine,
)
from gateway.testing import Far, Profile
from plugins.tryton import protocol
from plugins.tryton.adapter import TrytonAdapter
from plugins.tryton.real.office import CARD, SPENT, TrytonOffice, tally

_SKU = "TB2"


class TrytonProfile(Profile):
    """Codes and cards are made at Tryton's own desk, past the adapter; half of the uses are cards' with a rest."""

    adapter = TrytonAdapter
    foreign = TrytonOffice
    store_id = "east"
    deadline_s = 60.0
    patience_s = 20.0

    def __init__(self) -> None:
        self._chance = random.Random(3)  # noqa: S311 - a mixture, no secret
        self._seen: WeakSet[Far] = WeakSet()

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            "url": f"http://{far.address('office')}",
            "database": far.place.facts["database"],
            "user": "admin",
            "password": far.secret("password", far.place.facts["password"]),
            "walk_in": "WALKIN",
            "gift_card_product": "GIFT",
            "stores": {"east": "EAST", "west": "WEST"},
            "timeout_s": 10.0,
        }

    def prepare(self, far: Far) -> None:
        """What is read once is read now: a change's messages are then its own."""
        far.adapter.check()
        far.run("catalogue_page", self.catalogue_page(far))

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "a warehouse that is not there": {"stores": {"east": "NOSUCH"}},
            "a walk-in customer that is not there": {"walk_in": "NOBODY"},
            "a card's product that is not there": {"gift_card_product": "NOSUCH"},
            "a database that is not there": {"database": "nosuch"},
        }

    # ---- requests
    def stock_reserve(self, far: Far) -> Any:
        return self._hold(far, _SKU, 1)

    def _hold(self, far: Far, sku: str, count: int) -> StockReserve:
        item = StockItem(sku=sku, quantity=Decimal(count))
        return StockReserve(
            store_id="east", items=(item,), slots=(), order_no=far.number("WEB"), site=far.site(), ttl_s=600
        )

    def member_enrol(self, far: Far) -> Any:
        phone = Identity(type=IdentityType.PHONE, value=Secret(f"139{far.number('')[-8:]:0>8}"))
        return Enrol(identities=(phone,), display_name="陈小姐", store_id="east")

    def member_find(self, far: Far) -> Any:
        enrol = self.member_enrol(far)
        far.do("member_enrol", enrol)
        return MemberLookup(identity=enrol.identities[0])

    def coupon_find(self, far: Far) -> Any:
        return CouponLookup(code=_card(far))

    def coupon_reserve(self, far: Far) -> Any:
        """The first use on each connection is a card's, which takes the most messages."""
        first = far not in self._seen
        self._seen.add(far)
        card = first or self._chance.random() < 0.5
        return self._use(far, _card(far) if card else _code(far), SPENT)

    def _use(self, far: Far, code: str, amount: int) -> CouponUse:
        return CouponUse(code=code, count=1, amount=amount, order_no=far.number("WEB"), site=far.site(), ttl_s=600)

    def order_post(self, far: Far) -> Any:
        line = OrderLine(
            line_id="1",
            sku=_SKU,
            name="保温杯",
            quantity=Decimal(3),
            unit_amount=8990,
            gross_amount=26970,
            discount_amount=1970,
            net_amount=25000,
        )
        tenders = (
            TenderLine(tender_id="t1", method=Method.GIFT_CARD, amount=5000),
            TenderLine(tender_id="t2", method=Method.CASH, amount=20000),
        )
        return OrderPost(
            order_no=far.number("WEB"),
            site=far.site(),
            currency="CNY",
            lines=(line,),
            tenders=tenders,
            splits=(),
            gross_amount=26970,
            discount_amount=1970,
            payable_amount=25000,
            sold_at=datetime.now(UTC),
        )

    # ---- refusals
    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "stock_reserve":
            yield "out_of_stock", self._hold(far, _SKU, 1_000_000)
            yield "not_found", self._hold(far, "NOSUCH", 1)
        elif hook == "coupon_reserve":
            yield "coupon_unknown", self._use(far, "NOSUCH", 100)
            yield "insufficient_value", self._use(far, _card(far), CARD + 1)
            past = _code(far)
            far.place.facts["aged"](past)
            yield "coupon_expired", self._use(far, past, 100)
            to_come = _code(far, start_date=date(2090, 1, 1))
            yield "coupon_not_applicable", self._use(far, to_come, 100)
            spent = self._use(far, _code(far), 100)
            far.do("coupon_reserve", spent)
            yield "coupon_exhausted", replace(spent, order_no=far.number("WEB"))
        elif hook == "stock_cancel":
            made = far.do("stock_reserve", self.stock_reserve(far))
            held = self.request("stock_cancel", far, made)
            far.do("stock_confirm", self.request("stock_confirm", far, made))
            yield "too_late", held
        elif hook == "coupon_cancel":
            made = far.do("coupon_reserve", self.coupon_reserve(far))
            held = self.request("coupon_cancel", far, made)
            far.do("coupon_confirm", self.request("coupon_confirm", far, made))
            yield "too_late", held

    def parsers(self) -> Iterable[tuple[Any, bytes]]:
        yield protocol.decode, _REPLY
        yield protocol.decode, b'{"id": 1, "error": ["UserError", ["No.", "Not so."]]}'

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return tally(books)


def _card(far: Far) -> str:
    """A gift card that was sold over the counter."""
    desk, number = far.place.facts["desk"], far.number("G")
    desk.gift_card(number, CARD)
    return number


def _code(far: Far, **more: Any) -> str:
    """A coupon's number that is good for one use."""
    desk, number = far.place.facts["desk"], far.number("C")
    desk.coupon(number, **more)
    return number


_REPLY = (
    b'{"id": 1, "result": [{"id": 7, "value": {"__class__": "Decimal", "decimal": "100.00"}, "number": "GC100",'
    b' "sale_date": {"__class__": "date", "year": 2026, "month": 11, "day": 20}, "spent_on": null}]}'
)
