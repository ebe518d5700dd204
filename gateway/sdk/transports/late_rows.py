"""Reading a growing table in order although rows arrive late: a position, a window behind it, and what was seen there.

Rows have a number that grows with their arrival (``com_no``, an identity column). It is nearly in order: a number is
drawn before its transaction commits, and a till that was offline uploads yesterday into the middle. A cursor that moves
to the highest number loses those rows for ever. This one reads a window behind the highest number again each time and
knows by key and content what it has given already; a row that changed in the window is given again.

Take the order of *arrival*, never the time of sale: a till's clock says nothing about when its row comes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.sdk.parsing import ParseError

Row = Mapping[str, Any]

#: ``fetch(after, limit)``: the rows whose number is above ``after``, in its order, ``limit`` at most.
Fetch = Callable[[int, int], Sequence[Row]]


@dataclass(frozen=True, slots=True)
class Rows:
    """New or changed rows, the position to store once they are *processed*, and whether more wait."""

    rows: tuple[Row, ...]
    position: dict[str, Any]
    more: bool


class LateRows:
    """Reads such a table.

    ``number`` is the column of arrival, an integer; ``key`` names the columns that identify a row; ``window`` is how
    far behind the highest number a row may still appear: more than the most rows that are written while the slowest
    transaction, or the till that uploads last, is busy. What appears further behind is never seen, so choose it large:
    memory and position hold one short digest for each row of the window.
    """

    def __init__(self, fetch: Fetch, *, number: str, key: Sequence[str], window: int) -> None:
        if window < 1:
            raise ValueError("a window of at least 1: two rows may carry one number")
        self._fetch, self._number, self._key, self._window = fetch, number, tuple(key), window

    def next(self, position: Mapping[str, Any] | None, *, limit: int = 500) -> Rows:
        """The next rows after a position (``None``: from the beginning), ``limit`` new ones at most.

        The position is JSON. Store it after the rows are processed: a crash in between gives them again, and never
        loses one. Raises ``ParseError`` for a position that is none of ours, or rows without their number.
        """
        high, seen = _read(position)
        start = high - self._window
        most = limit + len(seen)
        rows = list(self._fetch(start, most))
        found: list[Row] = []
        for row in rows:
            number, mark, content = self._number_of(row), self._mark(row), _digest(sorted(row.items()))
            if seen.get(mark, (0, ""))[1] != content:
                found.append(row)
            seen[mark] = (number, content)
            high = max(high, number)
        kept = {mark: list(entry) for mark, entry in seen.items() if entry[0] > high - self._window}
        return Rows(tuple(found), {"high": high, "seen": kept}, len(rows) >= most)

    def _number_of(self, row: Row) -> int:
        number = row.get(self._number)
        if isinstance(number, bool) or not isinstance(number, int):
            raise ParseError(f"a row without its number {self._number}")
        return number

    def _mark(self, row: Row) -> str:
        try:
            return _digest([row[name] for name in self._key])
        except KeyError as error:
            raise ParseError(f"a row without its column {error}") from None


def _digest(values: Sequence[Any]) -> str:
    return hashlib.blake2b(repr(values).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _read(position: Mapping[str, Any] | None) -> tuple[int, dict[str, tuple[int, str]]]:
    if position is None:
        return 0, {}
    try:
        return int(position["high"]), {mark: (int(entry[0]), str(entry[1])) for mark, entry in position["seen"].items()}
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ParseError("not a position of this reader") from error
