"""便民365: stock, orders and members of a chain of convenience shops, over its tables and its tills' drop folders.

The system has no request to answer: what we read is as old as the last upload, and a sale that we post is rung up by
the till when it sees our file. So posting is *deferred*: ``order_post`` drops a file, ``order_query`` awaits its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    CatalogueRequest,
    Change,
    Context,
    Declined,
    DeclineReason,
    Done,
    Freshness,
    IdentityType,
    InvalidReply,
    Level,
    LevelsRequest,
    Member,
    MemberLookup,
    Misconfigured,
    NotFound,
    NotSent,
    OrderPost,
    OrderReturn,
    OutcomeUnknown,
    Page,
    Pending,
    Product,
    Query,
    Settings,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)

from . import mapping
from .bills import bills, check_amount
from .drop_folder import DropFolder, Trace
from .files import Accepted, OrderFile, Refused
from .head_office import HeadOffice
from .labels import Label, parse_label
from .protocol import FlowNo, ParseError, decode_numeric, encode_datetime, unpad
from .settings import ConvenienceSettings

#: Nothing of ours leaves after the call's deadline; a process that was stopped in the middle is given this long.
MAX_IN_FLIGHT_S = 30

#: The till's refusals that are final; on ``98`` and ``99`` it says that nothing was booked, and it may be asked again.
DECLINES = {
    "10": DeclineReason.DECLINED,
    "21": DeclineReason.NOT_FOUND,
    "22": DeclineReason.AMOUNT_MISMATCH,
    "23": DeclineReason.DECLINED,
    "31": DeclineReason.NOT_FOUND,
    "32": DeclineReason.NOT_REFUNDABLE,
    "33": DeclineReason.NOT_REFUNDABLE,
}
NOT_BOOKED = ("98", "99")

_POSTING = Traits(deferred=True, max_in_flight_s=MAX_IN_FLIGHT_S, poll_every_s=5)


class ConvenienceAdapter(Adapter):
    """One chain's head-office database and drop folders."""

    name: ClassVar[str] = "convenience"
    Settings: ClassVar[type[Settings]] = ConvenienceSettings
    traits: ClassVar[Mapping[str, Traits]] = {"order_post": _POSTING, "order_return": _POSTING}
    about: ClassVar[AdapterTraits] = AdapterTraits(encoding="gbk", freshness=Freshness.NIGHTLY)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._settings = context.settings
        self._head_office = HeadOffice(self._settings["database"], self._settings["lock_wait_s"])
        self._drop = DropFolder(self._settings["drop_folder"], self._settings["encoding"])
        self._stores = {branch: store for store, branch in self._settings["branches"].items()}
        self._day_marked: date | None = None

    def check(self) -> None:
        """The database can be read, knows our branches, and each has its drop folder."""
        if not self._settings["database"].is_file():
            raise Misconfigured(f"database: {self._settings['database']} is not a file")
        known = {unpad(row["branch_no"]) for row in self._head_office.branches()}
        for store, branch in self._settings["branches"].items():
            if branch not in known:
                raise Misconfigured(f"branches.{store}: head office has no branch {branch}")
            self._drop.check(branch)

    # --- stock -----------------------------------------------------------------------------------------------------

    @hookimpl
    def catalogue_page(self, request: CatalogueRequest) -> Page[Product]:
        rows = self._head_office.items(request.cursor, request.limit)
        try:
            plans = mapping.plan_prices(self._head_office.plans(encode_datetime(self.context.clock())))
            cursor = unpad(rows[-1]["item_no"]) if len(rows) == request.limit else None
        except ParseError as error:
            raise InvalidReply(f"articles after {request.cursor!r}: {error}") from error
        shared = self._head_office.shared_barcodes()
        products = (self._product(row, plans, shared) for row in rows)
        return Page(items=tuple(item for item in products if item is not None), next_cursor=cursor)

    def _product(self, row: Any, plans: Mapping[str, tuple[str, Decimal]], shared: set[str]) -> Product | None:
        """One article; one that can't be read is logged and left out, so that it does not stop the others."""
        try:
            return mapping.product(row, plans, shared)
        except ParseError as error:
            self.context.log.warning("article %r left out: %s", row["item_no"], error)
            return None

    @hookimpl
    def stock_levels(self, request: LevelsRequest) -> tuple[Level, ...]:
        tables = self._head_office.stock(self._branch(request.store_id), self._settings["reread_rows"])
        try:
            return mapping.levels(request.store_id, tables, request.skus, self.context.clock())
        except ParseError as error:
            raise InvalidReply(f"stock of {request.store_id}: {error}") from error

    def read_label(self, text: str) -> tuple[str, str, int | None]:
        """SKU, quantity in kilograms (a decimal string) and amount in fen of a scale label, by this shop's rules.

        The amount is ``None`` where the label carries only the weight. Raises ``ParseError``.
        """
        label, item = self._labelled(text)
        return unpad(item["item_no"]), str(mapping.kilograms(label, decode_numeric(item["price"]))), label.amount

    def _labelled(self, text: str) -> tuple[Label, Any]:
        """A label and the article that its PLU names."""
        label = parse_label(text, self._settings["label_rules"])
        found = self._head_office.item_by_plu(label.plu)
        if len(found) != 1:
            raise ParseError(f"label: PLU {label.plu} names {len(found)} articles")
        return label, found[0]

    def _weigh(self, text: str) -> tuple[Decimal, Decimal]:
        """Kilograms and price a kilogram of a label that was sold. Raises ``Misconfigured`` if it can't be read."""
        try:
            label, item = self._labelled(text)
            price = decode_numeric(item["price"])
            return mapping.kilograms(label, price), price
        except ParseError as error:
            raise Misconfigured(f"label_rules: {error}") from error

    # --- membership ------------------------------------------------------------------------------------------------

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        columns = {IdentityType.CARD: "card_id", IdentityType.CODE: "card_id", IdentityType.PHONE: "phone"}
        column = columns.get(request.identity.type)
        rows = self._head_office.vip(column, request.identity.value.reveal()) if column else []
        try:
            return mapping.member(rows[0]) if rows else None
        except ParseError as error:
            raise InvalidReply(f"member's row: {error}") from error

    # --- orders ----------------------------------------------------------------------------------------------------

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        branch = self._branch(request.site.store_id)
        return self._post(mapping.sale_file(request, call.key, branch, self._settings, self._weigh), call)

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        branch = self._branch(request.site.store_id)
        if request.original.ref and request.original.ref[:4] != branch:
            return Declined(reason=DeclineReason.NOT_REFUNDABLE, code="32", message="another branch's bill")
        return self._post(mapping.return_file(request, call.key, branch, self._settings, self._weigh), call)

    @hookimpl
    def order_query(self, request: Query) -> Answer:
        order, branch = request.request, self._branch(request.request.site.store_id)
        make = mapping.return_file if isinstance(order, OrderReturn) else mapping.sale_file
        expected = make(order, request.key, branch, self._settings).total
        found = self._look(branch, request.key, expected, request.facts.get("mark"))
        if not isinstance(found, NotFound) or found.final:
            return found
        age = (self.context.clock() - request.sent_at).total_seconds()
        if request.facts.get("dropped") or age > self._settings["answers_kept_s"]:
            return Pending(facts=request.facts)  # the till may have taken it, and the answer been tidied away
        return NotFound(final=age > MAX_IN_FLIGHT_S)

    @hookimpl
    def order_statement(self, request: StatementRequest) -> Page[StatementRow]:
        limit, start = self._settings["statement_rows"], self._day_start(request.business_date)
        cursor = int(request.cursor or start)
        rows = self._head_office.payments(cursor, limit)
        seen = {mapping.row_key(row) for row in self._head_office.payment_keys(start, cursor)}
        items = []
        for row in rows:
            key = mapping.row_key(row)
            if key not in seen and self._belongs(row, request):
                items.append(self._statement_row(row))
            seen.add(key)
        return Page(items=tuple(items), next_cursor=str(rows[-1]["com_no"]) if len(rows) == limit else None)

    # --- posting ---------------------------------------------------------------------------------------------------

    def _post(self, order: OrderFile, call: Call) -> Change:
        """Drop an order file unless an earlier attempt did."""
        earlier = self._earlier(order, call)
        if earlier is not None:
            return earlier
        mark = self._mark()
        if call.remaining() <= 0:
            raise NotSent("the caller stopped waiting before the file was written")
        self._drop.put(order)
        return Pending(facts={"dropped": True, "mark": mark})

    def _earlier(self, order: OrderFile, call: Call) -> Change | None:
        """What an earlier attempt came to; ``None`` if none has, or the till says that it booked nothing.

        The first attempt looks into the folder only, later ones into the tables too. If these can't be read, nothing
        is sent.
        """
        if call.attempt == 1 and self._drop.trace(order.branch, order.reference) is None:
            return None
        try:
            found = self._look(order.branch, order.reference, order.total, None)
        except NotSent as error:
            raise OutcomeUnknown(f"an earlier attempt can't be looked up: {error}") from error
        if isinstance(found, NotFound):
            return None
        return replace(found, replayed=True) if isinstance(found, Done) else found

    def _look(self, branch: str, reference: str, expected: int, mark: int | None) -> Answer:
        """Whether the till has rung this up: the table first, then the folder, then the table again."""
        found = self._uploaded(reference, expected, mark)
        if found is not None:
            return found
        trace = self._drop.trace(branch, reference)
        if trace is None:
            return self._uploaded(reference, expected, mark) or NotFound()
        facts = {"dropped": True, "mark": mark}
        if trace in (Trace.WAITING, Trace.CLAIMED):
            return Pending(facts=facts)
        return self._answered(self._drop.answer(branch, reference, trace), expected, facts)

    def _answered(self, answer: Accepted | Refused, expected: int, facts: Mapping[str, Any]) -> Answer:
        """What a till's answer means: booked but not uploaded yet, refused for good, or refused for now."""
        if isinstance(answer, Accepted):
            if answer.total != expected:
                raise InvalidReply(f"bill {answer.flow_no}: told {expected} fen, rung up {answer.total}")
            return Pending(ref=str(answer.flow_no), facts=facts)
        if answer.code in NOT_BOOKED:
            return NotFound(final=True)
        if answer.code not in DECLINES:
            raise InvalidReply(f"the till's refusal {answer.code!r} is not known")
        return Declined(reason=DECLINES[answer.code], code=answer.code, message=answer.message)

    def _uploaded(self, reference: str, expected: int, mark: int | None) -> Done | Pending | None:
        """The bill with our reference, if its row has arrived. ``Pending`` while only a part of it has."""
        after = self._head_office.newest() - self._settings["search_rows"] if mark is None else mark
        try:
            found = bills(self._head_office.payments_by_memo(reference, after - self._settings["reread_rows"]))
        except ParseError as error:
            raise InvalidReply(f"payment rows of {reference}: {error}") from error
        if not found:
            return None
        if not found[0].whole:
            return Pending(ref=found[0].flow_no, facts={"dropped": True, "mark": mark})
        check_amount(found[0], expected)
        facts: dict[str, Any] = {"flow_no": found[0].flow_no, "at": found[0].at}
        if len(found) > 1:
            facts["also_rung_up_as"] = [bill.flow_no for bill in found[1:]]
            self.context.log.warning("order %s was rung up %d times", reference, len(found))
        return Done(ref=found[0].flow_no, amount=found[0].total, facts=facts)

    # --- reading ---------------------------------------------------------------------------------------------------

    def _branch(self, store_id: str) -> str:
        branch = self._settings["branches"].get(store_id)
        if branch is None:
            raise Misconfigured(f"branches: store {store_id!r} is not mapped to a branch number")
        return str(branch)

    def _mark(self) -> int | None:
        """The newest ``com_no``: our row can only arrive after it. ``None`` if the tables can't be read now.

        The first one of each day is kept: the next day's rows can only have arrived after it.
        """
        try:
            newest = self._head_office.newest()
        except NotSent:
            return None
        today = self.context.clock().astimezone(self.context.timezone).date()
        if self._day_marked != today:
            if self.context.store.get(f"mark:{today}") is None:
                self.context.store.put(f"mark:{today}", newest)
            self._day_marked = today
        return newest

    def _day_start(self, business_date: date) -> int:
        """A ``com_no`` before which no row of this date can stand, less the rows that may still appear behind it."""
        earlier = [key for key in self.context.store.keys("mark:") if key < f"mark:{business_date}"]
        mark = int(self.context.store.get(earlier[-1]) or 0) if earlier else 0
        return max(0, mark - int(self._settings["reread_rows"]))

    def _belongs(self, row: Any, request: StatementRequest) -> bool:
        """Whether a row is of the date and store asked for; one that can't be read is shown to whoever asks."""
        try:
            flow_no = FlowNo.parse(row["flow_no"])
        except ParseError:
            return True
        wanted = self._branch(request.store_id) if request.store_id else flow_no.branch
        return flow_no.day == request.business_date and flow_no.branch == wanted and flow_no.branch in self._stores

    def _statement_row(self, row: Any) -> StatementRow:
        try:
            return mapping.statement_row(row, self._stores)
        except ParseError as error:
            return mapping.unreadable_row(row, error)
