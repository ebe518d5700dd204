"""How one change is made at the bank terminal, at most once, and how it is found again when its answer is lost.

The terminal knows no order numbers: three random digits of a request come back, and nothing else of ours. So a change
is noted with the last voucher number before it is sent, and found by reprints (type 04) of the vouchers after that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from gateway.sdk import (
    ActionType,
    Answer,
    Call,
    Change,
    Context,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NextAction,
    NotFound,
    NotSent,
    OutcomeUnknown,
    Pending,
)
from plugins.department.protocol_bankall import BankRequest, BankResponse, Kind
from plugins.department.terminal_client import TerminalBusyError, TerminalClient
from plugins.department.terminal_record import APPROVED, Records, Sent

NEEDS_SIGN_ON, BUSY, NO_SUCH, ALREADY_VOID, SETTLED, UNSUPPORTED = "N1", "X1", "25", "X3", "X4", "X6"

#: Codes that are final, with nothing done. 96 and 98 are not among them: the bank may have taken the money.
DECLINES: dict[str, DeclineReason] = {
    "25": DeclineReason.NOT_FOUND,
    "51": DeclineReason.INSUFFICIENT_FUNDS,
    "55": DeclineReason.DECLINED,
    "61": DeclineReason.LIMIT_EXCEEDED,
    "X2": DeclineReason.DECLINED,
    "X3": DeclineReason.CLOSED,
    "X4": DeclineReason.TOO_LATE,
    "X5": DeclineReason.NOT_REFUNDABLE,
    "X6": DeclineReason.DECLINED,
}
#: How long a call may be under way in a DLL that we do not hear of.
LONGEST_CALL_S = 100.0
_LOOK_S = 5.0
_MOST_VOUCHERS = 200


class TerminalChanges:
    """The changes of one connection."""

    def __init__(self, context: Context, client: TerminalClient) -> None:
        self._context, self._client = context, client
        self._settings = context.settings
        self.records = Records(context.store)

    def make(
        self, call: Call, request: BankRequest, undoes: str = "", completes: str = "", again: bool = False
    ) -> Change:
        """Send one change, unless an earlier attempt of this key may have gone out: then it is looked up.

        ``again`` sends although the key was answered before, with a refusal that leads to another type of request.
        """
        if self.records.closed(call.key):
            return Declined(reason=DeclineReason.CLOSED, message="this payment was closed before it was sent")
        known = None if again else self.records.sent(call.key)
        if known is not None:
            found = self.find(call.key, known)
            if isinstance(found, Done):
                return replace(found, replayed=True)
            if not isinstance(found, NotFound):
                return found
            if not found.final:
                raise OutcomeUnknown("sent before, and not among the terminal's transactions")
        before = self.last_voucher(call.remaining())
        self.records.forget(call.key)
        now = self._context.clock().timestamp()
        sent = Sent(request.kind, request.amount, before, now, undoes=undoes, completes=completes)
        self.records.note_sent(call.key, sent)
        return self._outcome(call.key, request, self._signed_on(call, request, before))

    def request(self, kind: Kind, amount: int = 0, **fields: Any) -> BankRequest:
        """A request of this connection's till."""
        return BankRequest(self._settings["pos"], self._settings["cashier"], kind, amount, "000", **fields)

    def _signed_on(self, call: Call, request: BankRequest, before: int) -> BankResponse:
        """Send it; a terminal that must sign on first has done nothing, so it signs on and is asked again."""
        name, ref = Kind(request.kind).name.lower(), f"{before:06d}"
        with call.step(name, ref):
            response = self._send(call, request)
        if response.code != NEEDS_SIGN_ON:
            return response
        try:
            self._client.exchange(self.request(Kind.SIGN_ON), self._seconds(call))
        except OutcomeUnknown as error:
            self.records.forget(call.key)
            raise NotSent(f"the terminal does not sign on: {error}") from None
        with call.step(name, ref):
            return self._send(call, request)

    def _seconds(self, call: Call) -> float:
        return float(min(call.remaining(), self._settings["timeout_s"]))

    def _send(self, call: Call, request: BankRequest) -> BankResponse:
        try:
            response = self._client.exchange(
                request, self._seconds(call), lambda late: self._late(call.key, request, late)
            )
        except NotSent:
            self.records.forget(call.key)
            raise
        except InvalidReply:
            self.records.end(call.key)
            raise
        self.records.end(call.key)
        return response

    def _late(self, key: str, request: BankRequest, response: BankResponse) -> None:
        """The answer to a call that was given up on, in the thread that listens to the helper."""
        try:
            self.records.end(key)
            if response.code in DECLINES or (response.code == APPROVED and response.amount == request.amount):
                self.records.note_answer(key, response)
        except Exception:
            # The listener must live; the reprint will find what could not be noted.
            self._context.log.exception("a late answer of the terminal could not be noted")

    def _outcome(self, key: str, request: BankRequest, response: BankResponse) -> Change:
        if response.code in (BUSY, NEEDS_SIGN_ON):
            self.records.forget(key)
            raise NotSent(f"the terminal did nothing: {response.code} {response.text}")
        if response.code == APPROVED:
            if response.amount != request.amount or not response.voucher:
                raise InvalidReply(f"the terminal answers {response.amount} fen, not {request.amount}")
            self.records.note_answer(key, response)
            return self._done(response, self._unexplained(key, response))
        if response.code in DECLINES:
            self.records.note_answer(key, response)
            return Declined(reason=DECLINES[response.code], code=response.code, message=response.text)
        raise OutcomeUnknown(f"the terminal answers {response.code} {response.text}")

    def _unexplained(self, key: str, response: BankResponse) -> list[int]:
        """Vouchers of the same amount between the send and its answer that nobody owns: the terminal acted twice.

        They are told, not undone: money never moves silently, and the day's reconciliation names them as well.
        """
        sent = self.records.sent(key)
        between = range(sent.before + 1, response.voucher) if sent else range(0)
        try:
            prints = [self._reprint(voucher) for voucher in between[:_MOST_VOUCHERS] if not self.records.owner(voucher)]
        except NotSent:
            return []
        found = [one.voucher for one in prints if one.code == APPROVED and one.amount == response.amount]
        if found:
            self._context.log.warning("the terminal has vouchers of the same amount that nobody sent: %s", found)
        return found

    def _done(self, response: BankResponse, unexplained: Sequence[int] = ()) -> Done:
        today = self._context.clock().astimezone(self._context.timezone).date()
        facts = dict(facts_of(response, today))
        if unexplained:
            facts["vouchers_to_check"] = list(unexplained)
        return Done(ref=response.ref, amount=response.amount, facts=facts)

    def find(self, key: str, sent: Sent | None) -> Answer:
        """What became of a key: from the terminal's answer, else among the vouchers after the one noted before it."""
        answer = self.records.answer(key)
        if answer is not None:
            if answer.code == APPROVED:
                return self._done(answer)
            return Declined(reason=DECLINES[answer.code], code=answer.code, message=answer.text)
        if sent is None:
            return NotFound(final=self.records.closed(key))
        return self._search(key, sent)

    def _search(self, key: str, sent: Sent) -> Answer:
        """Reprint the vouchers after the last one known before the send, and take the one of this amount."""
        try:
            last = self.last_voucher()
            vouchers = range(sent.before + 1, last + 1)[:_MOST_VOUCHERS]
            prints = [self._reprint(voucher) for voucher in vouchers if self.records.owner(voucher) in ("", key)]
        except TerminalBusyError:
            return Pending(next_action=NextAction(type=ActionType.ASK_CASHIER, fields={"terminal": "busy"}))
        fitting = [one for one in prints if one.code == APPROVED and one.amount == sent.amount]
        if len(fitting) == 1:
            self.records.note_answer(key, fitting[0])
            return self._done(fitting[0])
        if fitting:
            slips = ", ".join(f"{one.voucher:06d}" for one in fitting)
            return Pending(next_action=NextAction(type=ActionType.ASK_CASHIER, fields={"slip_no": slips}))
        age = self._context.clock().timestamp() - sent.at
        return NotFound(final=sent.ended or age > LONGEST_CALL_S)

    def last_voucher(self, seconds: float = _LOOK_S) -> int:
        """The number of the terminal's last transaction, 0 if there is none. Raises ``NotSent``."""
        response = self._reprint(0, seconds)
        return response.voucher if response.code == APPROVED else 0

    def _reprint(self, voucher: int, seconds: float = _LOOK_S) -> BankResponse:
        """Type 04, the only query. Nothing is changed by it, so trouble with it is ``NotSent`` to a change."""
        request = self.request(Kind.REPRINT, original_voucher=voucher)
        try:
            response = self._client.exchange(request, min(max(seconds, 0.05), _LOOK_S))
        except OutcomeUnknown as error:
            raise NotSent(f"the terminal does not answer a reprint: {error}") from None
        if response.code == BUSY:
            raise TerminalBusyError("the terminal is busy with another program")
        if response.code not in (APPROVED, NO_SUCH):
            raise NotSent(f"the terminal answers {response.code} {response.text} to a reprint")
        return response

    def settle(self, call: Call) -> BankResponse:
        """Close the terminal's batch."""
        with call.step("settle"):
            response = self._client.exchange(self.request(Kind.SETTLE), self._seconds(call))
        if response.code in (BUSY, NEEDS_SIGN_ON):
            raise NotSent(f"the terminal did nothing: {response.code} {response.text}")
        if response.code != APPROVED:
            raise OutcomeUnknown(f"the terminal answers {response.code} {response.text}")
        return response


def facts_of(response: BankResponse, today: date) -> Mapping[str, Any]:
    """What an undo needs of a transaction: voucher, batch, its date with the year put back, reference."""
    return {
        "voucher": response.voucher,
        "batch": response.batch,
        "date": full_date(response.date, today),
        "reference": response.ref,
        "card": response.card,
        "bank": response.bank,
    }


def full_date(month_day: str, today: date) -> str:
    """``mmdd`` with its year put back: the one that brings it closest to today (31 December read on 1 January)."""
    found = []
    for year in (today.year - 1, today.year, today.year + 1):
        try:
            found.append(date(year, int(month_day[:2]), int(month_day[2:])))
        except ValueError:
            continue
    if not found:
        raise InvalidReply(f"the terminal's date is no day: {month_day!r}")
    return f"{min(found, key=lambda day: abs(day - today) or timedelta(0)):%Y%m%d}"
