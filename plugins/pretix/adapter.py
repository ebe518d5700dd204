"""The adapter of pretix 2026.8, for a cinema or a venue: one event (a series of showings) is one store.

Showings' places are stock, held by cart positions that expire; vouchers and gift cards are coupons; customers with
their memberships are members; sales are orders of our own code. pretix accepts much that it should not, so each effect
is read back before it is told. README.md says what was found, and how each gap is filled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    CatalogueRequest,
    Change,
    Context,
    Coupon,
    CouponHeld,
    CouponLookup,
    CouponRestore,
    CouponUse,
    Done,
    Enrol,
    Freshness,
    Level,
    LevelsRequest,
    Member,
    MemberLookup,
    MemberPageRequest,
    Misconfigured,
    Notice,
    NoticeRequest,
    NotSent,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Page,
    Product,
    Query,
    Slot,
    SlotsRequest,
    StatementRequest,
    StatementRow,
    StockHeld,
    StockReserve,
    StockReturn,
    Traits,
    hookimpl,
)
from plugins.pretix import cards
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.cards import Cards
from plugins.pretix.client import Talk
from plugins.pretix.members import Members
from plugins.pretix.notes import Notes
from plugins.pretix.redemptions import Redemptions
from plugins.pretix.sales import KIND, Sales
from plugins.pretix.settings import PretixSettings
from plugins.pretix.stock import Stock
from plugins.pretix.vouchers import Vouchers

#: A request that we gave up on is worked off, or given up, within the server's own time limit for a request.
IN_FLIGHT = Traits(max_in_flight_s=60, poll_every_s=3)
#: Uses of a voucher, or money on a gift card, can be given back bit by bit.
PARTIAL = Traits(partial=True, max_in_flight_s=60, poll_every_s=3)
#: An order's code is made of our key, and pretix keeps codes unique, also between requests side by side.
ONCE = Traits(idempotent=True, max_in_flight_s=60, poll_every_s=3)


class PretixAdapter(Adapter):
    """One event of one organizer, which is one store."""

    name: ClassVar[str] = "pretix"
    Settings: ClassVar[type[PretixSettings]] = PretixSettings
    about: ClassVar[AdapterTraits] = AdapterTraits(freshness=Freshness.IMMEDIATE, max_parallel=4)
    traits: ClassVar[Mapping[str, Traits]] = {
        "stock_reserve": IN_FLIGHT,
        "stock_confirm": IN_FLIGHT,
        "stock_cancel": IN_FLIGHT,
        "coupon_reserve": IN_FLIGHT,
        "coupon_confirm": IN_FLIGHT,
        "coupon_cancel": IN_FLIGHT,
        "coupon_restore": PARTIAL,
        "member_enrol": IN_FLIGHT,
        "order_post": ONCE,
        "order_void": IN_FLIGHT,
        "order_return": IN_FLIGHT,
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        notes = Notes(context.store)
        self._stock, self._sales = Stock(context), Sales(context, notes)
        self._vouchers, self._cards = Vouchers(context, notes), Cards(context, notes)
        self._members, self._redemptions = Members(context), Redemptions(context, notes)

    def check(self) -> None:
        """Read the event and, where vouchers are redeemed, their product. Changes nothing."""
        settings, talk = self.context.settings, self._look()
        try:
            found = talk.look("", dict)
            item = settings["redemption_item"]
            free = talk.look(f"items/{item}/", r.read_item) if item else None
        except Misconfigured:
            raise
        except NotSent as error:
            raise NotSent(f"base_url: {error}") from None
        if found is None:
            raise Misconfigured(f"event: pretix knows no {settings['event']!r} of {settings['organizer']!r}")
        if found.get("currency") != self.context.currency:
            raise Misconfigured(f"event: it sells in {found.get('currency')}, the merchant in {self.context.currency}")
        if item and (free is None or any(variant.price for variant in free.variants)):
            raise Misconfigured(f"redemption_item: {item} is no product, or not one that costs nothing")

    # -------------------------------------------------------------- stock

    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        self._own_store(request.store_id)
        return self._stock.levels(self._look(), request)

    @hookimpl
    def stock_slots(self, request: SlotsRequest) -> tuple[Slot, ...]:
        """Showings within a window, with how many places are left."""
        self._own_store(request.store_id)
        return self._stock.slots(self._look(), request)

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        return self._stock.catalogue(self._look("page_timeout_s"), request)

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        self._own_store(request.store_id)
        return self._stock.reserve(self._talk(call), request, call)

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        return self._stock.confirm(self._talk(call), request, call)

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        return self._stock.cancel(self._talk(call), request, call)

    @hookimpl
    def stock_return(self, request: StockReturn, call: Call) -> Change:
        """Nothing is sent: the places are free again when the return of the sale cancels the order's positions."""
        return Done(ref=p.cart_id(request.original.key), facts={"by": "order_return"})

    @hookimpl
    def stock_query(self, request: Query) -> Answer:
        if request.hook == "stock_return":
            return Done(ref=p.cart_id(request.request.original.key), facts={"by": "order_return"}, replayed=True)
        return self._stock.query(self._look("query_timeout_s"), request)

    # -------------------------------------------------------------- members

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        return self._members.find(self._look(), request)

    @hookimpl
    def member_page(self, request: MemberPageRequest) -> Page[Member]:
        return self._members.page(self._look("page_timeout_s"), request)

    @hookimpl
    def member_enrol(self, request: Enrol, call: Call) -> Change:
        return self._members.enrol(self._talk(call), request, call)

    @hookimpl
    def member_query(self, request: Query) -> Answer:
        return self._members.query(self._look("query_timeout_s"), request)

    # -------------------------------------------------------------- vouchers and gift cards

    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        talk = self._look()
        return self._vouchers.find(talk, request.code) or self._cards.find(talk, request.code)

    @hookimpl
    def coupon_reserve(self, request: CouponUse, call: Call) -> Change:
        talk = self._talk(call)
        voucher = self._vouchers.by_code(talk, request.code)
        if voucher is not None:
            return self._vouchers.reserve(talk, request, call, voucher)
        return self._cards.reserve(talk, request, call)

    @hookimpl
    def coupon_confirm(self, request: CouponHeld, call: Call) -> Change:
        talk = self._talk(call)
        return self._kind(talk, request).confirm(talk, request, call)

    @hookimpl
    def coupon_cancel(self, request: CouponHeld, call: Call) -> Change:
        talk = self._talk(call)
        return self._kind(talk, request).cancel(talk, request, call)

    @hookimpl
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:
        talk = self._talk(call)
        return self._kind(talk, request).restore(talk, request, call)

    @hookimpl
    def coupon_query(self, request: Query) -> Answer:
        talk, asked = self._look("query_timeout_s"), request.request
        if isinstance(asked, CouponUse):
            voucher = self._vouchers.by_code(talk, asked.code)
            return (self._vouchers if voucher else self._cards).query(talk, request)
        return self._kind(talk, asked).query(talk, request)

    @hookimpl
    def coupon_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """Vouchers, and the gift cards that the gateway booked on: pretix lists bookings only card by card."""
        return self._redemptions.page(self._look("page_timeout_s"), request)

    def _kind(self, talk: Talk, request: CouponHeld | CouponRestore) -> Vouchers | Cards:
        """Who holds a code: told by the hold, or else (its answer was lost) by looking the code up."""
        kind = request.original.facts.get("kind")
        if kind:
            return self._cards if kind == cards.KIND else self._vouchers
        return self._vouchers if self._vouchers.by_code(talk, request.code) else self._cards

    # -------------------------------------------------------------- sales

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        """A paid order of one payment; the tenders stand in what we write on it. ``Done.ref`` is its code."""
        self._own_store(request.site.store_id)
        return self._sales.post(self._talk(call), request, call)

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        """Refund and cancel the order; its places are free again."""
        return self._sales.void(self._talk(call), request, call)

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        """Cancel the pieces given back, and book the refund."""
        return self._sales.give_back(self._talk(call), request, call)

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        return self._sales.query(self._look("query_timeout_s"), request)

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        return self._sales.statement(self._look("page_timeout_s"), request)

    @hookimpl
    def notice_read(self, request: NoticeRequest) -> Notice | None:
        """A webhook is not signed: what it names is looked up, and only an order of ours counts."""
        try:
            hint = r.read_hint(request.body)
        except p.ParseError as error:
            self.context.log.warning("notice refused: %s", error)
            return None
        settings = self.context.settings
        if (hint.organizer, hint.event) != (settings["organizer"], settings["event"]) or not is_code(hint.code):
            return None
        order = self._sales.by_code(self._look("query_timeout_s"), hint.code)
        key = str(order.meta.get("key") or order.meta.get("hold") or "") if order else ""
        if order is None or not key or p.order_code(key) != order.code:
            return None
        kind = "order" if order.meta.get("kind") == KIND else "coupon"
        return Notice(key=key, kind=kind, reply=b"", facts={"action": hint.action, "status": order.status})

    # -------------------------------------------------------------- the line

    def _look(self, setting: str = "read_timeout_s") -> Talk:
        return Talk(self.context, self.context.settings[setting])

    def _talk(self, call: Call) -> Talk:
        seconds = min(self.context.settings["timeout_s"], call.remaining(self.context.clock()))
        return Talk(self.context, seconds, call)

    def _own_store(self, store_id: str) -> None:
        ours = self.context.settings["store_id"]
        if store_id not in ("", ours):
            raise Misconfigured(f"store_id: this event is store {ours}, not {store_id}")


def is_code(text: str) -> bool:
    """Whether this is an order's code, and safe as a part of a path."""
    return 0 < len(text) <= p.CODE_LENGTH and all(letter in p.CODE_ALPHABET for letter in text)
