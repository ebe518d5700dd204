"""Databases of legacy systems: read without disturbing them, write so that it is known afterwards whether it happened.

    till = Database(postgres("host=10.0.0.5 dbname=pos user=o2o", password))
    with till.read(2.0) as session:
        rows = session.all("SELECT flow_no, pay_amount FROM payflow WHERE com_no > :after", after=position)

Each use opens a connection of its own: nothing is shared between threads, nothing survives a fork. Values are bound by
``:name``, in every dialect. ``read`` is a read-only transaction, ``write`` one that is committed when the block ends
without an exception. A statement that takes longer than what is left of the time is ended by the server, or by us.

What goes wrong before the commit is ``NotSent``: a transaction that was never committed has no effect. (Not so where
tables have no transactions, as MyISAM's: then it is ``OutcomeUnknown``.) From the commit on it is ``OutcomeUnknown``,
unless the server itself says that it rolled back; :mod:`gateway.sdk.transports.claims` finds out what became of it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.errors import AdapterError, InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.convert.text import decode_cut, encode_text
from gateway.sdk.parsing import ParseError
from gateway.sdk.transports import wire

Row = Mapping[str, Any]
Stage = Literal["connect", "read", "work", "commit"]

#: Quoted text, names and comments, where a colon means nothing; a cast; a parameter; a percent sign.
_TOKEN = re.compile(r"""'(?:[^']|'')*'|"[^"]*"|`[^`]*`|--[^\n]*|/\*.*?\*/|::|:(?P<name>[A-Za-z_]\w*)|%""", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """What differs between databases; made by the functions of :mod:`gateway.sdk.transports.sql_drivers`.

    ``open`` connects within so many seconds and begins a transaction, read-only or not. ``limit`` bounds the next
    statement. ``failures`` is all that the library raises. ``refused`` says of an error at the commit that the server
    has rolled back, ``wrong`` that only other settings help. ``named`` is how the library writes a parameter.
    ``rolls_back``: whether what is not committed has no effect. ``duplicate``: a unique number was there already.
    """

    name: str
    open: Callable[[float, bool], Any]
    limit: Callable[[Any, float], None]
    failures: Callable[[], tuple[type[BaseException], ...]]
    refused: Callable[[BaseException], bool]
    wrong: Callable[[BaseException], bool]
    duplicate: Callable[[BaseException], bool]
    named: str = "%({})s"
    rolls_back: bool = True


def classify(driver: Driver, error: BaseException, stage: Stage) -> AdapterError:
    """The outcome class of a library's failure."""
    text = f"{driver.name}: {type(error).__name__}"
    if stage == "commit" and not driver.refused(error):
        return OutcomeUnknown(f"{text} while committing")
    if stage == "work" and not driver.rolls_back:
        return OutcomeUnknown(f"{text} in tables that may not roll back")
    if stage in ("connect", "read") and driver.wrong(error):
        return Misconfigured(f"{text}: {(str(error).splitlines() or [''])[0][:160]}")
    return NotSent(f"{text} {_code(error)}, nothing was committed")


def _code(error: BaseException) -> str:
    """The number of a failure; its words may quote a row."""
    for name in ("sqlstate", "sqlite_errorname", "number"):
        if getattr(error, name, None):
            return str(getattr(error, name))
    first = error.args[0] if error.args else ""
    return str(first) if isinstance(first, int) else ""


class Duplicate(NotSent):
    """A number that must be unique stands there already; nothing was changed."""


class Session:
    """The statements of one transaction."""

    def __init__(self, driver: Driver, connection: Any, deadline: float, encoding: str | None) -> None:
        self._driver, self._connection, self._deadline, self._encoding = driver, connection, deadline, encoding

    def all(self, sql: str, **params: Any) -> list[Row]:
        """The rows, by column name."""
        cursor = self._execute(sql, params)
        names = [column[0] for column in cursor.description or ()]
        rows: list[Row] = [
            dict(zip(names, self._decoded(row), strict=True)) for row in (cursor.fetchall() if names else ())
        ]
        wire.record(wire.RECEIVED, repr(rows[:50]).encode(), f"{len(rows)} rows")
        return rows

    def one(self, sql: str, **params: Any) -> Row | None:
        """The first row, or ``None``."""
        return next(iter(self.all(sql, **params)), None)

    def execute(self, sql: str, **params: Any) -> int:
        """Run a statement; the number of rows it touched."""
        count = int(self._execute(sql, params).rowcount)
        wire.record(wire.RECEIVED, b"", f"{count} rows touched")
        return count

    def _execute(self, sql: str, params: Mapping[str, Any]) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no time left")
        bound = {name: self._encoded(value) for name, value in params.items()}
        text = translate(sql, self._driver.named) if bound else sql
        cursor = self._connection.cursor()
        self._driver.limit(self._connection, left)
        wire.left()
        wire.record(wire.SENT, f"{sql} {dict(params)!r}".encode(errors="replace"), self._driver.name)
        if bound:
            cursor.execute(text, bound)
        else:
            cursor.execute(text)
        return cursor

    def _encoded(self, value: Any) -> Any:
        return encode_text(value, "value", self._encoding) if self._encoding and isinstance(value, str) else value

    def _decoded(self, row: Any) -> list[Any]:
        encoding = self._encoding
        if encoding is None:
            return list(row)
        return [decode_cut(bytes(value), encoding) if isinstance(value, bytes | bytearray) else value for value in row]


class Database:
    """One database of a legacy system, for many threads.

    ``encoding`` is for text that stands there as other bytes than the database knows: GBK in latin1 columns, in an
    SQLite file, in ``SQL_ASCII``. Text then travels as raw bytes, both ways; what a till cut in the middle of a
    character is mended, and blanks at the end go. Don't set it where all is declared as it is.
    """

    def __init__(self, driver: Driver, *, encoding: str | None = None) -> None:
        self.driver, self._encoding = driver, encoding

    @contextmanager
    def read(self, seconds: float) -> Iterator[Session]:
        """A read-only transaction: all its statements see the same state, and it locks nobody out.

        Raises ``NotSent`` or ``Misconfigured`` (wrong password, no such table), ``InvalidReply`` for text that is not
        in the charset.
        """
        deadline = time.monotonic() + seconds
        connection = self._open(seconds, read_only=True)
        try:
            yield Session(self.driver, connection, deadline, self._encoding)
        except ParseError as error:
            raise InvalidReply(f"{self.driver.name}: {error}") from None
        except self.driver.failures() as error:
            raise classify(self.driver, error, "read") from None
        finally:
            self._close(connection)

    @contextmanager
    def write(self, seconds: float) -> Iterator[Session]:
        """A transaction that is committed at the end of the block; an exception inside undoes it.

        Raises :class:`Duplicate` for a unique number that is taken, ``NotSent`` before the commit, ``OutcomeUnknown``
        if nobody knows whether it was committed.
        """
        deadline = time.monotonic() + seconds
        connection = self._open(seconds, read_only=False)
        stage: Stage = "work"
        try:
            yield Session(self.driver, connection, deadline, self._encoding)
            if time.monotonic() > deadline:
                raise TimeoutError("no time left to commit")
            wire.left()
            stage = "commit"
            connection.cursor().execute("COMMIT")
            wire.record(wire.SENT, b"COMMIT", self.driver.name)
        except ParseError as error:
            raise NotSent(f"{self.driver.name}: {error}") from None
        except self.driver.failures() as error:
            if self.driver.rolls_back and self.driver.duplicate(error):
                raise Duplicate(f"{self.driver.name}: a number that must be unique is taken ({_code(error)})") from None
            raise classify(self.driver, error, stage) from None
        finally:
            self._close(connection)

    def check(self, seconds: float) -> None:
        """See whether the database answers."""
        with self.read(seconds) as session:
            session.all("SELECT 1 AS one")

    def _open(self, seconds: float, *, read_only: bool) -> Any:
        if seconds <= 0:
            raise NotSent(f"{self.driver.name}: no time left")
        failures = self.driver.failures()
        try:
            return self.driver.open(seconds, read_only)
        except failures as error:
            raise classify(self.driver, error, "connect") from None

    def _close(self, connection: Any) -> None:
        """Hang up; a transaction that is still open is undone by it."""
        try:
            connection.close()
        except self.driver.failures():
            return  # it is gone already


def translate(sql: str, named: str) -> str:
    """A statement with ``:name`` parameters as a library writes them; a percent sign is doubled where it must be."""
    if named == ":{}":
        return sql

    def written(found: re.Match[str]) -> str:
        if found["name"]:
            return named.format(found["name"])
        return found[0].replace("%", "%%")

    return _TOKEN.sub(written, sql)
