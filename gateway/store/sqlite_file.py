"""Whether the file under the path is still the one that was opened.

A program that has a file open goes on writing to it when it is deleted, moved away or replaced, and nothing tells it:
what it acknowledges from then on is gone with the file. Two looks at the path around each commit cost microseconds.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.store.errors import StorageDown

_Identity = tuple[int, int]


class OpenFile:
    """The database at ``path`` and its WAL, as this process first saw them."""

    __slots__ = ("_database", "_known", "_wal", "_wal_known", "wal_bytes")

    def __init__(self, path: Path) -> None:
        self._database, self._wal = str(path), f"{path}-wal"
        self._known: _Identity | None = None
        self._wal_known: _Identity | None = None
        self.wal_bytes = 0  # how long the WAL was when it was looked at last

    def opened(self) -> None:
        """A connection was opened: from now on it is this file."""
        self._known = self._known or _identity(self._database)

    def dropped(self) -> None:
        """The writer's connection was closed: there may be another WAL next time."""
        self._wal_known = None

    def forget(self) -> None:
        """All was closed: whatever lies there next time is right."""
        self._known = self._wal_known = None

    def check(self) -> None:
        """Raises ``StorageDown`` if the database or its WAL is not under its path any more."""
        known = self._wal_known
        if self.database_gone:
            raise StorageDown(_GONE.format(self._database))
        if known is not None and _identity(self._wal) != known:
            raise StorageDown(_GONE.format(self._wal))

    def check_all(self) -> None:
        """The same, and remember the WAL. Only under the writer's turn, with its connection open."""
        if self.database_gone:
            raise StorageDown(_GONE.format(self._database))
        found = _stat(self._wal)
        now = None if found is None else (found.st_dev, found.st_ino)
        if self._wal_known is not None and now != self._wal_known:
            raise StorageDown(_GONE.format(self._wal))
        self._wal_known, self.wal_bytes = now, 0 if found is None else found.st_size

    @property
    def database_gone(self) -> bool:
        """Whether it is the database that is not under its path any more, and not the WAL alone."""
        return self._known is not None and _identity(self._database) != self._known

    @property
    def number(self) -> int:
        """What tells the file that was opened from others of its file system."""
        return 0 if self._known is None else self._known[1]

    def there(self) -> bool:
        """Whether both are where they were. As :meth:`check_all`."""
        try:
            self.check_all()
        except StorageDown:
            return False
        return True


_GONE = "{} was removed or replaced while in use: put the same file back, or stop the gateway and start it again"


def _identity(path: str) -> _Identity | None:
    found = _stat(path)
    return None if found is None else (found.st_dev, found.st_ino)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - twice as fast as Path.stat, at each commit
    except OSError:
        return None
