"""Schema migrations: each runs once, in order, in one transaction; several processes may start at the same time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.store.dialect import schema_sql, statements
from gateway.store.errors import StorageBusy, StorageMisuse
from gateway.store.port import Database, Tx


@dataclass(frozen=True, slots=True)
class Migration:
    """A step of the schema: a unique ``name`` for ever, and SQL in the words of :mod:`gateway.store.dialect`."""

    name: str
    sql: str

    def digest(self) -> str:
        """What tells whether the text was changed after it had run."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    name TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    applied_at INTEGER NOT NULL
) STRICT
"""


def migrate(database: Database, migrations: Sequence[Migration], patience_seconds: float = 120.0) -> list[str]:
    """Bring the schema up to date; return the names of the migrations that this call has run, in order.

    All that are missing run in one transaction, so that a failure leaves the schema as it was. Idempotent. Waits for
    another process that migrates, ``patience_seconds`` at most. Raises ``StorageMisuse`` when one that has run was
    changed since, or when the database has one that this program lacks; ``StorageBusy`` when patience is at an end.
    """
    names = [migration.name for migration in migrations]
    if len(set(names)) != len(names):
        raise StorageMisuse("two migrations have the same name")
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            if database.read(lambda tx: _up_to_date(tx, migrations)):
                return []
            return database.tx(lambda tx: _run_missing(tx, migrations))
        except StorageBusy:
            if time.monotonic() >= deadline:
                raise


def pending(database: Database, migrations: Sequence[Migration]) -> list[str]:
    """The names of the migrations that have not run yet. Changes nothing."""

    def ask(tx: Tx) -> list[str]:
        done = _applied(tx) if _has_table(tx) else {}
        return [migration.name for migration in migrations if migration.name not in done]

    return database.read(ask)


def _up_to_date(tx: Tx, migrations: Sequence[Migration]) -> bool:
    """Whether nothing is missing: a program that starts while nothing can be written can read all the same."""
    if not _has_table(tx):
        return False
    done = _applied(tx)
    _check(done, migrations)
    return len(done) == len(migrations)


def _run_missing(tx: Tx, migrations: Sequence[Migration]) -> list[str]:
    tx.lock("gateway-migrations")
    _run_script(tx, _TABLE)
    done = _applied(tx)
    _check(done, migrations)
    missing = [migration for migration in migrations if migration.name not in done]
    for migration in missing:
        _run_script(tx, migration.sql)
        tx.execute(
            "INSERT INTO migration (name, digest, applied_at) VALUES (:name, :digest, :now)",
            {"name": migration.name, "digest": migration.digest(), "now": int(time.time() * 1000)},
        )
    return [migration.name for migration in missing]


def _run_script(tx: Tx, sql: str) -> None:
    for statement in statements(schema_sql(sql, tx.dialect)):
        tx.execute(statement)


def _applied(tx: Tx) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in tx.all("SELECT name, digest FROM migration")}


def _has_table(tx: Tx) -> bool:
    if tx.dialect == "sqlite":
        return tx.one("SELECT 1 AS found FROM sqlite_master WHERE name = 'migration'") is not None
    row = tx.one("SELECT to_regclass('migration') IS NOT NULL AS found")
    return row is not None and bool(row["found"])


def _check(done: dict[str, str], migrations: Sequence[Migration]) -> None:
    known = {migration.name: migration for migration in migrations}
    unknown = sorted(set(done) - set(known))
    if unknown:
        raise StorageMisuse(f"the database was made by a newer program: it has {', '.join(unknown)}")
    for name, digest in done.items():
        if known[name].digest() != digest:
            raise StorageMisuse(f"migration {name} was changed after it had run; add a new one instead")
