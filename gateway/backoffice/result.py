"""What a reconciliation says: one result a connection and statement, with every difference named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from gateway.backoffice.ours import Unit

Json = dict[str, Any]


class Class(StrEnum):
    """How one movement stands in both books."""

    MATCHED = "MATCHED"
    AMOUNT_MISMATCH = "AMOUNT_MISMATCH"
    MISSING_IN_BILL = "MISSING_IN_BILL"
    MISSING_AT_OURS = "MISSING_AT_OURS"
    STATUS_RESOLVED = "STATUS_RESOLVED"
    DUPLICATE_IN_BILL = "DUPLICATE_IN_BILL"
    FEE_MISMATCH = "FEE_MISMATCH"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One movement that is not the same in both books, or not yet.

    ``key`` is ours, ``ref`` theirs, ``order_no`` the platform's. ``ours`` and ``theirs`` are in the statement's unit,
    signed as the merchant sees them; for ``FEE_MISMATCH`` they are fees.
    """

    cls: Class
    key: str = ""
    ref: str = ""
    order_no: str = ""
    ours: int = 0
    theirs: int = 0
    detail: str = ""
    saga_id: str = ""

    def to_json(self) -> Json:
        """As stored and told: ``class`` is the domain's word."""
        return {
            "class": self.cls.value,
            "key": self.key,
            "ref": self.ref,
            "order_no": self.order_no,
            "ours": self.ours,
            "theirs": self.theirs,
            "detail": self.detail,
            "subject": self.saga_id,
        }


@dataclass(slots=True, kw_only=True)
class Result:
    """One statement of one connection compared with the journal.

    Amounts are in minor units, or in points or uses (``unit``). ``our_amount`` and ``their_amount`` are sums of what
    stands in these books: they are equal when nothing differs. ``explained`` rows stand for points and discounts under
    a sale of ours; ``others`` are rows of other people's business (a walk-in customer at the till); ``pending`` are
    movements that can't be seen yet. ``unavailable`` says why there was no statement: nothing was compared then.
    """

    merchant: str
    connection: str
    adapter: str
    family: str
    hook: str
    business_date: date
    unit: Unit = Unit.AMOUNT
    counts: Counter[Class] = field(default_factory=Counter)
    operations: int = 0
    rows: int = 0
    our_amount: int = 0
    their_amount: int = 0
    fee_amount: int = 0
    explained: int = 0
    explained_amount: int = 0
    others: int = 0
    others_amount: int = 0
    differences: list[Difference] = field(default_factory=list)
    pending: list[Difference] = field(default_factory=list)
    unavailable: str = ""
    audit_head: str = ""

    @property
    def reconciled(self) -> bool:
        """Whether both books were there and say the same, with nothing left to wait for."""
        return not (self.unavailable or self.differences or self.pending)

    @property
    def matched(self) -> int:
        return self.counts[Class.MATCHED]

    def to_json(self) -> Json:
        """Plain values, for ``--json`` and for the story."""
        return {
            "merchant": self.merchant,
            "connection": self.connection,
            "adapter": self.adapter,
            "family": self.family,
            "hook": self.hook,
            "business_date": self.business_date.isoformat(),
            "reconciled": self.reconciled,
            **self.sums(),
            "differences": [difference.to_json() for difference in self.differences],
            "pending": [difference.to_json() for difference in self.pending],
            "audit_head": self.audit_head,
        }

    def sums(self) -> Json:
        """Counts and sums, without the single cases."""
        return {
            "unit": self.unit.value,
            "counts": {cls.value: self.counts[cls] for cls in Class},
            "pending_count": len(self.pending),
            "operations": self.operations,
            "rows": self.rows,
            "our_amount": self.our_amount,
            "their_amount": self.their_amount,
            "fee_amount": self.fee_amount,
            "explained": self.explained,
            "explained_amount": self.explained_amount,
            "others": self.others,
            "others_amount": self.others_amount,
            "unavailable": self.unavailable,
        }

    def settle(self, cls: Class, count: int = 1) -> None:
        """Count movements that agree."""
        self.counts[cls] += count

    def differ(self, difference: Difference) -> None:
        """Note one that does not."""
        self.counts[difference.cls] += 1
        self.differences.append(difference)


def all_reconciled(results: Iterable[Result]) -> bool:
    """Whether every statement was there and agreed."""
    return all(result.reconciled for result in results)
