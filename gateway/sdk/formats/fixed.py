"""Fixed-width records: columns of so many *bytes*, as files and frames of old systems have them.

DAY = Layout((Column("counter", 6), Column("gross", 12, FEN), Column("net", 12, FEN)), line_end=b"\\r\\n")
for row in DAY.parse(data, trailer="合计".encode("gb18030")): ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.sdk.convert.money import format_implied, format_yuan, parse_digits, parse_implied, parse_yuan
from gateway.sdk.convert.text import GB18030, decode_cut, pad_bytes
from gateway.sdk.parsing import ParseError

MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of column is read and written: bytes and charset in, value out; value, width and charset in."""

    read: Callable[[bytes, str], Any]
    write: Callable[[Any, int, str], bytes]


def _write_digits(value: int, width: int, encoding: str) -> bytes:
    text = f"{value:0{width}d}"
    if value < 0 or len(text) > width:
        raise ParseError(f"{value} does not fit {width} digits")
    return text.encode()


#: Text, filled with blanks behind; half a character at its end is dropped.
TEXT = Kind(decode_cut, lambda value, width, encoding: pad_bytes(value, width, encoding))
#: A whole number, zero filled; blank is 0.
DIGITS = Kind(lambda raw, encoding: parse_digits(raw), _write_digits)
#: Fen with the point implied, a minus behind it: ``00000000050-``.
FEN = Kind(lambda raw, encoding: parse_implied(raw), lambda value, width, encoding: format_implied(value, width))
#: Yuan with its point, filled with blanks in front: ``      268.00``.
YUAN = Kind(
    lambda raw, encoding: parse_yuan(decode_cut(raw, encoding)),
    lambda value, width, encoding: pad_bytes(format_yuan(value), width, encoding, left=True),
)
#: Bytes as they are.
RAW = Kind(lambda raw, encoding: raw, lambda value, width, encoding: _exactly(value, width))


def _exactly(value: bytes, width: int) -> bytes:
    if len(value) != width:
        raise ParseError(f"{len(value)} bytes for a column of {width}")
    return value


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its name, its width in bytes, its kind."""

    name: str
    width: int
    kind: Kind = TEXT


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a record; ``line_end`` ends each (empty for records that follow one another directly)."""

    columns: tuple[Column, ...]
    encoding: str = GB18030
    line_end: bytes = b"\r\n"

    @property
    def width(self) -> int:
        """A record's bytes, without its end."""
        return sum(column.width for column in self.columns)

    def read(self, raw: bytes, place: str = "record") -> dict[str, Any]:
        """One record. Raises ``ParseError`` that names the place and the column."""
        if len(raw) != self.width:
            raise ParseError(f"{place} is {len(raw)} bytes, not {self.width}")
        found: dict[str, Any] = {}
        at = 0
        for column in self.columns:
            try:
                found[column.name] = column.kind.read(raw[at : at + column.width], self.encoding)
            except ParseError as error:
                raise ParseError(f"{place}, {column.name}: {error}") from None
            at += column.width
        return found

    def write(self, row: Mapping[str, Any]) -> bytes:
        """One record, without its end. Raises ``ParseError`` for a value that does not fit its column."""
        parts = []
        for column in self.columns:
            try:
                parts.append(column.kind.write(row[column.name], column.width, self.encoding))
            except (KeyError, ParseError) as error:
                raise ParseError(f"{column.name}: {error}") from None
        return b"".join(parts)

    def parse(self, data: bytes, *, trailer: bytes = b"") -> list[dict[str, Any]]:
        """The records of a file. ``trailer`` is how its last line begins, which is no record; it must be there.

        Raises ``ParseError`` with the line's number: a torn last line, a line of another length, no trailer.
        """
        lines = self._lines(data)
        if trailer and not (lines and lines.pop().startswith(trailer)):
            raise ParseError("the trailer is not there: the file may still be written")
        return [self.read(line, f"line {number}") for number, line in enumerate(lines, 1)]

    def build(self, rows: Iterable[Mapping[str, Any]], *, trailer: bytes = b"") -> bytes:
        """A file of records; ``trailer`` is its last line, without the end."""
        lines = [self.write(row) for row in rows] + ([trailer] if trailer else [])
        return b"".join(line + self.line_end for line in lines)

    def _lines(self, data: bytes) -> list[bytes]:
        if len(data) > MOST_BYTES:
            raise ParseError(f"a file of over {MOST_BYTES} bytes")
        if not self.line_end:
            return [data[at : at + self.width] for at in range(0, len(data), self.width)]
        *lines, rest = data.split(self.line_end)
        if rest:
            raise ParseError(f"line {len(lines) + 1} is torn: it does not end as it should")
        return lines
