"""The sandbox's books: one row a change, in an SQLite file that several processes share. Amounts in minor units.

A change is done, declined, pending or late; pending and late ones turn out well after ``ready_at``. A number that was
closed before it was seen stays closed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

_TABLES = (
    "CREATE TABLE IF NOT EXISTS changes (key TEXT PRIMARY KEY, hook TEXT NOT NULL, account TEXT NOT NULL,"
    " amount INTEGER NOT NULL, state TEXT NOT NULL, ready_at REAL NOT NULL, original TEXT NOT NULL, day TEXT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS by_original ON changes (original)",
    "CREATE INDEX IF NOT EXISTS by_day ON changes (day, hook)",
)
DONE, DECLINED, PENDING, LATE, LOST, CLOSED = "done", "declined", "pending", "late", "lost", "closed"


@dataclass(frozen=True, slots=True)
class Row:
    """One change as it stands."""

    key: str
    hook: str
    account: str
    amount: int
    state: str
    ready_at: float
    original: str
    day: str

    def at(self, now: float) -> str:
        """Its state now: what waits is done when its time has come."""
        return DONE if self.state in (PENDING, LATE) and now >= self.ready_at else self.state


class Book:
    """The file. Each method is one transaction, or takes part in the one that ``changing`` opens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self.changing() as rows:
            for table in _TABLES:
                rows.execute(table)

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, undone if the block raises."""
        with closing(sqlite3.connect(self._path, timeout=5, isolation_level=None)) as rows:
            rows.execute("BEGIN IMMEDIATE")
            yield rows
            rows.execute("COMMIT")

    def find(self, key: str) -> Row | None:
        """The change of this key."""
        with closing(sqlite3.connect(self._path, timeout=5)) as rows:
            return found(rows, key)

    def of_day(self, day: str, hooks: tuple[str, ...]) -> list[Row]:
        """A day's changes made by these hooks, in the order they were made."""
        marks = ", ".join("?" * len(hooks))
        sql = f"SELECT * FROM changes WHERE day = ? AND hook IN ({marks}) ORDER BY rowid"  # noqa: S608 - marks alone
        with closing(sqlite3.connect(self._path, timeout=5)) as rows:
            return [Row(*row) for row in rows.execute(sql, (day, *hooks))]

    def all(self) -> list[Row]:
        """Every change."""
        with closing(sqlite3.connect(self._path, timeout=5)) as rows:
            return [Row(*row) for row in rows.execute("SELECT * FROM changes ORDER BY rowid")]


def found(rows: sqlite3.Connection, key: str) -> Row | None:
    row = rows.execute("SELECT * FROM changes WHERE key = ?", (key,)).fetchone()
    return Row(*row) if row else None


def write(rows: sqlite3.Connection, row: Row) -> None:
    """Write a change, or its new state."""
    values = (row.key, row.hook, row.account, row.amount, row.state, row.ready_at, row.original, row.day)
    rows.execute("INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)


def given_back(rows: sqlite3.Connection, original: str, hooks: tuple[str, ...]) -> int:
    """What these hooks have taken off a change so far."""
    marks = ", ".join("?" * len(hooks))
    sql = f"SELECT COALESCE(SUM(amount), 0) FROM changes WHERE original = ? AND hook IN ({marks})"  # noqa: S608
    return int(rows.execute(sql, (original, *hooks)).fetchone()[0])
