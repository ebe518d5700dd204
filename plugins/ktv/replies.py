"""What the till's replies say: rooms, prices, bills, members. Amounts in fen. Readers raise only ``ParseError``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from plugins.ktv.protocol import (
    ROOM_STATES,
    ParseError,
    Reply,
    optional_time,
    parse_code,
    parse_flag,
    parse_int,
    parse_money,
    parse_number,
    parse_time,
)


@dataclass(frozen=True, slots=True)
class RoomRow:
    """A row of RS. Amounts in fen. ``name`` may lack its end (ten bytes); ``spent`` is what the open bill comes to."""

    room: str
    name: str
    room_class: str
    state: int
    bill: str
    booking: str
    opened: datetime | None
    ends: datetime | None
    guests: int
    minimum: int
    spent: int


ROOM_WIDTH = 11


def read_rooms(reply: Reply) -> list[RoomRow]:
    """The rows of RS; none if the area has no rooms."""
    if reply.tail.endswith(b"|") and reply.tail.count(b"|") < ROOM_WIDTH:
        return []
    return reply.read(lambda rows: [_room(row) for row in rows], ROOM_WIDTH)


def _room(row: Sequence[str]) -> RoomRow:
    room, name, room_class, state, bill, booking, opened, ends, guests, minimum, spent = row
    number = parse_int(state)
    if number not in ROOM_STATES:
        raise ParseError(f"unknown room state {state!r}")
    times = optional_time(opened), optional_time(ends)
    counts = parse_int(guests), parse_money(minimum), parse_money(spent)
    return RoomRow(parse_code(room), name, room_class, number, parse_code(bill), parse_code(booking), *times, *counts)


@dataclass(frozen=True, slots=True)
class PriceSlot:
    """An hourly price: minutes after midnight from and to, fen an hour."""

    start: int
    end: int
    amount: int


@dataclass(frozen=True, slots=True)
class Package:
    """A package: code, name, price in fen, minutes it lasts."""

    code: str
    name: str
    amount: int
    minutes: int


def read_prices(reply: Reply) -> tuple[list[PriceSlot], list[Package]]:
    """The rows of PL: hourly slots of three fields (the last is ``H``), packages of four."""
    return reply.read(_prices, 3, later=(3, 4))


def _prices(rows: list[list[str]]) -> tuple[list[PriceSlot], list[Package]]:
    slots: list[PriceSlot] = []
    packages: list[Package] = []
    for row in rows:
        if len(row) == 3:
            slots.append(_price_slot(row))
        else:
            packages.append(Package(row[0], row[1], parse_money(row[2]), parse_int(row[3])))
    return slots, packages


def _price_slot(row: Sequence[str]) -> PriceSlot:
    window, amount, unit = row
    match = re.fullmatch(r"(\d\d)(\d\d)-(\d\d)(\d\d)", window, re.ASCII)
    if not match or unit != "H":
        raise ParseError(f"not a price slot: {'|'.join(row)!r}")
    h1, m1, h2, m2 = (int(group) for group in match.groups())
    return PriceSlot(h1 * 60 + m1, h2 * 60 + m2, parse_money(amount))


@dataclass(frozen=True, slots=True)
class BillLine:
    """A line of a bill: ``L`` drink or food, ``X`` extension, ``G`` gift. ``counted``: towards the minimum."""

    kind: str
    number: str
    code: str
    name: str
    quantity: int
    price: int
    counted: bool


@dataclass(frozen=True, slots=True)
class BillMoney:
    """A movement of money on a bill: ``P`` payment, ``Y`` deposit (negative when given back), ``T`` refund."""

    kind: str
    number: str
    tender: str
    amount: int
    change: int
    ref: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Bill:
    """The reply to BL. Amounts in fen; ``deposit`` is what is still held, ``paid`` net of change."""

    number: str
    room: str
    state: int
    opened: datetime | None
    ends: datetime | None
    plan: str
    minutes: int
    guests: int
    booking: str
    room_fee: int
    drinks: int
    counted: int
    minimum: int
    top_up: int
    deposit: int
    paid: int
    due: int
    lines: tuple[BillLine, ...]
    money: tuple[BillMoney, ...]

    def with_ref(self, kind: str, ref: str) -> list[BillMoney]:
        """Movements of one kind that carry this reference of ours."""
        return [row for row in self.money if row.kind == kind and row.ref == ref]


BILL_WIDTH = 17
DETAIL_WIDTH = 7


def read_bill(reply: Reply) -> Bill:
    """The reply to BL: a head of 17 fields, then detail rows of seven."""
    return reply.read(_bill, BILL_WIDTH, later=(DETAIL_WIDTH,))


def _bill(rows: list[list[str]]) -> Bill:
    head, *details = rows
    lines = tuple(_bill_line(row) for row in details if row[0] in ("L", "X", "G"))
    money = tuple(_bill_money(row) for row in details if row[0] in ("P", "Y", "T"))
    if len(lines) + len(money) != len(details):
        raise ParseError("an unknown kind of detail row")
    number, room, state, opened, ends, plan, minutes, guests, booking, *amounts = head
    times = optional_time(opened), optional_time(ends)
    counts = parse_int(minutes), parse_int(guests)
    fee, drinks, counted, minimum, top_up, deposit, paid, due = (parse_money(amount) for amount in amounts)
    codes = parse_code(number), parse_code(room), parse_int(state)
    sums = fee, drinks, counted, minimum, top_up, deposit, paid, due
    return Bill(*codes, *times, plan, *counts, parse_code(booking), *sums, lines, money)


def _bill_line(row: Sequence[str]) -> BillLine:
    kind, number, code, name, quantity, price, uncounted = row
    return BillLine(kind, number, code, name, parse_int(quantity), parse_money(price), not parse_flag(uncounted))


def _bill_money(row: Sequence[str]) -> BillMoney:
    kind, number, tender, amount, change, ref, at = row
    return BillMoney(kind, parse_code(number), tender, parse_money(amount), parse_money(change), ref, parse_time(at))


@dataclass(frozen=True, slots=True)
class Member:
    """The reply to MB: real and gift stored value in fen."""

    card: str
    name: str
    level: str
    points: int
    real: int
    gift: int


def read_member(reply: Reply) -> Member:
    """The reply to MB."""

    def build(rows: list[list[str]]) -> Member:
        card, name, level, points, real, gift = rows[0]
        return Member(parse_code(card), name, level, parse_int(points), parse_money(real), parse_money(gift))

    return reply.read(build, 6)


def read_change(reply: Reply) -> tuple[datetime, int]:
    """The reply to EX, MV and MG: the new end, and what this adds to the bill in fen."""
    return reply.read(lambda rows: (parse_time(rows[0][0]), parse_money(rows[0][1])), 2)


def read_number(reply: Reply) -> str:
    """The reply to BK, OP, PY and YJ: the number of what was made."""
    return reply.read(lambda rows: parse_number(rows[0][0]), 1)


def read_count(reply: Reply) -> int:
    """The reply to DK (the line's number) and CL (the bill's state)."""
    return reply.read(lambda rows: parse_int(rows[0][0]), 1)


def read_nothing(reply: Reply) -> None:
    """The reply to BC: nothing but TEXT."""


def read_refund(reply: Reply) -> tuple[str, int]:
    """The reply to TD: the refund's number and its amount in fen."""
    return reply.read(lambda rows: (parse_number(rows[0][0]), parse_money(rows[0][1])), 2)
