"""A transaction in progress on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NoReturn, cast

import psycopg

from gateway.store.dialect import Translated, postgres_sql
from gateway.store.errors import StorageError, StorageMisuse
from gateway.store.port import NONE, Params, Row
from gateway.store.postgres_errors import translate

_SQL = Translated(postgres_sql)


class _Ended:
    """Stands in for the cursor once the unit has ended."""

    def execute(self, *_: Any) -> NoReturn:
        raise StorageMisuse("this unit has ended; its transaction must not be kept")

    executemany = execute


_ENDED: Any = _Ended()


class PostgresTx:
    """See :class:`gateway.store.port.Tx`. ``broken`` is the store's first error, ``cause`` the server's."""

    __slots__ = ("_cursor", "broken", "cause")
    dialect = "postgresql"

    def __init__(self, cursor: psycopg.Cursor[dict[str, Any]]) -> None:
        self._cursor: Any = cursor
        self.broken: StorageError | None = None
        self.cause: psycopg.Error | None = None

    def execute(self, sql: str, params: Params = NONE) -> int:
        """See :meth:`gateway.store.port.Tx.execute`."""
        try:
            self._cursor.execute(_SQL[sql], params)
        except psycopg.Error as error:
            raise self._break(error) from error
        count: int = self._cursor.rowcount
        return max(0, count)

    def execute_many(self, sql: str, rows: Sequence[Params]) -> int:
        """See :meth:`gateway.store.port.Tx.execute_many`."""
        try:
            self._cursor.executemany(_SQL[sql], rows)
        except psycopg.Error as error:
            raise self._break(error) from error
        return max(0, self._cursor.rowcount) if rows else 0

    def one(self, sql: str, params: Params = NONE) -> Row | None:
        """See :meth:`gateway.store.port.Tx.one`."""
        try:
            return cast("Row | None", self._cursor.execute(_SQL[sql], params).fetchone())
        except psycopg.Error as error:
            raise self._break(error) from error

    def all(self, sql: str, params: Params = NONE) -> list[Row]:
        """See :meth:`gateway.store.port.Tx.all`."""
        try:
            return cast("list[Row]", self._cursor.execute(_SQL[sql], params).fetchall())
        except psycopg.Error as error:
            raise self._break(error) from error

    def lock(self, name: str) -> None:
        """See :meth:`gateway.store.port.Tx.lock`: an advisory lock until the end, on 64 bits of its digest."""
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        self.one("SELECT pg_advisory_xact_lock(:key) AS locked", {"key": key})

    def end(self) -> None:
        """Cut the cursor off."""
        self._cursor = _ENDED

    def _break(self, error: psycopg.Error) -> StorageError:
        found = translate(error)
        if self.broken is None:
            self.broken, self.cause = found, error
        return found
