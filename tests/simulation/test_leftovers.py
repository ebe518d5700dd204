"""What a checkout leaves behind: locks of tenders that were replaced, deposits drawn on, calls after its end."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import OutcomeUnknown
from gateway.domain.outcomes import Declined, Done
from gateway.engine.model import Op, OpState, State, Todo, Verb
from gateway.engine.own import OWN, OwnLedger
from gateway.engine.seams import Effect, Outcome
from gateway.store import holds
from tests.model.shop import ShopWorld
from tests.simulation.far import FarSystem
from tests.simulation.store import Memory
from tests.simulation.troubles import TIMING

DAY = 86_400_000
CODE = {"count": 1, "worth_amount": 1, "available": 1, "as_of": 0}


@pytest.fixture
def db() -> Memory:
    return Memory(random.Random(0))


def change(db: Memory, hook: str, leg: str, params: dict[str, Any]) -> Any:
    """One change of the gateway's own ledger, for the checkout ``chk_1``."""
    op = Op(f"key {leg}", "chk_1", leg, hook, 0, OWN, OpState.INTENT)
    todo = Todo(Verb.SEND, leg, hook, 0, OWN)
    effect = Effect(todo, op, params, "m", None, 0, "", lambda _: None)
    return db.tx(lambda tx: OwnLedger().change(effect, tx, 1))


def kept(db: Memory) -> dict[str, tuple[str, int]]:
    return {row["item"]: (row["state"], row["quantity"]) for row in db.rows("SELECT * FROM holds")}


def test_the_lock_of_a_replaced_voucher_goes_alone(db: Memory) -> None:
    """Else the other voucher of the same checkout, which is redeemed, could be brought again by somebody else."""
    for code in ("V1", "V2"):
        assert isinstance(change(db, "coupon_reserve", f"lock:{code}", {**CODE, "code": code}), Done)
        change(db, "coupon_confirm", f"lock:{code}", {**CODE, "code": code})
    change(db, "coupon_restore", "lock:V1", {**CODE, "code": "V1"})
    assert kept(db) == {"V2": ("used", 1)}


def test_a_voucher_that_is_not_redeemed_yet_is_not_used_up_with_another(db: Memory) -> None:
    """Else a lock that is only held would be told as used, and no failed checkout would give it back."""
    for code in ("V1", "V2"):
        change(db, "coupon_reserve", f"lock:{code}", {**CODE, "code": code})
    change(db, "coupon_confirm", "lock:V1", {**CODE, "code": "V1"})
    assert kept(db) == {"V1": ("used", 1), "V2": ("held", 1)}


def test_a_code_that_pays_twice_in_one_checkout_is_counted_twice(db: Memory) -> None:
    """Else a code with two uses left would be used three times, and giving one back would give both."""
    twice = {**CODE, "code": "V", "available": 2}
    for leg in ("lock:t1", "lock:t2"):
        assert isinstance(change(db, "coupon_reserve", leg, twice), Done)
    assert isinstance(change(db, "coupon_reserve", "lock:t3", twice), Declined)
    change(db, "coupon_cancel", "lock:t2", twice)
    assert kept(db) == {"V": ("held", 1)}
    assert db.read(lambda tx: holds.taken(tx, "m", "coupon", "", "V", 0)) == 1


class DeadTill(ShopWorld):
    """A till that never says anything, and the times at which it was called."""

    def __init__(self, db: Memory) -> None:
        super().__init__(db, stock=5, funds=100_000)
        self.called: list[int] = []
        self.driver.timing = replace(TIMING, slow_after=DAY // 24, slow_every=DAY // 48, tail=DAY)

    def _send(self, system: FarSystem, effect: Effect, act: Any, travel: int, last: int, told: Any) -> None:
        if system.name != "till":
            return super()._send(system, effect, act, travel, last, told)
        self.called.append(self.now_ms)
        return self.at(1_000, lambda: told(OutcomeUnknown("no answer")))

    def _query(self, system: FarSystem, effect: Effect, done: Any) -> None:
        if system.name != "till":
            return super()._query(system, effect, done)
        self.called.append(self.now_ms)
        return self.at(1_000, lambda: done(Outcome(effect, OutcomeUnknown("no answer"))))


def test_an_ended_checkout_does_not_call_a_dead_system_for_ever(db: Memory) -> None:
    """A till that is taken away would else be called every minute by every sale that it never booked, for years; the
    open case stays, and a person's word still ends it."""
    world = DeadTill(db)
    began = world.now_ms
    world.wish("N1", 1_000, 1_000, stock=True, code="")
    for _ in range(4):
        world.rest(DAY)
    assert world.saga("N1") is not None and world.state("N1") == State.COMPLETED
    assert world.called and max(world.called) - began < 1.1 * DAY, "it is still called"
    later = [at for at in world.called if at - began > DAY // 12]
    assert 40 <= len(later) <= 60, "called more and more seldom"
    assert [row["kind"] for row in db.rows("SELECT kind FROM tasks WHERE status = 'open'")] == ["post-overdue"]
