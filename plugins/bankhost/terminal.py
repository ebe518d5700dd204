"""One terminal's transactions, one after the other: noted, sent, answered; and reversed where no answer came.

**A transaction whose outcome is not known blocks the terminal.** Before anything else goes out its reversal (0400) is
sent, again and again until the host has answered it; only a query by its trace number may come first, and frees the
terminal if the host can tell. Returns have no reversal: they are asked for, and sent again under the same number.
"""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gateway.sdk import (
    AdapterError,
    Answer,
    Call,
    Context,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NotFound,
    NotSent,
    OutcomeUnknown,
)
from plugins.bankhost.link import HostLink
from plugins.bankhost.protocol import APPROVED, CURRENCY, KINDS, NOT_FOUND, QUERY_CODE, RETURN
from plugins.bankhost.records import CLOSED, DECLINED, DONE, REVERSED, SENT, Entry, Records

#: Codes with which the host refuses for good, nothing done. Every other one but 00 leaves the outcome open.
DECLINES: Mapping[str, DeclineReason] = {
    "05": DeclineReason.DECLINED,
    "14": DeclineReason.CODE_INVALID,
    "22": DeclineReason.NOT_REFUNDABLE,
    "25": DeclineReason.NOT_FOUND,
    "40": DeclineReason.DECLINED,
    "51": DeclineReason.INSUFFICIENT_FUNDS,
    "54": DeclineReason.CODE_EXPIRED,
    "61": DeclineReason.LIMIT_EXCEEDED,
    "64": DeclineReason.AMOUNT_MISMATCH,
}
_NO_ANSWER = "98"
_POSTED, _REVERSED, _VOIDED, _REFUSED = "P", "R", "V", "D"
_LOCK_PAUSE_S = 0.01


class Terminal:
    """See the module."""

    def __init__(self, context: Context, link: HostLink) -> None:
        self._context, self._link = context, link
        self.records = Records(context.store)
        self._lock = threading.Lock()
        self._lock_file: Path = context.spool / "terminal.lock"
        self._timeout_s = float(context.settings["timeout_s"])

    @contextmanager
    def turn(self, seconds: float) -> Iterator[None]:
        """The terminal for oneself, among all threads and processes of this machine. Raises ``NotSent``."""
        until = time.monotonic() + seconds
        if not self._lock.acquire(timeout=max(seconds, 0)):
            raise NotSent("the terminal is busy")
        try:
            with self._lock_file.open("ab") as file:
                _take(file.fileno(), until)
                yield
        finally:
            self._lock.release()

    # -- changes -----------------------------------------------------------------------------------------------------

    def make(self, call: Call, entry: Entry, fields: Mapping[str, str]) -> Done | Declined:
        """Make a change under ``call.key``, in a turn: once, whatever was sent of it before."""
        earlier = self.records.get(call.key)
        if earlier is not None and earlier.state == SENT:
            earlier = self.settled(call.key, earlier, self.seconds(call), final=True)
        if earlier is not None and earlier.state != SENT:
            return told(earlier, replayed=True)
        self.free(self.seconds(call))
        self._link.ready(self.seconds(call))
        batch = self._link.batch()
        again = earlier is not None and earlier.batch == batch  # a return, sent again under its own number
        trace = earlier.trace if earlier is not None and again else self._link.next_trace()
        entry = replace(entry, batch=batch, trace=trace, at=self._now().timestamp())
        self.records.begin(call.key, entry, blocks=entry.kind != RETURN)
        return told(self._sent(call, entry, fields))

    def _sent(self, call: Call, entry: Entry, fields: Mapping[str, str]) -> Entry:
        try:
            with call.step(entry.kind, entry.batch + entry.trace):
                reply = self._link.exchange({**_head(entry), **fields}, self.seconds(call))
        except NotSent:
            self.records.forget(call.key)
            raise
        code = reply.get("39", "")
        if code == APPROVED:
            return self._posted(call.key, entry, reply)
        if code in DECLINES:
            return self.records.end(call.key, replace(entry, state=DECLINED, code=code))
        raise OutcomeUnknown(f"the host answers {code}")

    def _posted(self, key: str, entry: Entry, reply: Mapping[str, str]) -> Entry:
        if reply.get("4", "") != f"{entry.amount:012d}":
            raise InvalidReply(f"the host answers {reply.get('4')} fen, not {entry.amount}")
        ref = reply.get("37", "").strip() or entry.batch + entry.trace
        done = replace(entry, state=DONE, ref=ref, date=self._date(reply.get("13", "")))
        self.records.end(key, done)
        if done.original:
            self.records.undone(done.original, key)
        return done

    # -- reversal ----------------------------------------------------------------------------------------------------

    def free(self, seconds: float) -> None:
        """Reverse what is open, if anything is. Raises ``NotSent`` while the host does not answer that."""
        key = self.records.open()
        entry = self.records.get(key) if key else None
        if entry is None or entry.state != SENT:
            return
        try:
            self.reverse(key, entry, seconds)
        except AdapterError as error:
            raise NotSent(f"the terminal is blocked until the reversal of {entry.trace} is answered: {error}") from None

    def reverse(self, key: str, entry: Entry, seconds: float) -> Entry:
        """Send the reversal of a transaction whose outcome is not known. Raises ``OutcomeUnknown`` or ``NotSent``.

        Code 25 (the host has not seen it) ends it too: a host keeps the number of a reversal, and refuses what comes
        late under it.
        """
        self._link.ready(seconds)
        head = {**_head(entry), "t": "0400", "39": _NO_ANSWER}
        reply = self._link.exchange(head, seconds)
        code = reply.get("39", "")
        if code not in (APPROVED, NOT_FOUND):
            raise OutcomeUnknown(f"the host answers {code} to a reversal")
        return self.records.end(key, replace(entry, state=REVERSED, code=code))

    # -- questions ---------------------------------------------------------------------------------------------------

    def settled(self, key: str, entry: Entry, seconds: float, *, final: bool = False) -> Entry:
        """Ask the host about a transaction by its trace number, and note what it tells; unchanged if it knows nothing.

        With ``final`` a sale or void that the host has not seen is reversed, so that it can be sent anew; then, and
        if it was reversed before by this adapter, the entry given back is open again.
        """
        try:
            found = self._asked(key, entry, seconds)
            if found.state != SENT or not final or entry.kind == RETURN:
                return found
            self.reverse(key, found, seconds)
        except AdapterError as error:
            if not final:
                raise
            raise OutcomeUnknown(f"sent before, and can't be asked about now: {error}") from None
        return replace(found, batch="")

    def _asked(self, key: str, entry: Entry, seconds: float) -> Entry:
        self._link.ready(seconds)
        fields = {
            "t": "0100",
            "3": QUERY_CODE,
            "11": self._link.next_trace(),
            "25": "00",
            "49": CURRENCY,
            "60": f"01{self._link.batch()}000",
            "61": entry.batch + entry.trace,
        }
        reply = self._link.exchange(fields, seconds)
        code, tale = reply.get("39", ""), reply.get("44", "")
        if code == NOT_FOUND:
            return entry
        if code != APPROVED:
            raise OutcomeUnknown(f"the host answers {code} to a query")
        return self._told(key, entry, reply, tale)

    def _told(self, key: str, entry: Entry, reply: Mapping[str, str], tale: str) -> Entry:
        """``tale``: the original's code, and what became of it since."""
        code, became = tale[:2], tale[2:3]
        if became == _REFUSED and code in DECLINES:
            return self.records.end(key, replace(entry, state=DECLINED, code=code))
        if became == _REVERSED:
            return self.records.end(key, replace(entry, state=REVERSED, code=code))
        if became not in (_POSTED, _VOIDED):
            raise InvalidReply(f"the host tells {tale!r} of a transaction")
        done = self._posted(key, entry, reply)
        if became == _VOIDED and not done.undone_by:
            done = self.records.end(key, replace(done, undone_by="-"))
        return done

    # -- time --------------------------------------------------------------------------------------------------------

    def seconds(self, call: Call) -> float:
        """How long one message may take: within the caller's deadline."""
        return min(self._timeout_s, (call.deadline - self._now()).total_seconds())

    def _now(self) -> datetime:
        return self._context.clock()

    def _date(self, month_day: str) -> str:
        """``mmdd`` of the host with the year put back that brings it closest to today."""
        today = self._now().astimezone(self._context.timezone).date()
        try:
            near = [datetime.strptime(f"{today.year + off}{month_day}", "%Y%m%d").date() for off in (-1, 0, 1)]  # noqa: DTZ007
        except ValueError:
            return f"{today:%Y%m%d}"
        return f"{min(near, key=lambda day: abs((day - today).days)):%Y%m%d}"


def told(entry: Entry, *, replayed: bool = False) -> Done | Declined:
    """An outcome that is known, as the gateway is told it."""
    if entry.state == DONE and not entry.undone_by:
        return Done(ref=entry.ref, amount=entry.amount, facts=entry.facts, replayed=replayed)
    if entry.state == DECLINED:
        return Declined(reason=DECLINES[entry.code], code=entry.code, message="refused by the host")
    words = {REVERSED: "reversed: its outcome was not known", CLOSED: "closed before it was sent"}
    return Declined(reason=DeclineReason.CLOSED, code=entry.code, message=words.get(entry.state, "given back"))


def answered(entry: Entry | None) -> Answer:
    """The same for a query; what the host has not seen may still be on its way."""
    return NotFound() if entry is None or entry.state == SENT else told(entry)


def _head(entry: Entry) -> dict[str, str]:
    kind, processing, own = KINDS[entry.kind]
    return {
        "t": kind,
        "3": processing,
        "4": f"{entry.amount:012d}",
        "11": entry.trace,
        "25": "00",
        "49": CURRENCY,
        "60": f"{own}{entry.batch}000",
    }


def _take(descriptor: int, until: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise NotSent("the terminal is busy in another process") from None
            time.sleep(_LOCK_PAUSE_S)
        else:
            return
