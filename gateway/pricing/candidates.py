"""From a basket's campaigns and coupons to the candidates of the search, and the reasons of those that are none."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from gateway.pricing.effects import Candidate
from gateway.pricing.eligibility import barred, lines_in_scope
from gateway.pricing.model import FOR_AN_ARTICLE, Basket, Benefit

PHASES: Final = {"item": 0, "member": 1, "order": 2, "coupon": 3}


@dataclass(frozen=True, slots=True)
class Rejection:
    """A benefit that is not used, and why; `missing_amount` (fen) and `missing_quantity` (thousandths) when near."""

    benefit: Benefit | None  # None is the member's own price
    reason: str
    missing_amount: int = 0
    missing_quantity: int = 0


def _wanted(basket: Basket) -> list[Benefit]:
    """Campaigns, and the coupons asked for; vouchers that pay are not among those that lower the price."""
    paying = {tender.code for tender in basket.tenders if tender.code}
    if basket.select is None:
        coupons = [c for c in basket.coupons if c.kind != "group_buy" and c.id not in paying]
    else:
        coupons = [c for c in basket.coupons if c.id in basket.select]
    return [*basket.campaigns, *coupons]


def _targets(
    basket: Basket, benefit: Benefit, discountable: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The lines the benefit takes effect on, and those its threshold is measured on."""
    scope = lines_in_scope(basket, benefit.scope, discountable)
    lines = basket.lines
    if benefit.action == "add_on":
        gift = benefit.tiers[0].gift
        items = scope if gift is None else tuple(i for i in discountable if lines[i].sku == gift.sku)
        if gift is None:
            return items, tuple(i for i in discountable if i not in scope)
        return items, tuple(i for i in scope if i not in items)
    if benefit.sku is not None and benefit.kind in FOR_AN_ARTICLE:
        return tuple(i for i in scope if lines[i].sku == benefit.sku), scope
    return scope, scope


def _excluded_tenders(basket: Basket, benefit: Benefit) -> tuple[int, int | None]:
    """What excluded methods are meant to pay: the sum to take off, and the basis at most when one of them takes the
    rest."""
    without = benefit.excluded_methods
    if not without or not basket.tenders:
        return 0, None
    faces = {coupon.id: coupon.face_amount or 0 for coupon in basket.coupons}
    off = others = 0
    rest: list[bool] = []
    for tender in basket.tenders:
        amount = tender.amount
        if amount is None and tender.method == "voucher":
            amount = faces.get(tender.code or "", 0) * tender.count
        if amount is None:
            rest.append(tender.method in without)
        elif tender.method in without:
            off += amount
        else:
            others += amount
    return off, (others if rest and all(rest) else None)


def _conflict(a: Benefit, b: Benefit) -> bool:
    """Whether the two may not stand side by side."""
    if a.exclusive or b.exclusive:
        return True
    if a.stack_group is not None and a.stack_group == b.stack_group:
        return True
    return bool(
        (a.exclusive_with and (b.id in a.exclusive_with or b.template in a.exclusive_with))
        or (b.exclusive_with and (a.id in b.exclusive_with or a.template in b.exclusive_with))
    )


def candidates_of(basket: Basket) -> tuple[list[Candidate], list[Rejection]]:
    """The candidates in the order of application, with their conflicts, and what is barred from the start."""
    discountable = tuple(i for i, line in enumerate(basket.lines) if line.discountable)
    found: list[Candidate] = []
    rejected: list[Rejection] = []
    for benefit in _wanted(basket):
        reason = barred(basket, benefit)
        if reason is None:
            lines, measured = _targets(basket, benefit, discountable)
            if not lines:
                reason = "scope"
        if reason is not None:
            rejected.append(Rejection(benefit, reason))
            continue
        found.append(_candidate(basket, benefit, lines, measured))
    return _in_order(found), rejected


def _candidate(basket: Basket, benefit: Benefit, lines: tuple[int, ...], measured: tuple[int, ...]) -> Candidate:
    quantity = sum([basket.lines[i].quantity for i in measured])
    taken_off, at_most = _excluded_tenders(basket, benefit) if benefit.excluded_methods else (0, None)
    return Candidate(benefit, lines, measured, quantity, taken_off, at_most)


def candidates_for(basket: Basket, benefits: Iterable[Benefit]) -> list[Candidate]:
    """The candidates of benefits that are known to be in force, in the order of application; none without a line."""
    discountable = tuple(i for i, line in enumerate(basket.lines) if line.discountable)
    targets = ((benefit, *_targets(basket, benefit, discountable)) for benefit in benefits)
    return _in_order([_candidate(basket, *target) for target in targets if target[1]])


def _in_order(found: list[Candidate]) -> list[Candidate]:
    found.sort(key=lambda c: (PHASES[c.benefit.stage], c.benefit.priority))
    _mark_conflicts(found)
    return found


def _mark_conflicts(candidates: list[Candidate]) -> None:
    for i, one in enumerate(candidates):
        one.bit = 1 << i
    for i, one in enumerate(candidates):
        for other in candidates[i + 1 :]:
            if _conflict(one.benefit, other.benefit):
                one.conflicts |= other.bit
                other.conflicts |= one.bit
