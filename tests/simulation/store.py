"""The journal of the simulation: the gateway's own schema and SQL on SQLite in memory, that may be busy or unsure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from gateway.store.dialect import schema_sql, statements
from gateway.store.driver import connect
from gateway.store.errors import StorageBusy, StorageUnknown
from gateway.store.port import Row, Tx
from gateway.store.schema import MIGRATIONS
from gateway.store.sqlite_tx import SqliteTx

T = TypeVar("T")
TABLES = (
    "attempts",
    "unsealed",
    "ops",
    "events",
    "tasks",
    "idempotency",
    "holds",
    "settlement_entries",
    "campaign_uses",
    "campaign_counters",
    "sagas",
)


class Memory:
    """One database in memory. ``busy`` and ``unsure`` are how likely a transaction is refused, or its answer lost."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.busy, self.unsure = rng, 0.0, 0.0
        self.faults: Counter[str] = Counter()
        self.connection = connect(Path(":memory:"))
        for _, script in MIGRATIONS:
            for statement in statements(schema_sql(script, "sqlite")):
                self.connection.execute(statement)
        self.after: Callable[[], None] = lambda: None
        self.depth = 0

    def clear(self) -> None:
        for table in TABLES:
            self.connection.execute(f"DELETE FROM {table}")

    def tx(self, fn: Callable[[Tx], T]) -> T:
        if self.busy and self.rng.random() < self.busy:
            self.faults["busy"] += 1
            raise StorageBusy("locked")
        self.connection.execute("BEGIN IMMEDIATE")
        tx = SqliteTx(self.connection)
        try:
            result = fn(cast(Tx, tx))
            if tx.broken is not None:
                raise tx.broken
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self.after()
        if self.unsure and self.rng.random() < self.unsure:
            self.faults["unsure"] += 1
            raise StorageUnknown("the commit's answer was lost")
        return result

    def read(self, fn: Callable[[Tx], T]) -> T:
        return fn(cast(Tx, SqliteTx(self.connection)))

    def rows(self, sql: str, **params: Any) -> list[Row]:
        return SqliteTx(self.connection).all(sql, params)
