"""Members inside replies of the head office: typed records. Value in fen by bucket, points whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugins.restaurant.protocol import ParseError
from plugins.restaurant.protocol_bill import Fields

#: The head office's names of the buckets of stored value: paid in, given on top, paid in advance.
BUCKETS = ("real", "gift", "pre")


@dataclass(frozen=True, slots=True)
class Customer:
    """A member. ``rate_bp`` is what the level pays (9000 = 90 %), 10000: no member rate."""

    customer_id: str
    name: str
    level: str
    rate_bp: int
    state: int
    points: int
    frozen: int
    real: int
    gift: int
    pre: int
    order: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a change: what was moved. ``replayed``: it had been done before, under the same number."""

    request_id: str
    customer_id: str
    kind: str
    state: str
    points: int
    money: int
    buckets: Mapping[str, int]
    replayed: bool


@dataclass(frozen=True, slots=True)
class Record:
    """One movement of points or value on a business date, signed as the member sees it."""

    request_id: str
    origin_id: str
    customer_id: str
    kind: str
    points: int
    money: int
    at: str
    biz_no: str


def parse_customer(value: Any, where: str = "customer") -> Customer:
    """Read one member."""
    get = Fields(value, where)
    points, accounts = Fields(get.raw("points"), f"{where}.points"), Fields(get.raw("accounts"), f"{where}.accounts")
    rate = get.thousandths("levelDiscount") * 10
    if not 0 <= rate <= 10_000:
        raise ParseError(f"{where}.levelDiscount: not between 0 and 1")
    return Customer(
        customer_id=get.needed("customerId"),
        name=get.text("name"),
        level=get.text("levelCode"),
        rate_bp=rate,
        state=get.number("state"),
        points=points.number("available"),
        frozen=points.number("frozen"),
        real=accounts.fen("realMoney"),
        gift=accounts.fen("giftMoney"),
        pre=accounts.fen("preMoney"),
        order=get.text("deductOrder"),
    )


def parse_receipt(value: Any, where: str = "data") -> Receipt:
    """Read the answer to a change, or to a question about one."""
    get = Fields(value, where)
    affected = Fields(get.raw("affected"), f"{where}.affected")
    return Receipt(
        request_id=get.needed("requestId"),
        customer_id=get.needed("customerId"),
        kind=get.needed("kind"),
        state=get.text("state"),
        points=get.number("points"),
        money=get.fen("money"),
        buckets={name: affected.fen(f"{name}Money") for name in BUCKETS},
        replayed=get.text("result") == "BIZ_ALREADY_SUCCESS",
    )


def parse_record(value: Any, where: str = "record") -> Record:
    """Read one row of the day's movements."""
    get = Fields(value, where)
    return Record(
        request_id=get.needed("requestId"),
        origin_id=get.text("originId"),
        customer_id=get.needed("customerId"),
        kind=get.needed("kind"),
        points=get.number("points"),
        money=get.fen("money"),
        at=get.text("time"),
        biz_no=get.text("bizNo"),
    )
