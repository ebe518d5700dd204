"""A transaction in progress on SQLite. Written to be lean: every statement of the gateway goes through it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, cast

from gateway.store.dialect import Translated, sqlite_statement
from gateway.store.driver import Connection, DriverError
from gateway.store.errors import StorageError, StorageMisuse
from gateway.store.port import NONE, Params, Row
from gateway.store.sqlite_errors import translate

_SQL = Translated(sqlite_statement)


class _Ended:
    """Stands in for the connection once the unit has ended, so that nothing is written outside a transaction."""

    def execute(self, *_: Any) -> NoReturn:
        raise StorageMisuse("this unit has ended; its transaction must not be kept")

    executemany = execute


_ENDED = cast(Connection, _Ended())


class SqliteTx:
    """See :class:`gateway.store.port.Tx`.

    ``broken`` holds the first error: a unit that had one cannot succeed. ``wrote_schema`` tells of statements whose
    changes SQLite does not count.
    """

    __slots__ = ("_connection", "broken", "wrote_schema")
    dialect = "sqlite"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.broken: StorageError | None = None
        self.wrote_schema = False

    def execute(self, sql: str, params: Params = NONE) -> int:
        """See :meth:`gateway.store.port.Tx.execute`."""
        try:
            text, values = _SQL[sql]
            cursor = self._connection.execute(text, values(params))
            if cursor.description is not None:
                return len(cursor.fetchall())
        except (DriverError, LookupError) as error:
            raise self._break(error) from error
        count = cursor.rowcount
        if count < 0:
            self.wrote_schema = True
            return 0
        return count

    def execute_many(self, sql: str, rows: Sequence[Params]) -> int:
        """See :meth:`gateway.store.port.Tx.execute_many`."""
        try:
            text, values = _SQL[sql]
            return max(0, self._connection.executemany(text, [values(row) for row in rows]).rowcount)
        except (DriverError, LookupError) as error:
            raise self._break(error) from error

    def one(self, sql: str, params: Params = NONE) -> Row | None:
        """See :meth:`gateway.store.port.Tx.one`."""
        try:
            text, values = _SQL[sql]
            return cast("Row | None", self._connection.execute(text, values(params)).fetchone())
        except (DriverError, LookupError) as error:
            raise self._break(error) from error

    def all(self, sql: str, params: Params = NONE) -> list[Row]:
        """See :meth:`gateway.store.port.Tx.all`."""
        try:
            text, values = _SQL[sql]
            return self._connection.execute(text, values(params)).fetchall()
        except (DriverError, LookupError) as error:
            raise self._break(error) from error

    def lock(self, name: str) -> None:
        """Nothing to do: SQLite has one writer at a time."""

    def end(self) -> None:
        """Cut the connection off."""
        self._connection = _ENDED

    def _break(self, error: Exception) -> StorageError:
        found = StorageMisuse(f"no value for :{error.args[0]}") if isinstance(error, LookupError) else translate(error)
        if self.broken is None:
            self.broken = found
        return found
