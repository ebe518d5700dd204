"""One connection to PostgreSQL, set up so that values come and go as they do on SQLite."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg.adapt import Loader
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.rows import dict_row
from psycopg.types.bool import BoolDumper
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import StrDumper


class _Int8Bool(BoolDumper):
    """A boolean goes as 0 or 1, as SQLite stores it."""

    oid = psycopg.adapters.types["int8"].oid

    def dump(self, obj: bool) -> bytes:
        return b"1" if obj else b"0"


class _BoolAsInt(Loader):
    """A boolean comes as 0 or 1."""

    def load(self, data: Any) -> int:
        return 1 if bytes(data) == b"t" else 0


class _NumericAsNumber(Loader):
    """A sum over BIGINT is NUMERIC on PostgreSQL: it comes as ``int``; with a fraction as ``float``, as on SQLite."""

    def load(self, data: Any) -> int | float:
        text = bytes(data)
        return int(text) if text.lstrip(b"-").isdigit() else float(text)


class Session:
    """A connection with the one cursor it uses all its life: making a cursor costs as much as a statement."""

    def __init__(self, url: str, busy_seconds: float) -> None:
        self.connection: psycopg.Connection[dict[str, Any]] = psycopg.connect(
            url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=max(2, int(busy_seconds)),
            prepare_threshold=2,
            application_name="o2o-gateway",
            options=_options(busy_seconds),
        )
        self.connection.prepared_max = 500
        adapters = self.connection.adapters
        adapters.register_dumper(int, Int8Dumper)  # always 8 bytes: one prepared statement whatever the value
        adapters.register_dumper(bool, _Int8Bool)
        adapters.register_dumper(str, StrDumper)  # typed as text, not unknown
        adapters.register_loader("bool", _BoolAsInt)
        adapters.register_loader("numeric", _NumericAsNumber)
        self.cursor = self.connection.cursor()

    def control(self, command: bytes) -> None:
        """Send BEGIN, COMMIT or ROLLBACK, past the machinery for results. Raises ``psycopg.Error``."""
        pgconn = self.connection.pgconn
        result = pgconn.exec_(command)
        if result.status == ExecStatus.COMMAND_OK:
            return
        error = psycopg.errors.error_from_result(result)
        if error.sqlstate is None:  # the server said nothing: the connection broke
            raise psycopg.OperationalError(pgconn.get_error_message())
        raise error

    def settle(self) -> bool:
        """End whatever transaction is left open; False when the connection is of no more use."""
        pgconn = self.connection.pgconn
        if pgconn.transaction_status in (TransactionStatus.INTRANS, TransactionStatus.INERROR):
            try:
                self.control(b"ROLLBACK")
            except psycopg.Error:
                return False
        return pgconn.transaction_status == TransactionStatus.IDLE

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _options(busy_seconds: float) -> str:
    settings = {
        "lock_timeout": int(busy_seconds * 1000),
        "synchronous_commit": "on",
        "idle_in_transaction_session_timeout": 60_000,
        "client_min_messages": "warning",
        "timezone": "UTC",
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())
