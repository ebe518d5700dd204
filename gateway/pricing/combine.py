"""The best legal combination of benefits: exact, by a search that includes first and cuts what cannot win any more.

The order of application is fixed (item, member, campaigns, coupons; in each by priority, then as listed), so a
combination is a set. Sets are compared by the largest saving, then what is given beside the price (gifts, vouchers,
rewards), then fewer coupons, then the earliest expiry, then the lowest ids.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from gateway.pricing.candidates import PHASES
from gateway.pricing.effects import Candidate, Outcome, Shares, State, evaluate, member_shares, potential
from gateway.pricing.model import Basket

EXACT_CANDIDATES: Final = 12
MAX_VISITS: Final = 30_000
MAX_CANDIDATES: Final = 200
_LATEST: Final = 1 << 40

Key = tuple[int, int, int, tuple[int, ...], tuple[str, ...]]
Chosen = list[tuple[Candidate, Outcome]]


@dataclass(slots=True)
class Choice:
    """The winning set with what each benefit gives, in the order of application."""

    chosen: Chosen
    with_member: bool
    exact: bool


def _expiry(candidate: Candidate) -> int:
    expires = candidate.benefit.expires
    if isinstance(expires, datetime):
        return int(expires.timestamp())
    if isinstance(expires, date):
        return (expires.toordinal() - 719162) * 86400
    return _LATEST


class Search:
    """One search: with the member's price, or without it when a benefit that excludes it is in the set."""

    def __init__(self, basket: Basket, candidates: list[Candidate]) -> None:
        self.basket = basket
        self.gross = [line.gross for line in basket.lines]
        self.total = sum(self.gross)
        self.best: Key | None = None
        self.found: Choice | None = None
        self.visits = 0
        self.candidates = candidates
        self.with_member = True

    def run(self, candidates: list[Candidate], with_member: bool) -> None:
        """Search all legal sets of the candidates, keeping the best over all runs."""
        self.with_member = with_member
        self._bounds(candidates)
        self.ends = [sum(1 for c in self.candidates if PHASES[c.benefit.stage] <= phase) for phase in range(3)]
        self._visit(0, start_state(self.basket), 0, 0, 0, 0, [])

    def _member(self, nets: list[int]) -> Shares:
        member = self.basket.member
        if member is None or not self.with_member:
            return []
        return member_shares(self.basket.lines, nets, member.rate_bp)

    def _bounds(self, candidates: list[Candidate]) -> None:
        """Leave out what can give nothing, and note the most that those from each position on can still save or
        give."""
        shares = self._member(self.gross)
        start = list(self.gross)
        if not any(PHASES[c.benefit.stage] < 2 for c in candidates):
            for i, share in shares:
                start[i] -= share
        state = State(self.gross, self.gross, start, start, start)
        found = [(c, *potential(c, state, self.basket.lines)) for c in candidates]
        found = [item for item in found if item[1] or item[2]]
        if len(found) > MAX_CANDIDATES:
            self.visits = MAX_VISITS + 1
            floor = sorted((item[1:] for item in found), reverse=True)[MAX_CANDIDATES - 1]
            found = [item for item in found if item[1:] >= floor][:MAX_CANDIDATES]
        self.candidates = [item[0] for item in found]
        self.most = _sums_from([item[1] for item in found])
        self.most_extra = _sums_from([item[2] for item in found])
        self.member_most = sum([share for _, share in shares])

    def _enter(self, i: int, state: State, saving: int) -> tuple[State, int]:
        """Close the stages that end before position `i`."""
        item, member, order = self.ends
        if i == item:
            shares = self._member(state.nets)
            state = state.closed(0)
            if shares:
                amount = sum([share for _, share in shares])
                saving += amount
                state = advance(state, Outcome(amount, found=shares), 1)
        if i == member:
            state = state.closed(1)
        if i == order:
            state = state.closed(2)
        return state, saving

    def _visit(self, i: int, state: State, saving: int, extra: int, coupons: int, mask: int, path: Chosen) -> None:
        self.visits += 1
        state, saving = self._enter(i, state, saving)
        if i == len(self.candidates):
            self._leaf(saving, extra, coupons, mask, path)
            return
        if self.best is not None and not self._can_win(i, saving, extra, coupons):
            return
        candidate = self.candidates[i]
        if not candidate.conflicts & mask:
            outcome = evaluate(candidate, state, self.basket.lines)
            if outcome.amount or outcome.extra:
                path.append((candidate, outcome))
                self._visit(
                    i + 1,
                    advance(state, outcome, PHASES[candidate.benefit.stage]),
                    saving + outcome.amount,
                    extra + outcome.extra,
                    coupons + (candidate.benefit.source == "coupon"),
                    mask | candidate.bit,
                    path,
                )
                path.pop()
        self._visit(i + 1, state, saving, extra, coupons, mask, path)

    def _can_win(self, i: int, saving: int, extra: int, coupons: int) -> bool:
        best = self.best
        if best is None:
            return True
        if self.visits > MAX_VISITS and len(self.candidates) > EXACT_CANDIDATES:
            return False
        most = saving + self.most[i] + (self.member_most if i < self.ends[0] else 0)
        most = min(most, self.total)
        return (-most, -extra - self.most_extra[i], coupons) <= best[:3]

    def _leaf(self, saving: int, extra: int, coupons: int, mask: int, path: Chosen) -> None:
        if not self.with_member and not any("member" in c.benefit.exclusive_with for c, _ in path):
            return
        best = self.best
        if best is not None and (-saving, -extra, coupons) > best[:3]:
            return
        expiries = tuple(sorted(_expiry(c) for c, _ in path if c.benefit.source == "coupon"))
        key = (-saving, -extra, coupons, expiries, tuple(sorted(c.benefit.id for c, _ in path)))
        if best is None or key < best:
            self.best = key
            self.found = Choice(list(path), self.with_member, True)


def _sums_from(values: list[int]) -> list[int]:
    """The sum of the values from each position on."""
    sums = [0]
    for value in reversed(values):
        sums.append(sums[-1] + value)
    return sums[::-1]


def start_state(basket: Basket) -> State:
    """Every stage at the gross amounts."""
    gross = [line.gross for line in basket.lines]
    return State(gross, gross, gross, gross, gross)


def advance(state: State, outcome: Outcome, phase: int) -> State:
    """The state after a benefit. A campaign moves what later thresholds `after_campaign` see, a coupon does not."""
    if not outcome.amount:
        return state
    nets = list(state.nets)
    for i, share in outcome.shares():
        nets[i] -= share
    if phase == 3:
        return State(state.gross, state.after_item, state.after_member, state.after_campaign, nets)
    if phase == 2:
        return State(state.gross, state.after_item, state.after_member, nets, nets)
    if phase == 1:
        return State(state.gross, state.after_item, nets, nets, nets)
    return State(state.gross, nets, nets, nets, nets)


def best_choice(basket: Basket, candidates: list[Candidate]) -> Choice:
    """The best legal set of the candidates, which stand in the order of application."""
    search = Search(basket, candidates)
    excluding = [c for c in candidates if "member" in c.benefit.exclusive_with]
    if excluding and basket.member is not None:
        search.run([c for c in candidates if "member" not in c.benefit.exclusive_with], True)
        search.run(candidates, False)
    else:
        search.run(candidates, True)
    found = search.found
    if found is None:
        found = Choice([], True, True)
    found.exact = search.visits <= MAX_VISITS or len(candidates) <= EXACT_CANDIDATES
    return found
