"""Reading a connection's statements: whole days, page by page, each day once."""

from __future__ import annotations

from datetime import date

from gateway.domain.common import StatementRequest, StatementRow
from gateway.domain.errors import AdapterError, NotSent, PluginError
from gateway.runtime import Connection

#: More pages than any day has: beyond them a cursor goes round in circles in some way that was not noticed.
PAGES_MOST = 10_000


class Unavailable(Exception):
    """There is no statement of that day: not made yet, or its system cannot be reached. The text says which."""


class Statements:
    """One statement hook of one connection."""

    def __init__(self, connection: Connection, hook: str) -> None:
        self.connection, self.hook = connection, hook
        self._days: dict[date, list[StatementRow] | Unavailable] = {}

    def rows(self, day: date) -> list[StatementRow]:
        """All rows of a business date. Raises ``Unavailable``."""
        known = self._days.get(day)
        if known is None:
            known = self._days[day] = self._read(day)
        if isinstance(known, Unavailable):
            raise known
        return known

    def _read(self, day: date) -> list[StatementRow] | Unavailable:
        try:
            return self._pages(day)
        except NotSent as error:
            return Unavailable(str(error) or type(error).__name__)
        except AdapterError as error:
            return Unavailable(f"{type(error).__name__}: {error}")

    def _pages(self, day: date) -> list[StatementRow]:
        rows: list[StatementRow] = []
        cursor, seen = "", {""}
        for _ in range(PAGES_MOST):
            page = self.connection.statement(self.hook, StatementRequest(business_date=day, cursor=cursor))
            rows += page.items
            if page.next_cursor is None:
                return rows
            cursor = page.next_cursor
            if cursor in seen:
                break
            seen.add(cursor)
        raise PluginError(f"{self.connection.name}: the statement goes round in circles")
