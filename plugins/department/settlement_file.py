"""Reading the nightly settlement files: ``<folder>/<store>/JSmmdd.DAT``, written at 02:00 for the day before.

The file has no trailer and no year: a torn line is an error, a counter that should be there and is not is named, and
the year comes from the day on which the file is read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from plugins.department.protocol import CounterDay, ParseError, day_file_date, day_file_name, parse_day_file


@dataclass(frozen=True, slots=True)
class DayFile:
    """A store's settlement of one business date; ``missing`` are counters with sales that the file does not have."""

    store: str
    business_date: date
    rows: tuple[CounterDay, ...]
    missing: tuple[str, ...]


def read_day_file(path: Path, run_date: date, expected: Collection[str] = ()) -> DayFile:
    """One file, read on ``run_date``; ``expected`` are the counters that sold something that day.

    Raises ``ParseError`` with the file's name, for a file half written too: read it again later.
    """
    try:
        rows = tuple(parse_day_file(path.read_bytes()))
        business_date = day_file_date(path.name, run_date)
    except ParseError as error:
        raise ParseError(f"{path.parent.name}/{path.name}: {error}") from None
    found = {row.counter for row in rows}
    return DayFile(path.parent.name, business_date, rows, tuple(sorted(set(expected) - found)))


def find_day_file(folder: Path, store: str, business_date: date) -> Path | None:
    """The file of a store and business date, or ``None`` while it is not there (or nobody can reach the share)."""
    path = folder / store / day_file_name(business_date)
    return path if path.exists() else None
