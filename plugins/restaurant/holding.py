"""Freezing bills at the till by 预结 (pre-bill) with our reference in its memo, and letting them go again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.sdk import BillRef, Declined, DeclineReason, Done, OutcomeUnknown
from plugins.restaurant import client
from plugins.restaurant.client import Till
from plugins.restaurant.mapping import version_of
from plugins.restaurant.protocol import Reply
from plugins.restaurant.protocol_bill import PRE_SETTLED, Bill
from plugins.restaurant.tenders import key_of, reference


def _declined(reason: DeclineReason, code: int, message: str) -> Declined:
    return Declined(reason=reason, code=str(code) if code else "", message=message)


@dataclass(slots=True)
class Holding:
    """The pre-bills of one checkout; ``key`` is the key of the hold."""

    till: Till
    key: str

    @property
    def own(self) -> str:
        return reference(self.key)

    def hold(self, refs: Sequence[BillRef]) -> Done | Declined:
        """Freeze all of them or none."""
        held: list[BillRef] = []
        for ref in refs:
            refused = self._hold_one(ref)
            if refused:
                self.release(held)
                return refused
            held.append(ref)
        return self.held(refs)

    def held(self, refs: Sequence[BillRef], replayed: bool = False) -> Done:
        """The outcome of a hold that is in force."""
        return Done(ref=self.own, facts={"bills": [ref.bill_id for ref in refs]}, replayed=replayed)

    def release(self, refs: Sequence[BillRef]) -> Done:
        """Take our pre-bills back; what is not frozen by us stays as it is."""
        for ref in refs:
            if self.freezes(ref.bill_id):
                reply = self._take_back(ref.bill_id)
                if reply.code not in (client.OK, client.NOT_SETTLED):
                    raise OutcomeUnknown(f"till: the pre-bill can't be taken back: {client.REFUSALS[reply.code]}")
        return Done()

    def _take_back(self, bill_id: str) -> Reply:
        def gone() -> bool:
            return self.till.need(bill_id).settle_state != PRE_SETTLED

        return self.till.change("reopen", {"bsId": bill_id}, self.own, gone)

    def freezes(self, bill_id: str) -> bool:
        """Whether the bill is pre-billed, by us."""
        bill = self.till.look(bill_id=bill_id)
        return bill is not None and self._is_ours(bill)

    def holds(self, ref: BillRef) -> bool:
        """Whether the bill is pre-billed, by us, at the version that was priced."""
        bill = self.till.look(bill_id=ref.bill_id)
        return bill is not None and self._is_ours(bill) and version_of(bill) == ref.version

    def _is_ours(self, bill: Bill) -> bool:
        return bill.settle_state == PRE_SETTLED and bill.pre_memo == self.own

    def _hold_one(self, ref: BillRef) -> Declined | None:
        reply = self._pre_bill(ref.bill_id, member=False)
        if reply == client.NO_SUCH_BILL:
            return _declined(DeclineReason.NOT_FOUND, reply, "no such bill")
        if reply == client.ALREADY_SETTLED:
            return _declined(DeclineReason.BILL_CLOSED, reply, "the bill is settled")
        bill = self.till.need(ref.bill_id)
        if not self._is_ours(bill):
            return self._claim(ref, bill)
        return self._check_version(ref, bill)

    def _claim(self, ref: BillRef, bill: Bill) -> Declined | None:
        """Put our mark on a pre-bill that a waiter has printed: guests pay by the code on that slip."""
        if key_of(bill.pre_memo):
            return _declined(DeclineReason.BILL_CHANGED, client.PRE_BILLED, "another sale is paying this bill")
        if version_of(bill) != ref.version:
            return _declined(DeclineReason.BILL_CHANGED, 0, "the bill has moved on")
        self._take_back(ref.bill_id)
        # The waiter may have asked for the member price; taking the pre-bill back has dropped it.
        self._pre_bill(ref.bill_id, member=any(line.discount_flag == "M" for line in bill.lines))
        bill = self.till.need(ref.bill_id)
        if not self._is_ours(bill):
            return _declined(DeclineReason.BILL_CHANGED, client.PRE_BILLED, "another sale is paying this bill")
        return self._check_version(ref, bill)

    def _check_version(self, ref: BillRef, bill: Bill) -> Declined | None:
        if version_of(bill) == ref.version:
            return None
        self.release([ref])
        return _declined(DeclineReason.BILL_CHANGED, 0, "the bill has moved on")

    def _pre_bill(self, bill_id: str, member: bool) -> int:
        form = {"bsId": bill_id, "memo": self.own, "member": "1" if member else "0"}
        return self.till.change("prebill", form, self.own, lambda: self.freezes(bill_id)).code
