"""The simulated platform's books: items, orders, codes, the log of uses and the notices, in one SQLite file."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plugins.evoucher.protocol import ONE_EACH, ONE_FOR_ALL, WAITING

_TABLES = """
CREATE TABLE IF NOT EXISTS orders (
    order_id TEXT PRIMARY KEY, token TEXT NOT NULL, mobile TEXT NOT NULL, item TEXT NOT NULL, num INTEGER NOT NULL,
    state INTEGER NOT NULL, cancelled INTEGER NOT NULL DEFAULT 0, bought_at REAL NOT NULL, valid_start REAL NOT NULL,
    valid_end REAL NOT NULL, texts INTEGER NOT NULL DEFAULT 0, failed TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS codes (
    code TEXT PRIMARY KEY, order_id TEXT NOT NULL, num INTEGER NOT NULL, left_num INTEGER NOT NULL,
    locked INTEGER NOT NULL DEFAULT 0, used INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS codes_of_order ON codes (order_id);
CREATE TABLE IF NOT EXISTS log (
    log_id INTEGER PRIMARY KEY, type INTEGER NOT NULL, order_id TEXT NOT NULL, code TEXT NOT NULL, num INTEGER NOT NULL,
    serial TEXT NOT NULL, posid TEXT NOT NULL, at REAL NOT NULL, UNIQUE (serial, type));
CREATE INDEX IF NOT EXISTS log_of_order ON log (order_id);
CREATE TABLE IF NOT EXISTS notices (
    number INTEGER PRIMARY KEY, order_id TEXT NOT NULL, method TEXT NOT NULL, body BLOB NOT NULL, due REAL NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0, answered INTEGER NOT NULL DEFAULT 0, called_back INTEGER NOT NULL DEFAULT 0);
"""


class Refusal(Exception):
    """A refusal with its code: an answer, nothing was changed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Item:
    """What is sold: the price of one use in fen; ``days`` how long it may be used."""

    outer_iid: str
    title: str
    english: str
    price: int
    consume_type: int
    days: int = 90


#: By the merchant's own number, which the notices carry as ``outer_iid``.
ITEMS: dict[str, Item] = {
    item.outer_iid: item
    for item in (
        Item("EV-CASH50", "50元代金券（不找零）", "Voucher of 50 yuan, no change", 4500, ONE_FOR_ALL, 180),
        Item("EV-TEA", "手作奶茶券", "A cup of hand-made milk tea", 1290, ONE_FOR_ALL, 60),
        Item("EV-KTV3", "欢唱3小时·中包", "Three hours in a middle room", 12800, ONE_EACH),
        Item("EV-BUN10", "鲜肉包次卡", "Pork buns, one a use", 200, ONE_FOR_ALL, 365),
    )
}


class Book:
    """One connection under one lock; ``with book:`` is a transaction, rolled back by any exception."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_TABLES)
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        self._lock.acquire()
        self._db.execute("BEGIN IMMEDIATE")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        self._lock.release()

    def run(self, sql: str, **values: Any) -> int:
        """Run a statement; the number of rows touched."""
        with self._lock:
            return self._db.execute(sql, values).rowcount

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of a query."""
        with self._lock:
            return [dict(row) for row in self._db.execute(sql, values)]

    def row(self, sql: str, **values: Any) -> dict[str, Any] | None:
        """The first row of a query."""
        found = self.rows(sql, **values)
        return found[0] if found else None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def buy(self, item: Item, num: int, mobile: str, now: float) -> str:
        """A customer has paid for ``num`` uses of an item; the order's number."""
        order_id = f"4{secrets.randbelow(10**17):017d}"
        self.run(
            "INSERT INTO orders (order_id, token, mobile, item, num, state, bought_at, valid_start, valid_end)"
            " VALUES (:order_id, :token, :mobile, :item, :num, :state, :now, :now, :until)",
            order_id=order_id,
            token=secrets.token_hex(16),
            mobile=mobile,
            item=item.outer_iid,
            num=num,
            state=WAITING,
            now=now,
            until=now + item.days * 86_400,
        )
        return order_id

    def order(self, order_id: str) -> dict[str, Any] | None:
        """One order."""
        return self.row("SELECT * FROM orders WHERE order_id = :order_id", order_id=order_id)

    def codes(self, order_id: str) -> list[dict[str, Any]]:
        """The codes of an order, in the order in which they were sent."""
        return self.rows("SELECT * FROM codes WHERE order_id = :order_id ORDER BY rowid", order_id=order_id)

    def open_notices(self, order_id: str) -> list[dict[str, Any]]:
        """The notices about an order that nobody has called back about."""
        sql = "SELECT * FROM notices WHERE order_id = :order_id AND called_back = 0 ORDER BY number"
        return self.rows(sql, order_id=order_id)

    def called_back(self, order_id: str, *methods: str) -> None:
        """What these notices asked for has been done."""
        for method in methods:
            sql = "UPDATE notices SET called_back = 1 WHERE order_id = :order_id AND method = :method"
            self.run(sql, order_id=order_id, method=method)
