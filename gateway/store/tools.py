"""The database file in the hands of sqlite-utils, for tools: tables, counts, exports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.store import driver

if TYPE_CHECKING:
    import sqlite_utils


def sqlite_tools(path: str | Path, *, busy_seconds: float = 5.0, read_only: bool = True) -> sqlite_utils.Database:
    """A ``sqlite_utils.Database`` on the file, by the library build that the gateway itself uses.

    Plugins of sqlite-utils are not run. With ``read_only=False`` what it writes does not queue up with the gateway's
    writers: keep its transactions short, or stop the gateway. The caller closes it.
    """
    from sqlite_utils import Database  # takes 83 ms to import: only tools pay for it

    if not Path(path).exists():  # sqlite-utils would make an empty one
        raise FileNotFoundError(path)
    connection: Any = driver.connect(Path(path))
    connection.execute(f"PRAGMA busy_timeout={int(busy_seconds * 1000)}")
    connection.execute("PRAGMA foreign_keys=ON")
    if read_only:
        connection.execute("PRAGMA query_only=ON")
    return Database(connection, execute_plugins=False)
