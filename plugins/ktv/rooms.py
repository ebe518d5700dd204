"""Opening, extending and booking rooms: each change is looked for before it is sent again: the till would act twice.

The till keeps no reference of ours with OP and EX. What an opening of ours looks like is therefore pinned down before
it is sent: the newest bill number in the house is journalled with the step. A bill in that room with a later number and
our plan, minutes and guests is ours. Without a journalled step nothing was sent, and nothing there is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.sdk import (
    Call,
    Change,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    OutcomeUnknown,
    SessionExtend,
    SessionMove,
    SessionOpen,
    Step,
)
from plugins.ktv import mapping, replies
from plugins.ktv import protocol as p
from plugins.ktv.client import Burst, Refusal

#: How many bill numbers after the one journalled are looked at, when the room itself no longer shows our bill.
NUMBERS_AHEAD = 12


@dataclass(frozen=True)
class Wanted:
    """An opening as the till will know it."""

    room: str
    plan: str
    minutes: int
    guests: int

    def is_it(self, bill: replies.Bill) -> bool:
        """Whether a bill looks like this opening; a package sets its minutes itself, extensions are no matter."""
        same_time = self.plan != "H" or bill.minutes == self.minutes
        return (bill.room, bill.plan, bill.guests) == (self.room, self.plan, self.guests) and same_time


def wanted_of(request: SessionOpen, packages: Mapping[str, str]) -> Wanted:
    """An opening as it is asked for; ``packages`` turns a deal's or product's SKU into the till's package code."""
    sku = request.package_sku
    minutes = minutes_between(request.start, request.end)
    return Wanted(request.resource_id, packages.get(sku, sku) or "H", minutes, request.guests)


def minutes_between(start: datetime, end: datetime) -> int:
    """Whole minutes, rounded up."""
    return max(1, math.ceil((end - start).total_seconds() / 60))


def read_bill(burst: Burst, name: str) -> replies.Bill:
    """The bill of a number or room, checked that it adds up."""
    return burst.look("BL", name, read=lambda reply: mapping.checked(replies.read_bill(reply), name))


def read_rooms(burst: Burst, areas: tuple[str, ...]) -> list[replies.RoomRow]:
    """All rooms of these areas; a big house must be asked area by area, since a frame ends at 9999 bytes."""
    return [row for area in areas for row in burst.look("RS", area, read=replies.read_rooms)]


def find_room(rooms: list[replies.RoomRow], code: str) -> replies.RoomRow | None:
    """The row of one room."""
    return next((row for row in rooms if row.room == code), None)


def newest_bill(rooms: list[replies.RoomRow]) -> str:
    """The highest bill number that any room shows."""
    return max((row.bill for row in rooms), default="")


def first_step(steps: tuple[Step, ...], name: str) -> Step | None:
    """The journalled step of this name: the first one, since its mark was taken before anything was sent."""
    return next((step for step in steps if step.name == name), None)


# ---------------------------------------------------------------- opening


def open_room(burst: Burst, request: SessionOpen, wanted: Wanted, areas: tuple[str, ...], call: Call) -> Change:
    """Open a room now, unless an earlier attempt has; taken by another is ``Declined(SLOT_TAKEN)``."""
    rooms = read_rooms(burst, areas)
    step = first_step(call.steps, "OP")
    if step and (found := find_opening(burst, rooms, wanted, step)):
        return opened(found, replayed=True)
    row = find_room(rooms, wanted.room)
    if row is None:
        return Declined(reason=DeclineReason.NOT_FOUND, message=f"no room {wanted.room} in the till")
    if row.state != p.IDLE:
        return Declined(reason=DeclineReason.SLOT_TAKEN, code=str(row.state), message=p.ROOM_STATES[row.state])
    card = p.cut_text(request.member_ref, 20)
    fields = wanted.room, wanted.plan, str(wanted.minutes), str(wanted.guests), card, ""
    try:
        with call.step("OP", step.ref if step else newest_bill(rooms)):
            number = burst.change("OP", *fields, read=replies.read_number)
    except Refusal as refusal:
        taken = refusal.code in (p.WRONG_STATE, p.ROOM_BOOKED)
        return mapping.declined(refusal, DeclineReason.SLOT_TAKEN if taken else None)
    bill = read_bill(burst, wanted.room)
    if bill.number != number or not wanted.is_it(bill):
        raise InvalidReply(f"the till says {number}, the room shows {bill.number}")
    return opened(bill)


def find_opening(burst: Burst, rooms: list[replies.RoomRow], wanted: Wanted, step: Step) -> replies.Bill | None:
    """Our opening, if it happened: the room's bill, or an open one with a number after the mark.

    The second way is for a till that forgot its rooms. The mark is the newest bill that any room *showed*, so that a
    closed bill after it may be of guests who had left before.
    """
    row = find_room(rooms, wanted.room)
    if row is not None and row.bill > step.ref:
        bill = read_bill(burst, row.bill)
        if wanted.is_it(bill):
            return bill
    number = step.ref
    for _ in range(NUMBERS_AHEAD if number else 0):
        number = following(number)
        try:
            bill = read_bill(burst, number)
        except Refusal:
            return None
        if wanted.is_it(bill) and bill.state == p.BILL_OPEN:
            return bill
    return None


def following(number: str) -> str:
    """The next number of the same evening: ``K1403080017`` → ``K1403080018``."""
    return f"{number[:7]}{int(number[7:]) + 1:04d}"


def opened(bill: replies.Bill, replayed: bool = False) -> Done:
    """The outcome of an opening."""
    facts = {"bill": bill.number, "room": bill.room, "ends": bill.ends.isoformat() if bill.ends else ""}
    return Done(ref=bill.number, facts={**facts, "due_amount": bill.due}, replayed=replayed)


def book_room(burst: Burst, request: SessionOpen, wanted: Wanted, call: Call) -> Change:
    """Book a room for later: the desk opens it when the guests come.

    The till lists no bookings, so one whose answer was lost can't be found again. It refuses a second booking of the
    same room and time, though, so that asking again never books twice; that refusal then leaves the outcome unknown.
    """
    start = p.format_time(request.start)
    name = p.cut_text(request.contact_name or request.order_no, p.NAME_BYTES)
    again = call.attempt > 1 or first_step(call.steps, "BK") is not None
    try:
        with call.step("BK"):
            fields = wanted.room, start, str(wanted.minutes), "", name
            number = burst.change("BK", *fields, read=replies.read_number)
    except Refusal as refusal:
        if again and refusal.code == p.ROOM_BOOKED:
            raise OutcomeUnknown("the room is booked for that time: by us, or by another") from None
        return mapping.declined(refusal)
    return Done(ref=number, facts={"booking": number, "room": wanted.room})


# ---------------------------------------------------------------- extending


def extend_room(burst: Burst, request: SessionExtend, call: Call) -> Change:
    """Extend a running session, unless an earlier attempt has."""
    number, minutes = request.session_id, minutes_between(request.start, request.end)
    bill = read_bill(burst, number)
    step = first_step(call.steps, "EX")
    if step and is_extended(bill, minutes, step):
        return extended(bill, replayed=True)
    try:
        with call.step("EX", step.ref if step else str(len(bill.lines))):
            ends, _ = burst.change("EX", number, str(minutes), read=replies.read_change)
    except Refusal as refusal:
        closed = refusal.code in (p.BILL_CLOSED, p.PAST_END, p.WRONG_STATE)
        return mapping.declined(refusal, DeclineReason.SESSION_STATE if closed else None)
    after = read_bill(burst, number)
    if after.ends != ends:
        raise InvalidReply(f"the till says until {ends}, the bill {after.ends}")
    return extended(after)


def is_extended(bill: replies.Bill, minutes: int, step: Step) -> bool:
    """Whether the bill has an extension of so many minutes that it did not have at the mark."""
    return any(line.kind == "X" and line.quantity == minutes for line in bill.lines[int(step.ref) :])


def extended(bill: replies.Bill, replayed: bool = False) -> Done:
    """The outcome of an extension."""
    facts = {"bill": bill.number, "ends": bill.ends.isoformat() if bill.ends else "", "due_amount": bill.due}
    return Done(ref=bill.number, facts=facts, replayed=replayed)


# ---------------------------------------------------------------- moving


def move_room(burst: Burst, request: SessionMove, call: Call) -> Change:
    """Move a session to another idle room, unless it is there; the till adds what the rest costs more there."""
    bill = read_bill(burst, request.session_id)
    if bill.room == request.to_resource_id:
        return moved(bill)
    try:
        with call.step("MV", request.to_resource_id):
            fields = request.session_id, request.to_resource_id
            _, amount = burst.change("MV", *fields, read=replies.read_change)
    except Refusal as refusal:
        closed = refusal.code == p.BILL_CLOSED
        taken = refusal.code == p.WRONG_STATE
        reason = DeclineReason.SESSION_STATE if closed else DeclineReason.SLOT_TAKEN if taken else None
        return mapping.declined(refusal, reason)
    return Done(ref=bill.number, facts={"room": request.to_resource_id, "added_amount": amount})


def moved(bill: replies.Bill) -> Done:
    """The session is where it was to be moved."""
    return Done(ref=bill.number, facts={"room": bill.room}, replayed=True)


# ---------------------------------------------------------------- bookings


def cancel_booking(burst: Burst, number: str, areas: tuple[str, ...], call: Call) -> Change:
    """Cancel a booking. One that is cancelled or lapsed holds no room: done too. One that was opened is in use."""
    try:
        with call.step("BC", number):
            burst.change("BC", number, read=replies.read_nothing)
    except Refusal as refusal:
        if refusal.code != p.NO_BOOKING:
            raise
        if any(row.booking == number and row.bill for row in read_rooms(burst, areas)):
            return Declined(reason=DeclineReason.SESSION_STATE, message="the guests of this booking are in the room")
        return Done(ref=number, replayed=True)
    return Done(ref=number)
