"""What one benefit gives on the goods as they stand: how much, on which lines, or by how much its threshold is
missed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from gateway.domain.money import QUANTITY_SCALE, gross_of, largest_remainder, price_at
from gateway.pricing.model import Benefit, Gift, Line, Tier
from gateway.pricing.units import Units

Shares = list[tuple[int, int]]


@dataclass(slots=True)
class State:
    """The lines' amounts at the ends of the stages so far; `nets` is what they stand at now."""

    gross: list[int]
    after_item: list[int]
    after_member: list[int]
    after_campaign: list[int]
    nets: list[int]

    def basis(self, name: str) -> list[int]:
        """The amounts that a threshold named so is compared with."""
        if name == "after_member":
            return self.after_member
        if name == "after_campaign":
            return self.after_campaign
        return self.gross if name == "gross" else self.after_item

    def closed(self, phase: int) -> "State":
        """The state at the end of a stage (0 item, 1 member, 2 campaigns): the later ends stand where the nets
        stand."""
        nets = self.nets
        after_item = nets if phase == 0 else self.after_item
        after_member = nets if phase <= 1 else self.after_member
        return State(self.gross, after_item, after_member, nets, nets)


@dataclass(slots=True)
class Candidate:
    """A benefit in a basket: the lines it takes effect on and those its threshold is measured on."""

    benefit: Benefit
    lines: tuple[int, ...]
    measured: tuple[int, ...]
    quantity: int
    taken_off: int = 0  # fen meant to be paid by methods that do not count
    at_most: int | None = None  # the basis if the rest is paid by such a method
    bit: int = 0
    conflicts: int = 0


@dataclass(slots=True)
class Outcome:
    """What a benefit gives. With a `reason` it gives nothing.

    The amount is spread over `places` by `weights` only when somebody asks: a search looks at many and uses few.
    """

    amount: int = 0
    places: tuple[int, ...] = ()
    weights: list[int] | None = None
    found: Shares | None = None
    extra: int = 0
    forfeited: int = 0
    times: int = 1
    gift: Gift | None = None
    issued: int = 0  # rebate voucher or reward
    reason: str | None = None
    missing_amount: int = 0
    missing_quantity: int = 0

    def shares(self) -> Shares:
        """(line, fen) of every line that has a share, by largest remainder."""
        if self.found is None:
            shares = largest_remainder(self.amount, self.weights) if self.amount and self.weights else ()
            self.found = [(place, share) for place, share in zip(self.places, shares, strict=False) if share]
        return self.found


_NOTHING: Final = Outcome()


def evaluate(candidate: Candidate, state: State, lines: tuple[Line, ...]) -> Outcome:
    """What the candidate gives in this state. Pure; the state is not changed."""
    benefit = candidate.benefit
    basis = _basis(candidate, state)
    for tier in benefit.tiers:
        if basis >= tier.threshold_amount and candidate.quantity >= tier.threshold_quantity:
            break
    else:
        return Outcome(
            reason="threshold",
            missing_amount=max(0, tier.threshold_amount - basis),
            missing_quantity=max(0, tier.threshold_quantity - candidate.quantity),
        )
    outcome = _ACTIONS[benefit.action](candidate, tier, state, lines, _times(benefit, tier, basis, candidate.quantity))
    left = _budget_left(benefit)
    if left is not None and outcome.amount + outcome.extra > left:
        return Outcome(reason="budget")
    return outcome


def potential(candidate: Candidate, state: State, lines: tuple[Line, ...]) -> tuple[int, int]:
    """The most that the candidate can save, and give beside, in this state or in any with lower amounts.

    A lower tier may give more than the highest reached, so every tier within reach counts.
    """
    benefit = candidate.benefit
    basis = _basis(candidate, state)
    amount = extra = 0
    for tier in benefit.tiers:
        if basis >= tier.threshold_amount and candidate.quantity >= tier.threshold_quantity:
            times = _times(benefit, tier, basis, candidate.quantity)
            outcome = _ACTIONS[benefit.action](candidate, tier, state, lines, times)
            amount, extra = max(amount, outcome.amount), max(extra, outcome.extra)
    left = _budget_left(benefit)
    return (amount, extra) if left is None else (min(amount, left), min(extra, left))


def _budget_left(benefit: Benefit) -> int | None:
    limits = benefit.limits
    if limits is None or limits.budget_amount is None:
        return None
    return limits.budget_amount - limits.used_budget_amount


def _basis(candidate: Candidate, state: State) -> int:
    """What a threshold is compared with."""
    base = state.basis(candidate.benefit.basis)
    basis = sum([base[i] for i in candidate.measured])
    if candidate.taken_off:
        basis = max(0, basis - candidate.taken_off)
    return basis if candidate.at_most is None else min(basis, candidate.at_most)


def _times(benefit: Benefit, tier: Tier, basis: int, quantity: int) -> int:
    """How often the tier applies."""
    if not benefit.repeat:
        return 1
    if tier.threshold_amount:
        times = basis // tier.threshold_amount
    elif tier.threshold_quantity:
        times = quantity // tier.threshold_quantity
    else:
        times = benefit.max_times or 1
    return times if benefit.max_times is None else min(times, benefit.max_times)


def _take(amount: int, candidate: Candidate, state: State, times: int = 1) -> Outcome:
    """Take an amount off the candidate's lines, never more than the cap and never more than there is."""
    cap = candidate.benefit.cap_amount
    if cap is not None and amount > cap:
        amount = cap
    nets = state.nets
    weights = [nets[i] for i in candidate.lines]
    applied = min(amount, sum(weights))
    if applied <= 0:
        return _NOTHING
    return Outcome(applied, candidate.lines, weights, forfeited=amount - applied, times=times)


def _amount_off(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    return _take((tier.off_amount or 0) * times, candidate, state, times)


def _percent_off(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    """One rounding on the group's sum."""
    nets = state.nets
    total = sum([nets[i] for i in candidate.lines])
    return _take(total - price_at(total, tier.rate_bp or 0), candidate, state)


def _line_prices(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    """A rate or a unit price on each line by itself, rounded by line."""
    off: dict[int, int] = {}
    for i in candidate.lines:
        net = state.nets[i]
        if tier.rate_bp is not None:
            price = price_at(net, tier.rate_bp)
        else:
            price = gross_of(tier.price_amount or 0, lines[i].quantity)
        if price < net:
            off[i] = net - price
    amount = sum(off.values())
    cap = candidate.benefit.cap_amount
    if cap is not None:
        amount = min(cap, amount)
    return Outcome(amount, tuple(off), list(off.values())) if amount else _NOTHING


def _member_rate(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    return _line_prices(candidate, tier, state, lines, times)


def _groups(candidate: Candidate, units: Units) -> int:
    """How many whole groups of n there are, at most `max_times`."""
    count = units.total // candidate.benefit.n
    return count if candidate.benefit.max_times is None else min(count, candidate.benefit.max_times)


def _from_groups(candidate: Candidate, units: Units, amount: int, groups: int) -> Outcome:
    """Spread the first groups' discount over the units that are in them; what is left over pays in full."""
    size = candidate.benefit.n
    if units.total < size:
        return Outcome(reason="threshold", missing_quantity=(size - units.total) * QUANTITY_SCALE)
    cap = candidate.benefit.cap_amount
    if cap is not None:
        amount = min(amount, cap)
    if amount <= 0:
        return _NOTHING
    weights = units.weights(groups * size)
    return Outcome(amount, tuple(weights), list(weights.values()), times=groups)


def _nth_unit(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    def off(price: int) -> int:
        if tier.rate_bp is not None:
            return price - price_at(price, tier.rate_bp)
        if tier.off_amount is not None:
            return min(price, tier.off_amount)
        return max(0, price - (tier.price_amount or 0))

    units = Units(candidate.lines, state.nets, lines)
    amount, groups = units.last_of_groups(candidate.benefit.n, _groups(candidate, units), off)
    return _from_groups(candidate, units, amount, groups)


def _buy_n_cheapest(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    units = Units(candidate.lines, state.nets, lines)
    amount, groups = units.last_of_groups(candidate.benefit.n, _groups(candidate, units), lambda price: price)
    return _from_groups(candidate, units, amount, groups)


def _fixed_price(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    price, size = tier.price_amount or 0, candidate.benefit.n
    if size == 1 and candidate.benefit.max_times is None:  # by line, so that weighed goods are priced by weight
        return _line_prices(candidate, tier, state, lines, times)
    units = Units(candidate.lines, state.nets, lines)
    groups = units.groups_above(size, _groups(candidate, units), price)
    return _from_groups(candidate, units, units.sum_of(groups * size) - groups * price, groups)


def _unit_prices(candidate: Candidate, state: State, lines: tuple[Line, ...], count: int, price: int) -> Outcome:
    """Sell the dearest `count` units of the lines at a price each; the discount stays on their own lines."""
    off, units = Units(candidate.lines, state.nets, lines).above(count, price)
    amount = sum(off.values())
    cap = candidate.benefit.cap_amount
    if cap is not None:
        amount = min(cap, amount)
    if not amount:
        return _NOTHING
    return Outcome(amount, tuple(off), list(off.values()), times=units)


def _add_on(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    each = candidate.benefit.n if tier.gift is None else max(1, tier.gift.quantity // QUANTITY_SCALE)
    return _unit_prices(candidate, state, lines, times * each, tier.price_amount or 0)


def _exchange(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    return _unit_prices(candidate, state, lines, 1, 0)


def _count_pass(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    available = candidate.benefit.available
    pieces = sum(lines[i].pieces for i in candidate.lines)
    return _unit_prices(candidate, state, lines, pieces if available is None else min(available, pieces), 0)


def _gift(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    if tier.gift is None:
        return _NOTHING
    value = tier.gift.value_amount
    if not value:  # it may stand among the lines, at no price but with its worth
        value = next((line.gift_value_amount for line in lines if line.sku == tier.gift.sku), 0)
    gift = Gift(tier.gift.sku, tier.gift.quantity * times, value * times)
    return Outcome(extra=max(1, gift.value_amount), gift=gift, times=times)


def _issue(candidate: Candidate, tier: Tier, state: State, lines: tuple[Line, ...], times: int) -> Outcome:
    issued = (tier.voucher_amount or tier.reward_amount or 0) * times
    if candidate.benefit.cap_amount is not None:
        issued = min(issued, candidate.benefit.cap_amount)
    return Outcome(extra=issued, issued=issued, times=times)


_ACTIONS: Final[dict[str, Callable[[Candidate, Tier, State, tuple[Line, ...], int], Outcome]]] = {
    "member_rate": _member_rate,
    "amount_off": _amount_off,
    "every_amount_off": _amount_off,
    "percent_off": _percent_off,
    "nth_unit": _nth_unit,
    "buy_n_cheapest": _buy_n_cheapest,
    "fixed_price": _fixed_price,
    "gift": _gift,
    "add_on": _add_on,
    "rebate_voucher": _issue,
    "reward": _issue,
    "exchange": _exchange,
    "count_pass": _count_pass,
}


def member_shares(lines: tuple[Line, ...], nets: list[int], rate_bp: int) -> Shares:
    """The member's price of each line: the lower of the member price and the rate, rounded by line."""
    shares = []
    for i, line in enumerate(lines):
        if not (line.discountable and line.member_price):
            continue
        net = nets[i]
        price = net if rate_bp == 10_000 else price_at(net, rate_bp)
        if line.member_amount is not None:
            price = min(price, gross_of(line.member_amount, line.quantity))
        if price < net:
            shares.append((i, net - price))
    return shares
