"""The wire of pretix's REST API: codes, amounts, times, pages. Raises only :class:`ParseError`.

Amounts travel as decimal strings (``"45.00"``), times as RFC 3339. Lists are pages with ``results`` and ``next``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

#: What an order's code may be made of; ``I`` and ``O`` are left out.
CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ1234567890"
CODE_LENGTH = 16
CART_SUFFIX = "@api"
#: No amount is larger than this, in minor units.
MOST = 10**12
#: What we write on orders that are ours: a sale, or a voucher's redemption.
KINDS = (SALE, VOUCHER) = ("sale", "voucher")
PAID, PENDING, CANCELED = "p", "n", "c"


class ParseError(ValueError):
    """An answer that is not what pretix says."""


def order_code(key: str) -> str:
    """The order code that stands for a key: pretix keeps codes unique, so one key makes one order."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest(), "big")
    letters = []
    for _ in range(CODE_LENGTH):
        number, digit = divmod(number, len(CODE_ALPHABET))
        letters.append(CODE_ALPHABET[digit])
    return "".join(letters)


def cart_id(key: str) -> str:
    """The cart that holds what was reserved under a key; only carts with this suffix are shown by the API."""
    return f"{key}{CART_SUFFIX}"


def yuan(amount: int) -> str:
    """Minor units as the decimal string of the wire."""
    sign, amount = ("-", -amount) if amount < 0 else ("", amount)
    return f"{sign}{amount // 100}.{amount % 100:02d}"


def fen(text: object) -> int:
    """A decimal string in minor units; a fraction of one is refused."""
    if not isinstance(text, str) or len(text) > 20:
        raise ParseError("an amount is not a decimal string")
    try:
        amount = Decimal(text) * 100
    except InvalidOperation:
        raise ParseError("an amount is not a decimal string") from None
    if not amount.is_finite() or abs(amount) > MOST or amount != int(amount):
        raise ParseError("an amount is out of range or has a fraction of a fen")
    return int(amount)


def read_json(body: bytes) -> Any:
    """The JSON of a body."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise ParseError("the answer is no JSON") from None


def moment(text: object) -> datetime:
    """A time with its offset."""
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise ParseError("a time is not RFC 3339 with an offset")
    return found


def table_of(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ParseError("expected an object")
    return value


def rows_of(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ParseError("expected a list")
    return value


def text_of(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise ParseError(f"{name} is no text")
    return value or ""


def whole_of(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParseError(f"{name} is no whole number")
    return value


def whole_or_none(row: Mapping[str, Any], name: str) -> int | None:
    return None if row.get(name) is None else whole_of(row, name)


def moment_or_none(row: Mapping[str, Any], name: str) -> datetime | None:
    return None if row.get(name) is None else moment(row[name])


def name_of(row: Mapping[str, Any], name: str) -> Mapping[str, str]:
    value = row.get(name)
    if isinstance(value, str):
        return {"en": value}
    return {str(key): str(text) for key, text in table_of(value).items()}


@dataclass(frozen=True)
class Page:
    """One page of a list; ``more`` says that there is another."""

    rows: tuple[Any, ...]
    more: bool


def read_page(body: bytes) -> Page:
    """A page of whatever was asked for."""
    table = table_of(read_json(body))
    return Page(tuple(rows_of(table.get("results"))), bool(table.get("next")))


def words(errors: object) -> str:
    """A refusal's own words, for people: field names and sentences, shortened."""
    return json.dumps(errors, ensure_ascii=False, default=str)[:300]
