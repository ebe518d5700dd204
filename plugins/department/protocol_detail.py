"""The detail file that the bank terminal's DLL writes beside itself: ``MXyyyymmdd.TXT``, one line a transaction.

GBK, CRLF, fixed width: time 14, type 2, voucher 6, amount 12 (fen), card 20 (masked), reference 12, original
reference 12, batch 6. It is the terminal's own record, and carries no order number: match it by reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from plugins.department.protocol import ParseError, put, put_digits, take, take_digits

DETAIL_WIDTH = 84


@dataclass(frozen=True, slots=True)
class DetailRow:
    """One approved transaction; ``stamp`` is ``yyyymmddhhmmss`` by the terminal's clock, ``amount`` in fen."""

    stamp: str
    kind: str
    voucher: int
    amount: int
    card: str
    ref: str
    original_ref: str
    batch: int


def detail_file_name(day: date) -> str:
    """The file of a day."""
    return f"MX{day:%Y%m%d}.TXT"


def encode_detail(row: DetailRow) -> bytes:
    """One line with its CRLF."""
    return b"".join(
        (
            put(row.stamp, 14),
            put(row.kind, 2),
            put_digits(row.voucher, 6),
            put_digits(row.amount, 12),
            put(row.card, 20),
            put(row.ref, 12),
            put(row.original_ref, 12),
            put_digits(row.batch, 6),
            b"\r\n",
        )
    )


def parse_details(content: bytes) -> list[DetailRow]:
    """The whole lines of a file; a line still being written at its end is left for later. Raises ``ParseError``."""
    lines = content.split(b"\r\n")[:-1]
    return [_detail(line, number) for number, line in enumerate(lines, start=1)]


def _detail(line: bytes, number: int) -> DetailRow:
    if len(line) != DETAIL_WIDTH:
        raise ParseError(f"line {number} is {len(line)} bytes, not {DETAIL_WIDTH}")
    stamp, kind = take(line[0:14]), take(line[14:16])
    if not (line[0:14].isdigit() and line[14:16].isdigit()):
        raise ParseError(f"line {number} has no time or type")
    return DetailRow(
        stamp=stamp,
        kind=kind,
        voucher=take_digits(line[16:22], f"line {number}"),
        amount=take_digits(line[22:34], f"line {number}"),
        card=take(line[34:54]),
        ref=take(line[54:66]),
        original_ref=take(line[66:78]),
        batch=take_digits(line[78:84], f"line {number}"),
    )
