"""Booking a sale into a bill and taking it out again: several messages, each looked for before it is sent.

PY and YJ carry a reference of ours, which BL lists; DK carries none, so the number of lines on the bill is journalled
before each. PY over what is due would be taken as change, so what is due is looked at first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from gateway.sdk import (
    Call,
    Change,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    NotSupported,
    OrderLine,
    OrderPost,
    Original,
    OutcomeUnknown,
    Secret,
    SessionClose,
    Step,
)
from plugins.ktv import mapping, replies
from plugins.ktv import protocol as p
from plugins.ktv.client import Burst, Refusal
from plugins.ktv.rooms import first_step, read_bill

DISCOUNT_INDEX, POINTS_INDEX = 90, 91


@dataclass(frozen=True)
class Row:
    """One payment row to be on the bill: tender code, fen, reference."""

    tender: str
    amount: int
    ref: str


@dataclass(frozen=True)
class Codes:
    """The merchant's own tables: tender codes, and which SKU is which drink."""

    tenders: Mapping[str, str]
    drinks: Mapping[str, str]
    drink_pattern: re.Pattern[str]

    def drink(self, line: OrderLine) -> str:
        """The till's drink code of a line; nothing for a room's time, or a line that the bill has already."""
        if line.bill_id:
            return ""
        return self.drinks.get(line.sku) or (line.sku if self.drink_pattern.fullmatch(line.sku) else "")


class Posting:
    """One sale on its way into one bill."""

    def __init__(self, burst: Burst, request: OrderPost, call: Call, codes: Codes, number: str) -> None:
        self.burst, self.request, self.call, self.codes, self.number = burst, request, call, codes, number
        self.bill: replies.Bill | None = None
        self.drinks = [(line, code) for line in request.lines if (code := codes.drink(line))]

    def run(self) -> Change:
        """Ring up what is new, take the tenders, settle the bill if the sale was about the bill."""
        bill = self._look()
        if bill.state != p.BILL_OPEN:
            return self._closed(bill)
        try:
            return self._book(bill)
        except Refusal as refusal:
            return self._refused(mapping.declined(refusal).reason, refusal.text, str(refusal.code))

    def _book(self, bill: replies.Bill) -> Change:
        if self.drinks:
            self._ring_up(bill)
            bill = self._look()
        missing = self._missing(bill)
        if sum(row.amount for row in missing) > bill.due:
            return self._refused(DeclineReason.AMOUNT_MISMATCH, f"only {p.format_money(bill.due)} is due")
        for row in missing:
            self._pay(row)
        if missing:
            bill = self._look()
        if not all_there(bill, wanted_rows(self.request, self.call.key, self.codes)):
            raise InvalidReply("the bill does not show what was paid")
        return posted(bill, self.call.key, self._settle(bill), replayed=not self.burst.acted)

    def _look(self) -> replies.Bill:
        self.bill = read_bill(self.burst, self.number)
        return self.bill

    def _closed(self, bill: replies.Bill) -> Change:
        if all_there(bill, wanted_rows(self.request, self.call.key, self.codes)):
            return posted(bill, self.call.key, settled=True, replayed=True)
        return self._refused(DeclineReason.BILL_CLOSED, "the bill is closed in the till")

    def _refused(self, reason: DeclineReason, message: str, code: str = "") -> Change:
        """Declined only if nothing of this sale is in the till; a part of it there is nobody's clean refusal."""
        if self.burst.acted or (self.bill and ours(self.bill, self.call.key)):
            raise OutcomeUnknown(f"a part of the sale may be on the bill: {message}")
        return Declined(reason=reason, code=code, message=message)

    def _ring_up(self, bill: replies.Bill) -> None:
        """Order what the bill lacks. A line found after its mark, with its code, quantity and price, is ours."""
        seen: set[str] = set()
        count = len(bill.lines)
        for index, (line, code) in enumerate(self.drinks):
            name, step = f"DK{index}", first_step(self.call.steps, f"DK{index}")
            if step and (found := ordered_after(bill, line, code, step, seen)):
                seen.add(found)
                continue
            fields = self.number, code, str(int(line.quantity)), p.format_money(line.unit_amount)
            with self.call.step(name, step.ref if step else str(count)):
                count = self.burst.change("DK", *fields, read=replies.read_count)

    def _missing(self, bill: replies.Bill) -> list[Row]:
        """The payment rows still to be sent; the discount never exceeds what the tenders leave due."""
        rows = [row for row in wanted_rows(self.request, self.call.key, self.codes) if not has(bill, row)]
        rows = [self._payable(row, bill) for row in rows]
        left = bill.due - sum(row.amount for row in rows)
        for row in benefit_rows(self.request, self.call.key):
            amount = min(row.amount, left)
            if amount > 0 and not bill.with_ref("P", row.ref):
                rows.append(replace(row, amount=amount))
                left -= amount
        return rows

    def _payable(self, row: Row, bill: replies.Bill) -> Row:
        """A deposit pays only where the till holds one; one that it was never told of is money at the platform."""
        if row.tender == mapping.DEPOSIT and bill.deposit < row.amount:
            return replace(row, tender=mapping.PLATFORM)
        return row

    def _pay(self, row: Row) -> None:
        with self.call.step("PY", row.ref):
            fields = self.number, row.tender, p.format_money(row.amount), row.ref
            self.burst.change("PY", *fields, read=replies.read_number)

    def _settle(self, bill: replies.Bill) -> bool:
        """Close the bill if the sale was about it. Something ordered meanwhile leaves it open for the desk."""
        if not self.request.bills or bill.due > 0:
            return False
        with self.call.step("CL", self.number):
            self.burst.change("CL", self.number, read=replies.read_count)
        return True


def whole_drinks(request: OrderPost, codes: Codes) -> None:
    """Raise ``NotSupported`` for a part of a bottle: the till counts in whole ones."""
    for line in request.lines:
        if codes.drink(line) and line.quantity != int(line.quantity):
            raise NotSupported(f"the till orders whole pieces, not {line.quantity} of {line.sku}")


def wanted_rows(request: OrderPost, key: str, codes: Codes) -> list[Row]:
    """The sale's tenders as payment rows."""
    numbered = [(index, tender) for index, tender in enumerate(request.tenders) if tender.amount > 0]
    return [
        Row(mapping.tender_code(tender, codes.tenders), tender.amount, mapping.reference(key, index))
        for index, tender in numbered
    ]


def benefit_rows(request: OrderPost, key: str) -> list[Row]:
    """What the till knows nothing of (discounts, rounding, points) stands on the bill as payment rows of their own."""
    discount = request.discount_amount + request.rounding_amount
    return [
        Row(mapping.DISCOUNT, discount, mapping.reference(key, DISCOUNT_INDEX)),
        Row(mapping.POINTS, request.points_amount, mapping.reference(key, POINTS_INDEX)),
    ]


def has(bill: replies.Bill, row: Row) -> bool:
    """Whether the bill shows this payment. One with our reference and another amount is not to be believed."""
    found = bill.with_ref("P", row.ref)
    if any(each.amount != row.amount for each in found):
        raise InvalidReply(f"the payment {row.ref} stands with another amount")
    return bool(found)


def all_there(bill: replies.Bill, rows: list[Row]) -> bool:
    """Whether every payment of the sale is on the bill."""
    return all(has(bill, row) for row in rows)


def ours(bill: replies.Bill, key: str) -> list[replies.BillMoney]:
    """The payments on a bill that carry our key."""
    mine = mapping.key_of(mapping.reference(key))
    return [row for row in bill.money if row.kind == "P" and mapping.key_of(row.ref) == mine]


def tendered(bill: replies.Bill, key: str) -> int:
    """What the sale's tenders came to on the bill, without the rows that stand for discounts and points."""
    return sum(row.amount - row.change for row in ours(bill, key) if int(row.ref[-2:]) < DISCOUNT_INDEX)


def posted(bill: replies.Bill, key: str, settled: bool, replayed: bool = False) -> Done:
    """The outcome of a posted sale: the last receipt's number, what its tenders came to, the bill."""
    receipts = [row.number for row in ours(bill, key) if int(row.ref[-2:]) < DISCOUNT_INDEX]
    due = 0 if settled else bill.due
    facts = {"bill": bill.number, "receipts": receipts, "settled": settled, "due_amount": due}
    return Done(
        ref=receipts[-1] if receipts else bill.number,
        amount=tendered(bill, key),
        facts=facts,
        replayed=replayed,
    )


def ordered_after(bill: replies.Bill, line: OrderLine, code: str, step: Step, seen: set[str]) -> str:
    """The number of the bill's line that is this order line, if it was rung up after the mark; else nothing."""
    for found in bill.lines:
        same = (found.kind, found.code) == ("L", code)
        same &= (found.quantity, found.price) == (int(line.quantity), line.unit_amount)
        if same and int(found.number) > int(step.ref) and found.number not in seen:
            return found.number
    return ""


def complete(bill: replies.Bill, request: OrderPost, key: str, codes: Codes) -> bool:
    """Whether nothing of a sale is missing in the till: tenders, what stands for benefits, the settling."""
    if not all_there(bill, wanted_rows(request, key, codes)):
        return False
    benefits = [row for row in benefit_rows(request, key) if row.amount > 0]
    if bill.state == p.BILL_OPEN and bill.due > 0 and any(not bill.with_ref("P", row.ref) for row in benefits):
        return False
    return not request.bills or bill.state != p.BILL_OPEN or bill.due > 0


def session_of(request: OrderPost) -> str:
    """The session a sale belongs to. Raises ``NotSupported`` for none, or for several bills at once."""
    numbers = {bill.bill_id for bill in request.bills} | ({request.session_id} - {""})
    if len(numbers) != 1:
        raise NotSupported(f"a sale goes into one bill of this till, not {len(numbers)}")
    return numbers.pop()


# ---------------------------------------------------------------- taking it out


def take_out(burst: Burst, number: str, key: str, manager: Secret, call: Call) -> Change:
    """The whole refund of a bill. The till knows no other, so it must hold nobody else's money."""
    bill = read_bill(burst, number)
    mine = ours(bill, key)
    if bill.state == p.BILL_REFUNDED or not mine:
        return taken_out(bill, key)
    if any(row.kind == "P" and row not in mine for row in bill.money):
        message = "others have paid on this bill too, and the till only refunds it as a whole"
        return Declined(reason=DeclineReason.NOT_REFUNDABLE, message=message)
    if bill.state == p.BILL_OPEN:
        with call.step("CL", number):
            burst.change("CL", number, read=replies.read_count)
    with call.step("TD", number):
        _, amount = burst.change("TD", number, manager.reveal(), read=replies.read_refund)
    if amount != bill.paid:
        raise InvalidReply(f"{p.format_money(amount)} given back of {p.format_money(bill.paid)}")
    return taken_out(read_bill(burst, number), key)


def taken_out(bill: replies.Bill, key: str) -> Done:
    """The outcome of a whole refund: what the sale's tenders had come to, with the till's number of the refund."""
    receipts = [row.number for row in bill.money if row.kind == "T"]
    return Done(ref=receipts[-1] if receipts else "", amount=tendered(bill, key), facts={"bill": bill.number})


def bill_of_sale(original: Original) -> str:
    """The bill that a posted sale stands on, as its outcome noted."""
    bill = original.facts.get("bill", "")
    if not bill:
        raise NotSupported("it is not known which bill the sale stands on")
    return str(bill)


# ---------------------------------------------------------------- closing


def close_room(burst: Burst, request: SessionClose, call: Call) -> Change:
    """Settle a paid room's bill. As the undo of our own opening, what an untouched room came to is waived."""
    bill = read_bill(burst, request.session_id)
    if bill.state != p.BILL_OPEN:
        return Done(ref=bill.number, replayed=True)
    if bill.due > 0 and not (request.original and untouched(bill, call.key)):
        message = f"{p.format_money(bill.due)} is still due"
        return Declined(reason=DeclineReason.SESSION_STATE, code=str(p.UNPAID), message=message)
    return waive_and_close(burst, bill, call)


def untouched(bill: replies.Bill, key: str) -> bool:
    """Whether nothing was ordered or paid since the room was opened, but by this very closing."""
    mine = ours(bill, key)
    others = [row for row in bill.money if row.kind == "P" and row not in mine]
    return not others and not any(line.kind == "L" for line in bill.lines)


def waive_and_close(burst: Burst, bill: replies.Bill, call: Call) -> Change:
    """Close a room that was opened for nothing: what it came to is waived as a discount, since OP has no undo."""
    ref = mapping.reference(call.key, DISCOUNT_INDEX)
    if bill.due > 0:
        with call.step("PY", ref):
            fields = bill.number, mapping.DISCOUNT, p.format_money(bill.due), ref
            burst.change("PY", *fields, read=replies.read_number)
    with call.step("CL", bill.number):
        burst.change("CL", bill.number, read=replies.read_count)
    return Done(ref=bill.number, facts={"bill": bill.number, "waived_amount": max(0, bill.due)})
