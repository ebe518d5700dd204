"""The adapter of a bank's host: sales by a customer's code or a terminal's token, void, return, batch settlement.

One connection is one terminal. Its transactions go out one after the other; ``terminal`` says what happens to one whose
outcome is not known. No card number, track or PIN comes in here: what looks like one is refused unsent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Call,
    Change,
    Charge,
    Context,
    Declined,
    DeclineReason,
    Done,
    Freshness,
    InvalidReply,
    Method,
    NotFound,
    NotSupported,
    Original,
    Page,
    ParseError,
    PaymentRefund,
    Query,
    Reverse,
    Settle,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.bankhost.link import HostLink
from plugins.bankhost.protocol import (
    NOT_FOUND,
    RETURN,
    SALE,
    TAG_CODE,
    TAG_REFERENCE,
    TAG_TOKEN,
    VOID,
    BillRow,
    read_bill,
    write_tags,
)
from plugins.bankhost.records import CLOSED, DECLINED, DONE, REVERSED, SENT, Entry
from plugins.bankhost.settings import BankHostSettings
from plugins.bankhost.settlement import Settlement
from plugins.bankhost.terminal import Terminal, answered, told

MOST_FEN = 999_999_999_999
PAGE = 500
_CODE = re.compile(r"62[0-9]{17}")
_TOKEN = re.compile(r"[A-Z]{2}[0-9A-Za-z]{8,40}")
_NO_LONGER = ("22", "25")
_KINDS = {"payment_charge": SALE, "payment_reverse": VOID, "payment_refund": RETURN}
_TIMES = Traits(max_in_flight_s=60, poll_every_s=3, close_after_s=60)


class BankHostAdapter(Adapter):
    """See the module; README.md has the messages, the faults and what the host cannot."""

    name: ClassVar[str] = "bankhost"
    Settings = BankHostSettings
    about: ClassVar[AdapterTraits] = AdapterTraits(
        exclusive_writer=True,
        encoding="gb18030",
        freshness=Freshness.IMMEDIATE,
        max_parallel=2,
        business_day_ends="23:00",
        insecure_transport=True,
    )
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": _TIMES,
        "payment_reverse": replace(_TIMES, idempotent=True, tombstone=True, partial=False),
        "payment_refund": _TIMES,
        "payment_settle": replace(_TIMES, idempotent=True),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._link = HostLink(context)
        self._terminal = Terminal(context, self._link)
        self._settlement = Settlement(context, self._link, self._terminal)
        self._query_s = float(context.settings["query_timeout_s"])

    def check(self) -> None:
        """Sign in: that proves address, numbers and master key."""
        with self._terminal.turn(self._query_s):
            self._link.sign_in(self._query_s)

    def close(self) -> None:
        self._link.close()

    # -- changes -----------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        tags = {**self._means(request), TAG_REFERENCE: call.key}
        entry = Entry(kind=SALE, amount=request.amount)
        with self._terminal.turn(self._terminal.seconds(call)):
            return self._terminal.make(call, entry, {"22": "030", "59": write_tags(tags)})

    def _means(self, request: Charge) -> dict[str, str]:
        """What the customer pays with. Raises ``NotSupported`` before anything is sent."""
        if request.currency != "CNY" or not 1 <= request.amount <= MOST_FEN:
            raise NotSupported("this host takes 0.01 to 9999999999.99 CNY")
        given = request.auth_code.reveal() if request.auth_code is not None else ""
        if request.method is Method.PAYMENT_CODE:
            if not _CODE.fullmatch(given):
                raise NotSupported("a payment code of this host has 19 digits and begins with 62")
            return {TAG_CODE: given}
        if request.method is not Method.BANK_CARD:
            raise NotSupported(f"this host has no {request.method}")
        if not _TOKEN.fullmatch(given):
            raise NotSupported("a card is paid with by its terminal's token; card numbers, tracks and PINs are refused")
        return {TAG_TOKEN: given}

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        key, records = request.original.key, self._terminal.records
        with self._terminal.turn(self._terminal.seconds(call)):
            charge = self._entry(request.original, SALE, request.amount)
            if charge is None:
                records.put(key, Entry(kind=SALE, amount=request.amount, state=CLOSED))
                return _reversed("close")
            if charge.state == SENT:
                charge = self._terminal.reverse(key, charge, self._terminal.seconds(call))
                return _reversed("close" if charge.code == NOT_FOUND else "refund")
            own = records.get(call.key)
            if own is None and (charge.state != DONE or charge.undone_by):
                return _reversed("refund" if charge.state in (DONE, REVERSED) else "close", replayed=True)
            return self._void(request, call, charge, own)

    def _void(self, request: Reverse, call: Call, charge: Entry, own: Entry | None) -> Change:
        """Void it, or give the whole back where its batch is settled: a void is refused then."""
        self._terminal.records.put(request.original.key, charge)
        if (own is not None and own.kind == RETURN) or charge.batch != self._link.batch():
            outcome = self._give_back(call, charge, request.amount, request.original.key)
        else:
            outcome = self._take_back(call, charge, request.original.key)
        if isinstance(outcome, Done):
            return replace(outcome, facts={**outcome.facts, "action": "refund"})
        return outcome

    def _take_back(self, call: Call, charge: Entry, key: str) -> Done | Declined:
        void = Entry(kind=VOID, amount=charge.amount, original=key)
        fields = {"37": charge.ref, "61": charge.batch + charge.trace, "59": write_tags({TAG_REFERENCE: call.key})}
        outcome = self._terminal.make(call, void, fields)
        if isinstance(outcome, Declined) and outcome.code in _NO_LONGER:
            found = self._terminal.settled(key, charge, self._terminal.seconds(call))
            if found.undone_by or found.state == REVERSED:
                return Done(ref=charge.ref, amount=charge.amount, replayed=True)
        return outcome

    def _give_back(self, call: Call, charge: Entry, amount: int, undoes: str = "") -> Done | Declined:
        entry = Entry(kind=RETURN, amount=amount, original=undoes)
        original = charge.batch + charge.trace + charge.date[-4:]
        fields = {"37": charge.ref, "61": original, "59": write_tags({TAG_REFERENCE: call.key})}
        return self._terminal.make(call, entry, fields)

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        with self._terminal.turn(self._terminal.seconds(call)):
            charge = self._entry(request.original, SALE, request.charged_amount)
            if charge is None or not charge.ref:
                return Declined(reason=DeclineReason.NOT_FOUND, message="this terminal has no such payment")
            return self._give_back(call, charge, request.amount)

    @hookimpl
    def payment_settle(self, request: Settle, call: Call) -> Change:
        with self._terminal.turn(self._terminal.seconds(call)):
            try:
                return self._settlement.close(request, call)
            except ParseError as error:
                raise InvalidReply(f"the host's totals: {error}") from None

    # -- questions ---------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        kind = _KINDS.get(request.hook)
        if kind is None:
            raise NotSupported("a host tells of transactions by their trace number: a closing is sent again")
        with self._terminal.turn(self._query_s):
            if request.hook == "payment_reverse":
                return self._undone(request)
            return answered(self._looked_up(request, kind))

    def _looked_up(self, request: Query, kind: str) -> Entry | None:
        """What our own record says, and where it says nothing, the host."""
        original = Original(key=request.key, ref=request.ref, facts=request.facts, at=request.sent_at)
        entry = self._entry(original, kind, int(request.request.amount)) or _of_steps(request, kind)
        if entry is None or entry.state != SENT:
            return entry
        return self._terminal.settled(request.key, entry, self._query_s)

    def _undone(self, request: Query) -> Answer:
        """A reversal has no transaction of its own: what it was about tells."""
        if self._terminal.records.get(request.key) is not None or request.steps:
            found = self._looked_up(request, VOID)
            if found is not None and found.state in (DONE, DECLINED):
                return told(found)
        original: Original = request.request.original
        charge = self._entry(original, SALE, int(request.request.amount))
        if charge is not None and charge.state == SENT:
            charge = self._terminal.settled(original.key, charge, self._query_s)
        if charge is None or charge.state == SENT or (charge.state == DONE and not charge.undone_by):
            return NotFound()
        return _reversed("refund" if charge.state in (DONE, REVERSED) else "close")

    def _entry(self, original: Original, kind: str, amount: int) -> Entry | None:
        """Our record of a transaction; else what its answer told, as the gateway's journal has it."""
        entry = self._terminal.records.get(original.key)
        facts = original.facts
        if entry is not None or not facts.get("voucher"):
            return entry
        return Entry(
            kind=kind,
            amount=amount,
            batch=str(facts["batch"]),
            trace=str(facts["voucher"]),
            at=original.at.timestamp() if original.at else 0,
            state=DONE,
            ref=original.ref,
            date=str(facts["date"]),
        )

    # -- the daily file ----------------------------------------------------------------------------------------------

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """The host's file of a settlement day, which ends at 23:00; this terminal's rows of it."""
        folder = self.context.settings["files"]
        if folder is None:
            raise NotSupported("files is not set: the folder in which the host's daily files arrive")
        path = folder / bill_name(request.business_date)
        if not path.exists():
            return Page()
        try:
            rows = [row for row in read_bill(path.read_bytes()) if row.terminal == self.context.settings["terminal"]]
        except ParseError as error:
            raise InvalidReply(f"{path.name}: {error}") from None
        begin = int(request.cursor or 0)
        following = str(begin + PAGE) if len(rows) > begin + PAGE else None
        return Page(items=tuple(self._row(row) for row in rows[begin : begin + PAGE]), next_cursor=following)

    def _row(self, row: BillRow) -> StatementRow:
        return StatementRow(
            kind="charge" if row.amount > 0 else "refund",
            ref=row.ref,
            amount=row.amount,
            key=row.reference,
            original_ref=row.original_ref,
            fee_amount=row.fee,
            at=row.at.replace(tzinfo=self.context.timezone),
            facts={"batch": row.batch, "voucher": row.trace, "type": row.kind},
        )


def bill_name(day: date) -> str:
    """The name of the host's file of a day."""
    return f"BILL{day:%Y%m%d}.TXT"


def _reversed(action: str, *, replayed: bool = False) -> Done:
    return Done(facts={"action": action}, replayed=replayed)


def _of_steps(request: Query, kind: str) -> Entry | None:
    """The transaction that the gateway's journal names, where our own record of it is lost."""
    found = [step.ref for step in request.steps if step.name == kind and re.fullmatch(r"[0-9]{12}", step.ref or "")]
    if not found:
        return None
    batch, trace, at = found[-1][:6], found[-1][6:], request.sent_at.timestamp()
    return Entry(kind=kind, amount=int(request.request.amount), batch=batch, trace=trace, at=at)
