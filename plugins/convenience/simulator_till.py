"""The simulated tills: they sell offline, number their own bills, keep a journal of their own, and upload late.

A till does not remember references of order files: what is dropped twice is rung up twice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from .files import (
    ERR_BRANCH,
    ERR_ITEM,
    ERR_NO_ORIGINAL,
    ERR_OTHER_BRANCH,
    ERR_OVER_RETURN,
    ERR_TOTAL,
    ERROR_TEXTS,
    OrderFile,
    OrderLine,
    PluRow,
    Refused,
)
from .protocol import SHOP_ZONE, FlowNo, yuan_to_fen
from .simulator_head_office import Flow, HeadOffice, Paid, SoldLine
from .sqlite_build import sqlite

SCHEMA = """
CREATE TABLE IF NOT EXISTS journal(id INTEGER PRIMARY KEY AUTOINCREMENT, branch TEXT, till TEXT, flow_no TEXT,
  memo TEXT, original TEXT, body TEXT, rung_at REAL, state TEXT);
CREATE INDEX IF NOT EXISTS journal_memo ON journal(memo);
CREATE INDEX IF NOT EXISTS journal_original ON journal(original) WHERE original <> '';
CREATE INDEX IF NOT EXISTS journal_flow ON journal(flow_no);
CREATE INDEX IF NOT EXISTS journal_state ON journal(state) WHERE state = 'local';
CREATE TABLE IF NOT EXISTS till(branch TEXT, till TEXT, day TEXT, sequence INTEGER, skew REAL, online INTEGER,
  PRIMARY KEY(branch, till));
CREATE TABLE IF NOT EXISTS plu(branch TEXT, item_no TEXT, price TEXT, PRIMARY KEY(branch, item_no));
"""


class Refusal(Exception):
    """The till will not ring this up; ``code`` is what stands in the ``.ERR`` file."""

    def __init__(self, code: str) -> None:
        super().__init__(f"{code} {ERROR_TEXTS[code]}")
        self.code = code

    def answer(self, reference: str) -> Refused:
        return Refused(reference, self.code)


class Tills:
    """All tills of the chain, with one journal file. Safe to use from several threads."""

    def __init__(self, path: Path, head_office: HeadOffice, now: Callable[[], float]) -> None:
        self._head_office = head_office
        self._now = now
        self._lock = threading.RLock()
        self._db: Any = sqlite.connect(str(path), check_same_thread=False, timeout=10, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=TRUNCATE")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """One write transaction, durable when it ends."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    # --- selling ---------------------------------------------------------------------------------------------------

    def clock(self, branch: str, till: str) -> datetime:
        """The till's own idea of the time."""
        return datetime.fromtimestamp(self._now(), SHOP_ZONE) + timedelta(seconds=self._till(branch, till)["skew"])

    def price(self, branch: str, item_no: str) -> Decimal:
        """The till's own price: from its last price file, else the head office's. Unknown articles are refused."""
        with self._lock:
            found = self._db.execute("SELECT price FROM plu WHERE branch = ? AND item_no = ?", (branch, item_no))
            row = found.fetchone()
        if row:
            return Decimal(row[0])
        item = self._head_office.item(item_no)
        if item is None:
            raise Refusal(ERR_ITEM)
        return item[0]

    def ring_order(self, order: OrderFile, branch: str, memo: str) -> Flow:
        """Ring up what an order file says. Raises :class:`Refusal` with nothing rung up."""
        if order.branch != branch:
            raise Refusal(ERR_BRANCH)
        if not order.lines or order.total != sum(tender.amount for tender in order.tenders):
            raise Refusal(ERR_TOTAL)
        original = self._check_return(order) if order.kind == "B" else ""
        lines = tuple(self._order_line(branch, line) for line in order.lines)
        paid = tuple(Paid(tender.pay_way, tender.amount, "A", tender.number) for tender in order.tenders)
        return self.ring(branch, "01", order.kind, lines, paid or (Paid("RMB", 0),), order.card, original, memo)

    def _order_line(self, branch: str, line: OrderLine) -> SoldLine:
        price = self.price(branch, line.item_no)
        off = max(0, yuan_to_fen(price * line.quantity) - line.amount)
        return SoldLine(line.item_no, str(line.quantity), str(price), line.amount, off, line.plan_no)

    def _check_return(self, order: OrderFile) -> str:
        """The bill number a return belongs to; only bills of the same shop, and never more than was sold."""
        original = self.find(order.original)
        if original is None:
            raise Refusal(ERR_NO_ORIGINAL)
        if original.flow_no[:4] != order.branch:
            raise Refusal(ERR_OTHER_BRANCH)
        left: dict[str, Decimal] = {}
        for line in original.lines:
            left[line.item_no] = left.get(line.item_no, Decimal(0)) + Decimal(line.quantity)
        for _, flow in self._bodies("original = ? AND state <> 'lost'", original.flow_no):
            for line in flow.lines:
                left[line.item_no] = left.get(line.item_no, Decimal(0)) - Decimal(line.quantity)
        for wanted in order.lines:
            left[wanted.item_no] = left.get(wanted.item_no, Decimal(0)) - wanted.quantity
        if min(left.values()) < 0:
            raise Refusal(ERR_OVER_RETURN)
        return original.flow_no

    def ring(
        self,
        branch: str,
        till: str,
        sell_way: str,
        lines: tuple[SoldLine, ...],
        paid: tuple[Paid, ...],
        card: str = "",
        original: str = "",
        memo: str = "",
        at: datetime | None = None,
    ) -> Flow:
        """Number a bill and write it into the till's journal, in one local transaction."""
        with self._transaction():
            moment = at or self.clock(branch, till)
            flow_no = str(FlowNo(branch, till, moment.date(), self._next(branch, till, moment)))
            flow = Flow(flow_no, sell_way, moment, lines, paid, card, original, memo)
            self._db.execute(
                "INSERT INTO journal(branch, till, flow_no, memo, original, body, rung_at, state)"
                " VALUES(?,?,?,?,?,?,?,'local')",
                (branch, till, flow_no, memo, original, _dump(flow), self._now()),
            )
        return flow

    def _till(self, branch: str, till: str) -> dict[str, Any]:
        sql = "SELECT * FROM till WHERE branch = ? AND till = ?"
        with self._lock:
            row = self._db.execute(sql, (branch, till)).fetchone()
            if row is None:
                self._db.execute("INSERT INTO till VALUES(?,?,'',0,0,1)", (branch, till))
                row = self._db.execute(sql, (branch, till)).fetchone()
        return dict(zip(("branch", "till", "day", "sequence", "skew", "online"), row, strict=True))

    def _next(self, branch: str, till: str, moment: datetime) -> int:
        state = self._till(branch, till)
        day = f"{moment:%y%m%d}"
        sequence = state["sequence"] % 9999 + 1 if state["day"] == day else 1
        self.set_till(branch, till, day=day, sequence=sequence)
        return int(sequence)

    def set_till(self, branch: str, till: str, **values: Any) -> None:
        """Change a till's state: ``day``, ``sequence``, ``skew`` (seconds), ``online`` (0 keeps it from uploading)."""
        self._till(branch, till)
        with self._lock:
            for name in values:
                if name not in ("day", "sequence", "skew", "online"):
                    raise ValueError(f"a till has no {name}")
            sets = ", ".join(f"{name} = ?" for name in values)
            sql = f"UPDATE till SET {sets} WHERE branch = ? AND till = ?"  # noqa: S608 - names checked above
            self._db.execute(sql, (*values.values(), branch, till))

    # --- price file ------------------------------------------------------------------------------------------------

    def load_prices(self, branch: str, rows: list[PluRow]) -> None:
        """Take a price file over."""
        with self._transaction():
            for row in rows:
                self._db.execute("INSERT OR REPLACE INTO plu VALUES(?,?,?)", (branch, row.item_no, str(row.price)))

    # --- journal ---------------------------------------------------------------------------------------------------

    def find(self, reference: str) -> Flow | None:
        """The newest bill under this number or memo that the tills still know."""
        rows = self._bodies("(flow_no = ? OR (memo = ? AND memo <> '')) AND state <> 'lost'", reference, reference)
        return rows[-1][1] if rows else None

    def flows(self, state: str = "") -> list[Flow]:
        """Bills by state (``local``, ``torn``, ``uploaded``, ``lost``, ``deleted``); all but the lost without one."""
        where, params = ("state = ?", (state,)) if state else ("state <> 'lost'", ())
        return [flow for _, flow in self._bodies(where, *params)]

    def entries(self, state: str) -> list[tuple[int, Flow]]:
        """Journal numbers and bills in a state."""
        return self._bodies("state = ?", state)

    def due(self, older_than: float | None, branch: str = "", till: str = "") -> list[tuple[int, Flow]]:
        """Bills not uploaded yet, of tills that are online unless one is named; oldest first."""
        where = "state = 'local' AND (? = '' OR branch = ?) AND (? = '' OR till = ?)"
        params: list[Any] = [branch, branch, till, till]
        if older_than is not None:
            where += " AND rung_at <= ? AND (branch, till) NOT IN (SELECT branch, till FROM till WHERE online = 0)"
            params.append(older_than)
        return self._bodies(where, *params)

    def mark(self, numbers: list[int], state: str) -> None:
        """Set the state of journal entries."""
        with self._transaction():
            self._db.executemany("UPDATE journal SET state = ? WHERE id = ?", [(state, number) for number in numbers])

    def mark_flow(self, flow_no: str, state: str) -> None:
        """Set the state of every entry under a bill number."""
        with self._lock:
            self._db.execute("UPDATE journal SET state = ? WHERE flow_no = ?", (state, flow_no))

    def lose(self, branch: str, till: str) -> int:
        """The till restarts and forgets what it had not uploaded; how many bills that were."""
        lost = [number for number, _ in self.due(None, branch, till)]
        self.mark(lost, "lost")
        return len(lost)

    def _bodies(self, where: str, *params: Any) -> list[tuple[int, Flow]]:
        sql = f"SELECT id, body FROM journal WHERE {where} ORDER BY id"  # noqa: S608 - fixed texts of this class
        with self._lock:
            return [(number, _load(body)) for number, body in self._db.execute(sql, params).fetchall()]


def change_of(total: int, paid: list[Paid]) -> tuple[Paid, ...]:
    """Payment rows with the change as a row of its own. Raises ``ValueError`` when too little was paid."""
    over = sum(row.amount for row in paid) - total
    if over < 0:
        raise ValueError(f"{-over} fen too little was paid")
    return (*paid, Paid("RMB", over, "D")) if over else tuple(paid)


def _dump(flow: Flow) -> str:
    return json.dumps({**asdict(flow), "at": flow.at.isoformat()}, ensure_ascii=False)


def _load(body: str) -> Flow:
    values = json.loads(body)
    lines = tuple(SoldLine(**line) for line in values.pop("lines"))
    paid = tuple(Paid(**row) for row in values.pop("paid"))
    flow = Flow(lines=lines, paid=paid, **values)
    return replace(flow, at=datetime.fromisoformat(values["at"]))
