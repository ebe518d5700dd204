"""What was given back of a sale so far, read from the earlier refunds' documents."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.money import parse_quantity
from gateway.pricing.kept import Sale


@dataclass(slots=True)
class Returned:
    """Sums over the earlier refunds: by line (thousandths), by line and fee (fen), by tender and bucket."""

    quantities: list[int]
    given: list[int]
    money: list[int]  # of `given`, what came without goods
    fees: set[int]
    refunded: int
    deducted: int
    tenders_left: list[int]
    buckets_left: list[list[int]]
    coupons: dict[str, str] = field(default_factory=dict)
    points: Counter[str] = field(default_factory=Counter)
    cancelled: Counter[str] = field(default_factory=Counter)
    clawed: Counter[str] = field(default_factory=Counter)
    gifts_returned: set[str] = field(default_factory=set)
    gifts_deducted: Counter[str] = field(default_factory=Counter)
    settlement: Counter[tuple[str, str]] = field(default_factory=Counter)
    settlement_basis: Counter[tuple[str, str]] = field(default_factory=Counter)
    commission: Counter[str] = field(default_factory=Counter)
    refundable: int = 0


def read_returned(sale: Sale, already: Sequence[Mapping[str, Any]]) -> Returned:
    """Add up the earlier refunds."""
    snapshot = sale.snapshot
    due = snapshot["due"]
    state = Returned(
        quantities=[0] * len(sale.basket.lines),
        given=[0] * len(due),
        money=[0] * len(due),
        fees=set(),
        refunded=0,
        deducted=0,
        tenders_left=[tender["amount"] for tender in snapshot["tenders"]],
        buckets_left=[list(tender["buckets"] or ()) for tender in snapshot["tenders"]],
    )
    for entry in snapshot["settlement"]:
        state.settlement[entry["party"], entry["kind"]] += entry["amount"]
        state.settlement_basis[entry["party"], entry["kind"]] += entry["basis_amount"]
    for entry in snapshot["commission"]:
        state.commission[entry["guide_id"]] += entry["amount"]
    for document in already:
        _add(state, sale, document)
    state.refundable = max(0, sum(due) - state.refunded - state.deducted)
    return state


def _add(state: Returned, sale: Sale, document: Mapping[str, Any]) -> None:
    state.refunded += document["amount"]
    _add_lines(state, sale, document["lines"])
    for t, tender in enumerate(document["tenders"]):
        state.tenders_left[t] -= tender["amount"]
        for b, name in enumerate(("real", "gift", "prepaid")):
            if "buckets" in tender:
                state.buckets_left[t][b] -= tender["buckets"][name]
    for coupon in document["coupons"]:
        state.coupons[coupon["code"]] = coupon["status"]
    state.points.update({name: document["points"][name] for name in ("returned", "returned_amount", "revoked")})
    for reward in document["rewards"]:
        state.cancelled[reward["id"]] += reward["cancelled_amount"]
        state.clawed[reward["id"]] += reward["clawed_back_amount"]
    for deduction in document["deductions"]:
        state.deducted += deduction["amount"]
        if deduction["kind"] == "gift":
            state.gifts_deducted[deduction["id"]] += deduction["amount"]
    state.gifts_returned.update(gift["id"] for gift in document["gifts"] if gift["status"] == "returned")
    for entry in document["settlement"]:
        state.settlement[entry["party"], entry["kind"]] += entry["amount"]
        state.settlement_basis[entry["party"], entry["kind"]] += entry["basis_amount"]
    for entry in document["commission"]:
        state.commission[entry["guide_id"]] += entry["amount"]


def _add_lines(state: Returned, sale: Sale, items: Sequence[Mapping[str, Any]]) -> None:
    lines = {line.line_id: i for i, line in enumerate(sale.basket.lines)}
    fees = {fee[0]: len(lines) + i for i, fee in enumerate(sale.snapshot["fees"])}
    for item in items:
        if "fee_id" in item:
            position = fees[item["fee_id"]]
            if not item.get("partial"):
                state.fees.add(position)
        else:
            position = lines[item["line_id"]]
            if "quantity" in item:
                state.quantities[position] += parse_quantity(item["quantity"])
            else:
                state.money[position] += item["amount"]
        state.given[position] += item["amount"]
