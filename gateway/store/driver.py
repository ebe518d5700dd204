"""The SQLite library behind one small function, so that another (apsw, with a shim below it) can take its place.

``pysqlite3`` carries its own recent SQLite and is preferred: one build of the library for every program that opens the
file. SQLite 3.7.0 to 3.51.2 can corrupt a file that several processes use in WAL mode (the WAL-reset race, fixed in
3.51.3, 3.50.7 and 3.44.6); with such a version the store takes the ``TRUNCATE`` journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

try:
    import pysqlite3.dbapi2 as sqlite  # as sqlite-utils chooses, so that its tools and the store use one build
except ImportError:  # pragma: no cover  (other systems than Linux)
    import sqlite3 as sqlite

#: What the driver raises; apsw's connection must raise (a subclass of) the same.
DriverError: type[Exception] = sqlite.Error
VERSION: tuple[int, ...] = sqlite.sqlite_version_info


class Cursor(Protocol):
    """What the store needs of a cursor."""

    @property
    def rowcount(self) -> int: ...
    @property
    def description(self) -> Any: ...
    def fetchone(self) -> Any: ...
    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """What the store needs of a connection: in autocommit mode, rows by name, usable from any one thread at a time."""

    @property
    def in_transaction(self) -> bool: ...
    @property
    def total_changes(self) -> int: ...
    def execute(self, sql: str, params: Sequence[Any] = ..., /) -> Cursor: ...
    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Cursor: ...
    def close(self) -> None: ...


#: Opens a connection to the file; the settings of the store are applied by the store.
Connect = Callable[[Path], Connection]


def connect(path: Path) -> Connection:
    """A connection in autocommit mode (transactions are begun by hand), rows by name, a large statement cache."""
    connection: Any = sqlite.connect(
        str(path), timeout=0.1, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    connection.row_factory = sqlite.Row
    return connection  # type: ignore[no-any-return]


def wal_is_safe(version: tuple[int, ...]) -> bool:
    """True when this version of SQLite has the WAL-reset race fixed. A distribution's backport cannot be told."""
    if version >= (3, 51, 3):
        return True
    return version[:2] in ((3, 50), (3, 44)) and version[2] >= {50: 7, 44: 6}[version[1]]
