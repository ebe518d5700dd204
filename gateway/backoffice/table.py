"""Tables on a terminal, where a Chinese character is as wide as two letters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence


def width(text: str) -> int:
    """Columns that a text takes: wide and full-width characters (UAX #11) two, combining marks none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """The text filled up with spaces, at its right end or, for figures, at its left."""
    space = " " * max(0, columns - width(text))
    return space + text if right else text + space


def cut(text: str, columns: int) -> str:
    """The text, or as much of it as fits, with an ellipsis."""
    if width(text) <= columns:
        return text
    kept = ""
    for char in text:
        if width(kept + char) > columns - 1:
            break
        kept += char
    return f"{kept}…"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, figures: Iterable[int] = ()) -> list[str]:
    """Lines of a table; ``figures`` are the columns that stand to the right."""
    body = [list(row) for row in rows]
    right = set(figures)
    widths = [max(width(row[index]) for row in [list(head), *body]) for index in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = (pad(cell, widths[index], right=index in right) for index, cell in enumerate(row))
        return "  ".join(cells).rstrip()

    return [line(head), "─" * (sum(widths) + 2 * (len(widths) - 1)), *(line(row) for row in body)]


def yuan(amount: int) -> str:
    """Fen as yuan with two decimals and thousands: ``-1,234.50``."""
    sign, whole = "-" if amount < 0 else "", abs(amount)
    return f"{sign}{whole // 100:,}.{whole % 100:02d}"
