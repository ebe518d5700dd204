"""What the conformance suite must know of pretix: it runs on the real system, for there is no simulator of it.

``make real-pretix-grade``. Vouchers stand for all coupons here; gift cards are tried by ``CardsProfile`` in the tests.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, ClassVar

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
    OrderReturn,
    Original,
    Secret,
    SlotsRequest,
    StockHeld,
    StockItem,
    StockReserve,
    TenderLine,
)
from gateway.testing import Far, Made, Profile
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.adapter import PretixAdapter
from plugins.pretix.cinema import FILM, SOLD_OUT, Cinema
from plugins.pretix.system import RunningPretix

PRICE = 4500
#: A good answer of each reader, to spoil; more, recorded from the system, are spoilt in the tests.
_HELD = {
    "id": 1, "cart_id": "K@api", "item": 2, "variation": None, "subevent": 3, "voucher": None,
    "datetime": "2026-11-23T10:00:00+08:00", "expires": "2026-11-23T10:15:00+08:00",
}  # fmt: skip
_ORDER = {
    "code": "ABCD1234ABCD1234", "status": "p", "total": "45.00", "datetime": "2026-11-23T10:00:00+08:00",
    "positions": [{"id": 1, "positionid": 1, "item": 2, "price": "45.00", "canceled": False}],
    "refunds": [], "payments": [{"local_id": 1}], "api_meta": {"kind": "sale"},
}  # fmt: skip


class PretixProfile(Profile):
    """A cinema with a film that is never sold out, a voucher, a gift card."""

    adapter = PretixAdapter
    foreign = RunningPretix
    store_id: ClassVar[str] = "screen-1"
    deadline_s: ClassVar[float] = 40.0
    patience_s: ClassVar[float] = 15.0
    #: The places become free with ``order_return``.
    silent: ClassVar[tuple[str, ...]] = ("stock_return",)
    #: A hold that a sale has used up does not come back with the sale's undo.
    leaves: ClassVar[Mapping[str, tuple[str, ...]]] = {"order_post": ("places held",)}

    def settings(self, far: Far) -> Mapping[str, Any]:
        cinema = _cinema(far)
        return {
            "base_url": far.address("api"),
            "token": far.secret("token", cinema.api.token),
            "organizer": cinema.api.organizer,
            "event": cinema.event,
            "store_id": self.store_id,
            "redemption_item": cinema.redemption,
            "redemption_date": cinema.redemption_date,
            "timeout_s": 39.0,
            "read_timeout_s": 25.0,
            "query_timeout_s": 25.0,
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "another event": {"event": "nosuch"},
            "another organizer": {"organizer": "nosuch"},
            "a product that costs something": {"redemption_item": _cinema(far).ticket},
        }

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        names = ("places held", "uses held", "uses", "sold", "on cards", "members")
        return {**{name: books[name] for name in names}, "money": books["paid"] - books["given back"]}

    # -------------------------------------------------------------- stock

    def stock_slots(self, far: Far) -> Any:
        showing = _cinema(far).showings[FILM]
        start = datetime.fromisoformat(_cinema(far).api.get(_cinema(far).path(f"subevents/{showing}/"))["date_from"])
        return SlotsRequest(store_id=self.store_id, start=start, end=start.replace(hour=23, minute=59))

    def stock_reserve(self, far: Far, showing: str = FILM, order_no: str = "") -> StockReserve:
        items = (StockItem(sku=_cinema(far).sku(showing), quantity=Decimal(2)),)
        return StockReserve(
            store_id=self.store_id, items=items, slots=(), order_no=order_no or far.key(), site=far.site(), ttl_s=900
        )

    def stock_confirm(self, far: Far, made: Made) -> StockHeld:
        """The hold has run out by now, and is taken anew: otherwise a confirm only looks at it."""
        _drop(_cinema(far), p.cart_id(made.key))
        return StockHeld(
            original=made.original, store_id=self.store_id, items=made.request.items, slots=(), site=far.site()
        )

    # -------------------------------------------------------------- coupons

    def coupon_find(self, far: Far) -> Any:
        return CouponLookup(code=far.place.facts["voucher"])

    def coupon_reserve(self, far: Far, code: str = "") -> CouponUse:
        return CouponUse(
            code=code or far.place.facts["voucher"],
            count=2,
            amount=2000,
            order_no=far.key(),
            site=far.site(),
            ttl_s=900,
        )

    # -------------------------------------------------------------- members

    def member_enrol(self, far: Far) -> Enrol:
        return Enrol(identities=(_phone(far),), display_name="李女士", store_id=self.store_id)

    def member_find(self, far: Far) -> Any:
        joined = self.member_enrol(far)
        far.do("member_enrol", joined)
        return MemberLookup(identity=joined.identities[0])

    # -------------------------------------------------------------- sales

    def order_post(self, far: Far) -> OrderPost:
        """A sale of two tickets that are held."""
        held = self.stock_reserve(far)
        return self._sale(far, held.order_no, FILM, far.do("stock_reserve", held).original)

    def _sale(self, far: Far, order_no: str, showing: str, *holds: Original) -> OrderPost:
        line = OrderLine(
            line_id="1", sku=_cinema(far).sku(showing), name="流浪地球", quantity=Decimal(2), unit_amount=PRICE,
            gross_amount=2 * PRICE, discount_amount=1, net_amount=2 * PRICE - 1,
        )  # fmt: skip
        tender = TenderLine(tender_id="t1", method=Method.CASH, amount=line.net_amount)
        return OrderPost(
            order_no=order_no, site=far.site(), currency="CNY", lines=(line,), tenders=(tender,), splits=(),
            gross_amount=line.gross_amount, discount_amount=1, payable_amount=line.net_amount, sold_at=far.now(),
            holds=holds,
        )  # fmt: skip

    def notice_read(self, far: Far) -> Any:
        """What pretix really sends when a sale was posted."""
        cinema = _cinema(far)
        cinema.api.post("webhooks/", {
            "enabled": True, "target_url": far.listener(), "all_events": True, "limit_events": [],
            "action_types": ["pretix.event.order.paid"],
        })  # fmt: skip
        far.do("order_post", self.order_post(far))
        return far.heard(20.0)

    # -------------------------------------------------------------- what is refused, and what is spoilt

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        cinema = _cinema(far)
        if hook == "stock_reserve":
            yield "out_of_stock", self.stock_reserve(far, SOLD_OUT)
        if hook == "coupon_reserve":
            yield "coupon_unknown", self.coupon_reserve(far, "NOSUCHCODE")
            yield "coupon_exhausted", self.coupon_reserve(far, cinema.voucher(uses=1))
            yield "coupon_expired", self.coupon_reserve(far, cinema.voucher(uses=5, valid_until="2020-01-01T00:00:00Z"))
            yield "coupon_not_applicable", self.coupon_reserve(far, cinema.voucher(uses=5, item=cinema.ticket))
        if hook == "order_post":
            yield "out_of_stock", self._sale(far, far.key(), SOLD_OUT)
        if hook == "order_return":
            sold = far.do("order_post", self.order_post(far))
            yield "not_refundable", replace(_returned(sold), amount=2 * PRICE)
            yield "not_found", replace(_returned(sold), original=Original(key=far.key()))

    def parsers(self) -> Iterable[tuple[Callable[[bytes], Any], bytes]]:
        yield p.read_page, b'{"count": 1, "next": null, "results": [{"id": 1}]}'
        yield r.read_bulk, json.dumps({"results": [{"success": True, "data": _HELD, "errors": None}]}).encode()
        yield lambda raw: r.read_order(p.read_json(raw)), json.dumps(_ORDER).encode()
        yield lambda raw: r.read_held(p.read_json(raw)), json.dumps(_HELD).encode()
        yield r.read_hint, b'{"organizer": "o", "event": "e", "code": "C", "action": "pretix.event.order.paid"}'


def _cinema(far: Far) -> Cinema:
    cinema: Cinema = far.place.facts["cinema"]
    return cinema


def _phone(far: Far) -> Identity:
    digits = f"139{int(datetime.now(UTC).timestamp() * 1000) % 100_000:05d}{int(far.number('')) % 1000:03d}"
    return Identity(type=IdentityType.PHONE, value=Secret(digits))


def _drop(cinema: Cinema, cart: str) -> None:
    """Take a cart's positions out, as their expiry does."""
    for row in cinema.api.get(cinema.path("cartpositions/?ordering=-datetime&page_size=50"))["results"]:
        if row["cart_id"] == cart:
            cinema.api.ask("DELETE", cinema.path(f"cartpositions/{row['id']}/"))


def _returned(sold: Made) -> OrderReturn:
    sale: OrderPost = sold.request
    return OrderReturn(
        original=sold.original, order_no=sale.order_no, refund_no="RF1", site=sale.site, lines=sale.lines,
        tenders=sale.tenders, amount=sale.payable_amount, whole=True, returned_at=datetime.now(UTC),
    )  # fmt: skip


__all__ = ["PretixProfile"]
