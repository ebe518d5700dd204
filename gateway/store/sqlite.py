"""SQLite behind the port: durable units in group commits, snapshots for readers.

Writers of one process form batches (:mod:`gateway.store.group`); between processes one file lock stands around each
write transaction, because SQLite's own busy handler starves writers. Each unit but the first of a batch has a
savepoint, so that one that fails does not harm the others. ``synchronous=FULL``: what ``tx`` has returned survives a
power cut.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.store import driver
from gateway.store.errors import StorageDown, StorageMisuse, StorageReadOnly
from gateway.store.forks import at_fork
from gateway.store.health import Health
from gateway.store.permission import unwritable
from gateway.store.port import Tx
from gateway.store.room import BALLAST_BYTES, LOW_WATER_BYTES, Room
from gateway.store.sqlite_errors import translate
from gateway.store.sqlite_tx import SqliteTx
from gateway.store.sqlite_writer import Writer

T = TypeVar("T")


class SqliteDatabase:
    """A database in one local file; see :class:`gateway.store.port.Database`.

    ``busy_seconds`` bounds every wait for a turn to write, ``low_water_bytes`` and ``ballast_bytes`` are those of
    :class:`gateway.store.room.Room`, ``connect`` opens a connection (see :mod:`gateway.store.driver`).
    """

    dialect = "sqlite"

    def __init__(
        self,
        path: str | Path,
        *,
        busy_seconds: float = 5.0,
        low_water_bytes: int = LOW_WATER_BYTES,
        ballast_bytes: int = BALLAST_BYTES,
        connect: driver.Connect = driver.connect,
    ) -> None:
        self.path = Path(path).absolute()
        self._room = Room(self.path, low_water_bytes, ballast_bytes)
        self._new_process: Callable[[], _Process] = lambda: _Process(self.path, connect, busy_seconds, self._room)
        self._process = self._new_process()
        at_fork(self)

    def tx(self, fn: Callable[[Tx], T]) -> T:
        """See :meth:`gateway.store.port.Database.tx`."""
        return self._process.writer.group.submit(fn)

    def read(self, fn: Callable[[Tx], T]) -> T:
        """See :meth:`gateway.store.port.Database.read`. Under a ``TRUNCATE`` journal readers and writers do wait."""
        try:
            return self._process.read(fn)
        except StorageReadOnly as error:
            if self.unwritable():
                raise
            raise StorageMisuse("a unit that only reads must not write") from error

    def storage_low(self) -> bool:
        """See :meth:`gateway.store.port.Database.storage_low`."""
        return self._room.low()

    def unwritable(self) -> str:
        """See :meth:`gateway.store.port.Database.unwritable`."""
        return unwritable(self.path)

    def health(self) -> Health:
        """See :meth:`gateway.store.port.Database.health`."""
        from gateway.store.sqlite_health import look

        return look(self.path, self._room, self.read, self._process.writer)

    def close(self) -> None:
        """See :meth:`gateway.store.port.Database.close`. The database opens again at the next unit.

        Raises ``StorageDown`` when its file was removed or replaced meanwhile; it says where what was in it is now.
        """
        self._process.close()

    def after_fork(self) -> object:
        """In the child: leave the parent's connections alone and begin anew; see :mod:`gateway.store.forks`."""
        parents = self._process
        parents.abandon()
        self._process = self._new_process()
        return parents


class _Process:
    """What one process has open: the writer, and readers that wait for their next use."""

    def __init__(self, path: Path, connect: driver.Connect, busy_seconds: float, room: Room) -> None:
        self.writer = Writer(path, connect, busy_seconds, room)
        self._path = path
        self._connect = connect
        self._busy_seconds = busy_seconds
        self._idle: list[driver.Connection] = []
        self.writer.dismiss = self._dismiss

    def read(self, fn: Callable[[Tx], T]) -> T:
        if self.writer.group.leads():
            raise StorageMisuse("a unit must not start another one")
        self._check()
        if self.writer.closed and not self.writer.read_only:
            self.writer.open()  # which finds out whether it may be written
        if not self.writer.read_only:
            return self._read(fn)
        with self.writer.alone:
            return self._read(fn)

    def _read(self, fn: Callable[[Tx], T]) -> T:
        epoch = self.writer.epoch
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            result = _snapshot(connection, fn)
        except BaseException:
            if connection.in_transaction:
                connection.close()
                raise
            self._put_back(connection, epoch)
            raise
        self._put_back(connection, epoch)
        return result

    def _check(self) -> None:
        try:
            self.writer.file.check()
        except StorageDown:
            self.writer.notice()
            raise

    def _put_back(self, connection: driver.Connection, epoch: int) -> None:
        """Keep it for the next; one that was opened without the right to write would keep others from having it."""
        if self.writer.read_only or epoch != self.writer.epoch:
            connection.close()
        else:
            self._idle.append(connection)

    def _dismiss(self) -> None:
        """Close those that wait."""
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return

    def _open(self) -> driver.Connection:
        self.writer.open()  # makes the file and its journal mode, once
        try:
            connection = self._connect(self._path)
        except driver.DriverError as error:
            raise translate(error) from error
        try:
            connection.execute(f"PRAGMA busy_timeout={int(self._busy_seconds * 1000)}")
            connection.execute("PRAGMA query_only=ON")
        except driver.DriverError as error:
            connection.close()
            raise translate(error) from error
        return connection

    def abandon(self) -> None:
        """In a child process: give up the lock's files, which would keep the parent's lock alive."""
        self.writer.abandon()

    def close(self) -> None:
        self._dismiss()
        self.writer.close()


def _snapshot(connection: driver.Connection, fn: Callable[[Tx], T]) -> T:
    try:
        connection.execute("BEGIN")
    except driver.DriverError as error:
        raise translate(error) from error
    tx = SqliteTx(connection)
    try:
        result = fn(tx)
    finally:
        tx.end()
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if tx.broken is not None:
        raise tx.broken
    return result
