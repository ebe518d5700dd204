"""Settlement: who earned and who bore what on a business date, by party, from the entries that checkouts wrote.

By the rules of a department store's joint counters (联营): a counter's sale is its net; what others bore of a promotion
is added to its basis; the store deducts its rate of the basis; the acquirer's fee is computed once a payment and
spread. What all parties get together is what customers paid, less what was given back: this is asserted here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from gateway.engine.model import Kind, Saga
from gateway.engine.records import saga_from
from gateway.engine.retender import quote_in_force
from gateway.engine.service import Engine
from gateway.runtime import Merchant
from gateway.store import books
from gateway.store.port import Row

Json = dict[str, Any]

#: A sale may be booked under a business date that was over some days before.
LATE = timedelta(days=7)


@dataclass(slots=True, kw_only=True)
class Party:
    """One party's day: amounts by kind, signed as the party sees them, in minor units; ``due`` is their sum."""

    party: str
    name: str = ""
    name_en: str = ""
    kinds: dict[str, int] = field(default_factory=dict)
    basis_amount: int = 0

    @property
    def due(self) -> int:
        return sum(self.kinds.values())

    def to_json(self) -> Json:
        """Plain values."""
        return {
            "party": self.party,
            "name": self.name,
            "name_en": self.name_en,
            "kinds": dict(self.kinds),
            "basis_amount": self.basis_amount,
            "due_amount": self.due,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A checkout or refund whose entries do not come to what was paid or given back."""

    subject: str
    number: str
    expected_amount: int
    entries_amount: int

    def to_json(self) -> Json:
        """Plain values."""
        return {name: getattr(self, name) for name in ("subject", "number", "expected_amount", "entries_amount")}


@dataclass(slots=True, kw_only=True)
class Statement:
    """A merchant's business date. ``difference_amount`` is 0 unless something is wrong; ``gaps`` say where.

    ``audit_head`` is the head of the merchant's chain of evidence: keep it, it shows later whether that still holds.
    """

    merchant: str
    merchant_name: str
    business_date: date
    parties: list[Party]
    checkouts: int = 0
    refunds: int = 0
    sold_amount: int = 0
    refunded_amount: int = 0
    gaps: list[Gap] = field(default_factory=list)
    audit_head: str = ""

    @property
    def entries_amount(self) -> int:
        return sum(party.due for party in self.parties)

    @property
    def expected_amount(self) -> int:
        return self.sold_amount - self.refunded_amount

    @property
    def difference_amount(self) -> int:
        return self.entries_amount - self.expected_amount

    @property
    def balanced(self) -> bool:
        """Whether every checkout's entries come to what was paid, and so all of them."""
        return not self.gaps and not self.difference_amount

    def to_json(self) -> Json:
        """Plain values."""
        return {
            "merchant": self.merchant,
            "business_date": self.business_date.isoformat(),
            "parties": [party.to_json() for party in self.parties],
            "checkouts": self.checkouts,
            "refunds": self.refunds,
            "sold_amount": self.sold_amount,
            "refunded_amount": self.refunded_amount,
            "entries_amount": self.entries_amount,
            "difference_amount": self.difference_amount,
            "balanced": self.balanced,
            "gaps": [gap.to_json() for gap in self.gaps],
            "audit_head": self.audit_head,
        }


def settlement_of(engine: Engine, merchant_id: str, business_date: date) -> Statement:
    """The settlement of a business date. Raises ``Problem`` (``not-found``) for an unknown merchant."""
    merchant = engine.merchant(merchant_id)
    day = business_date.isoformat()
    since = datetime.combine(business_date, time(), UTC) - LATE
    from_ms = int(since.timestamp() * 1000)
    entries, rows = engine.journal.read(
        lambda tx: (books.entries(tx, merchant_id, day), books.settled_sagas(tx, merchant_id, day, from_ms))
    )
    sagas = [saga for saga in map(saga_from, rows) if saga.doc["site"]["business_date"] == day]
    statement = Statement(
        merchant=merchant.id,
        merchant_name=merchant.name,
        business_date=business_date,
        parties=_parties(merchant, entries),
        audit_head=engine.sealer.head(merchant_id),
    )
    _expect(statement, sagas, entries)
    return statement


def _parties(merchant: Merchant, entries: list[Row]) -> list[Party]:
    """Parties with their sums: counters first, by id, then the house, then the others."""
    found: dict[str, Party] = {}
    for entry in entries:
        party = found.setdefault(entry["party"], Party(party=entry["party"]))
        party.kinds[entry["kind"]] = party.kinds.get(entry["kind"], 0) + entry["amount"]
        if entry["kind"] == "deduction":
            party.basis_amount += entry["basis_amount"]
    counters = {counter.id: counter for store in merchant.stores.values() for counter in store.counters}
    for party in found.values():
        counter = counters.get(party.party.removeprefix("counter:"))
        if counter is not None:
            party.name, party.name_en = counter.name, counter.name_en
    return sorted(found.values(), key=lambda party: (_RANK.get(party.party.partition(":")[0], 1), party.party))


_RANK = {"counter": 0, "mall": 2, "acquirer": 3}


def _expect(statement: Statement, sagas: list[Saga], entries: list[Row]) -> None:
    """Count what was paid and given back, and find every subject whose entries do not come to it."""
    sums: dict[str, int] = {}
    for entry in entries:
        sums[entry["subject"]] = sums.get(entry["subject"], 0) + entry["amount"]
    for saga in sagas:
        expected = _expected(statement, saga)
        if sums.pop(saga.id, 0) != expected:
            entered = sum(entry["amount"] for entry in entries if entry["subject"] == saga.id)
            statement.gaps.append(_gap(saga.id, saga.number, expected, entered))
    statement.gaps += [_gap(subject, "", 0, amount) for subject, amount in sums.items() if amount]


def _gap(subject: str, number: str, expected: int, entered: int) -> Gap:
    return Gap(subject=subject, number=number, expected_amount=expected, entries_amount=entered)


def _expected(statement: Statement, saga: Saga) -> int:
    """What the entries of a checkout or refund must come to."""
    if saga.kind is Kind.CHECKOUT:
        paid = int(quote_in_force(saga)["payable_amount"])
        statement.checkouts += 1
        statement.sold_amount += paid
        return paid
    statement.refunds += 1
    statement.refunded_amount += saga.amount
    return -saga.amount
