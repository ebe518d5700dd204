"""The one writing connection of a process: batches of units, each made durable by one commit."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.store import driver
from gateway.store.errors import StorageBusy, StorageDown, StorageError, StorageFull, StorageReadOnly, StorageUnknown
from gateway.store.filelock import TurnLock
from gateway.store.group import Batch, Group, Unit
from gateway.store.room import Room
from gateway.store.sqlite_errors import translate
from gateway.store.sqlite_tx import SqliteTx

_WAL_LIMIT_BYTES = 64 * 1024 * 1024


class Writer:
    """Commits the batches of its :class:`Group`. Opened at the first batch, and anew after the disk has failed."""

    def __init__(self, path: Path, connect: driver.Connect, busy_seconds: float, room: Room) -> None:
        self.group = Group(self._commit, busy_seconds)
        self._path = path
        self._connect = connect
        self._busy_seconds = busy_seconds
        self._room = room
        self._connection: driver.Connection | None = None
        self._turn: TurnLock | None = None
        self._opening = threading.Lock()

    # -- opening and closing

    def open(self) -> None:
        """Open the file in its journal mode unless that is done. Raises ``StorageError``."""
        with self._opening:
            if self._connection is not None:
                return
            turn = self._turn = self._turn or _turn_lock(self._path)
            deadline = time.monotonic() + self._busy_seconds
            turn.acquire(deadline)
            try:
                self._connection = self._prepare(deadline)
            finally:
                turn.release()
        self._room.take_ballast()

    def _prepare(self, deadline: float) -> driver.Connection:
        mode = "WAL" if driver.wal_is_safe(driver.VERSION) else "TRUNCATE"
        try:
            connection = self._connect(self._path)
        except driver.DriverError as error:
            raise translate(error) from error
        try:
            with suppress(StorageReadOnly):  # it can still be read
                _insist(lambda: connection.execute(f"PRAGMA journal_mode={mode}").fetchone(), deadline)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
            connection.execute("PRAGMA cache_size=-16000")
        except (driver.DriverError, StorageError) as error:
            connection.close()
            raise (error if isinstance(error, StorageError) else translate(error)) from error
        return connection

    def close(self) -> None:
        """Close the connection and the lock."""
        with self._opening:
            self._drop()
            if self._turn is not None:
                self._turn.close()
                self._turn = None

    def abandon(self) -> None:
        """After ``fork``, in the child: close the lock's files only."""
        if self._turn is not None:
            self._turn.close()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(driver.DriverError):
                self._connection.close()
            self._connection = None

    # -- committing a batch

    def _commit(self, batch: Batch) -> None:
        try:
            if self._connection is None:
                self.open()
            turn = self._turn
            assert turn is not None and self._connection is not None
            turn.acquire(batch.deadline)
            try:
                self._transact(self._connection, batch)
            finally:
                turn.release()
        except StorageError as error:
            batch.units[0].error = error
        if any(isinstance(unit.error, StorageDown) for unit in batch.units):
            with self._opening:
                self._drop()

    def _transact(self, connection: driver.Connection, batch: Batch) -> None:
        """Run and commit the units; when the batch as a whole fails, each alone, so that none suffers for another."""
        try:
            _insist(lambda: connection.execute("BEGIN IMMEDIATE"), batch.deadline)
            whole = _run_batch(connection, batch) and _try_commit(connection, batch)
        finally:
            _roll_back(connection)
        if not whole:
            batch.committing = True  # from here on some may stand and others not
            for unit in batch.units:
                self._alone(connection, unit, batch.deadline)

    def _alone(self, connection: driver.Connection, unit: Unit, deadline: float) -> None:
        _attempt(connection, unit, deadline)
        if isinstance(unit.error, StorageFull) and self._room.throw_ballast():
            _attempt(connection, unit, deadline)


def _run_batch(connection: driver.Connection, batch: Batch) -> bool:
    """Run the units in the open transaction; False when SQLite gave it up or found the disk full."""
    try:
        _run(connection, batch.units[0])
        if batch.units[0].error is not None:
            if _lost(connection, batch.units[0]):
                return False
            connection.execute("ROLLBACK")  # nothing else is in it yet
        while (unit := batch.take()) is not None:
            if not connection.in_transaction:
                _insist(lambda: connection.execute("BEGIN IMMEDIATE"), batch.deadline)
            if not _run_apart(connection, unit):
                return False
    except (driver.DriverError, StorageBusy):
        return False
    return True


def _run_apart(connection: driver.Connection, unit: Unit) -> bool:
    """Run the unit inside a savepoint and undo it if it fails; False when the whole transaction is lost."""
    connection.execute("SAVEPOINT unit")
    _run(connection, unit)
    if unit.error is not None:
        if _lost(connection, unit):
            return False
        connection.execute("ROLLBACK TO unit")
    connection.execute("RELEASE unit")
    return True


def _run(connection: driver.Connection, unit: Unit) -> None:
    unit.error = None
    tx = SqliteTx(connection)
    try:
        unit.result = unit.fn(tx)
        unit.error = tx.broken
    except Exception as error:
        unit.error = error
    finally:
        tx.end()


def _lost(connection: driver.Connection, unit: Unit) -> bool:
    return isinstance(unit.error, StorageFull) or not connection.in_transaction


def _try_commit(connection: driver.Connection, batch: Batch) -> bool:
    """Commit; False when that failed and nothing stands. A failure of the disk leaves the outcome unknown."""
    if not connection.in_transaction:
        return True
    batch.committing = True
    try:
        _insist(lambda: connection.execute("COMMIT"), batch.deadline)
    except StorageDown as error:
        _fail_all(batch, StorageUnknown(f"while committing: {error}"))
    except StorageError as error:
        batch.committing = False
        if len(batch.units) > 1:
            return False
        batch.units[0].error = error
        return not isinstance(error, StorageFull)
    return True


def _fail_all(batch: Batch, error: StorageError) -> None:
    for unit in batch.units:
        unit.error = unit.error or error


def _attempt(connection: driver.Connection, unit: Unit, deadline: float) -> None:
    """Run and commit one unit in a transaction of its own; its error is kept in the unit."""
    committing = False
    try:
        _insist(lambda: connection.execute("BEGIN IMMEDIATE"), deadline)
        _run(connection, unit)
        if unit.error is None:
            committing = True
            _insist(lambda: connection.execute("COMMIT"), deadline)
    except StorageDown as error:
        unit.error = StorageUnknown(f"while committing: {error}") if committing else error
    except StorageError as error:
        unit.error = error
    finally:
        _roll_back(connection)


def _roll_back(connection: driver.Connection) -> None:
    if connection.in_transaction:
        with suppress(driver.DriverError):
            connection.execute("ROLLBACK")


def _insist(statement: Callable[[], object], deadline: float) -> None:
    """Run a statement until it is not refused as busy. Raises ``StorageError``; ``StorageBusy`` at the deadline."""
    while True:
        try:
            statement()
            return
        except driver.DriverError as error:
            found = translate(error)
            if not isinstance(found, StorageBusy) or time.monotonic() >= deadline:
                raise found from error
        time.sleep(random.uniform(0.0005, 0.005))  # noqa: S311  (jitter, not a secret)


def _turn_lock(path: Path) -> TurnLock:
    try:
        return TurnLock(path)
    except OSError as error:
        raise _BY_ERRNO.get(error.errno or 0, StorageDown)(f"{path.parent}: {error.strerror}") from error


_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
    errno.EROFS: StorageReadOnly,
    errno.EACCES: StorageReadOnly,
    errno.EPERM: StorageReadOnly,
}
