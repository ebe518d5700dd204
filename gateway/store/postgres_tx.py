"""A transaction in progress on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NoReturn, cast

import psycopg

from gateway.store.errors import StorageError, StorageMisuse
from gateway.store.port import NONE, Params, Row
from gateway.store.postgres_errors import translate
from gateway.store.postgres_session import Session

_MANY = 10  # from so many rows on, sending them in one go is worth its machinery


class _Ended:
    """Stands in for the session and its statements once the unit has ended."""

    def refuse(self, *_: Any) -> NoReturn:
        raise StorageMisuse("this unit has ended; its transaction must not be kept")

    count = rows = many = refuse


_ENDED: Any = _Ended()


class PostgresTx:
    """See :class:`gateway.store.port.Tx`. ``broken`` is the store's first error, ``cause`` the server's.

    Once it has ended, ``wrote`` tells whether it may have changed something.
    """

    __slots__ = ("_session", "_statements", "broken", "cause", "wrote")
    dialect = "postgresql"

    def __init__(self, session: Session) -> None:
        self._session = session
        self._statements = session.statements
        self._statements.wrote = False
        self.broken: StorageError | None = None
        self.cause: psycopg.Error | None = None
        self.wrote = False

    def execute(self, sql: str, params: Params = NONE) -> int:
        """See :meth:`gateway.store.port.Tx.execute`."""
        try:
            return self._statements.count(sql, params)
        except psycopg.Error as error:
            raise self._break(error) from error

    def execute_many(self, sql: str, rows: Sequence[Params]) -> int:
        """See :meth:`gateway.store.port.Tx.execute_many`."""
        try:
            if len(rows) < _MANY:
                return sum(self._statements.count(sql, row) for row in rows)
            self.wrote = True
            return self._session.many(sql, rows)
        except psycopg.Error as error:
            raise self._break(error) from error

    def one(self, sql: str, params: Params = NONE) -> Row | None:
        """See :meth:`gateway.store.port.Tx.one`."""
        try:
            rows: list[Any] = self._statements.rows(sql, params, 1)
        except psycopg.Error as error:
            raise self._break(error) from error
        return rows[0] if rows else None

    def all(self, sql: str, params: Params = NONE) -> list[Row]:
        """See :meth:`gateway.store.port.Tx.all`."""
        try:
            return cast("list[Row]", self._statements.rows(sql, params))
        except psycopg.Error as error:
            raise self._break(error) from error

    def lock(self, name: str) -> None:
        """See :meth:`gateway.store.port.Tx.lock`: an advisory lock until the end, on 64 bits of its digest."""
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big", signed=True)
        self.one("SELECT pg_advisory_xact_lock(:key) AS locked", {"key": key})

    def end(self) -> None:
        """Cut the connection off."""
        self.wrote = self.wrote or self._statements.wrote
        self._session = self._statements = _ENDED

    def _break(self, error: psycopg.Error) -> StorageError:
        found = translate(error)
        if self.broken is None:
            self.broken, self.cause = found, error
        return found
