"""The one writing connection of a process: batches of units, each made durable by one commit."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gateway.store import driver
from gateway.store.batch import Runner
from gateway.store.errors import (
    StorageBusy,
    StorageDown,
    StorageError,
    StorageFull,
    StorageReadOnly,
    StorageUnknown,
)
from gateway.store.filelock import TurnLock
from gateway.store.group import Batch, Group, Unit
from gateway.store.permission import unwritable
from gateway.store.rescue import checkpointed, copied, copies
from gateway.store.room import Room
from gateway.store.sqlite_errors import translate
from gateway.store.sqlite_file import OpenFile
from gateway.store.sqlite_ground import SqliteGround, insist

log = logging.getLogger("gateway.store")

#: To this length the WAL is cut when it begins anew. Beyond the second one it is made to begin anew: readers that
#: overlap at all times keep it from doing so by itself.
_WAL_LIMIT_BYTES, WAL_MOST_BYTES = 32 * 1024 * 1024, 40 * 1024 * 1024
#: How long to leave readers alone that did not end in time for that, in seconds.
_RESTART_PAUSE_SECONDS = 0.25
#: So many pages of 4 KiB are written before they go into the database file: a page that many write goes there once.
_CHECKPOINT_PAGES = 4000
#: For how long health tells of a write that failed, in seconds, unless one has succeeded since.
_LATELY_SECONDS = 10.0


class Writer:
    """Commits the batches of its :class:`Group`. Opened at the first batch, and anew after the disk has failed."""

    def __init__(self, path: Path, connect: driver.Connect, busy_seconds: float, room: Room) -> None:
        self.journal_mode = ""
        self.read_only = False  # opened without the right to write: so it stays, however soon that is given back
        self.epoch = 0  # how often the connection was given up: what others opened before that must go too
        #: Held by each reader while ``read_only``: its shared memory has no right to write either, and one that is open
        #: hands that on to all who open after it.
        self.alone = threading.Lock()
        self.dismiss: Callable[[], None] = lambda: None  # closes readers that wait for their next use
        self.file = OpenFile(path)
        self.group = Group(self._commit, busy_seconds)
        self._path = path
        self._connect = connect
        self._busy_seconds = busy_seconds
        self._room = room
        self._connection: driver.Connection | None = None
        self._turn: TurnLock | None = None
        self._opening = threading.Lock()
        self._runner = Runner()
        self._trouble: tuple[float, StorageError] | None = None
        self._saved = False  # the WAL's file is gone, and what was in it is in the database
        self._restart_at = 0.0

    @property
    def closed(self) -> bool:
        """Whether the next use opens the file."""
        return self._connection is None

    def trouble(self) -> str:
        """Why the last writes failed, if they did so lately; else nothing."""
        if self._trouble is None or time.monotonic() - self._trouble[0] > _LATELY_SECONDS:
            return ""
        return f"it cannot be written: {self._trouble[1]}"

    # -- opening and closing

    def open(self) -> None:
        """Open the file in its journal mode unless that is done. Raises ``StorageError``."""
        with self._opening:
            if self._connection is not None:
                return
            self.file.check()  # another file that lies there now must not be taken for ours
            turn = self._turn = self._turn or _turn_lock(self._path)
            deadline = time.monotonic() + self._busy_seconds
            turn.acquire(deadline)
            try:
                self._must_be_there(turn)
                self.read_only = bool(unwritable(self._path))
                self._connection = self._prepare(deadline)
                self.file.opened()
                self.file.check_all()  # from now on this is its WAL, also for one that has only read
                turn.mark()
            finally:
                turn.release()
        self._room.take_ballast()

    def _must_be_there(self, turn: TurnLock) -> None:
        """A database that was here and is gone is not begun anew: what it had acknowledged would be forgotten."""
        if self._path.exists() or not turn.used:
            return
        found = copies(self._path)
        what = f"rename {found[-1]}, which holds all of it," if found else "put it back, or a backup of it,"
        raise StorageDown(f"{self._path} is gone: {what} or remove {self._path}.lock too to begin with an empty one")

    def _prepare(self, deadline: float) -> driver.Connection:
        mode = "WAL" if driver.wal_is_safe(driver.VERSION) else "TRUNCATE"
        try:
            connection = self._connect(self._path)
        except driver.DriverError as error:
            raise translate(error) from error
        try:
            insist(lambda: self._set_mode(connection, mode), deadline)
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_LIMIT_BYTES}")
            connection.execute("PRAGMA cache_size=-16000")
            connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        except (driver.DriverError, StorageError) as error:
            connection.close()
            raise (error if isinstance(error, StorageError) else translate(error)) from error
        return connection

    def _set_mode(self, connection: driver.Connection, mode: str) -> None:
        self.journal_mode = connection.execute(f"PRAGMA journal_mode={mode}").fetchone()[0]

    def close(self) -> None:
        """Close the connection and the lock. Raises ``StorageDown`` when what it had open is not under its path."""
        with self._opening:
            try:
                self._rescue()
            finally:
                self._drop()
                if self._turn is not None:
                    self._turn.close()
                    self._turn = None
                self.file.forget()

    def _rescue(self) -> None:
        """What was acknowledged must not go with a file that is gone. Raises ``StorageDown`` that says where it is."""
        if self._connection is None or self.file.there():
            return
        if not self.file.database_gone and checkpointed(self._connection):
            if not self._saved:
                log.error(_WAL_SAVED, self._path)
            return
        try:
            copy = copied(self._connection, self._path, self.file.number)
        except StorageDown as error:
            raise StorageDown(f"{self._path} was removed or replaced while in use, and {error}") from error
        raise StorageDown(f"{self._path} was removed or replaced while in use: all that was acknowledged is in {copy}")

    def notice(self) -> None:
        """A reader has found a file gone: whoever may write does what can be done about it."""
        if not self._saved and self._connection is not None and not self.file.database_gone:
            with suppress(StorageError):
                self.group.submit(lambda _: None)

    def _save_wal(self) -> None:
        """A WAL that is gone is written into the database at once: nobody knows how this process will end."""
        if self._connection is None or self._saved or self.file.there() or self.file.database_gone:
            return
        self._saved = checkpointed(self._connection, 0)
        if self._saved:
            log.error(_WAL_SAVED, self._path)

    def abandon(self) -> None:
        """After ``fork``, in the child: close the lock's files only."""
        if self._turn is not None:
            self._turn.close()

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(driver.DriverError):
                self._connection.close()
            self._connection = None
            self._saved = False
            self.file.dropped()

    # -- committing a batch

    def _commit(self, batch: Batch) -> None:
        try:
            if self.read_only and not unwritable(self._path):
                with self.alone:
                    self._reopen()
                    self.open()
            if self._connection is None:
                self.open()
            turn, connection = self._turn, self._connection
            assert turn is not None and connection is not None
            turn.acquire(batch.deadline)
            try:
                self.file.check_all()
                self._transact(SqliteGround(connection, batch.deadline), batch)
                self._still_there(batch)
                if self.file.wal_bytes > WAL_MOST_BYTES:
                    self._restart_wal(connection)
            finally:
                turn.release()
        except StorageError as error:
            batch.fail(error)
            self._save_wal()
        self._look_back(batch)

    def _still_there(self, batch: Batch) -> None:
        """What was committed into a file that is gone does not stand."""
        try:
            self.file.check_all()
        except StorageDown as error:
            batch.fail(StorageUnknown(f"while committing: {error}"))

    def _restart_wal(self, connection: driver.Connection) -> None:
        """Write the WAL into the database and wait for its readers, a tenth of a second at most (``busy_timeout``)."""
        if time.monotonic() < self._restart_at:
            return
        with suppress(driver.DriverError):
            connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        self._restart_at = time.monotonic() + _RESTART_PAUSE_SECONDS

    def _look_back(self, batch: Batch) -> None:
        """Remember the trouble for health; a connection whose disk has failed is opened anew.

        One whose file was taken away is kept: that may come back, and beside a new WAL there must be no old one.
        """
        troubles = [unit.error for unit in batch.units if isinstance(unit.error, _TROUBLE)]
        self._trouble = (time.monotonic(), troubles[0]) if troubles else None
        if any(isinstance(error, StorageDown) for error in troubles) and self.file.there():
            self._reopen(any(isinstance(error, StorageReadOnly) for error in troubles))

    def _reopen(self, read_only: bool = False) -> None:
        """Close the connection: the next use opens another; until then readers do as ``read_only`` says."""
        with self._opening:
            self.epoch += 1
            self._drop()
            self.dismiss()
            self.read_only = read_only

    def _transact(self, ground: SqliteGround, batch: Batch) -> None:
        """Run and commit the units together; when that fails as a whole each alone, so that none harms another."""
        try:
            together = self._runner.run(ground, batch) and _try_commit(ground, batch)
        except driver.DriverError:  # a savepoint failed
            together = False
        finally:
            ground.roll_back()
        if not together:
            batch.committing = True  # from here on some may stand and others not
            for unit in batch.units:
                self._alone(ground, unit)

    def _alone(self, ground: SqliteGround, unit: Unit) -> None:
        _attempt(ground, unit)
        if isinstance(unit.error, StorageFull) and self._room.throw_ballast():
            _attempt(ground, unit)


def _try_commit(ground: SqliteGround, batch: Batch) -> bool:
    """Commit; False when that failed and nothing stands. A failure of the disk leaves the outcome unknown."""
    if not ground.open:
        return True
    batch.committing = True
    try:
        ground.commit()
    except StorageDown as error:
        batch.fail(StorageUnknown(f"while committing: {error}"))
    except StorageError:
        return False
    return True


def _attempt(ground: SqliteGround, unit: Unit) -> None:
    """Run and commit one unit in a transaction of its own; its error is kept in the unit."""
    committing = False
    try:
        ground.begin()
        ground.run(unit)
        if unit.error is None:
            committing = True
            ground.commit()
        ground.roll_back()
    except StorageDown as error:
        unit.error = StorageUnknown(f"while committing: {error}") if committing else error
    except StorageError as error:
        unit.error = error
    finally:
        with suppress(StorageError):
            ground.roll_back()


def _turn_lock(path: Path) -> TurnLock:
    try:
        return TurnLock(path)
    except OSError as error:
        raise _BY_ERRNO.get(error.errno or 0, StorageDown)(f"{path.parent}: {error.strerror}") from error


_WAL_SAVED = "the WAL of %s was removed or replaced while in use: all that was in it is in the database now"
_TROUBLE = (StorageBusy, StorageDown, StorageFull)
_BY_ERRNO: dict[int, type[StorageError]] = {
    errno.ENOSPC: StorageFull,
    errno.EDQUOT: StorageFull,
    errno.EROFS: StorageReadOnly,
    errno.EACCES: StorageReadOnly,
    errno.EPERM: StorageReadOnly,
}
