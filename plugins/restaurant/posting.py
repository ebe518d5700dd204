"""Booking a paid sale into the till, row by row, and taking it out again.

The till keeps no request numbers: each tender row carries our reference and its number in the memo instead, and the
bill is looked at before and after. A row that a doubled message booked twice is put right by 反结账: all rows of the
bill are taken back and booked again, which is only done while every row of the bill is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto

from gateway.sdk import AdapterError, Declined, DeclineReason, NotSent, OrderPost, OutcomeUnknown
from plugins.restaurant import client
from plugins.restaurant.client import Till
from plugins.restaurant.mapping import foreign_rows, own_rows, version_of
from plugins.restaurant.protocol import yuan_of
from plugins.restaurant.protocol_bill import SETTLED, Bill
from plugins.restaurant.tenders import TenderRow, benefit_parts, pour, reference, tender_parts

#: How often a bill is put right before a person must look at it.
ROUNDS = 3


class Booked(Enum):
    """How far our rows stand in one bill."""

    NOTHING = auto()
    PARTLY = auto()
    WHOLLY = auto()
    DOUBLED = auto()


def standing(bill: Bill, rows: tuple[TenderRow, ...], own: str) -> Booked:
    """Compare a bill's rows with those that we meant to book."""
    mine = own_rows(bill, own)
    wanted = {row.memo: (row.pay_code, row.amount) for row in rows}
    found = [row.memo for row in mine]
    if len(found) != len(set(found)) or any(wanted.get(r.memo) != (r.pay_code, r.amount) for r in mine):
        return Booked.DOUBLED
    if not found:
        return Booked.NOTHING
    return Booked.WHOLLY if set(found) == set(wanted) else Booked.PARTLY


def _taken_back(bill: Bill, own: str) -> bool:
    """Whether our rows were in this bill and 反结账 has taken every one of them back."""
    return not own_rows(bill, own) and any(row.memo.startswith(own) for row in bill.tenders)


def dues_of(bills: Mapping[str, Bill], own: str) -> dict[str, int]:
    """What each bill needs from us: its total less what others have booked."""
    return {
        bill_id: max(0, bill.total_amount - sum(r.amount - r.change_amount for r in foreign_rows(bill, own)))
        for bill_id, bill in bills.items()
    }


@dataclass(slots=True)
class Booking:
    """Books rows into a bill until each of them is there once; ``own`` begins the memo of every one of them."""

    till: Till
    own: str

    def book(self, bill: Bill, rows: tuple[TenderRow, ...]) -> Bill:
        """Book these rows once each; return the settled bill. Raises ``OutcomeUnknown`` where that can't be shown."""
        total = bill.total_amount
        for _ in range(ROUNDS):
            state = standing(bill, rows, self.own)
            if bill.total_amount != total:
                raise OutcomeUnknown("till: the bill was changed while it was being booked")
            if bill.state == SETTLED and state is Booked.WHOLLY:
                return bill
            if bill.state == SETTLED:
                self._take_back(bill)
            self._pay_missing(bill, rows)
            bill = self.till.need(bill.bs_id)
        if bill.state == SETTLED and standing(bill, rows, self.own) is Booked.WHOLLY:
            return bill
        raise OutcomeUnknown("till: the booked rows can't be put right; a person must look at the bill")

    def _take_back(self, bill: Bill) -> None:
        if foreign_rows(bill, self.own):
            raise OutcomeUnknown("till: rows are doubled in a bill that others paid too; a person must look at it")
        reply = self.till.change("reopen", {"bsId": bill.bs_id}, self.own)
        if reply.code not in (client.OK, client.NOT_SETTLED):
            raise OutcomeUnknown(f"till: the doubled rows can't be taken back: {client.REFUSALS[reply.code]}")

    def _pay_missing(self, bill: Bill, rows: tuple[TenderRow, ...]) -> None:
        settled = bill.state == SETTLED
        there = set() if settled else {row.memo for row in own_rows(bill, self.own)}
        for row in rows:
            if row.memo in there:
                continue
            code = self.till.change("pay", _pay_form(row), row.memo, self._sees(row)).code
            if code == client.ALREADY_SETTLED:
                return
            if code != client.OK:
                raise self._refused(row, code)

    def _sees(self, row: TenderRow) -> Callable[[], bool]:
        return lambda: any(found.memo == row.memo for found in own_rows(self.till.need(row.bill_id), self.own))

    def _refused(self, row: TenderRow, code: int) -> AdapterError:
        text = f"till: {client.REFUSALS[code]}, tender code {row.pay_code}"
        return OutcomeUnknown(text) if self.till.acted else NotSent(f"{text}: check 'tender_codes'")


@dataclass(slots=True)
class Posting:
    """One ``order_post``: a till, the request, the reference that its rows carry."""

    till: Till
    request: OrderPost
    key: str
    codes: Mapping[str, str]
    rounding_step: int = 0

    @property
    def own(self) -> str:
        return reference(self.key)

    def run(self) -> tuple[dict[str, Bill], bool] | Declined:
        """Book every row once; return the bills as they then stand, and whether all was there already."""
        bills = self.bills()
        if bills is None:
            return Declined(reason=DeclineReason.NOT_FOUND, message="the till does not have the bill")
        if self.all_there(bills):
            return bills, True
        refused = self._refusal(bills)
        if refused:
            return refused
        mine = self._plan(bills)
        if mine is None:
            return Declined(reason=DeclineReason.AMOUNT_MISMATCH, message="the tenders are more than the bills")
        booking = Booking(self.till, self.own)
        return {bill_id: booking.book(bill, mine[bill_id]) for bill_id, bill in bills.items()}, False

    def bills(self) -> dict[str, Bill] | None:
        """The bills as they stand, or ``None`` if one of them is not there."""
        found = {ref.bill_id: self.till.look(bill_id=ref.bill_id) for ref in self.request.bills}
        bills = {bill_id: bill for bill_id, bill in found.items() if bill is not None}
        return bills if len(bills) == len(found) else None

    def all_there(self, bills: Mapping[str, Bill]) -> bool:
        """Whether the sale is booked, whole and once.

        Booked, and since then settled anew by staff, is booked: what they did is for the statement to show.
        """
        if any(bill.state != SETTLED for bill in bills.values()):
            return False
        if all(_taken_back(bill, self.own) for bill in bills.values()):
            return True
        mine = self._plan(bills)
        return mine is not None and all(
            standing(bill, mine[bill_id], self.own) is Booked.WHOLLY for bill_id, bill in bills.items()
        )

    def _plan(self, bills: Mapping[str, Bill]) -> dict[str, tuple[TenderRow, ...]] | None:
        dues = dues_of(bills, self.own)
        parts = tender_parts(self.request.tenders, self.codes)
        left = sum(dues.values()) - sum(part.amount for part in parts)
        # The till rounds each bill down by itself, we their sum: that much may be over.
        if left < -self.rounding_step * (len(bills) - 1):
            return None
        rows = pour(parts + benefit_parts(self.request, left), self.key, dues)
        return {bill_id: tuple(row for row in rows if row.bill_id == bill_id) for bill_id in bills}

    def _refusal(self, bills: Mapping[str, Bill]) -> Declined | None:
        """Refuse what must not be booked, while nothing of ours is in any of the bills."""
        if any(own_rows(bill, self.own) for bill in bills.values()):
            # An earlier attempt has booked a part: what was added since must not vanish in a discount row.
            if any(version_of(bills[ref.bill_id], self.own) != ref.version for ref in self.request.bills):
                raise OutcomeUnknown("till: the bill was changed after a part of it had been booked")
            return None
        for ref in self.request.bills:
            bill = bills[ref.bill_id]
            if bill.state == SETTLED:
                return Declined(reason=DeclineReason.BILL_CLOSED, message="the till has settled it otherwise")
            if version_of(bill, self.own) != ref.version:
                return Declined(reason=DeclineReason.BILL_CHANGED, message="the bill is not the one that was paid")
        return None


def _pay_form(row: TenderRow) -> dict[str, str]:
    form = {"bsId": row.bill_id, "payCode": row.pay_code, "money": yuan_of(row.amount), "memo": row.memo}
    if row.voucher_code:
        form |= {"voucherCode": row.voucher_code, "soldMoney": yuan_of(row.sold_amount)}
    return form
