"""The simulated host's books in one SQLite file: terminals, accounts, codes, transactions. Amounts in fen."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS terminals (terminal TEXT PRIMARY KEY, merchant TEXT, batch INTEGER, mak TEXT, master TEXT);
CREATE TABLE IF NOT EXISTS accounts (account TEXT PRIMARY KEY, balance INTEGER, allowed INTEGER);
CREATE TABLE IF NOT EXISTS codes (digest TEXT PRIMARY KEY, account TEXT, expires_at REAL, used INTEGER, kind TEXT);
CREATE TABLE IF NOT EXISTS txns (
  terminal TEXT, batch TEXT, trace TEXT, message TEXT, kind TEXT, amount INTEGER, account TEXT, code TEXT, state TEXT,
  ref TEXT, at REAL, day TEXT, original TEXT, refunded INTEGER, fee INTEGER, reference TEXT, answer TEXT,
  PRIMARY KEY (terminal, batch, trace));
CREATE TABLE IF NOT EXISTS batches (terminal TEXT, batch TEXT, matched INTEGER, net INTEGER, uploaded TEXT, trace TEXT,
  closed INTEGER, PRIMARY KEY (terminal, batch));
"""


def digest(code: str) -> str:
    """Codes and tokens are known by their digest alone."""
    return hashlib.sha256(code.encode()).hexdigest()


class Ledger:
    """The file, one connection under one lock; a change is made inside ``with ledger.change():``."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_TABLES)

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def one(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row, or ``None``."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def all(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """All rows."""
        with self._lock:
            return [dict(row) for row in self._db.execute(sql, values)]

    def run(self, sql: str, *values: Any) -> None:
        """Run a statement."""
        with self._lock:
            self._db.execute(sql, values)

    def txn(self, terminal: str, batch: str, trace: str) -> dict[str, Any] | None:
        """A transaction by its number."""
        sql = "SELECT * FROM txns WHERE terminal = ? AND batch = ? AND trace = ?"
        return self.one(sql, terminal, batch, trace)

    def add(self, row: Mapping[str, Any]) -> None:
        """Enter a transaction."""
        names = ", ".join(row)
        marks = ", ".join("?" * len(row))
        self.run(f"INSERT INTO txns ({names}) VALUES ({marks})", *row.values())  # noqa: S608 - our own names

    def set_state(self, row: Mapping[str, Any], state: str) -> None:
        """A transaction's new state: P posted, R reversed, V voided, D refused."""
        sql = "UPDATE txns SET state = ? WHERE terminal = ? AND batch = ? AND trace = ?"
        self.run(sql, state, row["terminal"], row["batch"], row["trace"])

    def move(self, account: str, amount: int) -> None:
        """Add to a customer's balance."""
        self.run("UPDATE accounts SET balance = balance + ? WHERE account = ?", amount, account)

    def totals(self, terminal: str, batch: str) -> tuple[int, int, int, int]:
        """Sales and what was given back in a batch: fen and counts."""
        rows = self.all(
            "SELECT kind, amount FROM txns WHERE terminal = ? AND batch = ? AND state = 'P'", terminal, batch
        )
        sales = [row["amount"] for row in rows if row["kind"] == "sale"]
        back = [row["amount"] for row in rows if row["kind"] == "return"]
        return sum(sales), len(sales), sum(back), len(back)

    def books(self) -> dict[str, Any]:
        """Everything that was posted."""
        txns = self.all(
            "SELECT terminal, batch, trace, kind, amount, state, code, ref, reference, refunded FROM txns ORDER BY at"
        )
        posted = [row for row in txns if row["state"] == "P"]
        signs = {"sale": 1, "return": -1}
        net = sum(signs.get(row["kind"], 0) * row["amount"] for row in posted)
        accounts = {row["account"]: row["balance"] for row in self.all("SELECT account, balance FROM accounts")}
        batches = self.all("SELECT * FROM batches ORDER BY batch")
        for row in batches:
            row["uploaded"] = json.loads(row["uploaded"])
        return {"net": net, "transactions": txns, "accounts": accounts, "batches": batches}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
