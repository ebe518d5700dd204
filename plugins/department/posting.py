"""Booking a sale or a return into the till: a receipt number of our own range, the upload, the slips marked paid.

The number is taken in our journal table before the first byte, under our key, so that every attempt carries the same
one: the server answers a repeated number with "单号重复", and its row in XSHEAD carries our key. What the database
shows beats what the server answered, or did not answer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from gateway.sdk import (
    Call,
    Change,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
)
from plugins.department.mapping import STAMP, number_text, parse_number
from plugins.department.protocol import ParseError, column_fen, fen, pad, trim
from plugins.department.protocol_sales import DUPLICATE_DOCUMENT, Sale, SaleNumber, encode_sale
from plugins.department.sales_client import SalesClient
from plugins.department.till_database import (
    DONE,
    ClosedKey,
    Entry,
    TillDatabase,
    entries,
    note,
    once_begun,
    open_entries,
)
from plugins.department.till_slips import drop_locks, mark_paid, renew_for_sale

SALE_PART, SLIPS_PART = "sale", "slips"
_FOREIGN_NUMBERS = 3

#: The server's refusals that are final, with nothing booked.
REFUSALS: dict[str, DeclineReason] = {
    "单据类型错误": DeclineReason.DECLINED,
    "商品金额不平": DeclineReason.AMOUNT_MISMATCH,
    "付款金额不平": DeclineReason.AMOUNT_MISMATCH,
    "分摊金额与商品不符": DeclineReason.AMOUNT_MISMATCH,
    "分摊金额与付款不符": DeclineReason.AMOUNT_MISMATCH,
    "分摊行号错误": DeclineReason.DECLINED,
    "行号重复": DeclineReason.DECLINED,
    "门店不存在": DeclineReason.NOT_FOUND,
    "柜台不存在": DeclineReason.NOT_FOUND,
    "原单不存在": DeclineReason.NOT_FOUND,
    "原开票单不存在": DeclineReason.NOT_FOUND,
    "退货金额超过原单": DeclineReason.NOT_REFUNDABLE,
    "退货数量超过开票数量": DeclineReason.NOT_REFUNDABLE,
}


@dataclass(frozen=True, slots=True)
class Receipts:
    """Our own till and the range of receipt numbers it may use; the shop's tills number their own."""

    till: str
    first: int
    last: int

    def take(self, connection: sqlite3.Connection, key: str, txdate: str, store: str, stamp: str) -> SaleNumber:
        """The receipt number of this key, a new one at the first attempt. Raises ``ClosedKey``, ``Misconfigured``."""
        known = open_entries(connection, key).get(SALE_PART)
        if known and (number := parse_number(known.content)):
            return number
        return self.take_next(connection, key, txdate, store, stamp)

    def take_next(self, connection: sqlite3.Connection, key: str, txdate: str, store: str, stamp: str) -> SaleNumber:
        """The next free number of the day, noted under this key."""
        used = connection.execute(
            "SELECT MAX(n) AS last FROM (SELECT CAST(docno AS INT) AS n FROM XSHEAD WHERE txdate = :day"
            " AND store = :store AND till = :till UNION ALL SELECT CAST(substr(nr, -10) AS INT) FROM O2O_JL"
            " WHERE bz = 'sale' AND lx = :about) WHERE n BETWEEN :first AND :last",
            {
                "day": txdate,
                "store": pad(store, 4),
                "till": pad(self.till, 6),
                "about": f"{txdate}-{store}-{self.till}",
                "first": self.first,
                "last": self.last,
            },
        ).fetchone()["last"]
        following = self.first if used is None else int(used) + 1
        if following > self.last:
            raise Misconfigured(f"receipt_last: the range of till {self.till} is used up for {txdate}")
        number = SaleNumber(txdate, store, self.till, f"{following:010d}")
        about = f"{txdate}-{store}-{self.till}"
        note(connection, key, Entry(SALE_PART, about, DONE, number_text(number)), stamp)
        return number


@dataclass(frozen=True, slots=True)
class Booked:
    """A sale that the till has: its number and net amount in fen."""

    number: SaleNumber
    net: int


def find_booked(connection: sqlite3.Connection, key: str) -> Booked | None:
    """The sale that carries our key."""
    row = connection.execute("SELECT * FROM XSHEAD WHERE dh = ?", (pad(key, 64),)).fetchone()
    if row is None:
        return None
    parts = (trim(row[name]) for name in ("txdate", "store", "till", "docno"))
    return Booked(SaleNumber(*parts), column_fen(row["ysje"]))


class Poster:
    """Uploads sales, each once."""

    def __init__(self, database: TillDatabase, client: SalesClient, receipts: Receipts, timeout: float) -> None:
        self._database, self._client = database, client
        self._receipts, self._timeout = receipts, timeout

    def post(
        self,
        call: Call,
        place: tuple[str, str],
        now: datetime,
        build: Callable[[sqlite3.Connection, SaleNumber], Sale],
        slips: Sequence[str] = (),
        order_no: str = "",
    ) -> Change:
        """Book one sale under ``call.key``; ``place`` is its business date (``yyyymmdd``) and store code."""
        txdate, store = place
        for _ in range(_FOREIGN_NUMBERS):
            prepared = self._prepare(call, txdate, store, now, build, slips, order_no)
            if not isinstance(prepared, Sale):
                return prepared
            outcome = self._upload(call, prepared, slips, now)
            if outcome is not None:
                return outcome
            with self._database.write(call.remaining()) as connection:
                self._receipts.take_next(connection, call.key, txdate, store, f"{now:{STAMP}}")
        raise OutcomeUnknown(f"till {self._receipts.till}: somebody else uses our receipt numbers")

    def _prepare(
        self,
        call: Call,
        txdate: str,
        store: str,
        now: datetime,
        build: Callable[[sqlite3.Connection, SaleNumber], Sale],
        slips: Sequence[str],
        order_no: str,
    ) -> Sale | Change:
        """The sale to upload, or what became of it already."""
        try:
            with self._database.write(call.remaining()) as connection:
                number = self._receipts.take(connection, call.key, txdate, store, f"{now:{STAMP}}")
                booked = find_booked(connection, call.key)
                if booked is None:
                    refusal = renew_for_sale(connection, self._receipts.till, slips, call.key, order_no, now)
                    return refusal or build(connection, number)
        except ClosedKey:
            return Declined(reason=DeclineReason.CLOSED, message="this order was taken out before it was booked")
        return self._finish(call, booked, slips, now, replayed=True)

    def _upload(self, call: Call, sale: Sale, slips: Sequence[str], now: datetime) -> Change | None:
        """Send it; ``None`` if its number was used by somebody else."""
        try:
            with call.step(SALE_PART, number_text(sale.number)):
                refusal = self._send(sale, min(call.remaining(), self._timeout))
        except OutcomeUnknown:
            booked = self._look(call.key)
            if booked is None:
                raise
            return self._finish(call, booked, slips, now, replayed=False)
        if isinstance(refusal, Declined):
            with suppress(NotSent, OutcomeUnknown), self._database.write(call.remaining()) as connection:
                drop_locks(connection, call.key)  # a lock that stays goes stale by itself
            return refusal
        booked = self._look(call.key)
        if booked is None:
            if refusal == DUPLICATE_DOCUMENT:
                return None
            raise OutcomeUnknown("the server accepted the sale, and the till's database does not show it")
        return self._finish(call, booked, slips, now, replayed=refusal == DUPLICATE_DOCUMENT)

    def _send(self, sale: Sale, timeout: float) -> Declined | str:
        reply = self._client.call("postsalescreate", encode_sale(sale), timeout)
        if reply.code == 0:
            self._match(reply.text("txdocno"), reply.text("netamount"), sale)
            return ""
        if reply.code == -1 and reply.message == DUPLICATE_DOCUMENT:
            return DUPLICATE_DOCUMENT
        reason = REFUSALS.get(reply.message)
        if reply.code == -1 and reason is not None:
            return Declined(reason=reason, code=str(reply.code), message=reply.message)
        raise OutcomeUnknown(f"an answer that is not known: {reply.code} {reply.message}")

    def _match(self, document: str, net: str, sale: Sale) -> None:
        try:
            same = document == sale.number.document and fen(net) == sale.net
        except ParseError as error:
            raise InvalidReply(str(error)) from None
        if not same:
            raise InvalidReply("the answer is about another sale or another amount")

    def _look(self, key: str) -> Booked | None:
        with once_begun(), self._database.read() as connection:
            return find_booked(connection, key)

    def _finish(self, call: Call, booked: Booked, slips: Sequence[str], now: datetime, replayed: bool) -> Done:
        """The sale is booked: mark its slips paid, once, and say so."""
        number, odd = number_text(booked.number), []
        with once_begun():
            with self._database.read() as connection:
                marked = not slips or SLIPS_PART in entries(connection, call.key)
            if not marked:
                with call.step(SLIPS_PART, number):
                    odd = self._mark(call, slips, now)
        facts = {"number": number, **({"slips_to_check": odd} if odd else {})}
        return Done(ref=number, amount=abs(booked.net), facts=facts, replayed=replayed)

    def _mark(self, call: Call, slips: Sequence[str], now: datetime) -> list[str]:
        with self._database.write(call.remaining()) as connection:
            if SLIPS_PART in entries(connection, call.key):
                return []
            note(connection, call.key, Entry(SLIPS_PART, "", DONE, ",".join(slips)), f"{now:{STAMP}}")
            return mark_paid(connection, slips)


def finished(connection: sqlite3.Connection, key: str, slips: Sequence[str]) -> Done | None:
    """Whether a sale under this key is booked with all that belongs to it."""
    booked = find_booked(connection, key)
    if booked is None or (slips and SLIPS_PART not in entries(connection, key)):
        return None
    number = number_text(booked.number)
    return Done(ref=number, amount=abs(booked.net), facts={"number": number}, replayed=True)
