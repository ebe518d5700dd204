"""The simulated channel's books: orders, refunds, payment codes and balances in one SQLite file.

Amounts are fen, times seconds since the epoch. Every method is safe to call from many threads; a change of several rows
is made inside ``with books:``, which is one transaction.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

SUCCESS, REFUND, NOTPAY, USERPAYING = "SUCCESS", "REFUND", "NOTPAY", "USERPAYING"
CLOSED, REVOKED, PAYERROR = "CLOSED", "REVOKED", "PAYERROR"
MERCHANT = "merchant"

Row = TypeVar("Row", bound="Order | Repayment | Code")


class Refusal(Exception):
    """A business refusal with its HTTP status and code. It is an answer: what was written before stays written."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message


@dataclass(slots=True, kw_only=True)
class Order:
    """One order. ``plan`` is what a waiting customer will do, ``behaviour`` that of the code, ``cash`` what was paid
    after discounts, ``given`` what a discount came to, ``back`` what was refunded in all."""

    number: str
    kind: str
    state: str
    total: int
    subject: str
    created_at: float
    transaction_id: str = ""
    buyer: str = ""
    behaviour: str = ""
    code: str = ""
    cash: int = 0
    given: int = 0
    giver: str = ""
    fee: int = 0
    back: int = 0
    paid_at: float = 0
    closed_at: float = 0
    reversible_from: float = 0
    expires_at: float = 0
    plan: str = ""
    store: str = ""
    device: str = ""
    notify_url: str = ""
    code_url: str = ""

    @property
    def key(self) -> str:
        return self.number


@dataclass(slots=True, kw_only=True)
class Repayment:
    """One refund, or the money back of a reversal (``reversal``)."""

    number: str
    order: str
    refund_id: str
    amount: int
    cash: int
    fee: int
    state: str
    at: float
    done_at: float
    reason: str = ""
    notify_url: str = ""
    reversal: bool = False

    @property
    def key(self) -> str:
        return self.number


@dataclass(slots=True, kw_only=True)
class Code:
    """A payment code, known by its digest alone."""

    digest: str
    buyer: str
    behaviour: str = ""
    expires_at: float = 0
    used_at: float = 0

    @property
    def key(self) -> str:
        return self.digest


class Books:
    """The file. One connection under one lock: the simulated channel serialises its changes."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS rows (kind, key, doc, PRIMARY KEY (kind, key)) WITHOUT ROWID")
        self._lock = threading.RLock()
        self._depth = 0

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

    def save(self, row: Order | Repayment | Code) -> None:
        """Insert or replace a row."""
        self._put(type(row).__name__, row.key, asdict(row))

    def get(self, kind: type[Row], key: str) -> Row | None:
        """The row with this key, or ``None``."""
        with self._lock:
            found = self._db.execute("SELECT doc FROM rows WHERE kind = ? AND key = ?", (kind.__name__, key)).fetchone()
        return kind(**json.loads(found[0])) if found else None

    def all(self, kind: type[Row]) -> list[Row]:
        """Every row of a kind."""
        with self._lock:
            found = self._db.execute("SELECT doc FROM rows WHERE kind = ?", (kind.__name__,)).fetchall()
        return [kind(**json.loads(row[0])) for row in found]

    def number(self, name: str) -> int:
        """A running number."""
        with self:
            following = self.balance(f"#{name}") + 1
            self._put("balance", f"#{name}", following)
        return following

    def balance(self, account: str) -> int:
        """An account's balance, 0 if it was never opened."""
        with self._lock:
            found = self._db.execute("SELECT doc FROM rows WHERE kind = 'balance' AND key = ?", (account,)).fetchone()
        return int(json.loads(found[0])) if found else 0

    def opened(self, account: str) -> bool:
        """Whether an account was opened."""
        with self._lock:
            return bool(
                self._db.execute("SELECT 1 FROM rows WHERE kind = 'balance' AND key = ?", (account,)).fetchone()
            )

    def set_balance(self, account: str, balance: int) -> None:
        """Open an account, or set its balance."""
        self._put("balance", account, balance)

    def move(self, account: str, amount: int) -> None:
        """Add to an account's balance (a negative amount takes)."""
        self.set_balance(account, self.balance(account) + amount)

    def _put(self, kind: str, key: str, doc: Any) -> None:
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", (kind, key, json.dumps(doc)))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
