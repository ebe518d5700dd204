"""Separated values in Chinese charsets: bills of payment channels, price files, exports of tills.

Columns are found by the names in the header, never by their place: bills gain columns with an account's features.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.sdk.convert.text import GB18030, decode_text, encode_text
from gateway.sdk.parsing import ParseError, shown

MOST_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Separated:
    """How such a file is laid out.

    ``columns`` names them where the file has no header. ``strip`` are characters taken off each value, as blanks, tabs
    and the backtick of WeChat's bills. Lines that begin with ``comment`` are passed over; from a line that begins with
    ``summary`` on nothing is read, and it must be there. ``quoted``: values may stand in ``"``. ``torn_end``: the last
    line need not be ended (else such a file is taken for half written).
    """

    separator: str = ","
    encoding: str = GB18030
    columns: Sequence[str] = ()
    strip: str = " \t`"
    comment: str = ""
    summary: str = ""
    quoted: bool = True
    torn_end: bool = False

    def parse(self, data: bytes, *, needed: Iterable[str] = ()) -> list[dict[str, str]]:
        """The rows by column name. ``needed`` are names that must be among the columns.

        Raises ``ParseError`` with the line's number.
        """
        lines = self._lines(data)
        names = list(self.columns)
        rows: list[dict[str, str]] = []
        for number, values in self._records(lines):
            values = [value.strip(self.strip) for value in values]
            if not names:
                names = self._header(values, number)
            elif len(values) != len(names):
                raise ParseError(f"line {number} has {len(values)} values, not {len(names)}")
            else:
                rows.append(dict(zip(names, values, strict=True)))
        missing = set(needed) - set(names)
        if missing:
            raise ParseError(f"no column {', '.join(sorted(missing))}")
        return rows

    def build(self, rows: Iterable[Mapping[str, str]], columns: Sequence[str]) -> bytes:
        """A file of these rows, with a header unless the layout has fixed columns. Lines end in CR LF.

        Raises ``ParseError`` for a value that can't be written so that it is read back.
        """
        lines = [] if self.columns else [list(columns)]
        lines += [[row[name] for name in columns] for row in rows]
        return b"".join(self._line(values) for values in lines)

    def _line(self, values: Sequence[str]) -> bytes:
        bad = "\r\n\0" + ("" if self.quoted else self.separator)
        for value in values:
            if any(mark in value for mark in bad) or value != value.strip(self.strip):
                raise ParseError(f"a value that this file cannot hold: {shown(value)}")
        out = io.StringIO(newline="")
        if self.quoted:
            csv.writer(out, delimiter=self.separator).writerow(values)
        else:
            out.write(self.separator.join(values) + "\r\n")
        return encode_text(out.getvalue(), "line", self.encoding)

    def _lines(self, data: bytes) -> list[str]:
        if len(data) > MOST_BYTES:
            raise ParseError(f"a file of over {MOST_BYTES} bytes")
        # Neither CR nor LF is ever part of a character in GB18030, Big5 or UTF-8.
        raw = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        if raw[-1] and not self.torn_end and not self.summary:
            raise ParseError(f"line {len(raw)} is torn: the file may still be written")
        lines = [decode_text(line, f"line {number}", self.encoding) for number, line in enumerate(raw, 1)]
        if not self.summary:
            return lines
        for index, line in enumerate(lines):
            if line.startswith(self.summary):
                return lines[:index]
        raise ParseError(f"no line begins with {self.summary!r}: the file may still be written")

    def _records(self, lines: list[str]) -> Iterable[tuple[int, list[str]]]:
        kept = ["" if self.comment and line.startswith(self.comment) else line.rstrip("\r") for line in lines]
        for number, line in enumerate(kept, 1):
            if "\r" in line or "\0" in line:
                raise ParseError(f"line {number} holds a carriage return or NUL")
        if not self.quoted:
            yield from ((number, line.split(self.separator)) for number, line in enumerate(kept, 1) if line.strip())
            return
        reader = csv.reader((f"{line}\n" for line in kept), delimiter=self.separator, strict=True)
        try:
            for values in reader:
                if any(value.strip() for value in values):
                    yield reader.line_num, values
        except csv.Error as error:
            raise ParseError(f"line {reader.line_num}: {error}") from None

    def _header(self, values: list[str], number: int) -> list[str]:
        if len(set(values)) != len(values) or not all(values):
            raise ParseError(f"line {number}: a column without a name, or a name twice")
        return values
