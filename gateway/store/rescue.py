"""Saving what is in a database or a WAL whose file is not under its path any more, while a program has it open.

A deleted file lives until the last program that has it open closes it, and with it everything acknowledged. A WAL that
is gone is written into the database; of a database that is gone a whole copy is made beside its path.
"""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from gateway.store.driver import Connection, DriverError
from gateway.store.errors import StorageDown
from gateway.store.sqlite_errors import translate

#: How long to wait for readers that keep the WAL from being written into the database, in seconds.
PATIENCE_SECONDS = 5.0
_ENDING = ".rescued-"


def checkpointed(connection: Connection, patience_seconds: float = PATIENCE_SECONDS) -> bool:
    """Write all of the WAL into the database, durably; whether that was done. Idempotent."""
    deadline = time.monotonic() + patience_seconds
    while True:
        try:
            busy, length, done = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()[0]
        except DriverError:
            return False
        if not busy and length == done:
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)


def copied(connection: Connection, path: Path, number: int) -> Path:
    """Make a whole copy of the database that is open beside ``path``; the file. ``number`` tells it from others.

    Several processes may do this at once: their copies are the same. Raises ``StorageDown`` if it could not be made.
    """
    target = path.with_name(f"{path.name}{_ENDING}{number}")
    temporary = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        temporary.unlink(missing_ok=True)
        connection.execute("VACUUM INTO ?", (str(temporary),)).fetchall()
        _synced(temporary)
        temporary.replace(target)
        _synced(path.parent)
    except (DriverError, OSError) as error:
        text = error.strerror if isinstance(error, OSError) else translate(error)
        raise StorageDown(f"no copy of it could be made: {text}") from error
    return target


def copies(path: Path) -> list[Path]:
    """The copies that were made of the database that lay at ``path``, the newest last."""
    whole = re.compile(re.escape(f"{path.name}{_ENDING}") + "[0-9]+")
    found = [file for file in path.parent.iterdir() if whole.fullmatch(file.name)]
    return sorted(found, key=lambda file: file.stat().st_mtime)


def _synced(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
