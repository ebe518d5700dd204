"""The simulated Alipay's books: trades, refunds, buyers, payment codes and unopened QR codes in one SQLite file.

Amounts are fen, times seconds since the epoch. Every public method is safe to call from many threads; a change of
several rows is made inside ``with ledger:``, which is one transaction.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

WAIT, PAID, CLOSED, FINISHED = "WAIT_BUYER_PAY", "TRADE_SUCCESS", "TRADE_CLOSED", "TRADE_FINISHED"

Row = TypeVar("Row")


class Refusal(Exception):
    """A business refusal with its sub code. It is an answer: what was written before it stays written."""

    def __init__(self, sub_code: str, message: str, code: str = "40004", **fields: str) -> None:
        super().__init__(sub_code)
        self.code, self.sub_code, self.message, self.fields = code, sub_code, message, fields


@dataclass(slots=True, kw_only=True)
class Trade:
    """One trade, from its creation; ``password`` is what a waiting buyer will do, ``cancelled`` what a cancel did."""

    out_trade_no: str
    trade_no: str
    status: str
    buyer: str
    total: int
    subject: str
    created_at: float
    expires_at: float
    buyer_pay: int = 0
    receipt: int = 0
    discount: int = 0
    mdiscount: int = 0
    fee: int = 0
    refunded: int = 0
    fee_refunded: int = 0
    paid_at: float = 0
    closed_at: float = 0
    store_id: str = ""
    operator_id: str = ""
    terminal_id: str = ""
    notify_url: str = ""
    code_digest: str = ""
    password: str = ""
    cancelled: str = ""


@dataclass(slots=True, kw_only=True)
class Refund:
    """One refund: the order's amount, the buyer's cash in it, what the merchant gave and the fee returned."""

    out_trade_no: str
    out_request_no: str
    amount: int
    cash: int
    receipt: int
    fee: int
    at: float
    reason: str = ""
    operator_id: str = ""
    store_id: str = ""


@dataclass(slots=True, kw_only=True)
class Code:
    """A payment code, known by its digest alone: whose it is, what happens when it is used, and when it was."""

    digest: str
    buyer: str
    behaviour: str = ""
    expires_at: float = 0
    used_at: float = 0


@dataclass(slots=True, kw_only=True)
class Order:
    """A QR code that no customer has opened yet: no trade exists."""

    out_trade_no: str
    qr_code: str
    total: int
    subject: str
    created_at: float
    expires_at: float
    void: int = 0
    store_id: str = ""
    operator_id: str = ""
    terminal_id: str = ""
    notify_url: str = ""
    timeout_s: float = 0


_KEYS: dict[type[Any], tuple[str, ...]] = {
    Trade: ("out_trade_no",),
    Refund: ("out_trade_no", "out_request_no"),
    Code: ("digest",),
    Order: ("out_trade_no",),
}


def _table(kind: type[Any]) -> str:
    return kind.__name__.lower() + "s"


class Ledger:
    """The file. One connection under one lock: the simulated Alipay serialises its changes."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._lock = threading.RLock()
        self._depth = 0
        for kind, keys in _KEYS.items():
            columns = ", ".join(field.name for field in fields(kind))
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {_table(kind)} ({columns}, PRIMARY KEY ({', '.join(keys)})) WITHOUT ROWID"
            )
        self._db.execute("CREATE UNIQUE INDEX IF NOT EXISTS trade_no ON trades (trade_no)")
        self._db.execute("CREATE TABLE IF NOT EXISTS balances (account PRIMARY KEY, balance NOT NULL) WITHOUT ROWID")

    def __enter__(self) -> Self:
        self._lock.acquire()
        if self._depth == 0:
            self._db.execute("BEGIN IMMEDIATE")
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._db.execute("COMMIT" if kind is None or issubclass(kind, Refusal) else "ROLLBACK")
        self._lock.release()

    def save(self, row: Trade | Refund | Code | Order) -> None:
        """Insert or replace a row."""
        values = asdict(row)
        sql = f"INSERT OR REPLACE INTO {_table(type(row))} VALUES ({', '.join(f':{name}' for name in values)})"  # noqa: S608
        with self._lock:
            self._db.execute(sql, values)

    def get(self, kind: type[Row], **key: Any) -> Row | None:
        """The row with these column values, or ``None``."""
        found = self.all(kind, **key)
        return found[0] if found else None

    def all(self, kind: type[Row], **where: Any) -> list[Row]:
        """The rows with these column values."""
        condition = " AND ".join(f"{name} = :{name}" for name in where)
        with self._lock:
            sql = f"SELECT * FROM {_table(kind)}" + (f" WHERE {condition}" if where else "")  # noqa: S608 - our names
            return [kind(**dict(row)) for row in self._db.execute(sql, where)]

    def between(self, kind: type[Row], column: str, begin: float, end: float) -> list[Row]:
        """The rows whose time in ``column`` lies in ``[begin, end)``, oldest first."""
        sql = f"SELECT * FROM {_table(kind)} WHERE {column} >= ? AND {column} < ? ORDER BY {column}"  # noqa: S608
        with self._lock:
            return [kind(**dict(row)) for row in self._db.execute(sql, (begin, end))]

    def delete_order(self, out_trade_no: str) -> None:
        """Forget an unopened QR code: it has become a trade."""
        with self._lock:
            self._db.execute("DELETE FROM orders WHERE out_trade_no = ?", (out_trade_no,))

    def balance(self, account: str) -> int | None:
        """The balance of a buyer, or of ``seller``; ``None`` if the account was never opened."""
        with self._lock:
            row = self._db.execute("SELECT balance FROM balances WHERE account = ?", (account,)).fetchone()
        return None if row is None else int(row[0])

    def set_balance(self, account: str, balance: int) -> None:
        """Open an account, or set its balance."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO balances VALUES (?, ?)", (account, balance))

    def move(self, account: str, amount: int) -> None:
        """Add to an account's balance (a negative amount takes)."""
        self.set_balance(account, (self.balance(account) or 0) + amount)

    def balances(self) -> dict[str, int]:
        """Every account with its balance."""
        with self._lock:
            return {row[0]: row[1] for row in self._db.execute("SELECT account, balance FROM balances")}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
