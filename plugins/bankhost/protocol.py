"""What stands in the messages to and from a bank's host, and in its daily file. Readers raise only ``ParseError``.

| message | type | processing code | field 60 begins |
|---|---|---|---|
| sale | 0200 | 000000 | 22 |
| void (same batch) | 0200 | 200000 | 23 |
| return | 0220 | 200000 | 25 |
| reversal | 0400 | as the original, and its trace number | as the original |
| query by trace number | 0100 | 330000 | 01 |
| sign-in, with the working keys | 0800 | | 00 … 003 |
| batch settlement, upload of its details | 0500, 0320 | | 00 … 201, at the end 207 |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.sdk import ParseError
from gateway.sdk.formats.iso8583 import CHINA_POS, Iso8583
from gateway.sdk.parsing import shown

APPROVED, NOT_FOUND, DUPLICATE, SIGN_IN, MAC_WRONG = "00", "25", "94", "77", "A0"
SALE, VOID, RETURN, SETTLE = "sale", "void", "return", "settle"
#: Message type, processing code and field 60's type code of what moves money.
KINDS: Mapping[str, tuple[str, str, str]] = {
    SALE: ("0200", "000000", "22"),
    VOID: ("0200", "200000", "23"),
    RETURN: ("0220", "200000", "25"),
}
QUERY_CODE = "330000"
CURRENCY = "156"
#: Tags of field 59: the customer's code, a terminal's token for a card, our own reference.
TAG_CODE, TAG_TOKEN, TAG_REFERENCE = "A3", "A5", "A4"
DETAILS_MOST = 8
_ASCII_LENGTHS = {0: 0, 1: 2, 2: 3}


def spec(packing: str) -> Mapping[str, Mapping[str, Any]]:
    """The layout of the fields: ``bcd``, as China's hosts have it, or ``ascii`` (digits and lengths as text)."""
    return CHINA_POS if packing == "bcd" else {name: _as_text(name, dict(field)) for name, field in CHINA_POS.items()}


def _as_text(name: str, field: dict[str, Any]) -> dict[str, Any]:
    packed = field.get("len_count") == "nibbles"
    field |= {"len_enc": "ascii", "len_type": _ASCII_LENGTHS[field["len_type"]]}
    if packed:
        field |= {"data_enc": "ascii", "len_count": "bytes"}
        field.pop("left_pad", None)
        field.pop("right_pad", None)
    return field


def codec(packing: str, tpdu: str, header: str) -> Iso8583:
    """What reads and writes one host's messages; ``tpdu`` and ``header`` in hex."""
    return Iso8583(spec(packing), tpdu=bytes.fromhex(tpdu), header=bytes.fromhex(header))


def write_tags(tags: Mapping[str, str]) -> str:
    """Field 59: tag, length in three digits, value."""
    return "".join(f"{tag}{len(value):03d}{value}" for tag, value in tags.items())


def read_tags(text: str) -> dict[str, str]:
    """The tags of field 59."""
    tags, at = {}, 0
    while at < len(text):
        tag, size = text[at : at + 2], text[at + 2 : at + 5]
        if not (size.isascii() and size.isdigit()) or at + 5 + int(size) > len(text):
            raise ParseError(f"field 59: no tag at {at}")
        tags[tag] = text[at + 5 : at + 5 + int(size)]
        at += 5 + int(size)
    return tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What was taken and given back in a batch: fen and counts."""

    sale_amount: int = 0
    sale_count: int = 0
    refund_amount: int = 0
    refund_count: int = 0

    def text(self) -> str:
        """As field 48 begins."""
        return f"{self.sale_amount:012d}{self.sale_count:03d}{self.refund_amount:012d}{self.refund_count:03d}"


def read_totals(text: str) -> tuple[Totals, str]:
    """The totals in field 48, and the host's verdict after them: 1 equal, 2 different, 0 or nothing in a request."""
    if len(text) < 30 or not (text.isascii() and text.isdigit()):
        raise ParseError(f"field 48 holds no totals: {shown(text)}")
    numbers = [int(text[begin:end]) for begin, end in ((0, 12), (12, 15), (15, 27), (27, 30))]
    names = ("sale_amount", "sale_count", "refund_amount", "refund_count")
    return Totals(**dict(zip(names, numbers, strict=True))), text[30:31]


def write_details(rows: Sequence[tuple[str, int]]) -> str:
    """Field 48 of an upload: how many, then of each its card type, trace number, a card number of zeros, and fen."""
    return f"{len(rows):02d}" + "".join(f"00{trace}{'0' * 20}{amount:012d}" for trace, amount in rows)


def read_details(text: str) -> list[tuple[str, int]]:
    """The trace numbers and amounts of an upload."""
    if not (text.isascii() and text.isdigit()) or (len(text) - 2) % 40 or len(text) != 2 + 40 * int(text[:2]):
        raise ParseError("field 48 holds no details")
    rows = [text[at : at + 40] for at in range(2, len(text), 40)]
    return [(row[2:8], int(row[28:])) for row in rows]


COLUMNS = ("at", "terminal", "batch", "trace", "kind", "amount", "fee", "ref", "original_ref", "reference")


@dataclass(frozen=True, slots=True, kw_only=True)
class BillRow:
    """A line of the host's daily file: what was posted, ``amount`` in fen as the merchant sees it, and its fee."""

    at: datetime
    terminal: str
    batch: str
    trace: str
    kind: str
    amount: int
    fee: int
    ref: str
    original_ref: str
    reference: str

    def line(self) -> str:
        """As it stands in the file."""
        values = [f"{self.at:%Y%m%d%H%M%S}", *(str(getattr(self, name)) for name in COLUMNS[1:])]
        return "|".join(values) + "\r\n"


def read_bill(raw: bytes) -> Iterable[BillRow]:
    """The rows of a day; a last line without its end is still being written and is left."""
    try:
        lines = raw.decode("gb18030").split("\r\n")[:-1]
    except UnicodeDecodeError as error:
        raise ParseError(f"not GB18030 at byte {error.start}") from None
    return [_row(number, line) for number, line in enumerate(lines, 1)]


def _row(number: int, line: str) -> BillRow:
    values = line.split("|")
    if len(values) != len(COLUMNS):
        raise ParseError(f"line {number}: {len(values)} columns, not {len(COLUMNS)}")
    found: dict[str, Any] = dict(zip(COLUMNS, values, strict=True))
    try:
        found["at"] = datetime.strptime(found["at"], "%Y%m%d%H%M%S")  # noqa: DTZ007 - the host's own time
        found["amount"], found["fee"] = _fen(found["amount"]), _fen(found["fee"])
    except ValueError:
        raise ParseError(f"line {number}: a time or an amount that is none") from None
    return BillRow(**found)


def _fen(text: str) -> int:
    if not text.removeprefix("-").isdigit() or not text.isascii() or len(text) > 13:
        raise ValueError(text)
    return int(text)
