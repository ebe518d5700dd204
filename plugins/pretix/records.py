"""The records of pretix's REST API, each read from a JSON object. Raises only :class:`ParseError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from plugins.pretix.protocol import (
    KINDS,
    ParseError,
    fen,
    moment,
    moment_or_none,
    name_of,
    read_json,
    rows_of,
    table_of,
    text_of,
    whole_of,
    whole_or_none,
    words,
)


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
    table = table_of(row)
    return Held(
        whole_of(table, "id"), text_of(table, "cart_id"), whole_of(table, "item"), whole_or_none(table, "variation"),
        whole_or_none(table, "subevent"), whole_or_none(table, "voucher"), moment(table.get("datetime")),
        moment(table.get("expires")),
    )  # fmt: skip


def read_bulk(body: bytes) -> tuple[tuple[Held, ...], tuple[str, ...]]:
    """What of several cart positions was made, and the words about those that were not: some may be, and others not."""
    made, refused = [], []
    for row in rows_of(table_of(read_json(body)).get("results")):
        table = table_of(row)
        if table.get("success") is True:
            made.append(read_held(table.get("data")))
        else:
            refused.append(words(table.get("errors")))
    return tuple(made), tuple(refused)


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
    table = table_of(row)
    mode, value = text_of(table, "price_mode"), table.get("value")
    percent = Decimal(fen(value)) / 100 if value is not None and mode == "percent" else Decimal(0)
    return Voucher(
        whole_of(table, "id"), text_of(table, "code"), whole_of(table, "max_usages"), whole_of(table, "redeemed"),
        moment_or_none(table, "valid_until"), mode, fen(value) if value is not None else 0, percent,
        whole_or_none(table, "item"), whole_or_none(table, "quota"), whole_or_none(table, "subevent"),
        text_of(table, "seat"), whole_of(table, "min_usages"),
        fen(table["budget"]) if table.get("budget") is not None else None,
        fen(table["budget_used"]) if table.get("budget_used") is not None else 0, text_of(table, "tag"),
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
    table = table_of(row)
    return Card(
        whole_of(table, "id"), text_of(table, "secret"), fen(table.get("value")), text_of(table, "currency"),
        bool(table.get("testmode")), moment_or_none(table, "expires"),
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
    table = table_of(row)
    return Booking(
        whole_of(table, "id"), moment(table.get("datetime")), fen(table.get("value")), text_of(table, "text")
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
    table = table_of(row)
    numbers = {name: [n for n in rows_of(table.get(name)) if isinstance(n, int)] for name in ("items", "variations")}
    return Quota(
        tuple(numbers["items"]), tuple(numbers["variations"]), whole_or_none(table, "subevent"),
        whole_or_none(table, "size"), whole_or_none(table, "available_number"), table.get("available") is True,
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
    table = table_of(row)
    prices = {}
    for each in rows_of(table.get("item_price_overrides") or []):
        override = table_of(each)
        if override.get("price") is not None:
            prices[whole_of(override, "item")] = fen(override["price"])
    return Showing(
        whole_of(table, "id"), name_of(table, "name"), moment(table.get("date_from")), moment_or_none(table, "date_to"),
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
    table = table_of(row)
    name, price, active = name_of(table, "name"), fen(table.get("default_price")), table.get("active") is True
    variants = tuple(_read_variant(each, price) for each in rows_of(table.get("variations") or []))
    return Item(
        whole_of(table, "id"), name, text_of(table, "internal_name"), active, table.get("free_price") is True,
        variants or (Variant(None, {}, price, active),),
    )  # fmt: skip


def _read_variant(row: object, price: int) -> Variant:
    table = table_of(row)
    own = table.get("price")
    return Variant(
        whole_of(table, "id"), name_of(table, "value"), fen(own) if own is not None else price,
        table.get("active") is True,
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
    table = table_of(row)
    return Customer(
        text_of(table, "identifier"), text_of(table, "external_identifier"), text_of(table, "email"),
        text_of(table, "phone"), text_of(table, "name"), table.get("is_active") is True,
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
    table = table_of(row)
    return Membership(
        text_of(table, "customer"), whole_of(table, "membership_type"), moment(table.get("date_start")),
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
    table = table_of(row)
    return Order(
        text_of(table, "code"), text_of(table, "status"), fen(table.get("total")), moment_or_none(table, "datetime"),
        tuple(_read_sold(each) for each in rows_of(table.get("positions"))),
        tuple(_read_refund(each) for each in rows_of(table.get("refunds") or [])),
        tuple(whole_of(table_of(each), "local_id") for each in rows_of(table.get("payments") or [])),
        _read_meta(table.get("api_meta")),
    )  # fmt: skip


def _read_meta(value: object) -> Mapping[str, Any]:
    """What we wrote on an order; what others write there is none of ours."""
    if not isinstance(value, dict) or value.get("kind") not in KINDS:
        return {}
    for name, kinds in (("lines", [str, int]), ("tenders", [str, int, str])):
        for row in rows_of(value.get(name) or []):
            if [type(each) for each in rows_of(row)] != kinds:
                raise ParseError(f"api_meta: {name} is not what we write")
    return value


def _read_sold(row: object) -> Sold:
    table = table_of(row)
    return Sold(
        whole_of(table, "id"), whole_of(table, "positionid"), whole_of(table, "item"), fen(table.get("price")),
        table.get("canceled") is True,
    )  # fmt: skip


def _read_refund(row: object) -> Refund:
    table = table_of(row)
    return Refund(
        whole_of(table, "local_id"), text_of(table, "state"), fen(table.get("amount")), moment(table.get("created")),
        text_of(table, "comment"),
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
    table = table_of(read_json(body))
    return Hint(*(text_of(table, name) for name in ("organizer", "event", "code", "action")))
