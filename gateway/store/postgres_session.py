"""One connection to PostgreSQL, set up so that values come and go as they do on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.types.bool import BoolDumper
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper

from gateway.store.dialect import Translated, postgres_sql
from gateway.store.postgres_statement import Statements, failure

_SQL = Translated(postgres_sql)


class _Int8Bool(BoolDumper):
    """A boolean goes as 0 or 1, as SQLite stores it."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


#: Beyond so many prepared statements (lists of varying length make many) a connection is replaced.
_MOST_STATEMENTS = 2000


class Session:
    """A connection with its prepared statements; ``opened_after`` so many closings of its pool."""

    def __init__(self, url: str, busy_seconds: float, opened_after: int = 0) -> None:
        self.opened_after = opened_after
        self.connection: psycopg.Connection[Any] = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=max(2, int(busy_seconds)),
            application_name="o2o-gateway",
            options=_options(busy_seconds),
            **_KEEPALIVE,
        )
        self._pgconn = self.connection.pgconn
        self.statements = Statements(self._pgconn)
        self._many: psycopg.Cursor[Any] | None = None

    def many(self, sql: str, rows: Sequence[Mapping[str, Any]]) -> int:
        """Run one statement for many rows, sent in one go; how many rows it touched. Raises ``psycopg.Error``."""
        if self._many is None:
            self._many = _cursor(self.connection)
        self._many.executemany(_SQL[sql], rows)  # type: ignore[arg-type, unused-ignore]
        return self._many.rowcount

    def control(self, command: bytes) -> None:
        """Send BEGIN, COMMIT, ROLLBACK or the like, past the machinery for results. Raises ``psycopg.Error``."""
        result = self._pgconn.exec_(command)
        if result.status not in (ExecStatus.COMMAND_OK, ExecStatus.TUPLES_OK):
            raise failure(self._pgconn, result)

    @property
    def in_transaction(self) -> bool:
        """True between BEGIN and its end."""
        return self._pgconn.transaction_status != TransactionStatus.IDLE

    def settle(self) -> bool:
        """End whatever transaction is left open; False when the connection is of no more use."""
        pgconn = self._pgconn
        if pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                self.control(b"ROLLBACK")
            except psycopg.Error:
                return False
        return pgconn.transaction_status == TransactionStatus.IDLE and len(self.statements) < _MOST_STATEMENTS

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


#: A server that vanishes without a word is noticed within half a minute.
_KEEPALIVE: dict[str, Any] = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_KEEPALIVE["tcp_user_timeout"] = 25_000


def _cursor(connection: psycopg.Connection[Any]) -> psycopg.Cursor[Any]:
    """A cursor that writes values as :mod:`gateway.store.postgres_statement` does; its statements are not kept."""
    connection.prepare_threshold = None
    connection.adapters.register_dumper(int, Int8Dumper)
    connection.adapters.register_dumper(bool, _Int8Bool)
    connection.adapters.register_dumper(str, StrDumper)
    return connection.cursor()


def _options(busy_seconds: float) -> str:
    settings = {
        "lock_timeout": int(busy_seconds * 1000),
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": 60_000,
        "client_min_messages": "warning",
        "timezone": "UTC",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
