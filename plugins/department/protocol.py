"""The wire of the department store: fixed-width text, money as text, and the nightly settlement file.

All widths are **bytes** of GBK text (read as GB18030, its superset), so bytes are cut first and decoded after. Money
inside the gateway is an integer number of fen; on this wire it is either yuan with two decimals (SOAP, database) or
zero-filled fen (files, bank terminal). Every reader raises only :class:`ParseError`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import date
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

ENCODING = "gb18030"
_YUAN = re.compile(r"[+-]?\d{1,12}(\.\d{1,2})?")
_QUANTITY = re.compile(r"[+-]?\d{1,9}(\.\d{1,3})?")
_COUNTER_WIDTH = 6
_MONEY_WIDTH = 12
_MONEY_FIELDS = 6
RECORD_WIDTH = _COUNTER_WIDTH + _MONEY_FIELDS * _MONEY_WIDTH
_DAY_FILE = re.compile(r"JS(\d{2})(\d{2})\.DAT", re.IGNORECASE)


class ParseError(ValueError):
    """Bytes or text from the legacy system that do not follow its format."""


def yuan(fen: int) -> str:
    """Fen as the yuan text of this system: ``89900`` is ``"899.00"``, ``-5`` is ``"-0.05"``."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def fen(text: str) -> int:
    """Yuan text with at most two decimals as fen; surrounding blanks are padding."""
    value = text.strip()
    if not _YUAN.fullmatch(value) or not value.isascii():
        raise ParseError(f"not an amount in yuan: {text[:40]!r}")
    return int(Decimal(value) * 100)


def quantity(text: str) -> Decimal:
    """A quantity with at most three decimals, as the text of SOAP messages has it."""
    value = text.strip()
    if not _QUANTITY.fullmatch(value) or not value.isascii():
        raise ParseError(f"not a quantity: {text[:40]!r}")
    return Decimal(value)


def column_fen(value: object) -> int:
    """Fen from a NUMERIC(12,2) column, which the driver hands over as int, float or text."""
    return int((_column(value) * 100).quantize(Decimal(1), ROUND_HALF_UP))


def column_quantity(value: object) -> Decimal:
    """A quantity from a NUMERIC(10,3) column, three decimals, which the driver hands over as int, float or text."""
    return _column(value).quantize(Decimal("0.001"), ROUND_HALF_UP)


def _column(value: object) -> Decimal:
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation as error:
        raise ParseError(f"not a number in a column: {str(value)[:40]!r}") from error
    if not number.is_finite() or abs(number) >= 10**12:
        raise ParseError(f"a number out of range in a column: {str(value)[:40]!r}")
    return number


def pad(text: str, width: int) -> str:
    """Text as a CHAR(width) column holds it: blanks up to ``width`` bytes. Raises ``ParseError`` if it is too long."""
    size = len(text.encode(ENCODING, "replace"))
    if size > width:
        raise ParseError(f"{text!r} is {size} bytes, more than {width}")
    return text + " " * (width - size)


def fits(text: str, width: int) -> bool:
    """Whether a text can stand in a CHAR(width) column."""
    return len(text.encode(ENCODING, "replace")) <= width


def trim(value: object) -> str:
    """The text of a CHAR column without its padding; SQL NULL is empty."""
    return "" if value is None else str(value).rstrip(" ")


def put(text: str, width: int) -> bytes:
    """Text as a fixed-width field of a frame: cut at ``width`` bytes (in the middle of a character, as they do)."""
    return text.encode(ENCODING, "replace")[:width].ljust(width, b" ")


def take(raw: bytes) -> str:
    """The text of a fixed-width field; half a character at its end is dropped, as the sender cut it by bytes."""
    return raw.decode(ENCODING, "ignore").rstrip(" \0")


def put_digits(number: int, width: int) -> bytes:
    """A non-negative number as zero-filled digits. Raises ``ParseError`` when it does not fit."""
    text = f"{number:0{width}d}"
    if number < 0 or len(text) != width:
        raise ParseError(f"{number} does not fit {width} digits")
    return text.encode()


def take_digits(raw: bytes, what: str) -> int:
    """The number in a field of digits; blanks alone are 0."""
    text = raw.strip(b" ")
    if not text:
        return 0
    if not text.isdigit():
        raise ParseError(f"{what} is not digits: {raw[:40]!r}")
    return int(text)


@dataclass(frozen=True, slots=True)
class CounterDay:
    """One line of the nightly settlement file: what one counter sold and is due, in fen.

    ``gross`` before promotions, ``promo`` taken off by campaigns, ``commission`` kept by the store, ``fee`` of the
    acquirer, ``net`` due to the counter (negative when returns outweigh sales), ``invoice`` to be invoiced by it.
    """

    counter: str
    gross: int
    promo: int
    commission: int
    fee: int
    net: int
    invoice: int


def encode_day_file(rows: Iterable[CounterDay]) -> bytes:
    """The nightly file ``JSmmdd.DAT``: GBK, CRLF, counter 6 bytes, then six amounts of 12."""
    lines = [put(pad(row.counter, _COUNTER_WIDTH), _COUNTER_WIDTH) + _amounts(row) for row in rows]
    return b"".join(line + b"\r\n" for line in lines)


def _amounts(row: CounterDay) -> bytes:
    return b"".join(_put_signed(getattr(row, item.name)) for item in fields(row)[1:])


def _put_signed(value: int) -> bytes:
    if value >= 0:
        return put_digits(value, _MONEY_WIDTH)
    return put_digits(-value, _MONEY_WIDTH - 1) + b"-"


def _take_signed(raw: bytes, what: str) -> int:
    digits, sign = (raw[:-1], -1) if raw.endswith(b"-") else (raw, 1)
    if not digits.isdigit():
        raise ParseError(f"{what} is not zero-filled fen: {raw[:40]!r}")
    return sign * int(digits)


def parse_day_file(content: bytes) -> list[CounterDay]:
    """The lines of a nightly file. Raises ``ParseError`` with the line number for a torn line or a counter twice."""
    lines = content.split(b"\r\n")
    if lines[-1]:
        raise ParseError(f"line {len(lines)} is torn: it does not end in CR LF")
    rows = [_counter_day(line, number) for number, line in enumerate(lines[:-1], start=1)]
    if len({row.counter for row in rows}) != len(rows):
        raise ParseError("a counter stands twice in the file")
    return rows


def _counter_day(line: bytes, number: int) -> CounterDay:
    if len(line) != RECORD_WIDTH:
        raise ParseError(f"line {number} is {len(line)} bytes, not {RECORD_WIDTH}")
    counter = take(line[:_COUNTER_WIDTH])
    if not counter:
        raise ParseError(f"line {number} names no counter")
    starts = range(_COUNTER_WIDTH, RECORD_WIDTH, _MONEY_WIDTH)
    return CounterDay(counter, *(_take_signed(line[at : at + _MONEY_WIDTH], f"line {number}") for at in starts))


def day_file_name(business_date: date) -> str:
    """The file's name; it carries no year."""
    return f"JS{business_date:%m%d}.DAT"


def day_file_date(name: str, run_date: date) -> date:
    """The business date of a nightly file: its month and day in the latest year not after ``run_date``.

    The name has no year, so the file of 31 December that is read on 1 January belongs to the year before.
    """
    match = _DAY_FILE.fullmatch(name)
    if not match:
        raise ParseError(f"not a settlement file: {name[:40]!r}")
    month, day = int(match[1]), int(match[2])
    for year in range(run_date.year, max(run_date.year - 9, 0), -1):
        try:
            found = date(year, month, day)
        except ValueError:
            continue
        if found <= run_date:
            return found
    raise ParseError(f"no such day: {name[:40]!r}")
