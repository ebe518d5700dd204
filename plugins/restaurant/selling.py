"""A sale that is no table's bill: rung up on a takeaway seat of the till, settled and cleared in one go.

``/open`` can't be told from the same again either: the seat's bill carries a tag made from our key where the waiter's
number stands, by which it is found on the seats; once its number is known, that is noted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.sdk import Declined, DeclineReason, InvalidReply, NotSent, OrderPost, OutcomeUnknown
from plugins.restaurant import client
from plugins.restaurant.client import Till
from plugins.restaurant.mapping import own_rows
from plugins.restaurant.notes import Notes
from plugins.restaurant.posting import Booked, Booking, dues_of, standing
from plugins.restaurant.protocol import yuan_of
from plugins.restaurant.protocol_bill import COMPONENT, SETTLED, VALID, Bill
from plugins.restaurant.tenders import MARK, TenderRow, benefit_parts, pour, reference, tender_parts

SOLD_OUT, NO_SUCH_DISH, TABLE_TAKEN = 50011, 50012, 50003


@dataclass(slots=True)
class Selling:
    """One ``order_post`` without a bill. ``seats`` are the till's table codes for takeaway."""

    till: Till
    request: OrderPost
    key: str
    codes: Mapping[str, str]
    seats: Sequence[str]
    notes: Notes

    @property
    def own(self) -> str:
        return reference(self.key)

    @property
    def tag(self) -> str:
        """Ten characters: what the till keeps of a waiter's number."""
        return MARK + self.key[-8:]

    def run(self) -> tuple[dict[str, Bill], bool] | Declined:
        """Ring the sale up once; return the bill as it then stands, and whether it was there already."""
        bill = self.find() if self.till.acted else None
        if bill is not None and self.is_booked(bill):
            return {bill.bs_id: bill}, True
        if bill is None:
            bill = self._open()
        rung = self._ring_up(bill)
        if isinstance(rung, Declined):
            return rung
        booked = Booking(self.till, self.own).book(rung, self._rows(rung))
        return {booked.bs_id: booked}, False

    def find(self) -> Bill | None:
        """The bill of this sale: by the number that was noted, else by its tag on a seat."""
        noted = self.notes.get(self._note)
        if noted is not None:
            return self.till.look(bill_id=str(noted))
        for seat in self.seats:
            bill = self.till.look(table=seat)
            if bill is not None and bill.waiter == self.tag:
                self.notes.put(self._note, bill.bs_id)
                return bill
        return None

    def is_booked(self, bill: Bill) -> bool:
        """Whether the sale is in this bill, whole and once; also if staff have since settled it anew."""
        if bill.state != SETTLED:
            return False
        gone = not own_rows(bill, self.own) and any(row.memo.startswith(self.own) for row in bill.tenders)
        return gone or standing(bill, self._rows(bill), self.own) is Booked.WHOLLY

    @property
    def _note(self) -> str:
        return f"sale:{self.key}"

    def _open(self) -> Bill:
        for seat in self._seats_in_turn():
            reply = self.till.change("open", {"table": seat, "guests": "1", "waiter": self.tag}, self.tag)
            if reply.code == TABLE_TAKEN:
                continue
            number = reply.data.get("bsId")
            if reply.code != client.OK:
                raise self._trouble(f"seat {seat!r}: {client.REFUSALS[reply.code]}; check 'takeaway_seats'")
            if not isinstance(number, str) or not number:
                raise InvalidReply("till: no bill number for an opened seat")
            bill = self.till.need(number)
            if bill.waiter != self.tag:
                raise InvalidReply("till: the opened seat is another sale's")
            self.notes.put(self._note, number)
            return bill
        raise self._trouble("every takeaway seat is taken")

    def _seats_in_turn(self) -> Iterator[str]:
        """All seats, beginning where this sale's key says, so that sales side by side don't meet."""
        first = sum(self.key.encode()) % len(self.seats)
        yield from self.seats[first:]
        yield from self.seats[:first]

    def _ring_up(self, bill: Bill) -> Bill | Declined:
        if not any(line.state == VALID for line in bill.lines):
            form = {"bsId": bill.bs_id, "serial": self.key, "items": "|".join(self._items())}
            code = self.till.change("order", form, self.key).code
            if code in (SOLD_OUT, NO_SUCH_DISH):
                return self._give_up(bill, code)
            if code != client.OK:
                raise OutcomeUnknown(f"till: the dishes can't be rung up: {client.REFUSALS[code]}")
            bill = self.till.need(bill.bs_id)
        if self._counts(bill) != self._wanted():
            raise OutcomeUnknown("till: the bill has other dishes than were sold; a person must look at it")
        return bill

    def _items(self) -> Iterator[str]:
        for line in self.request.lines:
            yield f"{line.sku},{line.quantity},{yuan_of(line.unit_amount)}"

    def _wanted(self) -> Counter[str]:
        wanted: Counter[str] = Counter()
        for line in self.request.lines:
            wanted[line.sku] += int(line.quantity * 1000)
        return wanted

    def _counts(self, bill: Bill) -> Counter[str]:
        """Portions by dish, in thousandths."""
        counts: Counter[str] = Counter()
        for line in bill.lines:
            if line.state == VALID and line.package != COMPONENT:
                counts[line.dish] += line.quantity
        return counts

    def _give_up(self, bill: Bill, code: int) -> Declined:
        """Clear the empty bill from its seat, and say what the till has not."""
        cleared = self.till.change("clear", {"bsId": bill.bs_id}, bill.bs_id).code
        if cleared not in (client.OK, client.ALREADY_CLEARED):
            raise OutcomeUnknown(f"till: the empty bill can't be cleared: {client.REFUSALS[cleared]}")
        self.notes.delete(self._note)
        reason = DeclineReason.OUT_OF_STOCK if code == SOLD_OUT else DeclineReason.NOT_FOUND
        return Declined(reason=reason, code=str(code), message=client.REFUSALS[code])

    def _rows(self, bill: Bill) -> tuple[TenderRow, ...]:
        dues = dues_of({bill.bs_id: bill}, self.own)
        parts = tender_parts(self.request.tenders, self.codes)
        # What was taken over the till's own sum (a packing fee that it doesn't know) is booked as it was taken.
        left = max(0, sum(dues.values()) - sum(part.amount for part in parts))
        return pour(parts + benefit_parts(self.request, left), self.key, dues)

    def _trouble(self, text: str) -> NotSent | OutcomeUnknown:
        return OutcomeUnknown(f"till: {text}") if self.till.acted else NotSent(f"till: {text}")
