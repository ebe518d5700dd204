"""The simulated platform's books: orders, certificates, prepares, redemptions and their history, in one SQLite file."""

from __future__ import annotations

import json
import secrets
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from plugins.groupbuy.protocol import UNUSED

_TABLES = """
CREATE TABLE IF NOT EXISTS certificates (
    certificate_id TEXT PRIMARY KEY, code TEXT UNIQUE NOT NULL, encrypted_code TEXT UNIQUE NOT NULL,
    order_id TEXT NOT NULL, object_id TEXT NOT NULL, sku_id TEXT NOT NULL, status INTEGER NOT NULL,
    bought_at REAL NOT NULL, expires_at REAL NOT NULL, verify_id TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS by_order ON certificates (order_id);
CREATE TABLE IF NOT EXISTS prepares (
    verify_token TEXT PRIMARY KEY, order_id TEXT NOT NULL, poi_id TEXT NOT NULL, encrypted_codes TEXT NOT NULL,
    at REAL NOT NULL, used INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS records (
    number INTEGER PRIMARY KEY, verify_id TEXT NOT NULL, certificate_id TEXT NOT NULL, order_id TEXT NOT NULL,
    sku_id TEXT NOT NULL, poi_id TEXT NOT NULL, verify_time REAL NOT NULL, account TEXT NOT NULL, device TEXT NOT NULL,
    cancel_time REAL NOT NULL DEFAULT 0, cancel_token TEXT NOT NULL DEFAULT '');
CREATE INDEX IF NOT EXISTS by_verify ON records (verify_id);
"""


class Refusal(Exception):
    """A refusal with its code: an answer, nothing was changed."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A deal as it is sold: amounts in fen for one certificate; ``kind`` 1 set, 2 voucher, 3 pass of several times."""

    sku_id: str
    third_sku_id: str
    title: str
    english: str
    kind: int
    original: int
    sold: int
    platform_ticket: int
    pieces: int
    days: int
    pois: tuple[str, ...]


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

    def buy(
        self, product: Product, now: float, codes: list[str] | None = None, count: int = 1, days: float | None = None
    ) -> dict[str, Any]:
        """A customer buys ``count`` of a product: an order with ``count × pieces`` certificates."""
        pieces = product.pieces * count
        codes = codes or [f"1{secrets.randbelow(10**14):014d}" for _ in range(pieces)]
        order_id = f"8{secrets.randbelow(10**18):018d}"
        object_id = secrets.token_urlsafe(48) + "="
        expires = now + (product.days if days is None else days) * 86_400
        sql = (
            "INSERT INTO certificates (certificate_id, code, encrypted_code, order_id, object_id, sku_id, status,"
            " bought_at, expires_at)"
            " VALUES (:id, :code, :encrypted, :order_id, :object_id, :sku, :status, :now, :until)"
        )
        with self:
            for code in codes:
                self.run(
                    sql,
                    id=f"7{secrets.randbelow(10**18):018d}",
                    code=code,
                    encrypted="CgYIASAHKAESLgos" + secrets.token_urlsafe(40),
                    order_id=order_id,
                    object_id=object_id,
                    sku=product.sku_id,
                    status=UNUSED,
                    now=now,
                    until=expires,
                )
        return {"order_id": order_id, "codes": codes, "object_id": object_id, "expires_at": expires}


def seed(book: Book, products: Mapping[str, Product], now: Callable[[], float]) -> None:
    """Sell two orders of each product at first start, with codes that are the same everywhere.

    The code of the ``i``-th certificate of the ``k``-th order of the ``d``-th deal is ``10dd0kkk0000iii``.
    """
    if book.row("SELECT 1 FROM certificates"):
        return
    for deal, product in enumerate(products.values(), 1):
        for order in (1, 2):
            count = order if product.pieces == 1 else 1
            codes = [f"10{deal:02d}0{order:03d}0000{piece:03d}" for piece in range(1, product.pieces * count + 1)]
            book.buy(product, now(), codes, count)


def codes_of(prepare: Mapping[str, Any]) -> list[str]:
    """The encrypted codes that a prepare told."""
    codes: list[str] = json.loads(prepare["encrypted_codes"])
    return codes
