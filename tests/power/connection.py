"""apsw's connection as the store's :class:`~gateway.store.driver.Connection`, so that a layer can lie below SQLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw

from gateway.store import driver

_CHANGING = ("INSERT", "UPDATE", "DELETE", "REPLACE")
#: The primary code of each class of errors: those that a layer has raised itself know none.
_CODES = {type(apsw.exception_for(code)): code for code in range(1, 27) if code != apsw.SQLITE_NOTFOUND}
Tuner = Callable[[str], str]


class ApswError(driver.DriverError):  # type: ignore[misc, valid-type]
    """An error of apsw as the store expects it."""

    def __init__(self, error: apsw.Error) -> None:
        super().__init__(str(error))
        self.sqlite_errorcode = getattr(error, "extendedresult", 0) or _CODES.get(type(error), apsw.SQLITE_ERROR)


class ApswRow:
    """A row by the names of its columns."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        self._names, self._values = names, values

    def __getitem__(self, name: str | int) -> Any:
        if isinstance(name, int):
            return self._values[name]
        try:
            return self._values[self._names.index(name)]
        except ValueError:
            raise IndexError(f"no such column: {name}") from None

    def keys(self) -> Any:
        return list(self._names)


class ApswCursor:
    """What a statement came to: all its rows at once."""

    __slots__ = ("_rows", "description", "rowcount")

    def __init__(self, rows: list[Any], names: tuple[str, ...] | None, rowcount: int) -> None:
        self._rows, self.description, self.rowcount = rows, names, rowcount

    def fetchone(self) -> Any:
        return self._rows.pop(0) if self._rows else None

    def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows


class ApswConnection:
    """One connection. ``tune`` may put another statement in the place of one (a control: a lower ``synchronous``)."""

    def __init__(self, path: Path, vfs: str, tune: Tuner = str) -> None:
        self._tune = tune
        try:
            self._inner = apsw.Connection(str(path), vfs=vfs, statementcachesize=512)
            self._inner.set_busy_timeout(100)
        except apsw.Error as error:
            raise ApswError(error) from error

    @property
    def in_transaction(self) -> bool:
        return self._inner.in_transaction

    @property
    def total_changes(self) -> int:
        return self._inner.total_changes()

    def execute(self, sql: str, params: Sequence[Any] | Mapping[str, Any] = (), /) -> ApswCursor:
        names: list[tuple[str, ...]] = []

        def begun(cursor: Any, _sql: str, _values: Any) -> bool:
            names.append(tuple(column[0] for column in cursor.get_description()))
            return True

        cursor = self._inner.cursor()
        cursor.exec_trace = begun
        try:
            rows: list[Any] = cursor.execute(self._tune(sql), params).fetchall()
        except apsw.Error as error:
            raise ApswError(error) from error
        columns = names[-1] if names else ()
        changed = self._inner.changes() if sql.lstrip()[:7].upper().startswith(_CHANGING) else -1
        return ApswCursor([ApswRow(columns, row) for row in rows], columns or None, changed)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> ApswCursor:
        before = self.total_changes
        try:
            self._inner.cursor().executemany(sql, rows)
        except apsw.Error as error:
            raise ApswError(error) from error
        return ApswCursor([], None, self.total_changes - before)

    def close(self) -> None:
        with suppress(apsw.IOError):  # closed all the same: it is the disk's last word that failed
            self._inner.close(True)


def lower(synchronous: str) -> Tuner:
    """A tuner for controls: the store asks for FULL and gets less."""
    return lambda sql: sql.replace("synchronous=FULL", f"synchronous={synchronous}")


def opener(vfs: str, *tuners: Tuner) -> driver.Connect:
    """Opens connections on a layer."""

    def tune(sql: str) -> str:
        for each in tuners:
            sql = each(sql)
        return sql

    return lambda path: ApswConnection(path, vfs, tune)
