"""The simulated till's memory: rooms, bills and bookings, and what happens to them by the clock."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from plugins.ktv import protocol as p
from plugins.ktv import simulator_seed as seed
from plugins.ktv.simulator_data import Archive, Bill, Booking, Room, load_bill, load_room

BOOKING_BLOCKS_S = 30 * 60
SETTLED_S = 60
CLEANING_S = 600

Field = str | bytes


class Refused(Exception):
    """The till looked and did nothing."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


class State:
    """The till's memory, kept in a file as it changes. ``lock`` is held by whoever reads or changes it."""

    def __init__(self, data: Path, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.archive = Archive(data / "ktv.db")
        self.bills = {name: load_bill(body) for name, body in self.archive.all("bill").items()}
        self.bookings = {name: Booking(**body) for name, body in self.archive.all("booking").items()}
        rooms = {name: load_room(body) for name, body in self.archive.all("room").items()}
        self.rooms = rooms or {code: Room(code, row[0], row[2], row[3]) for code, row in seed.ROOMS.items()}
        self._counts: Counter[str] = Counter(number[:-4] for number in self._numbers_used())

    def forget(self) -> None:
        """Room states live in memory: after a power failure every room shows idle, whatever its bill says."""
        with self.lock:
            for room in self.rooms.values():
                room.state, room.bill, room.booking, room.since = p.IDLE, "", "", 0.0
                self.archive.put("room", room.code, room)

    def tick(self) -> None:
        """Rooms turn by the clock: settled → cleaning → idle; a booking blocks its room half an hour before."""
        now = self.clock()
        for room in self.rooms.values():
            if room.state == p.SETTLED and now - room.since >= SETTLED_S:
                self._turn(room, p.CLEANING, room.since + SETTLED_S)
            if room.state == p.CLEANING and now - room.since >= CLEANING_S:
                self._turn(room, p.IDLE)
        for booking in self.bookings.values():
            if booking.state == "booked" and booking.start - BOOKING_BLOCKS_S <= now:
                self._seat(booking, now)

    def _seat(self, booking: Booking, now: float) -> None:
        """Show a booking on its room; one by class takes the first idle room, if there is one: it can overbook."""
        if now > booking.start + booking.minutes * 60:
            booking.state = "cancelled"
            self.archive.put("booking", booking.number, booking)
            for room in self.rooms.values():
                if room.booking == booking.number and room.state == p.BOOKED:
                    room.booking = ""
                    self._turn(room, p.IDLE)
            return
        for room in self.rooms.values():
            fits = room.code == booking.room or (not booking.room and room.room_class == booking.room_class)
            if fits and room.state == p.IDLE:
                booking.room, room.booking = room.code, booking.number
                self.archive.put("booking", booking.number, booking)
                self._turn(room, p.BOOKED)
                return

    def _release(self, bill: Bill) -> None:
        room = self.rooms[bill.room]
        if room.bill == bill.number:
            room.bill, room.booking = "", ""
            self._turn(room, p.SETTLED)

    def _turn(self, room: Room, state: int, since: float | None = None) -> None:
        room.state, room.since = state, self.clock() if since is None else since
        self.archive.put("room", room.code, room)

    def set_room(self, code: str, state: int) -> None:
        """What a person does at the screen: lock, unlock, clean, report broken."""
        with self.lock:
            self._turn(self._room(code), state)

    def _saved(self, bill: Bill, reply: list[Field]) -> list[Field]:
        self.bills[bill.number] = bill
        self.archive.put("bill", bill.number, bill)
        return reply

    def _room(self, code: str) -> Room:
        if code not in self.rooms:
            raise Refused(p.NO_ROOM, "无此房间")
        return self.rooms[code]

    def _room_or_none(self, code: str) -> str:
        return self.rooms[code].bill if code in self.rooms else ""

    def _open_bill(self, number: str) -> Bill:
        bill = self.bills.get(number)
        if bill is None:
            raise Refused(p.NO_BILL, "无此账单")
        if bill.state != p.BILL_OPEN:
            raise Refused(p.BILL_CLOSED, "账单已结账")
        return bill

    def _numbers_used(self) -> list[str]:
        rows = [row for bill in self.bills.values() for row in bill.money]
        rows += [row for room in self.rooms.values() for row in room.deposits]
        return [*self.bills, *self.bookings, *(row.number for row in rows)]

    def business_date(self) -> datetime:
        """The evening's date: a day ends at 06:00."""
        return p.local_time(self.clock()) - timedelta(hours=6)

    def _next(self, letter: str) -> str:
        """The next number of the business day; numbers restart at 06:00."""
        prefix = f"{letter}{self.business_date():%y%m%d}"
        self._counts[prefix] += 1
        return f"{prefix}{self._counts[prefix]:04d}"


def stamp(seconds: float) -> str:
    """A time as the till writes it."""
    return p.format_time(p.local_time(seconds))


def positive(text: str) -> int:
    """A whole number above zero."""
    value = p.parse_int(text)
    if value <= 0 or value > 10000:
        raise Refused(p.BAD_FIELDS, "参数错误")
    return value


def cut_name(name: str) -> bytes:
    """The till cuts names at ten bytes, through the middle of a character if need be."""
    return name.encode("gbk", errors="replace")[: p.NAME_BYTES]


def cut_ref(ref: str) -> str:
    """A reference has room for twenty bytes."""
    return ref.encode("gbk", errors="replace")[: p.REF_BYTES].decode("gbk", errors="ignore")
