"""Theirs ↔ ours: what the till's rooms, bills, members and refusals mean in the gateway's words. Amounts in fen."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.sdk import (
    Bill,
    BillKind,
    BillLine,
    Declined,
    DeclineReason,
    InvalidReply,
    Member,
    Product,
    RateSlot,
    Slot,
    SlotPackage,
    SlotState,
    StatementRow,
    TenderLine,
    Value,
)
from plugins.ktv import protocol as p
from plugins.ktv import replies
from plugins.ktv.client import Refusal
from plugins.ktv.price_list import Drink

#: What each refusal means. The till did nothing for any of them.
REASONS = {
    p.NO_ROOM: DeclineReason.NOT_FOUND,
    p.WRONG_STATE: DeclineReason.SESSION_STATE,
    p.ROOM_BOOKED: DeclineReason.SLOT_TAKEN,
    p.NO_BOOKING: DeclineReason.NOT_FOUND,
    p.NO_BILL: DeclineReason.NOT_FOUND,
    p.BILL_CLOSED: DeclineReason.BILL_CLOSED,
    p.UNPAID: DeclineReason.SESSION_STATE,
    p.PAST_END: DeclineReason.SESSION_STATE,
    p.WAS_REFUNDED: DeclineReason.CLOSED,
    p.NO_ITEM: DeclineReason.NOT_FOUND,
    p.BAD_AMOUNT: DeclineReason.AMOUNT_MISMATCH,
    p.NO_DEPOSIT: DeclineReason.AMOUNT_MISMATCH,
    p.NO_MEMBER: DeclineReason.MEMBER_UNKNOWN,
}

SLOT_STATES = {
    p.IDLE: SlotState.FREE,
    p.BOOKED: SlotState.RESERVED,
    p.OPEN: SlotState.OCCUPIED,
    p.SETTLED: SlotState.CLEANING,
    p.CLEANING: SlotState.CLEANING,
    p.LOCKED: SlotState.LOCKED,
    p.BROKEN: SlotState.OUT_OF_ORDER,
}

#: Method, or method and channel, → the till's tender code.
TENDERS = {
    "payment_code": "PT",
    "payment_code:wechat": "WX",
    "payment_code:alipay": "ZFB",
    "payment_code:unionpay": "YHK",
    "qr_code": "PT",
    "qr_code:wechat": "WX",
    "qr_code:alipay": "ZFB",
    "bank_card": "YHK",
    "deposit": "YJ",
    "stored_value": "CZK",
    "red_envelope": "HB",
    "gift_card": "LPK",
    "voucher": "TGQ",
    "cash": "RMB",
    "on_account": "GZ",
}
DISCOUNT, POINTS, DEPOSIT, PLATFORM = "YHQ", "JF", "YJ", "PT"

#: A settled room is cleaned, and turns idle by itself after about this long.
CLEANING_TAKES = timedelta(minutes=11)
#: RS does not say how long a booking is; nobody sings longer than this.
LONGEST_BOOKING = timedelta(hours=12)

_OURS = re.compile(r"[0-9A-Z]{18}\d\d", re.ASCII)


def reference(key: str, index: int = 0) -> str:
    """The reference of a row in the till, twenty bytes: the last 18 characters of our key and two digits."""
    return f"{key[-18:]:0>18}{index:02d}"


def key_of(ref: str) -> str:
    """The part of our key in a row's reference; nothing if the row is not ours."""
    return ref[:18] if _OURS.fullmatch(ref) else ""


def declined(refusal: Refusal, reason: DeclineReason | None = None) -> Declined:
    """The till's refusal as an outcome."""
    known = REASONS.get(refusal.code, DeclineReason.DECLINED)
    return Declined(reason=reason or known, code=str(refusal.code), message=refusal.text)


def tender_code(tender: TenderLine, own: Mapping[str, str]) -> str:
    """The till's code for a tender; a merchant's own table goes first, the channel before the method alone."""
    table = {**TENDERS, **own}
    return table.get(f"{tender.method.value}:{tender.channel}") or table[tender.method.value]


def checked(bill: replies.Bill, asked: str) -> replies.Bill:
    """A bill that adds up and is the one asked for; else ``InvalidReply``."""
    drinks = sum(line.quantity * line.price for line in bill.lines if line.kind != "X")
    paid = sum(row.amount - row.change for row in bill.money if row.kind == "P")
    total = bill.room_fee + bill.drinks + bill.top_up
    sound = (
        asked in (bill.number, bill.room)
        and drinks == bill.drinks
        and paid == bill.paid
        and total - paid == bill.due
        and bill.top_up == max(0, bill.minimum - bill.counted)
    )
    if not sound:
        raise InvalidReply(f"the bill of {asked} does not add up, or is another one")
    return bill


def business_date(number: str) -> date:
    """The evening a number belongs to: bills after midnight carry the evening's date."""
    try:
        return date(2000 + int(number[1:3]), int(number[3:5]), int(number[5:7]))
    except ValueError:
        raise InvalidReply(f"no date in the number {number!r}") from None


def version(bill: replies.Bill) -> str:
    """Changes whenever the bill's lines, time or payments do; deposits do not count."""
    paid = [(row.number, row.amount) for row in bill.money if row.kind == "P"]
    text = repr((bill.number, bill.room, bill.state, bill.ends, bill.room_fee, bill.minimum, bill.lines, paid))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_bill(bill: replies.Bill, store_id: str) -> Bill:
    """What is still to be paid of an open bill: the room's time, its extensions and what was ordered, as lines.

    What was paid before (the till keeps no sum by line) goes to what does not count towards the minimum first, then to
    the rest in order; lines that it covers are left out, and a counting one that is left out lowers the minimum.
    """
    lines = [_room_line(bill), *(_line(line) for line in bill.lines)]
    unpaid, covered = _unpaid(lines, bill.paid)
    minimum = max(0, bill.minimum - covered)
    fee = {"fee_id": "minimum_spend", "kind": "minimum_spend", "amount": minimum}
    return Bill(
        bill_id=bill.number,
        kind=BillKind.SESSION,
        store_id=store_id,
        version=version(bill),
        lines=tuple(unpaid),
        due_amount=bill.due,
        session_id=bill.number,
        resource_id=bill.room,
        paid_amount=bill.paid,
        deposit_amount=bill.deposit,
        fees=(fee,) if minimum else (),
        stock_held=True,
        opened_at=bill.opened,
        business_date=business_date(bill.number),
        facts={"ends": bill.ends.isoformat() if bill.ends else "", "guests": bill.guests, "top_up": bill.top_up},
    )


def _unpaid(lines: list[BillLine], paid: int) -> tuple[list[BillLine], int]:
    """The lines still to be paid, and how much of the minimum the payments have covered."""
    left, shares = paid, {}
    for line in sorted(lines, key=lambda each: each.counts_to_minimum):
        shares[line.line_id] = min(left, line.gross_amount)
        left -= shares[line.line_id]
    covered = left + sum(shares[line.line_id] for line in lines if line.counts_to_minimum)
    kept = [line for line in lines if shares[line.line_id] < line.gross_amount or (not paid and not line.gross_amount)]
    return [_less(line, shares[line.line_id]) for line in kept], covered


def _less(line: BillLine, paid: int) -> BillLine:
    """A line of which a part is paid: what is left of it, as one piece."""
    if not paid:
        return line
    rest, facts = line.gross_amount - paid, {**line.facts, "paid_amount": paid}
    return replace(line, quantity=Decimal(1), unit_amount=rest, gross_amount=rest, facts=facts)


def _room_line(bill: replies.Bill) -> BillLine:
    fee = bill.room_fee - sum(line.price for line in bill.lines if line.kind == "X")
    name = "房费" if bill.plan == "H" else "套餐"
    return BillLine(
        line_id="room",
        sku=bill.plan,
        name=name,
        quantity=Decimal(1),
        unit_amount=fee,
        gross_amount=fee,
        category="room",
        counts_to_minimum=False,
        facts={"minutes": bill.minutes},
    )


def _line(line: replies.BillLine) -> BillLine:
    """A drink, a gift, or an extension: the price of that last one is for all its minutes."""
    extension = line.kind == "X"
    quantity = 1 if extension else line.quantity
    return BillLine(
        line_id=line.number,
        sku=line.code,
        name=line.name,
        quantity=Decimal(quantity),
        unit_amount=line.price,
        gross_amount=line.price * quantity,
        category="room" if extension else "drinks",
        discountable=line.kind != "G",
        counts_to_minimum=line.counted,
        facts={"minutes": line.quantity} if extension else {},
    )


def to_slot(row: replies.RoomRow, start: datetime, now: datetime, **plan: Any) -> Slot:
    """A room over a window that begins at ``start``.

    RS shows what is now, and of bookings only those of the next half hour; for a later window the state is a forecast.
    """
    free_from = _free_from(row, now)
    later = free_from is not None and free_from <= start
    return Slot(
        resource_id=row.room,
        resource_class=row.room_class,
        state=SlotState.FREE if later else SLOT_STATES[row.state],
        as_of=now,
        name=row.name,
        free_from=free_from,
        session_id=row.bill,
        facts={"booking": row.booking} if row.booking else {},
        **plan,
    )


def _free_from(row: replies.RoomRow, now: datetime) -> datetime | None:
    """When a room can be had again as far as can be told; ``None``: it is free, or nobody knows."""
    if row.state == p.OPEN:
        return max(row.ends or now, now) + CLEANING_TAKES
    if row.state == p.BOOKED:
        return now + LONGEST_BOOKING
    return now + CLEANING_TAKES if row.state in (p.SETTLED, p.CLEANING) else None


def to_rates(slots: list[replies.PriceSlot], day: date, start: datetime, end: datetime) -> list[RateSlot]:
    """The hourly prices of a day that touch a window."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=p.LOCAL)
    rates = [
        RateSlot(
            start=midnight + timedelta(minutes=slot.start),
            end=midnight + timedelta(minutes=slot.end),
            rate_amount=slot.amount,
        )
        for slot in slots
    ]
    return [rate for rate in rates if rate.start < end and start < rate.end]


def to_packages(packages: list[replies.Package], deals: Mapping[str, str]) -> tuple[SlotPackage, ...]:
    """Packages as they can be sold: under the till's codes, and under the SKUs of deals that stand for one."""
    known = {each.code: each for each in packages}
    named = [(code, known[code]) for code in known] + [
        (sku, known[code]) for sku, code in deals.items() if code in known
    ]
    return tuple(SlotPackage(sku=sku, name=each.name, amount=each.amount, minutes=each.minutes) for sku, each in named)


def to_product(drink: Drink) -> Product:
    """An article of the price list; drinks are not counted as stock."""
    return Product(
        sku=drink.code,
        name=drink.name,
        unit_amount=drink.price,
        category="drinks",
        stocked=False,
        facts={"counts_to_minimum": drink.counted},
    )


def to_member(found: replies.Member, rates: Mapping[str, int]) -> Member:
    """A member; the rate of a level is the merchant's setting, since the till does not tell it."""
    return Member(
        ref=found.card,
        tier=found.level,
        display_name=found.name,
        rate_bp=rates.get(found.level),
        points_available=found.points,
        value=Value(real=found.real, gift=found.gift),
    )


def to_statement(bill: replies.Bill) -> list[StatementRow]:
    """A bill's money, one row a movement: sales net of change, whole refunds negative, deposits as they moved."""
    kinds = {"P": "sale", "T": "return", "Y": "deposit"}
    return [
        StatementRow(
            kind=kinds[row.kind],
            ref=row.number,
            amount=-row.amount if row.kind == "T" else row.amount - row.change,
            key=key_of(row.ref),
            original_ref=bill.number if row.kind == "T" else "",
            at=row.at,
            facts={"tender": row.tender, "bill": bill.number},
        )
        for row in bill.money
    ]
