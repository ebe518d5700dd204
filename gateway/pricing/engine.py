"""Pricing a basket: benefits, fees, points, rounding, tenders. A pure function of the basket; no clock, no float, no
I/O."""

from gateway.domain.money import MAX_AMOUNT, largest_remainder
from gateway.pricing.candidates import PHASES, Rejection, candidates_of
from gateway.pricing.combine import Choice, advance, best_choice, start_state
from gateway.pricing.effects import Candidate, Outcome, State, evaluate, member_shares
from gateway.pricing.errors import fail
from gateway.pricing.fees import FeeResult, fee_results
from gateway.pricing.model import Basket
from gateway.pricing.payment import Till, matrix, points_earned, points_taken, rounded_off
from gateway.pricing.quote import Quote, Step

__all__ = ["price"]


def price(basket: Basket) -> Quote:
    """Price a basket. The same basket always gives the same quote.

    Tenders that pay less than is to be paid are no fault here: `Quote.unpaid_amount` says what is open.
    Raises `PricingErrors` when a tender pays too much, a voucher cannot be used, or time has no price.
    """
    candidates, rejected = candidates_of(basket)
    choice = best_choice(basket, candidates)
    steps, nets, left_out = apply_choice(basket, candidates, choice)
    fees = fee_results(basket, nets)
    return _pay(basket, tuple(steps), nets, (*rejected, *left_out), fees, choice.exact)


def _pay(
    basket: Basket,
    steps: tuple[Step, ...],
    nets: list[int],
    rejected: tuple[Rejection, ...],
    fees: tuple[FeeResult, ...],
    exact: bool,
) -> Quote:
    """From nets and fees to tenders and the matrix."""
    member = basket.member
    owed = [*nets, *(fee.amount for fee in fees)]
    base = sum(owed)
    if base > MAX_AMOUNT:
        raise fail("/lines", f"come with the fees to more than {MAX_AMOUNT}")
    used, amount = points_taken(basket.points, member.points_available if member else None, base)
    points_by = largest_remainder(amount, owed) if amount else [0] * len(owed)
    after_points = [a - b for a, b in zip(owed, points_by, strict=True)] if amount else owed
    rounding = rounded_off(base - amount, basket.rounding)
    rounding_by = largest_remainder(rounding, after_points) if rounding else [0] * len(owed)
    due = [a - b for a, b in zip(after_points, rounding_by, strict=True)] if rounding else after_points
    tenders = Till(basket, fees, due).tenders() if basket.tenders else ()
    return Quote(
        basket=basket,
        nets=tuple(nets),
        steps=steps,
        rejected=rejected,
        fees=fees,
        points_used=used,
        points_amount=amount,
        points_earned=points_earned(basket.points, member.tier if member else None, sum(due)),
        rounding_amount=rounding,
        points_by=tuple(points_by),
        rounding_by=tuple(rounding_by),
        due=tuple(due),
        tenders=tenders,
        rows=tuple(tuple(row) for row in matrix(due, tenders)),
        exact=exact,
    )


def apply_choice(
    basket: Basket, candidates: list[Candidate], choice: Choice
) -> tuple[list[Step], list[int], list[Rejection]]:
    """Apply the winning set in order, and see at each place what the others would have given."""
    given = {candidate.bit: outcome for candidate, outcome in choice.chosen}
    taken = 0
    for bit in given:
        taken |= bit
    state = start_state(basket)
    steps: list[Step] = []
    rejected: list[Rejection] = []
    phase = 0
    for candidate in candidates:
        while phase < PHASES[candidate.benefit.stage]:
            state = _close(basket, phase, state, choice, steps, rejected)
            phase += 1
        outcome = given.get(candidate.bit)
        if outcome is None:
            rejected.append(_why_not(basket, candidate, state, taken))
            continue
        steps.append(Step(candidate.benefit.source, candidate.benefit.id, candidate.benefit, outcome))
        state = advance(state, outcome, phase)
    while phase < 3:
        state = _close(basket, phase, state, choice, steps, rejected)
        phase += 1
    return steps, state.nets, rejected


def _close(
    basket: Basket, phase: int, state: State, choice: Choice, steps: list[Step], rejected: list[Rejection]
) -> State:
    """End a stage; after the items comes the member's price."""
    if phase != 0:
        return state.closed(phase)
    outcome = _member_price(basket, state)
    state = state.closed(0)
    if not outcome.amount:
        return state
    if not choice.with_member:
        rejected.append(Rejection(None, "excluded"))
        return state
    steps.append(Step("member", "member", None, outcome))
    return advance(state, outcome, 1)


def _member_price(basket: Basket, state: State) -> Outcome:
    """What the member's own price takes off."""
    if basket.member is None:
        return Outcome()
    shares = member_shares(basket.lines, state.nets, basket.member.rate_bp)
    return Outcome(sum(share for _, share in shares), found=shares)


def _why_not(basket: Basket, candidate: Candidate, state: State, taken: int) -> Rejection:
    """Why a candidate was left out: what it misses, what bars it, or that it is not the best."""
    benefit = candidate.benefit
    outcome = evaluate(candidate, state, basket.lines)
    if outcome.reason is not None:
        return Rejection(benefit, outcome.reason, outcome.missing_amount, outcome.missing_quantity)
    asked = benefit.source == "coupon" and basket.select is not None
    if asked and candidate.conflicts & taken:
        return Rejection(benefit, "excluded")
    return Rejection(benefit, "not_best")
