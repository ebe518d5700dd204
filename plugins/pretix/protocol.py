"""The wire of pretix's REST API: JSON in, records out. Raises only :class:`ParseError`.

Amounts travel as decimal strings (``"45.00"``), times as RFC 3339. Lists are pages with ``results`` and ``next``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
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


def _table(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ParseError("expected an object")
    return value


def _rows(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ParseError("expected a list")
    return value


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise ParseError(f"{name} is no text")
    return value or ""


def _whole(row: Mapping[str, Any], name: str) -> int:
    value = row.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParseError(f"{name} is no whole number")
    return value


def _whole_or_none(row: Mapping[str, Any], name: str) -> int | None:
    return None if row.get(name) is None else _whole(row, name)


def _moment_or_none(row: Mapping[str, Any], name: str) -> datetime | None:
    return None if row.get(name) is None else moment(row[name])


def _name(row: Mapping[str, Any], name: str) -> Mapping[str, str]:
    value = row.get(name)
    if isinstance(value, str):
        return {"en": value}
    return {str(key): str(text) for key, text in _table(value).items()}


@dataclass(frozen=True)
class Page:
    """One page of a list; ``more`` says that there is another."""

    rows: tuple[Any, ...]
    more: bool


def read_page(body: bytes) -> Page:
    """A page of whatever was asked for."""
    table = _table(read_json(body))
    return Page(tuple(_rows(table.get("results"))), bool(table.get("next")))


@dataclass(frozen=True)
class Held:
    """A cart position: one piece of a product, held until ``expires``."""

    id: int
    cart: str
    item: int
    variation: int | None
    subevent: int | None
    voucher: int | None
    created: datetime
    expires: datetime


def read_held(row: object) -> Held:
    """A cart position."""
    table = _table(row)
    return Held(
        _whole(table, "id"), _text(table, "cart_id"), _whole(table, "item"), _whole_or_none(table, "variation"),
        _whole_or_none(table, "subevent"), _whole_or_none(table, "voucher"), moment(table.get("datetime")),
        moment(table.get("expires")),
    )  # fmt: skip


def read_bulk(body: bytes) -> tuple[tuple[Held, ...], tuple[str, ...]]:
    """What of several cart positions was made, and the words about those that were not: some may be, and others not."""
    made, refused = [], []
    for row in _rows(_table(read_json(body)).get("results")):
        table = _table(row)
        if table.get("success") is True:
            made.append(read_held(table.get("data")))
        else:
            refused.append(words(table.get("errors")))
    return tuple(made), tuple(refused)


def words(errors: object) -> str:
    """A refusal's own words, for people: field names and sentences, shortened."""
    return json.dumps(errors, ensure_ascii=False, default=str)[:300]


@dataclass(frozen=True)
class Voucher:
    """A voucher. ``redeemed`` leaves out what carts hold."""

    id: int
    code: str
    most: int
    redeemed: int
    valid_until: datetime | None
    price_mode: str
    value: int
    percent: Decimal
    item: int | None
    quota: int | None
    subevent: int | None
    seat: str
    least: int
    budget: int | None
    budget_used: int
    tag: str


def read_voucher(row: object) -> Voucher:
    """A voucher; ``value`` is in minor units, or a percentage with the mode ``percent``."""
    table = _table(row)
    mode, value = _text(table, "price_mode"), table.get("value")
    percent = Decimal(fen(value)) / 100 if value is not None and mode == "percent" else Decimal(0)
    return Voucher(
        _whole(table, "id"), _text(table, "code"), _whole(table, "max_usages"), _whole(table, "redeemed"),
        _moment_or_none(table, "valid_until"), mode, fen(value) if value is not None else 0, percent,
        _whole_or_none(table, "item"), _whole_or_none(table, "quota"), _whole_or_none(table, "subevent"),
        _text(table, "seat"), _whole(table, "min_usages"),
        fen(table["budget"]) if table.get("budget") is not None else None,
        fen(table["budget_used"]) if table.get("budget_used") is not None else 0, _text(table, "tag"),
    )  # fmt: skip


@dataclass(frozen=True)
class Card:
    """A gift card. pretix books on an expired one, and on one of a test, as on any other."""

    id: int
    secret: str
    balance: int
    currency: str
    testmode: bool
    expires: datetime | None


def read_card(row: object) -> Card:
    """A gift card."""
    table = _table(row)
    return Card(
        _whole(table, "id"), _text(table, "secret"), fen(table.get("value")), _text(table, "currency"),
        bool(table.get("testmode")), _moment_or_none(table, "expires"),
    )  # fmt: skip


@dataclass(frozen=True)
class Booking:
    """One entry on a gift card; ``text`` is what its maker wrote."""

    id: int
    at: datetime
    amount: int
    text: str


def read_booking(row: object) -> Booking:
    """An entry on a gift card."""
    table = _table(row)
    return Booking(
        _whole(table, "id"), moment(table.get("datetime")), fen(table.get("value")), _text(table, "text")
    )  # fmt: skip


@dataclass(frozen=True)
class Quota:
    """How many of some products there are for one date; ``left`` is ``None`` where there is no limit."""

    items: tuple[int, ...]
    variations: tuple[int, ...]
    subevent: int | None
    size: int | None
    left: int | None
    available: bool


def read_quota(row: object) -> Quota:
    """A quota with its availability."""
    table = _table(row)
    numbers = {name: [n for n in _rows(table.get(name)) if isinstance(n, int)] for name in ("items", "variations")}
    return Quota(
        tuple(numbers["items"]), tuple(numbers["variations"]), _whole_or_none(table, "subevent"),
        _whole_or_none(table, "size"), _whole_or_none(table, "available_number"), table.get("available") is True,
    )  # fmt: skip


@dataclass(frozen=True)
class Showing:
    """A date of a series."""

    id: int
    name: Mapping[str, str]
    start: datetime
    end: datetime | None
    active: bool
    prices: Mapping[int, int]


def read_showing(row: object) -> Showing:
    """A date of a series; ``prices`` are those that differ from the product's own, by product."""
    table = _table(row)
    prices = {}
    for each in _rows(table.get("item_price_overrides") or []):
        override = _table(each)
        if override.get("price") is not None:
            prices[_whole(override, "item")] = fen(override["price"])
    return Showing(
        _whole(table, "id"), _name(table, "name"), moment(table.get("date_from")), _moment_or_none(table, "date_to"),
        table.get("active") is True, prices,
    )  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A variation of a product, or the product itself (``id`` is ``None``)."""

    id: int | None
    name: Mapping[str, str]
    price: int
    active: bool


@dataclass(frozen=True)
class Item:
    """A product."""

    id: int
    name: Mapping[str, str]
    category: str
    active: bool
    free_price: bool
    variants: tuple[Variant, ...]


def read_item(row: object) -> Item:
    """A product with its variations."""
    table = _table(row)
    name, price, active = _name(table, "name"), fen(table.get("default_price")), table.get("active") is True
    variants = tuple(_read_variant(each, price) for each in _rows(table.get("variations") or []))
    return Item(
        _whole(table, "id"), name, _text(table, "internal_name"), active, table.get("free_price") is True,
        variants or (Variant(None, {}, price, active),),
    )  # fmt: skip


def _read_variant(row: object, price: int) -> Variant:
    table = _table(row)
    own = table.get("price")
    return Variant(
        _whole(table, "id"), _name(table, "value"), fen(own) if own is not None else price, table.get("active") is True
    )  # fmt: skip


@dataclass(frozen=True)
class Customer:
    """A customer; phone and e-mail are personal."""

    identifier: str
    external: str
    email: str
    phone: str
    name: str
    active: bool


def read_customer(row: object) -> Customer:
    """A customer."""
    table = _table(row)
    return Customer(
        _text(table, "identifier"), _text(table, "external_identifier"), _text(table, "email"), _text(table, "phone"),
        _text(table, "name"), table.get("is_active") is True,
    )  # fmt: skip


@dataclass(frozen=True)
class Membership:
    """A membership of a customer over a time."""

    customer: str
    type: int
    start: datetime
    end: datetime


def read_membership(row: object) -> Membership:
    """A membership."""
    table = _table(row)
    return Membership(
        _text(table, "customer"), _whole(table, "membership_type"), moment(table.get("date_start")),
        moment(table.get("date_end")),
    )  # fmt: skip


@dataclass(frozen=True)
class Sold:
    """A position of an order."""

    id: int
    number: int
    item: int
    price: int
    canceled: bool


@dataclass(frozen=True)
class Refund:
    """A refund of an order; ``comment`` is what its maker wrote."""

    number: int
    state: str
    amount: int
    at: datetime
    comment: str


@dataclass(frozen=True)
class Order:
    """An order. ``meta`` is what we wrote on it."""

    code: str
    status: str
    total: int
    at: datetime | None
    positions: tuple[Sold, ...]
    refunds: tuple[Refund, ...] = ()
    payments: tuple[int, ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def refunded(self) -> int:
        """What was given back, in minor units; refunds that came to nothing do not count."""
        return sum(refund.amount for refund in self.refunds if refund.state not in ("canceled", "failed"))


def read_order(row: object) -> Order:
    """An order, or the dry run of one."""
    table = _table(row)
    return Order(
        _text(table, "code"), _text(table, "status"), fen(table.get("total")), _moment_or_none(table, "datetime"),
        tuple(_read_sold(each) for each in _rows(table.get("positions"))),
        tuple(_read_refund(each) for each in _rows(table.get("refunds") or [])),
        tuple(_whole(_table(each), "local_id") for each in _rows(table.get("payments") or [])),
        _read_meta(table.get("api_meta")),
    )  # fmt: skip


def _read_meta(value: object) -> Mapping[str, Any]:
    """What we wrote on an order; what others write there is none of ours."""
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return {}
    for name, kinds in (("lines", [str, int]), ("tenders", [str, int, str])):
        for row in _rows(value.get(name) or []):
            if [type(each) for each in _rows(row)] != kinds:
                raise ParseError(f"api_meta: {name} is not what we write")
    return value


def _read_sold(row: object) -> Sold:
    table = _table(row)
    return Sold(
        _whole(table, "id"), _whole(table, "positionid"), _whole(table, "item"), fen(table.get("price")),
        table.get("canceled") is True,
    )  # fmt: skip


def _read_refund(row: object) -> Refund:
    table = _table(row)
    return Refund(
        _whole(table, "local_id"), _text(table, "state"), fen(table.get("amount")), moment(table.get("created")),
        _text(table, "comment"),
    )  # fmt: skip


@dataclass(frozen=True)
class Hint:
    """What a webhook says: something happened to an order. It is not signed."""

    organizer: str
    event: str
    code: str
    action: str


def read_hint(body: bytes) -> Hint:
    """A webhook's body."""
    table = _table(read_json(body))
    return Hint(*(_text(table, name) for name in ("organizer", "event", "code", "action")))
