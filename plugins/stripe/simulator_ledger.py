"""The simulated processor's books: objects as JSON in one SQLite file, the answers kept by Idempotency-Key."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TABLES = """
CREATE TABLE IF NOT EXISTS objects (id TEXT PRIMARY KEY, kind TEXT, number INTEGER, json TEXT);
CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, request TEXT, status INTEGER, body TEXT, at REAL);
"""


class Ledger:
    """The file, one connection under one lock."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA synchronous=OFF")
        self._db.executescript(_TABLES)

    @contextmanager
    def change(self) -> Iterator[None]:
        """One transaction; what is written before a refusal stays written."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def put(self, found: dict[str, Any]) -> dict[str, Any]:
        """Write an object: ``object`` is its kind, ``id`` its number."""
        sql = (
            "INSERT INTO objects VALUES (?, ?, (SELECT count(*) FROM objects), ?)"
            " ON CONFLICT (id) DO UPDATE SET json = excluded.json"
        )
        with self._lock:
            self._db.execute(sql, (found["id"], found["object"], json.dumps(found)))
        return found

    def get(self, kind: str, number: str) -> dict[str, Any] | None:
        """An object by its number."""
        with self._lock:
            row = self._db.execute("SELECT json FROM objects WHERE id = ? AND kind = ?", (number, kind)).fetchone()
        return json.loads(row[0]) if row else None

    def all(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind, the newest first, as the processor lists them."""
        with self._lock:
            rows = self._db.execute("SELECT json FROM objects WHERE kind = ? ORDER BY number DESC", (kind,)).fetchall()
        return [json.loads(row[0]) for row in rows]

    def answer(self, key: str, since: float) -> tuple[str, int, str] | None:
        """What was answered under a key: the request's digest, status and body."""
        with self._lock:
            sql = "SELECT request, status, body FROM answers WHERE key = ? AND at > ?"
            row = self._db.execute(sql, (key, since)).fetchone()
        return (row[0], row[1], row[2]) if row else None

    def keep(self, key: str, request: str, status: int, body: str, at: float) -> None:
        """Keep an answer."""
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)", (key, request, status, body, at))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
