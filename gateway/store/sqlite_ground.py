"""A transaction of SQLite as the ground for a batch, and what else the writer does to its connection."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from gateway.store.driver import Connection, DriverError
from gateway.store.errors import StorageBusy, StorageFull
from gateway.store.group import Unit
from gateway.store.sqlite_errors import translate
from gateway.store.sqlite_tx import SqliteTx

#: Random pauses of our own: the process's shared generator belongs to others (a test's seed).
_JITTER = random.SystemRandom()


class SqliteGround:
    """See :class:`gateway.store.batch.Ground`."""

    __slots__ = ("_connection", "_deadline")

    def __init__(self, connection: Connection, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline

    @property
    def open(self) -> bool:
        """True while there is a transaction."""
        return self._connection.in_transaction

    def begin(self) -> None:
        """Begin to write, waiting for a foreign writer until the deadline. Raises ``StorageError``."""
        insist(lambda: self._connection.execute("BEGIN IMMEDIATE"), self._deadline)

    def commit(self) -> None:
        """Make it durable. Raises ``StorageError``."""
        insist(lambda: self._connection.execute("COMMIT"), self._deadline)

    def roll_back(self) -> None:
        """Undo the transaction if one is open. Raises ``StorageError``."""
        if self._connection.in_transaction:
            try:
                self._connection.execute("ROLLBACK")
            except DriverError as error:
                raise translate(error) from error

    def run(self, unit: Unit) -> bool:
        """See :meth:`gateway.store.batch.Ground.run`."""
        before = self._connection.total_changes
        unit.error = None
        tx = SqliteTx(self._connection)
        try:
            unit.result = unit.fn(tx)
            unit.error = tx.broken
        except Exception as error:
            unit.error = error
        finally:
            tx.end()
        return unit.error is not None and (tx.wrote_schema or self._connection.total_changes != before)

    def lost(self, unit: Unit) -> bool:
        """True when SQLite has rolled back by itself, or the disk is full."""
        return isinstance(unit.error, StorageFull) or not self._connection.in_transaction

    def mark(self) -> None:
        """See :meth:`gateway.store.batch.Ground.mark`."""
        self._connection.execute("SAVEPOINT unit")

    def undo(self) -> None:
        """See :meth:`gateway.store.batch.Ground.undo`."""
        self._connection.execute("ROLLBACK TO unit")
        self._connection.execute("RELEASE unit")

    def keep(self) -> None:
        """See :meth:`gateway.store.batch.Ground.keep`."""
        self._connection.execute("RELEASE unit")


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
        time.sleep(_JITTER.uniform(0.0005, 0.005))
