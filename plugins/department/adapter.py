"""The adapter of the department store "银座百货 MIS": orders and stock. The verbs; how each is done stands beside.

Slips and stock are read and written in the till's database (``till_slips``, ``till_stock``), sales are uploaded by
SOAP (``posting``), the promotion procedure is asked by SOAP (``sales_client``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Bill,
    BillHold,
    BillLookup,
    BillPrice,
    BillRelease,
    BillTotal,
    Call,
    CatalogueRequest,
    Change,
    Context,
    Declined,
    DeclineReason,
    Done,
    Freshness,
    InvalidReply,
    Level,
    LevelsRequest,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OrderLine,
    OrderPost,
    OrderReturn,
    OrderVoid,
    OutcomeUnknown,
    Page,
    Product,
    Query,
    StatementRequest,
    StatementRow,
    StockHeld,
    StockReserve,
    StockReturn,
    Traits,
    hookimpl,
)
from plugins.department import mapping, reading
from plugins.department.posting import Poster, Receipts, find_booked, finished
from plugins.department.protocol import ParseError, fits, yuan
from plugins.department.protocol_sales import Sale, SaleNumber
from plugins.department.sales_client import SalesClient
from plugins.department.settings import DepartmentSettings
from plugins.department.till_database import (
    CONFIRMED,
    DONE,
    EVERYTHING,
    ClosedKey,
    TillDatabase,
    close_key,
    entries,
    once_begun,
)
from plugins.department.till_slips import LOCK_LIFE, PICKED_UP, Slips, is_open, slip_rows
from plugins.department.till_stock import Shortage, Stock, held_items

_BOOKING = Traits(idempotent=True, max_in_flight_s=30, poll_every_s=2)
_HOLDING = Traits(idempotent=True, tombstone=True, max_in_flight_s=10, poll_every_s=1)


class DepartmentAdapter(Adapter):
    """See the module. One connection serves all stores that share the till's database."""

    name: ClassVar[str] = "department"
    Settings = DepartmentSettings
    about: ClassVar[AdapterTraits] = AdapterTraits(
        encoding="gb18030", freshness=Freshness.IMMEDIATE, max_parallel=4, insecure_transport=True
    )
    traits: ClassVar[Mapping[str, Traits]] = {
        "order_post": _BOOKING,
        "order_void": _BOOKING,
        "order_return": _BOOKING,
        "bill_hold": Traits(
            idempotent=True,
            tombstone=True,
            max_in_flight_s=10,
            poll_every_s=1,
            reserve_ttl_s=LOCK_LIFE.total_seconds(),
            extendable=True,
        ),
        "bill_release": _HOLDING,
        "stock_reserve": _HOLDING,
        "stock_confirm": replace(_HOLDING, tombstone=False),
        "stock_cancel": _HOLDING,
        "stock_return": replace(_HOLDING, tombstone=False),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        settings = context.settings
        self._settings = settings
        self._codes: Mapping[str, str] = settings["stores"]
        self._ids = {code: store_id for store_id, code in self._codes.items()}
        self._database = TillDatabase(settings["database"])
        identity = {
            "username": settings["user"],
            "password": settings["password"].reveal(),
            "licensekey": settings["license"].reveal(),
        }
        self._client = SalesClient(context.http, settings["soap_url"], identity)
        receipts = Receipts(settings["till"], settings["receipt_first"], settings["receipt_last"])
        self._poster = Poster(self._database, self._client, receipts, settings["timeout_s"])
        self._slips = Slips(self._database, settings["till"])
        self._stock = Stock(self._database)

    def check(self) -> None:
        with self._database.read() as connection:
            missing = reading.missing_tables(connection)
        if missing:
            raise Misconfigured(f"database: {self._settings['database']} has no table {', '.join(missing)}")
        self._knows_us()

    def _knows_us(self) -> None:
        """Have the price of nothing worked out: any answer but a refusal of our identity proves that it is known."""
        nothing: dict[str, Any] = {
            "storecode": next(iter(self._codes.values()), ""),
            "txdate_yyyymmdd": mapping.business_date_text(self.context.clock().date()),
            "vipcode": "",
            "slips": {"slipno": []},
            "payrows": {"payrow": []},
        }
        try:
            self._client.call("caldecmoney", nothing, self._settings["timeout_s"])
        except OutcomeUnknown as error:
            raise NotSent(f"soap_url: the server does not answer as it should: {error}") from None

    # --- bills: counters' slips -----------------------------------------------------------------------------------

    @hookimpl
    def bill_find(self, request: BillLookup) -> tuple[Bill, ...]:
        numbers = dict.fromkeys(request.slip_nos + request.bill_ids)
        with self._database.read() as connection:
            found = [slip_rows(connection, number) for number in numbers]
        store = self._code(request.store_id)
        bills = [rows for rows in found if is_open(rows) and rows[0]["store"].strip() == store]
        return tuple(mapping.bill_of(rows, request.store_id, self.context.timezone) for rows in bills)

    @hookimpl
    def bill_price(self, request: BillPrice) -> BillTotal:
        tenders = [
            {"paycode": mapping.tender_code(tender, self._settings["tender_codes"]), "payamount": yuan(tender.amount)}
            for tender in request.tenders
        ]
        asked = {
            "storecode": self._code(request.site.store_id),
            "txdate_yyyymmdd": mapping.business_date_text(request.site.business_date),
            "vipcode": request.member_ref[:20],
            "slips": {"slipno": [bill.bill_id for bill in request.bills]},
            "payrows": {"payrow": tenders},
        }
        reply = self._client.call("caldecmoney", asked, self._settings["timeout_s"])
        if reply.code != 0:
            raise OutcomeUnknown(f"the promotion procedure refuses: {reply.message}")
        try:
            lines = reply.result.calclines.calcline if reply.result.calclines else ()
            return mapping.total_of(reply.text("netamount"), reply.text("totalless"), lines)
        except (ParseError, ValueError, AttributeError, TypeError) as error:
            raise InvalidReply(f"the promotion procedure's answer does not parse: {error}") from None

    @hookimpl
    def bill_hold(self, request: BillHold, call: Call) -> Change:
        taken: list[str] = []
        for bill in sorted(request.bills, key=lambda one: one.bill_id):
            try:
                with once_begun(bool(taken)), call.step("lock", bill.bill_id):
                    refusal = self._slips.lock(bill, call.key, request.order_no, self._now(), call.remaining())
            except ClosedKey:
                refusal = Declined(reason=DeclineReason.CLOSED, message="this hold was let go before it came to be")
            if refusal is not None:
                with once_begun(bool(taken)):
                    self._slips.unlock_some(taken, call.key, self._now(), call.remaining())
                return refusal
            taken.append(bill.bill_id)
        return Done(ref=call.key)

    @hookimpl
    def bill_release(self, request: BillRelease, call: Call) -> Change:
        self._slips.unlock(request.original.key, self._now(), call.remaining())
        return Done(ref=request.original.key)

    # --- orders: sales of the till --------------------------------------------------------------------------------

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        slips = _slips_of(request)
        _check_words(request.lines)
        codes, zone = self._settings["tender_codes"], self.context.timezone

        def build(connection: sqlite3.Connection, number: SaleNumber) -> Sale:
            places = [reading.place_of_line(connection, number.store, line) for line in request.lines]
            return mapping.sale_of(request, call.key, number, self._settings["cashier"], places, codes, zone)

        place = (mapping.business_date_text(request.site.business_date), self._code(request.site.store_id))
        return self._poster.post(call, place, self._now(), build, slips, request.order_no)

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        with self._database.write(call.remaining()) as connection:
            booked = find_booked(connection, request.original.key)
            if booked is None:  # never booked: see that it never will be
                close_key(connection, request.original.key, f"{self._now():{mapping.STAMP}}")
                return Done(ref="", amount=request.amount)
            if reading.any_picked_up(connection, booked.number):
                message = "goods of this sale were picked up: it cannot be taken out, only returned"
                return Declined(reason=DeclineReason.TOO_LATE, code=PICKED_UP, message=message)
        original = booked.number

        def build(connection: sqlite3.Connection, number: SaleNumber) -> Sale:
            time = f"{self._now():%H%M%S}"
            return reading.opposite_of(connection, original, number, call.key, self._settings["cashier"], time)

        place = (mapping.business_date_text(request.site.business_date), original.store)
        return self._poster.post(call, place, self._now(), build)

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        with self._database.read() as connection:
            booked = find_booked(connection, request.original.key)
        if booked is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message="the till does not have this sale")
        _check_words(request.lines)
        codes, zone, original = self._settings["tender_codes"], self.context.timezone, booked.number

        def build(connection: sqlite3.Connection, number: SaleNumber) -> Sale:
            places = [reading.place_of_return(connection, original, line) for line in request.lines]
            cashier = self._settings["cashier"]
            counter = reading.first_counter(connection, original)
            return mapping.return_of(request, call.key, number, original, cashier, places, codes, zone, counter)

        place = (mapping.business_date_text(request.site.business_date), original.store)
        return self._poster.post(call, place, self._now(), build)

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        asked = request.request
        if request.hook == "bill_hold":
            slips = [bill.bill_id for bill in asked.bills]
            return Done(ref=request.key) if self._slips.locked(slips, request.key) else NotFound()
        if request.hook == "bill_release":
            with self._database.read() as connection:
                closed = EVERYTHING in entries(connection, asked.original.key)
            return Done(ref=asked.original.key) if closed else NotFound()
        slips = _slips_of(asked) if request.hook == "order_post" else []
        with self._database.read() as connection:
            found = finished(connection, request.key, slips)
            if found is None and request.hook == "order_void":
                found = self._never_booked(connection, asked)
        return found or NotFound()

    def _never_booked(self, connection: sqlite3.Connection, request: OrderVoid) -> Done | None:
        closed = EVERYTHING in entries(connection, request.original.key)
        booked = find_booked(connection, request.original.key)
        return Done(ref="", amount=request.amount) if closed and booked is None else None

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        store = self._code(request.store_id) if request.store_id else ""
        day = mapping.business_date_text(request.business_date)
        with self._database.read() as connection:
            return reading.statement_page(connection, day, store, request.cursor, self.context.timezone)

    # --- stock ----------------------------------------------------------------------------------------------------

    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        with self._database.read() as connection:
            sums = reading.stock_sums(connection, self._code(request.store_id), request.skus)
        now = self.context.clock()
        return tuple(mapping.level_of(sku, request.store_id, *amounts, now) for sku, amounts in sums.items())

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        with self._database.read() as connection:
            groups, cursor = reading.items_page(connection, request.cursor, request.limit)
        return Page(items=tuple(mapping.product_of(rows, self._ids) for rows in groups), next_cursor=cursor)

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        if request.slots:
            raise NotSupported("a department store has no time slots")
        store = self._code(request.store_id)
        try:
            plan = self._stock.plan(call.key, store, request.items)
            for position, (counter, goods) in enumerate(plan.items()):
                with once_begun(position > 0), call.step("hold", counter):
                    self._stock.hold(call.key, store, counter, goods, self._now(), call.remaining())
        except Shortage as shortage:
            with once_begun():
                self._stock.give_back(call.key, self._now(), call.remaining())
            return Declined(reason=DeclineReason.OUT_OF_STOCK, code=str(shortage), message=f"{shortage}: not enough")
        except ClosedKey:
            return Declined(reason=DeclineReason.CLOSED, message="this hold was cancelled before it came to be")
        return Done(ref=call.key)

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        result = self._stock.settle(request.original.key, self._now(), call.remaining())
        if result in ("missing", "closed"):
            return Declined(reason=DeclineReason.NOT_FOUND, code=result, message="nothing is held under this key")
        return Done(ref=request.original.key, replayed=result == "replayed")

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        if self._stock.cancel(request.original.key, self._now(), call.remaining()) == "sold":
            return Declined(reason=DeclineReason.CLOSED, message="these goods are sold")
        return Done(ref=request.original.key)

    @hookimpl
    def stock_return(self, request: StockReturn, call: Call) -> Change:
        store, original = self._code(request.store_id), request.original.key
        done = self._stock.put_back(call.key, original, store, request.items, self._now(), call.remaining())
        return Done(ref=call.key, replayed=not done)

    @hookimpl
    def stock_query(self, request: Query) -> Answer:
        asked = request.request
        if request.hook == "stock_reserve":
            held = held_items(self._stock.look(request.key), (DONE, CONFIRMED))
            wanted = {item.sku: item.quantity for item in asked.items}
            return Done(ref=request.key) if held == wanted else NotFound()
        if request.hook == "stock_return":
            return Done(ref=request.key) if self._stock.look(request.key) else NotFound()
        found = self._stock.look(asked.original.key)
        if request.hook == "stock_confirm":
            return Done(ref=asked.original.key) if held_items(found, (CONFIRMED,)) else NotFound()
        return Done(ref=asked.original.key) if EVERYTHING in found else NotFound()

    # --- words ----------------------------------------------------------------------------------------------------

    def _code(self, store_id: str) -> str:
        """The system's code of our store."""
        code = self._codes.get(store_id, store_id)
        if len(code) > 4:
            raise Misconfigured(f"stores: no code of at most four characters for store {store_id!r}")
        return code

    def _now(self) -> datetime:
        """The shop's own time."""
        return self.context.clock().astimezone(self.context.timezone)


def _check_words(lines: Sequence[OrderLine]) -> None:
    """Refuse what cannot stand in the till's columns, before anything is written."""
    for line in lines:
        if not fits(line.sku, 13) or not fits(line.bill_id, 12):
            raise NotSupported(f"line {line.line_id}: {line.sku!r} is longer than an item code of this till")


def _slips_of(request: OrderPost) -> list[str]:
    """The slips that a sale pays."""
    return sorted({bill.bill_id for bill in request.bills} | {line.bill_id for line in request.lines if line.bill_id})
