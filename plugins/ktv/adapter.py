"""The adapter of the KTV till "星海KTV V8.6".

It reads rooms, bills and members, opens and extends rooms, and books sales into bills. The till has no idempotency, no
holds, no part refunds, no coupons and no push: every change is looked up before it is sent a second time, rooms are
held by the gateway over ``stock_slots``, and a refund takes back the whole bill or nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Bill,
    BillLookup,
    BillPrice,
    BillTotal,
    Call,
    CatalogueRequest,
    Change,
    Context,
    DepositPost,
    DepositVoid,
    Done,
    Freshness,
    IdentityType,
    Member,
    MemberLookup,
    Misconfigured,
    NotSent,
    NotSupported,
    OrderPost,
    OrderReturn,
    OrderVoid,
    Original,
    OutcomeUnknown,
    Page,
    Product,
    Query,
    SessionClose,
    SessionExtend,
    SessionMove,
    SessionOpen,
    Slot,
    SlotsRequest,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.ktv import deposits, mapping, posting, replies, rooms
from plugins.ktv import protocol as p
from plugins.ktv.asking import Asking, awaiting
from plugins.ktv.client import Burst, Client, Line, Refusal
from plugins.ktv.price_list import parse_price_list
from plugins.ktv.prices import Prices
from plugins.ktv.settings import KtvSettings

#: A command waits behind others at the till, also when its sender has hung up: so long it may still act.
IN_FLIGHT = Traits(max_in_flight_s=30, poll_every_s=3)
WHOLE = Traits(max_in_flight_s=30, poll_every_s=3, partial=False)

#: Bills a page of the statement; the till is asked for each by its number.
PAGE = 20


class KtvAdapter(Adapter):
    """One till of the system "星海KTV V8.6", which is one store."""

    name: ClassVar[str] = "ktv"
    Settings: ClassVar[type[KtvSettings]] = KtvSettings
    about: ClassVar[AdapterTraits] = AdapterTraits(
        encoding="gb18030",
        freshness=Freshness.IMMEDIATE,
        max_parallel=1,
        business_day_ends="06:00",
        insecure_transport=True,
    )
    traits: ClassVar[Mapping[str, Traits]] = {
        "order_post": IN_FLIGHT,
        "order_void": WHOLE,
        "order_return": WHOLE,
        "deposit_post": IN_FLIGHT,
        "deposit_void": IN_FLIGHT,
        "session_open": IN_FLIGHT,
        "session_extend": IN_FLIGHT,
        "session_move": IN_FLIGHT,
        "session_close": IN_FLIGHT,
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = self.settings = context.settings
        timeouts = settings["connect_timeout_s"], settings["command_timeout_s"]
        self.client = Client(Line(settings["host"], settings["port"], settings["encoding"], *timeouts))
        self.areas = tuple(settings["areas"])
        self.prices = Prices(settings["price_cache_s"], settings["packages"])
        self.codes = posting.Codes(settings["tenders"], settings["drinks"], re.compile(settings["drink_pattern"]))

    def check(self) -> None:
        """Look at the rooms: the host answers, speaks this protocol and knows the areas."""
        try:
            with self._looking() as burst:
                found = rooms.read_rooms(burst, self.areas)
        except Refusal as refusal:
            raise Misconfigured(f"areas: the till refuses to list {', '.join(self.areas)}: {refusal.text}") from None
        except NotSent as error:
            raise NotSent(f"host and port: {error}; is the till on, and is another program connected?") from None
        if not found:
            raise Misconfigured(f"areas: the till has no rooms in {', '.join(self.areas)}")

    # -------------------------------------------------------------- looking

    @hookimpl
    def stock_slots(self, request: SlotsRequest) -> tuple[Slot, ...]:
        """Rooms over a window. A room's state is of now: bookings for later are not listed by the till."""
        self._own_store(request.store_id)
        now = self.context.clock()
        with self._looking() as burst:
            found = rooms.read_rooms(burst, self.areas)
            wanted = [
                row
                for row in found
                if request.resource_class in ("", row.room_class) and request.resource_id in ("", row.room)
            ]
            plans = {name: self._plan(burst, name, request) for name in sorted({row.room_class for row in wanted})}
        return tuple(
            mapping.to_slot(
                row, request.start, now, store_id=request.store_id, minimum_spend_amount=row.minimum,
                **plans[row.room_class],
            )
            for row in wanted
        )  # fmt: skip

    def _plan(self, burst: Burst, room_class: str, request: SlotsRequest) -> dict[str, Any]:
        rates, packages = self.prices.over(burst, room_class, request.start, request.end)
        return {"rates": rates, "packages": packages, "capacity": self.settings["capacity"].get(room_class, 0)}

    @hookimpl
    def bill_find(self, request: BillLookup) -> tuple[Bill, ...]:
        """The open bill of a room, or bills by number; what is closed or unknown is left out."""
        self._own_store(request.store_id)
        names = (request.resource_id,) if request.resource_id else (*request.bill_ids, *request.slip_nos)
        with self._looking() as burst:
            found = [self._bill_or_none(burst, name) for name in names]
        open_bills = [bill for bill in found if bill and bill.number and bill.state == p.BILL_OPEN]
        return tuple(mapping.to_bill(bill, request.store_id) for bill in open_bills)

    def _bill_or_none(self, burst: Burst, name: str) -> replies.Bill | None:
        try:
            return rooms.read_bill(burst, name)
        except Refusal:
            return None

    @hookimpl
    def bill_price(self, request: BillPrice) -> BillTotal:
        """What the till says is due on these bills. It knows no coupons, so the tenders make no difference to it."""
        self._own_store(request.site.store_id)
        try:
            with self._looking() as burst:
                found = [rooms.read_bill(burst, bill.bill_id) for bill in request.bills]
        except Refusal as refusal:
            raise OutcomeUnknown(f"the till cannot price these bills: {refusal.text}") from None
        return BillTotal(payable_amount=sum(max(0, bill.due) for bill in found if bill.state == p.BILL_OPEN))

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        """The articles of the exported price list, if there is one; ``cursor`` is how many were given before."""
        path: Path | None = self.settings["price_list"]
        if path is None:
            return Page()
        try:
            drinks = parse_price_list(path.read_bytes())
        except OSError as error:
            raise Misconfigured(f"price_list: cannot read {path}: {error.strerror}") from None
        except p.ParseError as error:
            raise Misconfigured(f"price_list: {path}: {error}") from None
        begin = int(request.cursor) if request.cursor.isdecimal() else 0
        end = begin + request.limit
        items = tuple(mapping.to_product(drink) for drink in drinks[begin:end])
        return Page(items=items, next_cursor=str(end) if end < len(drinks) else None)

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        """A member by phone or card; the till knows no other identity."""
        if request.identity.type not in (IdentityType.PHONE, IdentityType.CARD):
            return None
        try:
            with self._looking() as burst:
                found = burst.look("MB", request.identity.value.reveal(), read=replies.read_member)
        except Refusal as refusal:
            if refusal.code == p.NO_MEMBER:
                return None
            raise OutcomeUnknown(f"the till refuses to look a member up: {refusal.text}") from None
        return mapping.to_member(found, self.settings["member_rates"])

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """An evening's bills, asked for number by number: the till cannot list them. ``cursor`` is the next number."""
        number = request.cursor or f"K{request.business_date:%y%m%d}0001"
        rows: list[StatementRow] = []
        with self._looking("page_timeout_s") as burst:
            for _ in range(PAGE):
                bill = self._bill_or_none(burst, number)
                if bill is None:
                    return Page(items=tuple(rows))
                rows += mapping.to_statement(bill)
                number = rooms.following(number)
                if burst.half_spent:
                    break
        return Page(items=tuple(rows), next_cursor=number)

    # -------------------------------------------------------------- rooms

    @hookimpl
    def session_open(self, request: SessionOpen, call: Call) -> Change:
        """Open a room now (``Done.ref`` is its bill), or book it if its time comes later (``ref`` is the booking)."""
        self._own_store(request.site.store_id)
        wanted = rooms.wanted_of(request, self.settings["packages"])
        if self._is_later(request):
            return self._change(call, lambda burst: rooms.book_room(burst, request, wanted, call))
        return self._change(call, lambda burst: rooms.open_room(burst, request, wanted, self.areas, call))

    @hookimpl
    def session_extend(self, request: SessionExtend, call: Call) -> Change:
        """Extend a running session by the minutes between ``start`` and ``end``, from the till's own end."""
        self._own_store(request.site.store_id)
        return self._change(call, lambda burst: rooms.extend_room(burst, request, call))

    @hookimpl
    def session_move(self, request: SessionMove, call: Call) -> Change:
        """Move a session to another idle room."""
        self._own_store(request.site.store_id)
        return self._change(call, lambda burst: rooms.move_room(burst, request, call))

    @hookimpl
    def session_close(self, request: SessionClose, call: Call) -> Change:
        """Settle a paid room's bill, or cancel a booking."""
        self._own_store(request.site.store_id)
        number = request.session_id
        if number.startswith("Y"):
            return self._change(call, lambda burst: rooms.cancel_booking(burst, number, self.areas, call))
        return self._change(call, lambda burst: posting.close_room(burst, request, call))

    # -------------------------------------------------------------- money

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        """Ring up new drinks, take the tenders, and settle the bill if the sale was about the bill.

        A sale on a booking waits until the desk has opened the room: ``Pending``.
        """
        self._own_store(request.site.store_id)
        session = posting.session_of(request)
        posting.whole_drinks(request, self.codes)

        def post(burst: Burst) -> Change:
            number = self._asking(burst).bill_of(session)
            if not number:
                return awaiting(session)
            return posting.Posting(burst, request, call, self.codes, number).run()

        return self._change(call, post)

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        """Take the sale's whole bill back by the manager's code; declined if others have paid on it too."""
        self._own_store(request.site.store_id)
        return self._take_out(request.original, call)

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        """Take a whole sale back; the till knows no part refund."""
        self._own_store(request.site.store_id)
        if not request.whole:
            raise NotSupported("the till only takes back whole bills (整单退)")
        return self._take_out(request.original, call)

    def _take_out(self, original: Original, call: Call) -> Change:
        bill = posting.bill_of_sale(original)
        manager = self.settings["manager_code"]
        return self._change(call, lambda burst: posting.take_out(burst, bill, original.key, manager, call))

    @hookimpl
    def deposit_post(self, request: DepositPost, call: Call) -> Change:
        """Note a deposit on the session's bill, or on a room before it is opened."""
        self._own_store(request.site.store_id)
        target = deposits.target_of(request)
        return self._change(call, lambda burst: deposits.take(burst, target, request.amount, self.areas, call))

    @hookimpl
    def deposit_void(self, request: DepositVoid, call: Call) -> Change:
        """Note that ``amount`` of a deposit was given back; what was used stands on the bill as a payment already."""
        self._own_store(request.site.store_id)
        target, back, original = deposits.target_of(request), request.amount, request.original
        if back <= 0:
            return Done(ref=original.ref, amount=0, facts={"target": target})
        return self._change(call, lambda burst: deposits.give_back(burst, target, back, original, call))

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        """Look for the traces of an earlier change in the till."""
        with self._looking("query_timeout_s") as burst:
            return self._asking(burst).answer(request)

    # -------------------------------------------------------------- the line

    def _looking(self, setting: str = "read_timeout_s") -> AbstractContextManager[Burst]:
        return self.client.burst(self.settings[setting])

    def _change(self, call: Call, act: Callable[[Burst], Change]) -> Change:
        """One attempt at a change. The till's refusal is a clean one only while nothing of it has been carried out."""
        seconds = call.remaining(self.context.clock())
        with self.client.burst(seconds, unsure=call.attempt > 1 or bool(call.steps)) as burst:
            try:
                return act(burst)
            except Refusal as refusal:
                if burst.acted:
                    raise OutcomeUnknown(f"a part is done, then the till refused: {refusal.text}") from None
                return mapping.declined(refusal)

    def _asking(self, burst: Burst) -> Asking:
        return Asking(burst, self.areas, self.codes, self.settings["packages"])

    def _is_later(self, request: SessionOpen) -> bool:
        return request.start > self.context.clock() + timedelta(minutes=self.settings["book_ahead_minutes"])

    def _own_store(self, store_id: str) -> None:
        if store_id not in ("", self.settings["store_id"]):
            raise Misconfigured(f"store_id: this till is store {self.settings['store_id']}, not {store_id}")
