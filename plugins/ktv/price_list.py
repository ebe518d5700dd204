"""The price list that the till's back office exports: GBK, comma separated, ``编码,名称,单价,不计低消``.

The till itself lists no drinks; this file, if the shop exports one, is its product library. Raises only ``ParseError``.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass

from plugins.ktv.protocol import ENCODING, ParseError, parse_code, parse_flag, parse_money

HEADER = ["编码", "名称", "单价", "不计低消"]
MAX_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class Drink:
    """One article: price in fen, and whether it counts towards the minimum spend."""

    code: str
    name: str
    price: int
    counted: bool


def parse_price_list(data: bytes) -> list[Drink]:
    """The articles in the file's order. The whole file is refused if a line is wrong: the error names the line."""
    if len(data) > MAX_BYTES:
        raise ParseError(f"a price list of over {MAX_BYTES} bytes")
    try:
        text = data.decode(ENCODING)
        rows = list(csv.reader(text.splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ParseError(f"not a price list in {ENCODING}: {error}") from None
    if not rows or rows[0] != HEADER:
        raise ParseError(f"line 1: expected the columns {','.join(HEADER)}")
    drinks = [_drink(number, row) for number, row in enumerate(rows[1:], 2) if row]
    if len({drink.code for drink in drinks}) != len(drinks):
        raise ParseError("an article stands twice in the price list")
    return drinks


def _drink(number: int, row: list[str]) -> Drink:
    try:
        code, name, price, uncounted = (field.strip() for field in row)
        drink = Drink(parse_code(code), name, parse_money(price), not parse_flag(uncounted))
    except ValueError as error:
        raise ParseError(f"line {number}: {error}") from None
    if not drink.code or drink.price < 0:
        raise ParseError(f"line {number}: no code, or a price below zero")
    return drink
