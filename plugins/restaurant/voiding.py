"""Taking a booked sale out of the till again: 反结账, by the bill, before the business day is closed."""

from __future__ import annotations

from gateway.sdk import Declined, DeclineReason, OutcomeUnknown
from plugins.restaurant import client
from plugins.restaurant.client import Till
from plugins.restaurant.mapping import foreign_rows, own_rows
from plugins.restaurant.protocol_bill import SETTLED


def void_bill(till: Till, bill_id: str, own: str) -> Declined | None:
    """Take our rows out of one bill; ``None`` when none of them is in force any more.

    The till takes back all rows of a bill at once: one that others paid too, or that is not settled, stays as it is.
    """
    bill = till.need(bill_id)
    if not own_rows(bill, own):
        return None
    if bill.state != SETTLED:
        return _refuse(till, DeclineReason.NOT_REFUNDABLE, 0, "the till can't take rows out of an open bill")
    if foreign_rows(bill, own):
        return _refuse(till, DeclineReason.NOT_REFUNDABLE, 0, "others have paid a part of this bill")

    def taken_back() -> bool:
        return not own_rows(till.need(bill_id), own)

    code = till.change("reopen", {"bsId": bill.bs_id}, own, taken_back).code
    if code == client.DAY_CLOSED:
        return _refuse(till, DeclineReason.TOO_LATE, code, "the business day is closed")
    if own_rows(till.need(bill_id), own):
        raise OutcomeUnknown("till: the sale is still in the bill after 反结账")
    return None


def _refuse(till: Till, reason: DeclineReason, code: int, message: str) -> Declined:
    """A refusal means that nothing was changed; after a first bill was taken back that is no longer true."""
    if till.acted:
        raise OutcomeUnknown(f"till: only some of the bills could be taken back: {message}")
    return Declined(reason=reason, code=str(code) if code else "", message=message)
