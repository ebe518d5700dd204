"""The adapter of the bank terminal at the till: ``bankall`` frames through a helper process.

A change is at most one send; its query is the reprint. A call blocks up to a minute and a half and outlives the
caller's deadline: then the outcome is unknown, and the helper goes on. How it is done stands in ``terminal_changes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Answer,
    Authorize,
    Call,
    Capture,
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
    NotSent,
    NotSupported,
    Original,
    OutcomeUnknown,
    Page,
    PaymentRefund,
    Pending,
    Query,
    Release,
    Reverse,
    Settle,
    StatementRequest,
    StatementRow,
    Traits,
    hookimpl,
)
from plugins.department.protocol import ParseError
from plugins.department.protocol_bankall import BankRequest, Kind
from plugins.department.protocol_detail import DetailRow, detail_file_name, parse_details
from plugins.department.settings import BankTerminalSettings
from plugins.department.terminal_changes import ALREADY_VOID, LONGEST_CALL_S, SETTLED, TerminalChanges
from plugins.department.terminal_client import TerminalClient
from plugins.department.terminal_record import Sent

_CALL = Traits(max_in_flight_s=LONGEST_CALL_S, poll_every_s=3, close_after_s=120)
_STUCK_MARGIN_S = 10.0
_KINDS = {
    "payment_charge": Kind.SALE,
    "payment_reverse": Kind.VOID,
    "payment_refund": Kind.RETURN,
    "payment_authorize": Kind.PREAUTH,
    "payment_capture": Kind.COMPLETION,
    "payment_release": Kind.PREAUTH_VOID,
}
_SIGNS: dict[str, int] = {
    Kind.SALE: 1,
    Kind.COMPLETION: 1,
    Kind.VOID: -1,
    Kind.RETURN: -1,
    Kind.COMPLETION_VOID: -1,
}


class BankTerminalAdapter(Adapter):
    """See the module. One connection is one terminal, and nobody else rings up cards on it."""

    name: ClassVar[str] = "bank_terminal"
    Settings = BankTerminalSettings
    about: ClassVar[AdapterTraits] = AdapterTraits(
        exclusive_writer=True, encoding="gb18030", freshness=Freshness.IMMEDIATE, max_parallel=2
    )
    traits: ClassVar[Mapping[str, Traits]] = {
        "payment_charge": _CALL,
        "payment_reverse": replace(_CALL, partial=False),
        "payment_refund": replace(_CALL, refund_window_days=30),
        "payment_authorize": _CALL,
        "payment_capture": _CALL,
        "payment_release": replace(_CALL, partial=False),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        folder: Path = context.settings["folder"]
        self._details: Path = context.settings["details"] or folder / "MX"
        command = [*context.settings["helper"], str(folder)]
        stuck_s = context.settings["timeout_s"] + _STUCK_MARGIN_S
        self._client = TerminalClient(command, context.spool / "terminal-helper.log", stuck_s)
        self._changes = TerminalChanges(context, self._client)

    def check(self) -> None:
        self._changes.last_voucher()

    def close(self) -> None:
        self._client.close()

    # --- sales ----------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        return self._take(Kind.SALE, request, call)

    @hookimpl
    def payment_authorize(self, request: Authorize, call: Call) -> Change:
        return self._take(Kind.PREAUTH, request, call)

    def _take(self, kind: Kind, request: Charge | Authorize, call: Call) -> Change:
        if request.currency != "CNY":
            raise NotSupported(f"this terminal takes CNY, not {request.currency}")
        if request.method not in (Method.BANK_CARD, Method.DEPOSIT):
            raise NotSupported(f"this terminal takes bank cards, not {request.method}")
        sale = self._changes.request(kind, request.amount, industry=request.order_no[-40:])
        return self._changes.make(call, sale)

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        found = self._found(request.original, Kind.SALE, request.amount)
        if isinstance(found, Pending):
            raise NotSent("the terminal is still busy with the payment: it can be reversed when that has ended")
        if isinstance(found, Declined):
            action = "refund" if found.reason is DeclineReason.CLOSED else "close"
            return Done(ref=request.original.ref, facts={"action": action})
        if isinstance(found, NotFound):
            return self._close_unseen(request.original.key, found)
        return self._void(request, call, found)

    def _close_unseen(self, key: str, found: NotFound) -> Done:
        """No such payment: see that it will not be sent, and that it is not on its way."""
        self._changes.records.close(key)
        if not found.final and self._changes.records.sent(key) is not None:
            raise OutcomeUnknown("the payment is not among the terminal's, and may still come")
        return Done(facts={"action": "close"})

    def _void(self, request: Reverse, call: Call, charge: Done) -> Change:
        original, facts = request.original.key, charge.facts
        void = self._changes.request(Kind.VOID, request.amount, original_voucher=int(facts["voucher"]))
        outcome = self._changes.make(call, void, undoes=original)
        if isinstance(outcome, Declined) and outcome.code == ALREADY_VOID:
            self._changes.records.undone(original, call.key)
            return Done(ref=charge.ref, facts={"action": "refund"}, replayed=True)
        if isinstance(outcome, Declined) and outcome.code == SETTLED:
            # The batch is settled and a void refused for good: a return of the whole amount is what is left.
            outcome = self._changes.make(call, self._return(facts, request.amount), undoes=original, again=True)
        if isinstance(outcome, Done):
            return replace(outcome, facts={**outcome.facts, "action": "refund"})
        return outcome

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        charge = self._original(request.original, Kind.SALE, request.charged_amount)
        if not isinstance(charge, Done):
            return charge
        return self._changes.make(call, self._return(charge.facts, request.amount))

    def _return(self, facts: Mapping[str, Any], amount: int) -> BankRequest:
        date, reference = str(facts["date"]), str(facts["reference"])
        return self._changes.request(Kind.RETURN, amount, original_date=date, original_ref=reference)

    # --- deposits -------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_capture(self, request: Capture, call: Call) -> Change:
        held = self._original(request.original, Kind.PREAUTH, request.held_amount)
        if not isinstance(held, Done):
            return held
        voucher = int(held.facts["voucher"])
        completion = self._changes.request(Kind.COMPLETION, request.amount, original_voucher=voucher)
        return self._changes.make(call, completion, completes=request.original.key)

    @hookimpl
    def payment_release(self, request: Release, call: Call) -> Change:
        """A completion lets the rest of a pre-authorisation go by itself; then there is nothing to release."""
        sent = self._changes.records.sent(request.original.key)
        if sent is not None and sent.completed_by:
            return Done(ref=request.original.ref, amount=request.amount, replayed=True)
        held = self._original(request.original, Kind.PREAUTH, request.amount)
        if not isinstance(held, Done):
            return held
        voucher = int(held.facts["voucher"])
        void = self._changes.request(Kind.PREAUTH_VOID, request.amount, original_voucher=voucher)
        return self._changes.make(call, void, undoes=request.original.key)

    @hookimpl
    def payment_settle(self, request: Settle, call: Call) -> Change:
        """Close the terminal's batch; the bank's own net and counts are in the facts."""
        closed = self._changes.settle(call)
        facts = {"batch": closed.batch, "net_amount": closed.amount, "text": closed.text}
        return Done(ref=str(closed.batch), amount=closed.amount, facts=facts)

    # --- questions ------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_query(self, request: Query) -> Answer:
        kind = _KINDS.get(request.hook)
        if kind is None:
            raise NotSupported(f"the terminal reprints transactions: it can't be asked about {request.hook}")
        before = next((int(step.ref) for step in request.steps if step.ref.isdigit()), -1)
        original = Original(key=request.key, ref=request.ref, facts=request.facts, at=request.sent_at)
        return self._found(original, kind, int(request.request.amount), before)

    def _found(self, original: Original, kind: Kind, amount: int, before: int = -1) -> Answer:
        """What became of a change: what we noted, else what its undo was told, else what its journalled step says."""
        records = self._changes.records
        sent = records.sent(original.key)
        if sent is not None and sent.undone_by:
            return Declined(reason=DeclineReason.CLOSED, code="voided", message="the bank has undone it")
        if sent is None and original.facts.get("voucher"):
            return Done(ref=original.ref, amount=amount, facts=original.facts)
        if sent is None and before >= 0 and original.at is not None:
            sent = Sent(kind, amount, before, original.at.timestamp())
        return self._changes.find(original.key, sent)

    def _original(self, original: Original, kind: Kind, amount: int) -> Done | Declined:
        """The transaction that an undo is about."""
        found = self._found(original, kind, amount)
        if isinstance(found, Pending):
            raise NotSent("the terminal is still busy with the original transaction")
        if isinstance(found, NotFound):
            return Declined(reason=DeclineReason.NOT_FOUND, message="the terminal does not have this transaction")
        return found

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        """The DLL's own detail file of a day. It has no order numbers: match by reference."""
        path = self._details / detail_file_name(request.business_date)
        if not path.exists():
            return Page()
        try:
            rows = parse_details(path.read_bytes())
        except ParseError as error:
            raise InvalidReply(f"{path.name}: {error}") from None
        return Page(items=tuple(self._statement_row(row) for row in rows if row.kind in _SIGNS))

    def _statement_row(self, row: DetailRow) -> StatementRow:
        sign = _SIGNS[row.kind]
        return StatementRow(
            kind="charge" if sign > 0 else "refund",
            ref=row.ref,
            amount=sign * row.amount,
            original_ref=row.original_ref,
            at=datetime.strptime(row.stamp, "%Y%m%d%H%M%S").replace(tzinfo=self.context.timezone),
            facts={"voucher": row.voucher, "batch": row.batch, "card": row.card, "type": row.kind},
        )
