"""What a sale would come to with only the goods that are kept, under the benefits that were in force when it was
made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.pricing.candidates import PHASES, candidates_for
from gateway.pricing.combine import advance, best_choice, start_state
from gateway.pricing.effects import Outcome, State, evaluate, member_shares
from gateway.pricing.engine import apply_choice
from gateway.pricing.model import Basket, Benefit, Line
from gateway.pricing.parse_basket import parse
from gateway.pricing.parse_benefit import parse_campaigns

ENTITLED = frozenset({"gift", "rebate_voucher", "reward"})


@dataclass(frozen=True, slots=True)
class PastStep:
    """A benefit as it was applied: its shares by line, what it gave beside the price."""

    kind: str
    id: str
    benefit: Benefit | None
    shares: Mapping[int, int]
    gift: tuple[str, int, int] | None
    issued: int


@dataclass(frozen=True, slots=True)
class Sale:
    """A past sale, read from its snapshot."""

    basket: Basket
    steps: tuple[PastStep, ...]
    in_force: tuple[Benefit, ...]
    snapshot: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept costs, by line of the sale; who takes how much off it; what each of the sale's steps still gives."""

    nets: list[int]
    shares: list[tuple[Benefit | None, dict[int, int]]]
    outcomes: list[Outcome]


def read_sale(snapshot: Mapping[str, Any]) -> Sale:
    """The sale behind a snapshot of ours. Raises `PricingErrors` if it is not one."""
    campaigns = parse_campaigns(snapshot["campaigns"])
    basket = parse(snapshot["document"], campaigns)
    known = {("campaign", c.id): c for c in campaigns} | {("coupon", c.id): c for c in basket.coupons}
    steps = tuple(
        PastStep(
            kind=step["kind"],
            id=step["id"],
            benefit=known.get((step["kind"], step["id"])),
            shares=dict(step["shares"]),
            gift=tuple(step["gift"]) if "gift" in step else None,
            issued=step.get("issued", 0),
        )
        for step in snapshot["steps"]
    )
    used = {step.id for step in steps if step.kind == "coupon"}
    coupons = tuple(coupon for coupon in basket.coupons if coupon.id in used)
    return Sale(basket, steps, (*campaigns, *coupons), snapshot)


def kept_part(amount: int, quantity: int, returned: int) -> int:
    """What is left of a line's amount when so many of its thousandths are back."""
    return amount - amount * returned // quantity


def policy_of(step: PastStep, asked: str | None) -> str:
    """How the step behaves on a return: as asked, else as the benefit says; the member's price goes with its line."""
    if asked is not None:
        return asked
    return "prorata" if step.benefit is None else step.benefit.on_return


class Replay:
    """Applies the sale's steps again to what is kept."""

    def __init__(self, sale: Sale, returned: Sequence[int], policy: str | None) -> None:
        self.sale = sale
        self.returned = returned
        self.policy = policy
        lines = sale.basket.lines
        self.places = [i for i, line in enumerate(lines) if returned[i] < line.quantity]
        self.basket = replace(sale.basket, lines=tuple(self._line(i, lines[i]) for i in self.places))

    def _line(self, i: int, line: Line) -> Line:
        quantity = line.quantity - self.returned[i]
        pieces = quantity // 1000 if quantity % 1000 == 0 else 1
        return replace(
            line, quantity=quantity, pieces=pieces, gross=kept_part(line.gross, line.quantity, self.returned[i])
        )

    def run(self) -> Kept:
        """The kept lines under the sale's benefits: priced anew when all are recomputed, else step by step."""
        return self._priced_anew() if self._all_recomputed() else self._step_by_step()

    def _all_recomputed(self) -> bool:
        if self.policy is not None:
            return self.policy == "recompute"
        return all(step.benefit is None or step.benefit.on_return == "recompute" for step in self.sale.steps)

    def _priced_anew(self) -> Kept:
        """The best price of what is kept, as if nothing else had been bought."""
        candidates = candidates_for(self.basket, self.sale.in_force)
        steps, nets, rejected = apply_choice(self.basket, candidates, best_choice(self.basket, candidates))
        found = {(step.kind, step.id): step.outcome for step in steps}
        for rejection in rejected:
            if rejection.benefit is not None:
                found[rejection.benefit.source, rejection.benefit.id] = Outcome(reason=rejection.reason)
        gone = Outcome(reason="threshold")
        shares = [(step.benefit, self._by_place(step.outcome)) for step in steps]
        return Kept(self._all_lines(nets), shares, [found.get((s.kind, s.id), gone) for s in self.sale.steps])

    def _by_place(self, outcome: Outcome) -> dict[int, int]:
        return {self.places[i]: share for i, share in outcome.shares()}

    def _all_lines(self, kept: list[int]) -> list[int]:
        """By line of the sale, nothing for those that are back."""
        nets = [0] * len(self.sale.basket.lines)
        for position, net in zip(self.places, kept, strict=True):
            nets[position] = net
        return nets

    def _step_by_step(self) -> Kept:
        """Every step in its order: prorata ones keep their shares, the others are worked out again."""
        state = start_state(self.basket)
        shares: list[tuple[Benefit | None, dict[int, int]]] = []
        outcomes: list[Outcome] = []
        phase = 0
        for step in self.sale.steps:
            target = 1 if step.benefit is None else PHASES[step.benefit.stage]
            while phase < target:
                state = state.closed(phase)
                phase += 1
            outcome = self._outcome(step, state)
            state = advance(state, outcome, phase)
            outcomes.append(outcome)
            shares.append((step.benefit, self._by_place(outcome)))
        return Kept(self._all_lines(state.nets), shares, outcomes)

    def _outcome(self, step: PastStep, state: State) -> Outcome:
        benefit = step.benefit
        entitled = benefit is not None and benefit.action in ENTITLED
        if policy_of(step, self.policy) == "prorata" and not entitled:
            return self._prorata(step, state)
        if benefit is None:
            member = self.basket.member
            found = member_shares(self.basket.lines, state.nets, member.rate_bp) if member else []
            return Outcome(sum(share for _, share in found), found=found)
        found_candidates = candidates_for(self.basket, (benefit,))
        if not found_candidates:
            return Outcome(reason="threshold")
        return evaluate(found_candidates[0], state, self.basket.lines)

    def _prorata(self, step: PastStep, state: State) -> Outcome:
        """The step's shares of the units that are kept."""
        found = []
        for i, place in enumerate(self.places):
            share = step.shares.get(place, 0)
            if share:
                share = kept_part(share, self.sale.basket.lines[place].quantity, self.returned[place])
                share = min(share, state.nets[i])
            if share:
                found.append((i, share))
        return Outcome(sum(share for _, share in found), found=found)
