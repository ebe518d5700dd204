"""The durable key-value store that each connection's adapter has of its own: rows of ``adapter_store``."""

from __future__ import annotations

import json
from typing import Any

from gateway.store.port import Database

#: Name and SQL of the tables that the runtime needs.
MIGRATIONS = (
    (
        "runtime-1-adapter-store",
        """
        CREATE TABLE adapter_store (
            merchant TEXT NOT NULL,
            connection TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            PRIMARY KEY (merchant, connection, key)
        ) STRICT
        """,
    ),
)

_PUT = """
INSERT INTO adapter_store (merchant, connection, key, value) VALUES (:merchant, :connection, :key, :value)
ON CONFLICT (merchant, connection, key) DO UPDATE SET value = excluded.value
"""
_PUT_NEW = """
INSERT INTO adapter_store (merchant, connection, key, value) VALUES (:merchant, :connection, :key, :value)
ON CONFLICT (merchant, connection, key) DO NOTHING
"""
_WHERE = "WHERE merchant = :merchant AND connection = :connection"


class DurableStore:
    """One connection's values, as JSON; no other connection's can be reached through it.

    Not to be used inside a unit of work of the database (an embedded adapter has ``call.tx``).
    """

    def __init__(self, database: Database, merchant: str, connection: str) -> None:
        self._database = database
        self._own = {"merchant": merchant, "connection": connection}

    def get(self, key: str) -> Any:
        """The value, or ``None``."""
        sql = f"SELECT value FROM adapter_store {_WHERE} AND key = :key"  # noqa: S608 - constant text
        row = self._database.read(lambda tx: tx.one(sql, {**self._own, "key": key}))
        return None if row is None else json.loads(row["value"])

    def put(self, key: str, value: Any) -> None:
        """Store a value; durable when this returns. Raises ``TypeError`` for one that is not JSON."""
        row = {**self._own, "key": key, "value": json.dumps(value, ensure_ascii=False, allow_nan=False)}
        self._database.tx(lambda tx: tx.execute(_PUT, row))

    def put_new(self, key: str, value: Any) -> bool:
        """Store a value unless there is one; whether it was stored. Raises ``TypeError`` for one that is not JSON."""
        row = {**self._own, "key": key, "value": json.dumps(value, ensure_ascii=False, allow_nan=False)}
        return self._database.tx(lambda tx: tx.execute(_PUT_NEW, row)) == 1

    def delete(self, key: str) -> None:
        """Forget a value; one that is not there is no error."""
        sql = f"DELETE FROM adapter_store {_WHERE} AND key = :key"  # noqa: S608 - constant text
        self._database.tx(lambda tx: tx.execute(sql, {**self._own, "key": key}))

    def keys(self, prefix: str = "") -> list[str]:
        """The keys with this prefix, sorted by code point."""
        sql = f"SELECT key FROM adapter_store {_WHERE} AND substr(key, 1, CAST(:length AS INTEGER)) = :prefix"  # noqa: S608
        parameters = {**self._own, "prefix": prefix, "length": len(prefix)}
        return sorted(row["key"] for row in self._database.read(lambda tx: tx.all(sql, parameters)))
