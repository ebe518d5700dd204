"""The units that the tests of the store run: a shop with little stock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.store.port import Database, Tx, open_database


def open_shop(url: str, **settings: Any) -> Database:
    """The database at the URL; with ``apart+`` before it, PostgreSQL runs units side by side."""
    if url.startswith("apart+"):
        return open_database(url.removeprefix("apart+"), grouped=False, **settings)
    return open_database(url, **settings)


def sell(sku: str, buyer: str) -> Callable[[Tx], bool]:
    """A unit that takes one from the stock by a guarded write and records the sale; False when sold out."""

    def unit(tx: Tx) -> bool:
        if tx.execute("UPDATE stock SET free = free - 1 WHERE sku = :sku AND free >= 1", {"sku": sku}) == 0:
            return False
        tx.execute("INSERT INTO sale (sku, buyer) VALUES (:sku, :buyer)", {"sku": sku, "buyer": buyer})
        return True

    return unit


def free(database: Database, sku: str) -> int:
    """How many are left."""
    return int(value(database, "SELECT free AS n FROM stock WHERE sku = :sku", {"sku": sku}))


def sales(database: Database) -> int:
    """How many sales stand."""
    return int(value(database, "SELECT count(*) AS n FROM sale"))


def value(database: Database, sql: str, params: dict[str, Any] | None = None) -> Any:
    """The column ``n`` of the only row."""
    row = database.read(lambda tx: tx.one(sql, params or {}))
    assert row is not None
    return row["n"]
