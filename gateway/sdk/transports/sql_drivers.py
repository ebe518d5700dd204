"""The databases: SQLite, PostgreSQL (extra ``postgres``), MySQL and MariaDB (``mysql``), SQL Server (``mssql``).

SQL Server is unproved: nothing of it runs on the machines that these tests run on.
"""

from __future__ import annotations

import os
import socket
import sqlite3
import threading
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.domain.common import Secret
from gateway.sdk.optional import load
from gateway.sdk.transports.sql import Driver

#: What every library may raise beside its own: the network, time that ran out, an answer that does not decode.
_COMMON = (OSError, ValueError, UnicodeError)


def sqlite(path: Path, *, raw_text: bool = False) -> Driver:
    """An SQLite file; it is never created. ``raw_text`` gives text as bytes, for ``Database(encoding=…)``."""

    def connect(seconds: float, read_only: bool) -> sqlite3.Connection:
        address = f"{path.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
        connection = sqlite3.connect(address, uri=True, timeout=seconds, isolation_level=None)
        try:
            if raw_text:
                connection.text_factory = bytes
            connection.execute("BEGIN" if read_only else "BEGIN IMMEDIATE")
        except BaseException:
            connection.close()
            raise
        return connection

    def limit(connection: sqlite3.Connection, seconds: float) -> None:
        until = time.monotonic() + seconds
        connection.set_progress_handler(lambda: time.monotonic() > until, 10_000)

    return Driver(
        name=f"SQLite {path.name}",
        open=connect,
        limit=limit,
        failures=lambda: (sqlite3.Error, sqlite3.Warning, *_COMMON),
        # A commit that found the file busy, or a constraint broken, is still open and goes with the connection.
        refused=lambda error: _sqlite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CONSTRAINT),
        wrong=lambda error: (
            _sqlite_code(error)
            in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_AUTH)
        ),
        duplicate=lambda error: (
            getattr(error, "sqlite_errorcode", 0)
            in (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
        ),
        named=":{}",
    )


def _sqlite_code(error: BaseException) -> int:
    """The primary result code; the extended ones keep it in their lowest byte."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF


def postgres(conninfo: str, password: Secret | None = None) -> Driver:
    """PostgreSQL by psycopg. ``conninfo`` is libpq's, without the password."""

    def connect(seconds: float, read_only: bool) -> Any:
        psycopg = load("psycopg", "postgres")
        secret = {"password": password.reveal()} if password else {}
        connection = psycopg.connect(
            conninfo,
            autocommit=True,
            connect_timeout=max(2, int(seconds)),  # libpq knows whole seconds, at least two
            tcp_user_timeout=max(1000, int(seconds * 1000)),
            options="-c lock_timeout=0",
            **secret,
        )
        _hang_up_after(connection, seconds)
        connection.execute("BEGIN READ ONLY" if read_only else "BEGIN")
        return connection

    def limit(connection: Any, seconds: float) -> None:
        connection.execute(f"SET LOCAL statement_timeout = {max(1, int(seconds * 1000))}")

    return Driver(
        name="PostgreSQL",
        open=connect,
        limit=limit,
        failures=lambda: (load("psycopg", "postgres").Error, load("psycopg", "postgres").Warning, *_COMMON),
        refused=lambda error: _state(error)[:2] == "23" or _state(error) in ("40001", "40P01", "40002"),
        wrong=lambda error: (
            _state(error)[:2] in ("28", "3D", "42")
            or "authentication failed" in str(error)
            or "does not exist" in str(error)
        ),
        duplicate=lambda error: _state(error) == "23505",
    )


def _state(error: BaseException) -> str:
    return str(getattr(error, "sqlstate", None) or "")


def _hang_up_after(connection: Any, seconds: float, grace: float = 0.5) -> None:
    """End a connection whose server has stopped answering: libpq itself would wait for ever."""
    line = socket.socket(fileno=os.dup(connection.fileno()))

    def hang_up() -> None:
        with suppress(OSError):
            line.shutdown(socket.SHUT_RDWR)
        line.close()

    timer = threading.Timer(seconds + grace, hang_up)
    timer.daemon = True
    timer.start()
    end = connection.close

    def close() -> None:
        timer.cancel()
        with suppress(OSError):
            line.close()
        end()

    connection.close = close


def mysql(
    host: str,
    database: str,
    user: str,
    password: Secret,
    *,
    port: int = 3306,
    raw_text: bool = False,
    transactional: bool = False,
) -> Driver:
    """MySQL or MariaDB by PyMySQL.

    ``raw_text``: text columns are declared latin1 and hold something else, for ``Database(encoding=…)``.
    ``transactional``: all tables that are written are InnoDB, so that what is not committed has no effect; see
    :data:`TABLES_WITHOUT_TRANSACTIONS`.
    """

    def connect(seconds: float, read_only: bool) -> Any:
        pymysql = load("pymysql", "mysql")
        connection = pymysql.connect(
            host=host,
            port=port,
            user=user,
            password=password.reveal(),
            database=database,
            charset="latin1" if raw_text else "utf8mb4",
            use_unicode=not raw_text,
            conv=_raw_conversions() if raw_text else None,
            connect_timeout=max(seconds, 0.1),
            read_timeout=max(seconds, 0.1),
            write_timeout=max(seconds, 0.1),
            autocommit=True,
        )
        try:
            connection.query("START TRANSACTION READ ONLY" if read_only else "START TRANSACTION")
        except BaseException:
            connection.close()
            raise
        return connection

    def limit(connection: Any, seconds: float) -> None:
        if "MariaDB" in connection.get_server_info():
            connection.query(f"SET SESSION max_statement_time = {max(seconds, 0.01):.3f}")
        else:
            connection.query(f"SET SESSION max_execution_time = {max(1, int(seconds * 1000))}")

    return Driver(
        name="MySQL",
        open=connect,
        limit=limit,
        failures=lambda: (load("pymysql", "mysql").MySQLError, *_COMMON),
        refused=lambda error: _number(error) in (1213, 1205, 1062, 1451, 1452),  # deadlock, lock wait, keys
        wrong=lambda error: _number(error) in (1044, 1045, 1046, 1049, 1054, 1142, 1146),
        duplicate=lambda error: _number(error) == 1062,
        rolls_back=transactional,
    )


def _number(error: BaseException) -> int:
    """MySQL's error number, 0 if there is none."""
    first = error.args[0] if error.args else 0
    return first if isinstance(first, int) else 0


def _raw_conversions() -> dict[Any, Any]:
    """PyMySQL's conversions for columns that come as bytes: its own can't make a Decimal of them."""
    converters, types = load("pymysql.converters", "mysql"), load("pymysql.constants.FIELD_TYPE", "mysql")
    decimal = {types.DECIMAL: _decimal, types.NEWDECIMAL: _decimal}
    return {**converters.conversions, **decimal}


def _decimal(raw: bytes | str) -> Decimal:
    return Decimal(raw.decode("ascii") if isinstance(raw, bytes) else raw)


#: Names the tables of the current schema that do not roll back.
TABLES_WITHOUT_TRANSACTIONS = (
    "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()"
    " AND table_type = 'BASE TABLE' AND engine NOT IN ('InnoDB', 'ROCKSDB') ORDER BY table_name"
)


def mssql(host: str, database: str, user: str, password: Secret, *, port: int = 1433) -> Driver:
    """SQL Server by python-tds. **Unproved**: never run against a server. Reading asks for a read-only replica."""

    def connect(seconds: float, read_only: bool) -> Any:
        connection = load("pytds", "mssql").connect(
            host,
            port=port,
            database=database,
            user=user,
            password=password.reveal(),
            timeout=max(seconds, 1),
            login_timeout=max(seconds, 1),
            autocommit=True,
            readonly=read_only,
            disable_connect_retry=True,
        )
        connection.cursor().execute("BEGIN TRANSACTION")
        return connection

    return Driver(
        name="SQL Server",
        open=connect,
        limit=lambda connection, seconds: connection.cursor().execute(f"SET LOCK_TIMEOUT {int(seconds * 1000)}"),
        failures=lambda: (load("pytds", "mssql").Error, load("pytds", "mssql").Warning, *_COMMON),
        refused=lambda error: getattr(error, "number", 0) in (1205, 2627, 2601, 547),
        wrong=lambda error: type(error).__name__ in ("LoginError", "ProgrammingError"),
        duplicate=lambda error: getattr(error, "number", 0) in (2627, 2601),
    )
