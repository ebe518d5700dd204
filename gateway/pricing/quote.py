"""A priced basket, and its document: the Out part of a pricing document."""

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gateway.domain.money import QUANTITY_SCALE, format_quantity, largest_remainder, split_units
from gateway.pricing.candidates import Rejection
from gateway.pricing.effects import Outcome
from gateway.pricing.fees import FeeResult
from gateway.pricing.model import Basket, Benefit, Line
from gateway.pricing.payment import BUCKETS, TenderResult
from gateway.pricing.settle import MERCHANT, Sale, acquirer_fee, commission, fund, settle, shares_of

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Step:
    """One benefit that was applied: the member's price (`benefit` None), a campaign or a coupon."""

    kind: str
    id: str
    benefit: Benefit | None
    outcome: Outcome


@dataclass(frozen=True)
class Quote:
    """What a basket costs and why. Amounts are fen; `nets` are by line, `due`, `points_by` and `rounding_by` by line,
    then fee."""

    basket: Basket
    nets: tuple[int, ...]
    steps: tuple[Step, ...]
    rejected: tuple[Rejection, ...]
    fees: tuple[FeeResult, ...]
    points_used: int
    points_amount: int
    points_earned: int
    rounding_amount: int
    points_by: tuple[int, ...]
    rounding_by: tuple[int, ...]
    due: tuple[int, ...]
    tenders: tuple[TenderResult, ...]
    rows: tuple[tuple[int, ...], ...]
    exact: bool

    @cached_property
    def gross_amount(self) -> int:
        return sum(line.gross for line in self.basket.lines)

    @cached_property
    def discount_amount(self) -> int:
        return self.gross_amount - sum(self.nets)

    @cached_property
    def fee_amount(self) -> int:
        return sum(fee.amount for fee in self.fees)

    @cached_property
    def payable_amount(self) -> int:
        return sum(self.due)

    @property
    def unpaid_amount(self) -> int:
        """What the tenders leave open, in fen; all of it when there are none."""
        return self.payable_amount - sum(tender.amount for tender in self.tenders)

    @property
    def inputs_hash(self) -> str:
        return self.basket.inputs_hash

    @property
    def forfeited_amount(self) -> int:
        """What coupons and vouchers were worth beyond what they could take off or pay."""
        coupons = sum(s.outcome.forfeited for s in self.steps if s.benefit is not None and forfeits(s.benefit))
        return coupons + sum(tender.forfeited for tender in self.tenders)

    @cached_property
    def allocations(self) -> list[list[tuple[str, str, int, list[tuple[str, int]]]]]:
        """By line: kind, id, amount and who bears it, in the order of application."""
        lines = self.basket.lines
        found: list[list[tuple[str, str, int, list[tuple[str, int]]]]] = [[] for _ in lines]
        for step in self.steps:
            funding = MERCHANT if step.benefit is None else step.benefit.funding
            for i, share in step.outcome.shares():
                parts = fund(share, shares_of(self.basket, lines[i], funding))
                found[i].append((step.kind, step.id, share, parts))
        return found

    @cached_property
    def settlement(self) -> list[dict[str, Any]]:
        """Entries by party."""
        methods = [(tender.plan.method, tender.amount) for tender in self.tenders]
        fee = acquirer_fee(self.basket.acquirer_fee_bp, self.payable_amount, methods)
        sales = []
        if self.basket.contracts:
            for i, line in enumerate(self.basket.lines):
                sale = Sale(line.counter_id, self.nets[i], self.due[i])
                for _, _, _, parts in self.allocations[i]:
                    for party, amount in parts:
                        sale.borne[party] = sale.borne.get(party, 0) + amount
                sales.append(sale)
        return settle(sales, self.basket.contracts, self.payable_amount, fee)

    @cached_property
    def commission(self) -> list[dict[str, Any]]:
        """By guide."""
        lines = self.basket.lines
        return commission(self.basket.guides, [(line.guide_id, self.nets[i]) for i, line in enumerate(lines)])

    def to_document(self) -> dict[str, Any]:
        """The Out form of the pricing document, with the snapshot that a later refund needs."""
        return {
            "currency": self.basket.currency,
            "inputs_hash": self.inputs_hash,
            "gross_amount": self.gross_amount,
            "discount_amount": self.discount_amount,
            "fee_amount": self.fee_amount,
            "payable_amount": self.payable_amount,
            "lines": [self._line(i, line) for i, line in enumerate(self.basket.lines)],
            "fees": [fee.to_document() for fee in self.fees],
            "gifts": self.gifts(),
            "rewards": self.rewards(),
            "applied": [self._applied(step) for step in self.steps],
            "rejected": [_rejected(rejection) for rejection in self.rejected],
            "points": {"used": self.points_used, "amount": self.points_amount, "earned": self.points_earned},
            "rounding_amount": self.rounding_amount,
            "forfeited_amount": self.forfeited_amount,
            "tenders": [tender.to_document() for tender in self.tenders],
            "splits": self.splits(),
            "units": self.units(),
            "steps": [{"id": step.id, "amount": step.outcome.amount} for step in self.steps],
            "accounts": self.accounts(),
            "settlement": self.settlement,
            "commission": self.commission,
            "refunds": [],
            "snapshot": self.snapshot(),
        }

    def _line(self, i: int, line: Line) -> dict[str, Any]:
        document: dict[str, Any] = {
            "line_id": line.line_id,
            "sku": line.sku,
            "quantity": line.quantity_text,
            "unit_amount": line.unit_amount,
            "gross_amount": line.gross,
            "discount_amount": line.gross - self.nets[i],
            "net_amount": self.nets[i],
            "allocations": [
                {
                    "kind": kind,
                    "id": benefit_id,
                    "amount": amount,
                    "funding": [{"party": party, "amount": part} for party, part in parts],
                }
                for kind, benefit_id, amount, parts in self.allocations[i]
            ],
        }
        if line.components:
            document["components"] = _components(line, self.nets[i])
        return document

    def _applied(self, step: Step) -> dict[str, Any]:
        """One benefit for people and for the usage counters: how much, how often, who bears it."""
        bearers: dict[str, int] = {}
        for line in self.allocations:
            for kind, benefit_id, _, parts in line:
                if kind == step.kind and benefit_id == step.id:
                    for party, amount in parts:
                        bearers[party] = bearers.get(party, 0) + amount
        document: dict[str, Any] = {
            "kind": step.kind,
            "id": step.id,
            "amount": step.outcome.amount,
            "times": step.outcome.times,
            "funding": [{"party": party, "amount": amount} for party, amount in bearers.items()],
        }
        if step.benefit is not None:
            document["rule"] = step.benefit.kind
            document["version"] = step.benefit.version
        return document

    def gifts(self) -> list[dict[str, Any]]:
        """What is handed over beside the goods; `value_amount` is the worth of the whole quantity."""
        return [
            {
                "id": step.id,
                "sku": step.outcome.gift.sku,
                "quantity": format_quantity(step.outcome.gift.quantity),
                "value_amount": step.outcome.gift.value_amount,
            }
            for step in self.steps
            if step.outcome.gift is not None
        ]

    def rewards(self) -> list[dict[str, Any]]:
        """What is given after success: vouchers back and red envelopes."""
        return [
            {
                "id": step.id,
                "kind": step.benefit.kind,
                "amount": step.outcome.issued,
                "funding": [
                    {"party": party, "amount": part} for party, part in fund(step.outcome.issued, step.benefit.funding)
                ],
            }
            for step in self.steps
            if step.benefit is not None and step.outcome.issued
        ]

    def _places(self) -> list[dict[str, str]]:
        lines = [{"line_id": line.line_id} for line in self.basket.lines]
        return lines + [{"fee_id": fee.fee_id} for fee in self.fees]

    def splits(self) -> list[dict[str, Any]]:
        """The line by tender matrix, nothing where nothing is paid."""
        places = self._places()
        return [
            {**places[i], "tender_id": tender.plan.id, "amount": row[i]}
            for i in range(len(places))
            for tender, row in zip(self.tenders, self.rows, strict=True)
            if row[i]
        ]

    def units(self) -> list[dict[str, Any]]:
        """Each line's net by unit; the last takes the rest."""
        return [
            {
                "line_id": line.line_id,
                "net_amounts": [self.nets[i]] if line.pieces == 1 else split_units(self.nets[i], line.pieces),
            }
            for i, line in enumerate(self.basket.lines)
        ]

    def accounts(self) -> dict[str, Any]:
        """What was taken from each bucket of stored value."""
        if self.basket.stored_value is None:
            return {}
        taken = [tender.buckets for tender in self.tenders if tender.buckets is not None]
        return {"stored_value": {name: sum(part[b] for part in taken) for b, name in enumerate(BUCKETS)}}

    def snapshot(self) -> dict[str, Any]:
        """All that a later refund needs, JSON-able: what was bought, the benefits in force, and every amount."""
        document = json.loads(self.basket.canonical)
        used = {step.id for step in self.steps if step.kind == "coupon"}
        used.update(tender.voucher.id for tender in self.tenders if tender.voucher is not None)
        document["coupons"] = [coupon for coupon in document.get("coupons") or () if coupon["code"] in used]
        document["select"] = [step.id for step in self.steps if step.kind == "coupon"]
        return {
            "format": FORMAT,
            "inputs_hash": self.inputs_hash,
            "document": document,
            "campaigns": [json.loads(campaign.definition) for campaign in self._in_force()],
            "steps": [self._snapshot_step(step) for step in self.steps],
            "nets": list(self.nets),
            "fees": [[fee.fee_id, fee.kind, fee.amount] for fee in self.fees],
            "due": list(self.due),
            "points_by": list(self.points_by),
            "rounding_by": list(self.rounding_by),
            "points": {"used": self.points_used, "amount": self.points_amount, "earned": self.points_earned},
            "tenders": [
                {
                    "id": tender.plan.id,
                    "method": tender.plan.method,
                    "amount": tender.amount,
                    "buckets": list(tender.buckets) if tender.buckets is not None else None,
                    "code": tender.voucher.id if tender.voucher is not None else None,
                }
                for tender in self.tenders
            ],
            "settlement": self.settlement,
            "commission": self.commission,
        }

    def _in_force(self) -> list[Benefit]:
        """The campaigns that were used, and those that others kept out, which what is kept after a return may need."""
        ids = {step.id for step in self.steps if step.kind == "campaign"}
        ids.update(r.benefit.id for r in self.rejected if r.benefit is not None and r.reason == "not_best")
        return [campaign for campaign in self.basket.campaigns if campaign.id in ids]

    def _snapshot_step(self, step: Step) -> dict[str, Any]:
        outcome = step.outcome
        document: dict[str, Any] = {
            "kind": step.kind,
            "id": step.id,
            "shares": [list(share) for share in outcome.shares()],
        }
        if outcome.gift is not None:
            document["gift"] = [outcome.gift.sku, outcome.gift.quantity, outcome.gift.value_amount]
        if outcome.issued:
            document["issued"] = outcome.issued
        return document


def forfeits(benefit: Benefit) -> bool:
    """Whether what a coupon is worth beyond its goods is lost; a campaign has nothing to lose."""
    return benefit.source == "coupon" and benefit.no_change


def _components(line: Line, net: int) -> list[dict[str, Any]]:
    """A package's money over its parts by list price; by quantity when no list price is said."""
    weights = [part.list_amount * part.quantity for part in line.components]
    if not sum(weights):
        weights = [part.quantity for part in line.components]
    return [
        {"sku": part.sku, "quantity": format_quantity(part.quantity), "net_amount": share}
        for part, share in zip(line.components, largest_remainder(net, weights), strict=True)
    ]


def _rejected(rejection: Rejection) -> dict[str, Any]:
    benefit = rejection.benefit
    result: dict[str, Any] = {
        "id": "member" if benefit is None else benefit.id,
        "kind": "member" if benefit is None else benefit.source,
        "reason": rejection.reason,
    }
    if rejection.missing_amount:
        result["missing_amount"] = rejection.missing_amount
    if rejection.missing_quantity:
        result["missing_quantity"] = format_quantity(max(rejection.missing_quantity, 0))
    return result


__all__ = ["QUANTITY_SCALE", "Quote", "Step"]
