"""Booking a return: 反结账, the dishes taken off the bill, and what is kept booked anew, before the day is closed.

The till can give nothing back on a settled bill. Every step can be seen in the bill afterwards, so that a return that
was interrupted goes on where it stopped; what it aims at is noted before its first message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Any

from gateway.sdk import Declined, DeclineReason, OrderReturn, OutcomeUnknown
from plugins.restaurant import client
from plugins.restaurant import protocol_bill as theirs
from plugins.restaurant.client import Till
from plugins.restaurant.mapping import ROUNDING, line_id_of, own_rows
from plugins.restaurant.notes import Notes
from plugins.restaurant.posting import Booked, Booking, dues_of, standing
from plugins.restaurant.protocol import quantity_text
from plugins.restaurant.protocol_bill import EMPTY_DELETED, OPEN, SETTLED, Bill
from plugins.restaurant.tenders import (
    BENEFIT,
    BENEFITS,
    COUPON,
    POINTS,
    Part,
    TenderRow,
    key_of,
    pour,
    reference,
    tender_code,
)

Targets = dict[str, dict[int, int]]


@dataclass(slots=True)
class Plan:
    """What the bills come to: portions left by line, and the tenders and benefits that are kept."""

    targets: Targets
    parts: list[Part]
    benefits: list[Part]

    def to_json(self) -> dict[str, Any]:
        lines = {bill: {str(line): count for line, count in left.items()} for bill, left in self.targets.items()}
        return {"targets": lines, "parts": _tuples(self.parts), "benefits": _tuples(self.benefits)}

    @classmethod
    def from_json(cls, note: Mapping[str, Any]) -> Plan:
        targets = {bill: {int(line): count for line, count in left.items()} for bill, left in note["targets"].items()}
        return cls(targets, [Part(*row) for row in note["parts"]], [Part(*row) for row in note["benefits"]])


def _tuples(parts: Iterable[Part]) -> list[list[Any]]:
    return [list(astuple(part)) for part in parts]


@dataclass(slots=True)
class Returning:
    """One ``order_return``: a till, the request, the key that its rows carry, and where plans are noted."""

    till: Till
    request: OrderReturn
    key: str
    codes: Mapping[str, str]
    notes: Notes

    @property
    def own(self) -> str:
        return reference(self.key)

    def run(self, bill_ids: Sequence[str]) -> dict[str, Bill] | Declined:
        """Book the return once; the bills as they then stand."""
        bills = {bill_id: self.till.need(bill_id) for bill_id in bill_ids}
        plan = self._noted()
        if plan is None:
            made = self._make_plan(bills)
            if isinstance(made, Declined):
                return made
            plan = made
            self.notes.put(self._note, plan.to_json())
        refused = self._reopen(bills)
        if refused:
            self.notes.delete(self._note)
            return refused
        self._take_off(plan)
        return self._settle(plan)

    def is_booked(self) -> dict[str, Bill] | None:
        """The bills, if the return is in them whole; else ``None``."""
        plan = self._noted()
        if plan is None:
            return None
        bills = {bill_id: self.till.need(bill_id) for bill_id in plan.targets}
        if all(bill.state == EMPTY_DELETED for bill in bills.values()):
            return bills
        rows = self._rows(plan, bills)
        whole = all(standing(bill, _of(rows, bill_id), self.own) is Booked.WHOLLY for bill_id, bill in bills.items())
        return bills if whole and all(bill.state == SETTLED for bill in bills.values()) else None

    @property
    def _note(self) -> str:
        return f"return:{self.key}"

    def _noted(self) -> Plan | None:
        note = self.notes.get(self._note)
        return None if note is None else Plan.from_json(note)

    # ---- the plan
    def _make_plan(self, bills: Mapping[str, Bill]) -> Plan | Declined:
        rows = [row for bill in bills.values() for row in bill.tenders if row.state == theirs.VALID]
        if any(bill.state != SETTLED for bill in bills.values()):
            return _refused("the bill is not settled")
        if any(not key_of(row.memo) for row in rows):
            return _refused("others have paid a part of this bill")
        targets = {bill_id: self._targets(bill) for bill_id, bill in bills.items()}
        if not self._has_all(bills, targets):
            return _refused("more is given back than the bill has")
        money = [_part(row) for row in rows if row.pay_code not in BENEFITS]
        kept = self._reduced(money)
        if kept is None:
            return _refused("more is given back than was paid")
        benefits = [Part(code, sum(r.amount for r in rows if r.pay_code == code)) for code in (POINTS, COUPON)]
        return Plan(targets, kept, benefits)

    def _has_all(self, bills: Mapping[str, Bill], targets: Targets) -> bool:
        """Whether every dish given back is still on its bill, in that quantity."""
        there = {line_id_of(bill_id, line.line_no) for bill_id, bill in bills.items() for line in _lines(bill)}
        wanted = {line.line_id for line in self.request.lines if not line.line_id.endswith(f"-{ROUNDING}")}
        return wanted <= there and all(count >= 0 for left in targets.values() for count in left.values())

    def _targets(self, bill: Bill) -> dict[int, int]:
        back = {line.line_id: int(line.quantity * 1000) for line in self.request.lines}
        lines = _lines(bill)
        if self.request.whole:
            return {line.line_no: 0 for line in lines}
        return {line.line_no: line.quantity - back.get(line_id_of(bill.bs_id, line.line_no), 0) for line in lines}

    def _reduced(self, money: list[Part]) -> list[Part] | None:
        """The tenders less what is given back: from rows of the same code, the last first, then from any."""
        kept = list(money)
        for tender in self.request.tenders:
            code, left = tender_code(tender, self.codes), tender.amount
            for same in (True, False):
                for index in reversed(range(len(kept))):
                    taken = min(left, kept[index].amount) if (kept[index].pay_code == code) is same else 0
                    kept[index] = replace(kept[index], amount=kept[index].amount - taken)
                    left -= taken
            if left:
                return None
        return [part for part in kept if part.amount]

    # ---- the messages
    def _reopen(self, bills: Mapping[str, Bill]) -> Declined | None:
        for bill_id, bill in bills.items():
            if bill.state == SETTLED and not own_rows(bill, self.own):
                code = self.till.change("reopen", {"bsId": bill_id}, self.own).code
                if code == client.DAY_CLOSED and not self.till.acted:
                    message = "the business day is closed"
                    return Declined(reason=DeclineReason.TOO_LATE, code=str(code), message=message)
                if code not in (client.OK, client.NOT_SETTLED):
                    raise OutcomeUnknown(f"till: a bill can't be opened again: {client.REFUSALS[code]}")
        return None

    def _take_off(self, plan: Plan) -> None:
        for bill_id, left in plan.targets.items():
            bill = self.till.need(bill_id)
            for line in _lines(bill) if bill.state == OPEN else ():
                over = line.quantity - left.get(line.line_no, line.quantity)
                if over > 0:
                    form = {"bsId": bill_id, "lineNo": str(line.line_no), "qty": quantity_text(over), "reason": "退款"}
                    self.till.change("return", form, f"{self.own}/{line.line_no}")
            bill = self.till.need(bill_id)
            counts = {line.line_no: line.quantity for line in _lines(bill)}
            if any(counts.get(number, 0) != count for number, count in left.items()):
                raise OutcomeUnknown("till: the dishes given back are not off the bill")

    def _settle(self, plan: Plan) -> dict[str, Bill]:
        bills = {bill_id: self.till.need(bill_id) for bill_id in plan.targets}
        rows = self._rows(plan, bills)
        booking = Booking(self.till, self.own)
        for bill_id, bill in bills.items():
            if not (self.request.whole and not plan.parts):
                bills[bill_id] = booking.book(bill, _of(rows, bill_id))
            elif bill.state != EMPTY_DELETED:
                bills[bill_id] = self._delete_empty(bill_id)
        return bills

    def _delete_empty(self, bill_id: str) -> Bill:
        code = self.till.change("clear", {"bsId": bill_id}, self.own).code
        bill = self.till.need(bill_id)
        if bill.state != EMPTY_DELETED:
            raise OutcomeUnknown(f"till: the empty bill is still there (code {code})")
        return bill

    def _rows(self, plan: Plan, bills: Mapping[str, Bill]) -> tuple[TenderRow, ...]:
        dues = dues_of(bills, self.own)
        left = sum(dues.values()) - sum(part.amount for part in plan.parts)
        benefits = []
        for part in (*plan.benefits, Part(BENEFIT, max(left, 0))):
            taken = min(part.amount, left)
            if taken > 0:
                benefits.append(replace(part, amount=taken))
                left -= taken
        return pour(plan.parts + benefits, self.key, dues)


def _lines(bill: Bill) -> list[theirs.BillLine]:
    return [row for row in bill.lines if row.state == theirs.VALID and row.package != theirs.COMPONENT]


def _of(rows: tuple[TenderRow, ...], bill_id: str) -> tuple[TenderRow, ...]:
    return tuple(row for row in rows if row.bill_id == bill_id)


def _part(row: theirs.TenderRow) -> Part:
    sold = row.income_amount if row.voucher_code else 0
    return Part(row.pay_code, row.amount - row.change_amount, row.voucher_code, sold)


def _refused(message: str) -> Declined:
    return Declined(reason=DeclineReason.NOT_REFUNDABLE, message=message)
