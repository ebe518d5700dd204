"""One cell: a checkout with all nine legs, one fault on the first message of one (or of two) of them; virtual time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gateway.domain.errors import NotSent
from gateway.engine import invariants
from gateway.engine.model import Json, Kind, Leg, Phase, Saga, State, Verb
from gateway.engine.own import OWN
from gateway.engine.seams import Effect, Outcome
from tests.matrix.faults import Fault, carry
from tests.simulation import far as fars
from tests.simulation.plans import SITE, Planner, Shop, quote_of, saga_of
from tests.simulation.store import Memory
from tests.simulation.troubles import Mix
from tests.simulation.world import World

#: What the systems of a cell can do: act once a key, be asked, take back.
PROFILES: dict[str, fars.Profile] = {
    "full": fars.FULL,
    "asked": fars.ASKED,
    "repeated": fars.REPEATED,
    "no undo": fars.REFUNDING,
    "nothing": fars.NOTHING,
}
PRICE = {"pay": 500, "value": 300, "voucher": 200}
AMOUNT = sum(PRICE.values())


@dataclass(frozen=True, slots=True)
class Place:
    """One of the nine legs: its name in the plan, the hook that the fault hits, whose system it is."""

    leg: str
    hook: str
    system: str
    position: str


PLACES = (
    Place("stock", "stock_reserve", "stock", "hold"),
    Place("coupon:C", "coupon_reserve", "coupon", "hold"),
    Place("points", "points_reserve", "points", "hold"),
    Place("tender:value", "value_reserve", "value", "hold"),
    Place("tender:pay", "payment_charge", "pay", "pay"),
    Place("stock", "stock_confirm", "stock", "use"),
    Place("tender:voucher", "coupon_redeem", "voucher", "use"),
    Place("order", "order_post", "till", "tail"),
    Place("earn", "points_earn", "earn", "tail"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """Where a fault is put, on systems of which profile."""

    place: Place
    fault: Fault
    profile: str

    def __str__(self) -> str:
        return f"{self.profile} / {self.place.hook} / {self.fault}"


def cells() -> Iterator[Cell]:
    """All 12 × 9 × 5."""
    for profile, place, fault in itertools.product(PROFILES, PLACES, Fault):
        yield Cell(place, fault, profile)


def pairs() -> Iterator[tuple[Cell, Cell]]:
    """Two faults at a time, on different systems of the same profile."""
    for profile in PROFILES:
        for one, two in itertools.combinations(PLACES, 2):
            if one.system != two.system:
                for first, second in itertools.product(Fault, Fault):
                    yield Cell(one, first, profile), Cell(two, second, profile)


@dataclass(frozen=True, slots=True)
class End:
    """How a checkout stands when all is over, and what the far systems' own books say of it.

    ``tasks`` are the open ones, ``leg: kind``; ``books`` the effects that stand, by hook of the leg: how often it is
    held, used, posted, earned, or how much is taken.
    """

    state: str
    tasks: frozenset[str]
    books: Mapping[str, int]


class MatrixWorld(World):
    """A world with one checkout and nothing but the faults of its cells."""

    def __init__(self, db: Memory, found: tuple[Cell, ...]) -> None:
        self.cells = {cell.place.hook: cell for cell in found}
        self.hit: set[str] = set()
        super().__init__(1, db, 1, mix=Mix())

    def _build_shop(self) -> Shop:
        weak = {cell.place.system: PROFILES[cell.profile] for cell in self.cells.values()}
        for role, name in ROLES.items():
            profile = weak.get(name, fars.FULL)
            system = fars.FarSystem(name, profile, fars.hooks_of(role, profile), self.rng)
            system.watch = self._seen
            self.systems[name] = system
        return Shop(("pay",), "stock", "coupon", "voucher", "points", "value", "till", 1, 300)

    def life(self) -> End:
        """Live it; give back how it ended. Raises ``Violation``."""
        self.planner, self.healed = Fixed(self.shop, self.rng), True
        self.at(0, lambda: self.submit("N0"))
        for process in range(2):
            self.at(500 * process, self._tick)
        self.run_out()
        (found,) = self._records()
        return End(found.saga.state.value, _open(found), self._effects())

    def _at_rest(self) -> None:
        """What stands is compared with the table, cell by cell; the journal must be whole in any case."""
        for found in self._records():
            wrong = invariants.violations(found)
            assert not wrong, wrong

    def _may_come_twice(self, system: fars.FarSystem, effect: Effect) -> bool:
        return True

    def _deliver(self, effect: Effect, done: Callable[[Outcome], None], last: int) -> None:
        hook = effect.todo.hook
        cell = self.cells.get(hook)
        if effect.todo.verb is Verb.QUERY or cell is None or hook in self.hit or self.now_ms >= last:
            return super()._deliver(effect, done, last)
        self.hit.add(hook)
        system = self.systems[effect.todo.connection]
        self._check_send(system, effect)
        act = self._acting(system, effect)
        return carry(
            cell.fault, effect.op.key, act, last - self.now_ms, self.at, lambda result: done(Outcome(effect, result))
        )

    def _effects(self) -> dict[str, int]:
        """What stands at the far systems. A hold that was used up counts as a use."""
        found = {"taken": sum(charge.net for charge in self.systems["pay"].charges.values())}
        for name in ("stock", "coupon", "points", "value", "voucher"):
            system = self.systems[name]
            found[name] = 10**9 - system.free
        found["posted"] = sum(self.systems["till"].posted.values())
        found["earned"] = sum(self.systems["earn"].earned.values())
        return found


ROLES = {
    "payment": "pay",
    "stock": "stock",
    "coupon": "coupon",
    "voucher": "voucher",
    "points": "points",
    "earning": "earn",
    "value": "value",
    "till": "till",
}


def _open(found: invariants.Record) -> frozenset[str]:
    return frozenset(f"{task['leg']}: {task['kind']}" for task in found.tasks if task["status"] == "open")


class Fixed(Planner):
    """The one checkout of every cell: nine legs on eight systems."""

    def checkout(self, number: str, saga_id: str, now: int) -> Saga:
        legs = [
            self._leg("stock", "stock", _both("stock"), {"items": [{"sku": "A", "quantity": "1"}]}),
            self._leg("coupon:C", "coupon", _both("coupon"), _code("C")),
            self._leg("points", "points", _both("points"), {"member_ref": "m", "points": 10, "worth_amount": 10}),
            self._leg("tender:value", "value", _both("value"), {"account": "m", "amount": PRICE["value"]}),
            self._leg("lock:tender:voucher", OWN, _both("coupon"), _lock("V", "tender:voucher")),
            self._leg("tender:voucher", "voucher", {Phase.SETTLE: "coupon_redeem"}, _code("V", PRICE["voucher"])),
            self._leg("tender:pay", "pay", {Phase.PAY: "payment_charge"}, _charge()),
            self._leg("order", "till", {Phase.POST: "order_post"}, {"bills": []}),
            self._leg("earn", "earn", {Phase.REWARD: "points_earn"}, _EARN),
        ]
        doc: Json = {
            "site": SITE,
            "currency": "CNY",
            "on_decline": "release",
            "quote": quote_of(AMOUNT),
            "lines": [],
            "tenders": [_tender(name) for name in PRICE],
            "legs": [leg.to_json() for leg in legs],
        }
        return saga_of(Kind.CHECKOUT, saga_id, number, doc, AMOUNT, now, State.RESERVING, 300_000)


_EARN = {"member_ref": "m", "points": 5, "basis_amount": AMOUNT}
_METHODS = {"pay": "bank_card", "value": "stored_value", "voucher": "voucher"}


def _tender(name: str) -> Json:
    return {"id": name, "method": _METHODS[name], "channel": "", "amount": PRICE[name], "leg": f"tender:{name}"}


def _both(family: str) -> dict[Phase, str]:
    return {Phase.HOLD: f"{family}_reserve", Phase.SETTLE: f"{family}_confirm"}


def _code(code: str, worth: int = 1) -> Json:
    return {"code": code, "count": 1, "worth_amount": worth}


def _lock(code: str, leg: str) -> Json:
    return {**_code(code), "available": 1, "as_of": 0, "store_id": "", "lock_of": leg}


def _charge() -> Json:
    return {"method": "bank_card", "channel": "x", "amount": PRICE["pay"], "tender_id": "pay"}


def run(db: Memory, *found: Cell) -> End:
    """The end of a checkout under these faults."""
    return MatrixWorld(db, found).life()


__all__ = ["AMOUNT", "PLACES", "PRICE", "PROFILES", "Cell", "End", "Leg", "NotSent", "Place", "cells", "pairs", "run"]
