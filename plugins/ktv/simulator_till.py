"""What the simulated till does: its commands, as the people who wrote V8.6 left them. Nothing here knows of sockets.

A command takes its fields as text and returns the reply's fields; a refusal is raised as ``Refused``. SEQ never gets
here: nothing remembers it, so a command sent twice acts twice.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from plugins.ktv import protocol as p
from plugins.ktv import simulator_seed as seed
from plugins.ktv.simulator_data import Bill, Booking, Line, Money, Room
from plugins.ktv.simulator_fees import packages_on, room_fee, rows_of_prices
from plugins.ktv.simulator_state import Field, Refused, State, cut_name, cut_ref, positive, stamp

COMMANDS = ("RS", "PL", "BK", "BC", "OP", "EX", "MV", "MG", "DK", "BL", "PY", "CL", "YJ", "TD", "MB")


class Till(State):
    """The till's commands; :meth:`run` carries out one after the other."""

    def __init__(self, data: Path, clock: Callable[[], float], lazy_s: float = 5.0) -> None:
        super().__init__(data, clock)
        self.lazy_s = lazy_s

    def run(self, command: str, fields: tuple[str, ...]) -> list[Field]:
        """Carry out one command."""
        if command not in COMMANDS:
            raise Refused(p.BAD_FIELDS, "命令不存在")
        act: Callable[..., list[Field]] = getattr(self, command.lower())
        if len(fields) != len(inspect.signature(act).parameters):
            raise Refused(p.BAD_FIELDS, "参数个数错误")
        with self.lock:
            self.tick()
            try:
                return act(*fields)
            except p.ParseError:
                raise Refused(p.BAD_FIELDS, "参数错误") from None

    # -------------------------------------------------------------- looking

    def rs(self, area: str) -> list[Field]:
        rooms = [room for room in self.rooms.values() if area in ("*", room.area)]
        if not rooms:
            return [""]
        return [b"^".join(self._room_row(room) for room in rooms)]

    def _room_row(self, room: Room) -> bytes:
        bill = self.bills.get(room.bill)
        head = [room.code.encode(), cut_name(room.name), room.room_class.encode(), b"%d" % room.state]
        booking = bill.booking if bill else room.booking
        rest = [room.bill, booking, stamp(bill.opened) if bill else "", stamp(bill.ends) if bill else ""]
        sums = (str(bill.guests), bill.minimum, bill.total) if bill else ("0", 0, 0)
        tail = [sums[0], p.format_money(sums[1]), p.format_money(sums[2])]
        return b"|".join([*head, *(text.encode("gbk") for text in rest + tail)])

    def pl(self, room_class: str, day: str) -> list[Field]:
        if room_class not in seed.CLASSES:
            raise Refused(p.NO_ROOM, "无此房型")
        when = p.parse_time(f"{day} 12:00:00")
        return ["^".join(rows_of_prices(room_class, when))]

    def bl(self, name: str) -> list[Field]:
        bill = self._bill_or_room(name)
        times = stamp(bill.opened) if bill.opened else "", stamp(bill.ends) if bill.ends else ""
        head = [bill.number, bill.room, str(bill.state), *times, bill.plan, str(bill.minutes), str(bill.guests)]
        sums = [
            bill.room_fee + bill.extensions, bill.drinks, bill.counted, bill.minimum, bill.top_up,
            bill.deposit, bill.paid, bill.total - bill.paid,
        ]  # fmt: skip
        rows: list[bytes] = ["|".join([*head, bill.booking, *(p.format_money(s) for s in sums)]).encode("gbk")]
        rows += [_line_row(line) for line in bill.lines] + [_money_row(row) for row in bill.money]
        return [b"^".join(rows)]

    def _bill_or_room(self, name: str) -> Bill:
        """A bill by its number; a room gives its open bill, or an empty one that shows the deposits waiting there."""
        if name in self.bills:
            return self.bills[name]
        room = self.rooms.get(name)
        if room is None:
            raise Refused(p.NO_BILL, "无此账单")
        if room.bill in self.bills:
            return self.bills[room.bill]
        return Bill("", room.code, room.room_class, 0.0, 0.0, "", 0, 0, "", 0, 0, money=list(room.deposits))

    def mb(self, key: str) -> list[Field]:
        for member in seed.MEMBERS:
            if key in (member.card, member.phone):
                sums = p.format_money(member.real), p.format_money(member.gift)
                return [member.card, cut_name(member.name), member.level, str(member.points), *sums]
        raise Refused(p.NO_MEMBER, "无此会员")

    # -------------------------------------------------------------- booking and opening

    def bk(self, target: str, start: str, minutes: str, phone: str, name: str) -> list[Field]:
        begin, length = p.parse_time(start).timestamp(), positive(minutes)
        room = self.rooms.get(target)
        if room is None and target not in seed.CLASSES:
            raise Refused(p.NO_ROOM, "无此房间")
        if room is not None and any(self._overlaps(b, room, begin, length) for b in self.bookings.values()):
            raise Refused(p.ROOM_BOOKED, "该时段已预订")
        number = self._next("Y")
        room_class = room.room_class if room else target
        booking = Booking(number, room.code if room else "", room_class, begin, length, phone, name)
        self.bookings[number] = booking
        self.archive.put("booking", number, booking)
        self.tick()
        return [number]

    def _overlaps(self, booking: Booking, room: Room, begin: float, minutes: int) -> bool:
        if booking.state != "booked" or booking.room != room.code:
            return False
        return begin < booking.start + booking.minutes * 60 and booking.start < begin + minutes * 60

    def bc(self, number: str) -> list[Field]:
        booking = self.bookings.get(number)
        if booking is None or booking.state != "booked":
            raise Refused(p.NO_BOOKING, "无此预订")
        booking.state = "cancelled"
        self.archive.put("booking", number, booking)
        for room in self.rooms.values():
            if room.booking == number:
                room.booking = ""
                self._turn(room, p.IDLE if room.state == p.BOOKED else room.state)
        return []

    def op(self, room: str, plan: str, minutes: str, guests: str, card: str, booking: str) -> list[Field]:
        target, length, people = self._room(room), positive(minutes), p.parse_int(guests)
        self._may_open(target, booking)
        now = self.clock()
        kind = seed.CLASSES[target.room_class]
        hourly = plan == "H"
        if not hourly:
            length = self._package_minutes(plan, target.room_class)
        fee = room_fee(target.room_class, plan, p.local_time(now), length)
        bill = Bill(
            self._next("K"), target.code, target.room_class, int(now), int(now) + length * 60, plan, length,
            people, booking, fee, kind.minimum if hourly else 0, money=list(target.deposits),
        )  # fmt: skip
        bill.lines.append(self._drink_line(bill, "G", kind.gift, 1, 0))
        target.deposits = []
        target.bill, target.booking = bill.number, booking
        if booking:
            self.bookings[booking].state = "opened"
            self.archive.put("booking", booking, self.bookings[booking])
        self._turn(target, p.OPEN)
        return self._saved(bill, [bill.number])

    def _may_open(self, room: Room, booking: str) -> None:
        """The song system confirms an opening seconds later; until then a second OP opens a second bill."""
        found = self.bookings.get(booking)
        if booking and (found is None or found.state != "booked" or found.room not in ("", room.code)):
            raise Refused(p.NO_BOOKING, "无此预订")
        lazy = room.state == p.OPEN and self.clock() - room.since < self.lazy_s
        if room.state == p.BOOKED and not booking:
            raise Refused(p.ROOM_BOOKED, "房间已预订")
        if room.state not in (p.IDLE, p.BOOKED) and not lazy:
            raise Refused(p.WRONG_STATE, f"房态不符:{p.ROOM_STATES[room.state]}")

    def _package_minutes(self, plan: str, room_class: str) -> int:
        for code, _, _, minutes in packages_on(room_class):
            if code == plan:
                return minutes
        raise Refused(p.NO_ITEM, "无此套餐")

    # -------------------------------------------------------------- changing a running bill

    def ex(self, number: str, minutes: str) -> list[Field]:
        bill, length = self._open_bill(number), positive(minutes)
        room = self.rooms[bill.room]
        if room.bill != bill.number or room.state != p.OPEN:
            raise Refused(p.WRONG_STATE, "只有买钟房可续钟")
        if self.clock() >= bill.ends:
            raise Refused(p.PAST_END, "已过结束时间")
        fee = room_fee(bill.room_class, "H", p.local_time(bill.ends), length)
        bill.lines.append(Line("X", len(bill.lines) + 1, "XZ", "续钟", length, fee, False))
        bill.ends += length * 60
        return self._saved(bill, [stamp(bill.ends), p.format_money(fee)])

    def mv(self, number: str, room: str) -> list[Field]:
        bill, target = self._open_bill(number), self._room(room)
        source = self.rooms[bill.room]
        if source.bill != bill.number or source.state != p.OPEN:
            raise Refused(p.WRONG_STATE, "只有买钟房可转房")
        if target.state != p.IDLE:
            raise Refused(p.WRONG_STATE, f"房态不符:{p.ROOM_STATES[target.state]}")
        now = self.clock()
        left = max(0, math.ceil((bill.ends - now) / 60))
        more = self._dearer(bill, target, now, left)
        bill.room, bill.room_class, bill.room_fee = target.code, target.room_class, bill.room_fee + more
        target.bill, source.bill = bill.number, ""
        self._turn(source, p.CLEANING)
        self._turn(target, p.OPEN)
        return self._saved(bill, [stamp(bill.ends), p.format_money(more)])

    def _dearer(self, bill: Bill, target: Room, now: float, minutes: int) -> int:
        """What the rest of the time costs more in the new room; a cheaper one gives nothing back."""
        if not minutes or target.room_class == bill.room_class:
            return 0
        when = p.local_time(now)
        fees = [room_fee(cls, "H", when, minutes, first_hour=False) for cls in (target.room_class, bill.room_class)]
        return max(0, fees[0] - fees[1])

    def mg(self, number: str, other: str) -> list[Field]:
        bill, into = self._open_bill(number), self._open_bill(other)
        if bill is into:
            raise Refused(p.BAD_FIELDS, "不能并入自身")
        moved = [replace(line, number=len(into.lines) + i) for i, line in enumerate(bill.lines, 1)]
        into.lines += moved
        into.money += bill.money
        into.room_fee += bill.room_fee
        bill.state, bill.lines, bill.money, bill.room_fee = p.BILL_MERGED, [], [], 0
        self._release(bill)
        self.archive.put("bill", bill.number, bill)
        return self._saved(into, [stamp(into.ends), p.format_money(into.total - into.paid)])

    def dk(self, number: str, code: str, quantity: str, price: str) -> list[Field]:
        bill, count = self._open_bill(number), positive(quantity)
        amount = p.parse_money(price)
        if code not in seed.DRINKS:
            raise Refused(p.NO_ITEM, "无此酒水")
        if amount < 0:
            raise Refused(p.BAD_AMOUNT, "金额错误")
        line = self._drink_line(bill, "L", code, count, amount)
        bill.lines.append(line)
        return self._saved(bill, [str(line.number)])

    def _drink_line(self, bill: Bill, kind: str, code: str, quantity: int, price: int) -> Line:
        drink = seed.DRINKS[code]
        return Line(kind, len(bill.lines) + 1, code, drink.name, quantity, price, drink.counted)

    # -------------------------------------------------------------- money

    def py(self, number: str, tender: str, amount: str, ref: str) -> list[Field]:
        bill, paid = self._open_bill(number), p.parse_money(amount)
        if tender not in seed.TENDERS:
            raise Refused(p.NO_TENDER, "无此付款方式")
        if paid <= 0:
            raise Refused(p.BAD_AMOUNT, "金额错误")
        if tender == "YJ" and paid > bill.deposit:
            raise Refused(p.NO_DEPOSIT, "押金不足")
        due = max(0, bill.total - bill.paid)
        receipt = self._next("R")
        bill.money.append(Money("P", receipt, tender, paid, max(0, paid - due), cut_ref(ref), int(self.clock())))
        return self._saved(bill, [receipt])

    def cl(self, number: str) -> list[Field]:
        bill = self._open_bill(number)
        if bill.paid < bill.total:
            raise Refused(p.UNPAID, f"账单未付清:{p.format_money(bill.total - bill.paid)}")
        bill.state, bill.closed = p.BILL_SETTLED, int(self.clock())
        self._release(bill)
        return self._saved(bill, [str(bill.state)])

    def yj(self, target: str, amount: str, ref: str) -> list[Field]:
        moved = p.parse_money(amount)
        bill = self.bills.get(target) or self.bills.get(self._room_or_none(target))
        if bill is None and target not in self.rooms:
            raise Refused(p.NO_BILL, "无此账单")
        rows = bill.money if bill else self.rooms[target].deposits
        held = bill.deposit if bill else sum(row.amount for row in rows)
        if moved == 0 or held + moved < 0:
            raise Refused(p.NO_DEPOSIT, "押金不足")
        number = self._next("D")
        rows.append(Money("Y", number, "RMB", moved, 0, cut_ref(ref), int(self.clock())))
        if bill:
            return self._saved(bill, [number])
        self.archive.put("room", target, self.rooms[target])
        return [number]

    def td(self, number: str, manager: str) -> list[Field]:
        bill = self.bills.get(number)
        if manager != seed.MANAGER_CODE:
            raise Refused(p.FORBIDDEN, "权限不足")
        if bill is None:
            raise Refused(p.NO_BILL, "无此账单")
        if bill.state == p.BILL_REFUNDED:
            raise Refused(p.WAS_REFUNDED, "已退单")
        if bill.state != p.BILL_SETTLED:
            raise Refused(p.WRONG_STATE, "账单未结账")
        amount, receipt = bill.paid, f"T{number[1:]}"
        bill.money.append(Money("T", receipt, "", amount, 0, "", int(self.clock())))
        bill.state = p.BILL_REFUNDED
        return self._saved(bill, [receipt, p.format_money(amount)])


def _line_row(line: Line) -> bytes:
    flag = "否" if line.counted else "是"
    head = f"{line.kind}|{line.number}|{line.code}|".encode("gbk")
    return head + cut_name(line.name) + f"|{line.quantity}|{p.format_money(line.price)}|{flag}".encode("gbk")


def _money_row(row: Money) -> bytes:
    sums = p.format_money(row.amount), p.format_money(row.change)
    return "|".join([row.kind, row.number, row.tender, *sums, row.ref, stamp(row.at)]).encode("gbk", errors="replace")
