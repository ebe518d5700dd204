"""Reading a connection's statements: whole days, page by page, each day once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.backoffice.ours import KEY_END, Entry
from gateway.domain.common import StatementRequest, StatementRow
from gateway.domain.errors import AdapterError, NotSent, PluginError
from gateway.runtime import Connection

#: More pages than any day has: beyond them a cursor goes round in circles in some way that was not noticed.
PAGES_MOST = 10_000


class Unavailable(Exception):
    """There is no statement of that day: not made yet, or its system cannot be reached. The text says which."""


@dataclass(frozen=True, slots=True)
class Names:
    """Every name under which a row of some day stands: our keys, the ends of them, numbers of theirs."""

    keys: frozenset[str]
    refs: frozenset[str]
    lengths: frozenset[int]

    def have(self, entry: Entry) -> bool:
        """Whether some row is about this movement."""
        if any(key in self.keys or any(key[-length:] in self.keys for length in self.lengths) for key in entry.keys):
            return True
        return any(ref in self.refs for ref in entry.refs)


def _names(rows: list[StatementRow]) -> Names:
    keys = frozenset(row.key for row in rows if len(row.key) >= KEY_END)
    refs = frozenset(ref for row in rows if not row.key for ref in (row.ref, row.original_ref) if ref)
    return Names(keys, refs, frozenset(len(key) for key in keys if len(key) < 26))


class Statements:
    """One statement hook of one connection."""

    def __init__(self, connection: Connection, hook: str) -> None:
        self.connection, self.hook = connection, hook
        self._days: dict[date, list[StatementRow] | Unavailable] = {}
        self._names: dict[date, Names] = {}

    def rows(self, day: date) -> list[StatementRow]:
        """All rows of a business date. Raises ``Unavailable``."""
        known = self._days.get(day)
        if known is None:
            known = self._days[day] = self._read(day)
        if isinstance(known, Unavailable):
            raise known
        return known

    def names(self, day: date) -> Names:
        """What the rows of a day are about. Raises ``Unavailable``."""
        if day not in self._names:
            self._names[day] = _names(self.rows(day))
        return self._names[day]

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
