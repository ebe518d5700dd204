"""Draws what a terminal shows as an SVG: ``gateway demo --once | python -m docs.picture FIRST LAST > picture.svg``.

FIRST and LAST are texts of the first and of the last line that are shown.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from html import escape
from itertools import groupby
from unicodedata import east_asian_width

WIDE, HIGH, PAD = 7.8, 18, 16
COLOURS = {"✓": "#7ee787", "✗": "#ff7b72", "■": "#79c0ff"}
FONT = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, 'Noto Sans Mono CJK SC', 'Noto Sans CJK SC', monospace"


def columns(text: str) -> int:
    """Columns on a terminal: a Chinese character takes two."""
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)


def drawn(line: str, row: int) -> Iterator[str]:
    """A line, in pieces of narrow and of wide characters, so that columns stay where they are whatever the font."""
    colour = next((value for sign, value in COLOURS.items() if sign in line), "#c9d1d9")
    column = 0
    for _, found in groupby(re.findall(r"\S+|\s+", line), key=lambda piece: piece.isspace()):
        for wide, characters in groupby("".join(found), key=lambda each: east_asian_width(each) in "WF"):
            piece = "".join(characters)
            if not piece.isspace():
                x, y, length = PAD + column * WIDE, PAD + row * HIGH + 13, columns(piece) * WIDE
                fit = f' textLength="{length:.1f}"' if wide or len(piece) > 1 else ""
                yield f'<text x="{x:.1f}" y="{y}" fill="{colour}"{fit}>{escape(piece)}</text>'
            column += columns(piece)


def picture(lines: list[str]) -> str:
    """The SVG of these lines."""
    width = max(map(columns, lines)) * WIDE + 2 * PAD
    height = len(lines) * HIGH + 2 * PAD
    body = "\n".join(text for row, line in enumerate(lines) for text in drawn(line, row))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" font-family="{FONT}" font-size="13">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n{body}\n</svg>\n'
    )


def between(text: str, first: str, last: str) -> list[str]:
    """The lines from the one that holds ``first`` to the next that holds ``last``."""
    lines = [line.rstrip() for line in text.splitlines()]
    start = next(index for index, line in enumerate(lines) if first in line)
    end = next(index for index, line in enumerate(lines) if index >= start and last in line)
    return lines[start : end + 1]


if __name__ == "__main__":
    sys.stdout.write(picture(between(sys.stdin.read(), sys.argv[1], sys.argv[2])))
