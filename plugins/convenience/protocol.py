"""The wire of 便民365, part one: padded table values, bill numbers and check digits.

There is no request and no reply. Everything goes through a database file of the head office, whose columns are CHAR
and numeric(16,4), and through tab-separated GBK files in a folder that a till watches (:mod:`.files`). Money is in
yuan with a decimal point, times are local to the shops (UTC+8) and name no zone. Every decoder raises only
:class:`ParseError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

ENCODING = "gbk"
#: China keeps one time, without summer time; the tables do not say so.
SHOP_ZONE = timezone(timedelta(hours=8), "UTC+8")

SALE, RETURN, CHANGE, GIFT = "A", "B", "D", "C"

#: Widths of the CHAR columns, in bytes of GBK.
BRANCH_WIDTH, FLOW_WIDTH, ITEM_WIDTH, NAME_WIDTH, CARD_WIDTH, MEMO_WIDTH = 6, 18, 20, 40, 20, 40


class ParseError(ValueError):
    """Bytes or a value that the legacy system's formats do not allow; the message says what and where."""


def decode_text(data: bytes, what: str, encoding: str = ENCODING) -> str:
    """``data`` decoded; ``what`` names the source in the message of a :class:`ParseError`."""
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise ParseError(f"{what}: not {encoding} at byte {error.start}") from error


def pad(text: str, width: int) -> str:
    """``text`` as a CHAR(``width``) column holds it: the width counts bytes of GBK, and what is longer is cut.

    A character that the cut would split is dropped whole; one that GBK does not have becomes ``?``.
    """
    raw = text.encode(ENCODING, "replace")[:width]
    kept = raw.decode(ENCODING, "ignore")
    return kept + " " * (width - len(kept.encode(ENCODING)))


def unpad(value: object) -> str:
    """The text of a CHAR column without its padding; ``None`` (a NULL) is the empty text."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return decode_text(value, "column").rstrip(" \x00")
    if isinstance(value, str):
        return value.rstrip(" \x00")
    raise ParseError(f"CHAR column holds {type(value).__name__}")


def decode_numeric(value: object) -> Decimal:
    """A numeric(16,4) column as an exact decimal, whatever type the driver gives; NULL is 0.

    A driver that hands out floats is taken at its shortest text, so ``3.3`` stays 3.3.
    """
    if value is None:
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ParseError(f"numeric column holds {type(value).__name__}")
    text = repr(value) if isinstance(value, float) else str(value).strip()
    if not re.fullmatch(r"-?\d{1,12}(\.\d{1,16})?", text, re.ASCII):
        raise ParseError(f"not a numeric(16,4): {text[:40]!r}")
    return Decimal(text).quantize(Decimal("0.0001"), ROUND_HALF_UP)


def yuan_to_fen(value: Decimal) -> int:
    """An amount in yuan as fen, half up; the tables keep four places, so less than a fen can be there."""
    return int((value * 100).quantize(Decimal(1), ROUND_HALF_UP))


def fen_to_yuan(amount: int, places: int = 2) -> str:
    """``amount`` in fen as yuan with ``places`` decimals (2 in files, 4 in tables)."""
    return str((Decimal(amount) / 100).quantize(Decimal(1).scaleb(-places)))


def decode_quantity(value: object) -> Decimal:
    """A quantity with at most three places; more than that is refused, never rounded away."""
    quantity = decode_numeric(value)
    if quantity != quantity.quantize(Decimal("0.001")):
        raise ParseError(f"quantity with more than three places: {quantity}")
    return quantity.quantize(Decimal("0.001"))


def encode_datetime(moment: datetime) -> str:
    """A time as the tables keep it. Every part is zero-padded: 9:05:03 is ``09:05:03``."""
    return moment.astimezone(SHOP_ZONE).strftime("%Y-%m-%d %H:%M:%S")


def decode_datetime(value: object) -> datetime:
    """A table's ``oper_date`` with the shops' zone; fractions of a second are dropped."""
    text = unpad(value)
    if not re.fullmatch(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,7})?", text, re.ASCII):
        raise ParseError(f"not a date and time: {text[:40]!r}")
    try:
        return datetime.fromisoformat(text[:19]).replace(tzinfo=SHOP_ZONE)
    except ValueError as error:
        raise ParseError(f"not a date and time: {text[:40]!r}") from error


def encode_stamp(moment: datetime) -> str:
    """A time as files carry it, ``yyyymmddHHMMSS``, always 14 digits."""
    return moment.astimezone(SHOP_ZONE).strftime("%Y%m%d%H%M%S")


def decode_stamp(text: str) -> datetime:
    """The inverse of :func:`encode_stamp`; a time that lost its zeros (``953``) is refused."""
    if not re.fullmatch(r"\d{14}", text, re.ASCII):
        raise ParseError(f"not yyyymmddHHMMSS: {text[:40]!r}")
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=SHOP_ZONE)
    except ValueError as error:
        raise ParseError(f"no such time: {text!r}") from error


@dataclass(frozen=True, slots=True, order=True)
class FlowNo:
    """A bill number: branch 4, till 2, yymmdd 6, sequence 4. The till alone counts it, even when it is offline."""

    branch: str
    till: str
    day: date
    sequence: int

    def __str__(self) -> str:
        return f"{self.branch}{self.till}{self.day:%y%m%d}{self.sequence:04d}"

    @classmethod
    def parse(cls, value: object) -> FlowNo:
        """Raises :class:`ParseError` unless the column holds 16 digits with a day that exists (years 2000–2099)."""
        text = unpad(value)
        if not re.fullmatch(r"\d{16}", text, re.ASCII):
            raise ParseError(f"not a bill number: {text[:40]!r}")
        try:
            day = date(2000 + int(text[6:8]), int(text[8:10]), int(text[10:12]))
        except ValueError as error:
            raise ParseError(f"no such day in bill number {text}") from error
        return cls(text[:4], text[4:6], day, int(text[12:]))


def check_digit(digits: str) -> int:
    """The EAN check digit of ``digits`` (without one): weights 3, 1, 3, … from the right, modulo 10."""
    if not re.fullmatch(r"\d{1,64}", digits, re.ASCII):
        raise ParseError(f"not digits: {digits[:40]!r}")
    total = sum(int(digit) * (3 if index % 2 == 0 else 1) for index, digit in enumerate(reversed(digits)))
    return -total % 10
