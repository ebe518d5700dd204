"""How the units of a batch run inside one transaction of SQLite without harming each other.

A savepoint a unit costs a fifth of the throughput, and almost no unit fails after it has written. So a batch first runs
without; when a unit fails and had written, the batch is undone and run again with a savepoint a unit, and so are the
next batches for a while. A unit that fails before it has written anything leaves nothing to undo.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from enum import Enum

from gateway.store.driver import Connection, DriverError
from gateway.store.errors import StorageBusy, StorageFull
from gateway.store.group import Batch, Unit
from gateway.store.sqlite_errors import translate
from gateway.store.sqlite_tx import SqliteTx


class Verdict(Enum):
    """What became of the units that ran in the open transaction."""

    STANDS = "every unit has its result or error, and only what succeeded is in the transaction"
    SPOILT = "a unit that failed has left something in the transaction"
    LOST = "SQLite gave the transaction up, or the disk is full"


def run_plain(connection: Connection, batch: Batch) -> Verdict:
    """Run the leader's unit and all that wait, without savepoints; stop at the first that spoils the transaction."""
    unit: Unit | None = batch.units[0]
    while unit is not None:
        before = connection.total_changes
        wrote_schema = run_unit(connection, unit)
        if unit.error is not None:
            if _lost(connection, unit):
                return Verdict.LOST
            if wrote_schema or connection.total_changes != before:
                return Verdict.SPOILT
        unit = batch.take()
    return Verdict.STANDS


def run_apart(connection: Connection, batch: Batch) -> Verdict:
    """Run the batch's units (again), then those that wait, each inside a savepoint that is undone if it fails."""
    done = 0
    while done < len(batch.units) or batch.take() is not None:
        unit = batch.units[done]
        done += 1
        connection.execute("SAVEPOINT unit")
        run_unit(connection, unit)
        if unit.error is not None:
            if _lost(connection, unit):
                return Verdict.LOST
            connection.execute("ROLLBACK TO unit")
        connection.execute("RELEASE unit")
    return Verdict.STANDS


def run_unit(connection: Connection, unit: Unit) -> bool:
    """Run one unit and keep its result or error in it; True when it ran a statement that changes the schema."""
    unit.error = None
    tx = SqliteTx(connection)
    try:
        unit.result = unit.fn(tx)
        unit.error = tx.broken
    except Exception as error:
        unit.error = error
    finally:
        tx.end()
    return tx.wrote_schema


def _lost(connection: Connection, unit: Unit) -> bool:
    return isinstance(unit.error, StorageFull) or not connection.in_transaction


def roll_back(connection: Connection) -> None:
    """Undo the open transaction, if there is one."""
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except DriverError as error:
            raise translate(error) from error


def insist(statement: Callable[[], object], deadline: float) -> None:
    """Run a statement until it is not refused as busy. Raises ``StorageError``; ``StorageBusy`` at the deadline."""
    while True:
        try:
            statement()
            return
        except DriverError as error:
            found = translate(error)
            if not isinstance(found, StorageBusy) or time.monotonic() >= deadline:
                raise found from error
        time.sleep(random.uniform(0.0005, 0.005))  # noqa: S311  (jitter, not a secret)
