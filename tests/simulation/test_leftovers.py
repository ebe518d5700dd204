"""What a checkout leaves behind: locks of tenders that were replaced, deposits drawn on, calls after its end."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.errors import OutcomeUnknown
from gateway.domain.outcomes import Declined, Done
from gateway.domain.traits import Traits
from gateway.engine.model import Op, OpState, State, Todo, Verb
from gateway.engine.own import OWN, OwnLedger
from gateway.engine.seams import Effect, Outcome
from gateway.store import holds
from tests.model.shop import ShopWorld
from tests.rules.kit import NOW, decided, far_of, leg, op, sale, send, system
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
    for name in ("lock:t1", "lock:t2"):
        assert isinstance(change(db, "coupon_reserve", name, twice), Done)
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


# --- what is decided -------------------------------------------------------------------------------------------------

CARD = leg("card", connection="crm", hold="value_reserve", settle="value_confirm")
LOCK = leg("lock:dep", {"lock_of": "dep"}, "own", hold="value_reserve", settle="value_confirm")
DRAW = leg("dep", pay="payment_capture")
OWN_FAR = system("value_reserve", "value_confirm", "value_cancel", "value_return")


def test_a_persons_word_ends_the_wait_for_what_a_replaced_tender_held() -> None:
    """Else the case would be opened again for ever, and the customer could never pay another way."""
    progress = {"replaced": ["card"], "by_hand": ["card"]}
    tenders, policy = [{"leg": "card", "amount": 1000}], {"redemption_failure": "await_tender"}
    saga = sale(State.SETTLING, CARD, tenders=tenders, policy=policy, progress=progress)
    rows = [
        op("value_reserve", OpState.OK, "card", connection="crm"),
        op("value_confirm", OpState.DECLINED, "card", connection="crm"),
        op("value_cancel", OpState.DECLINED, "card", connection="crm"),
    ]
    assert decided(saga, rows, far_of(crm=OWN_FAR)).state is State.AWAITING_TENDER


def test_a_refused_capture_lets_go_of_the_deposit_before_another_tender_is_asked_for() -> None:
    """Else the deposit would be counted as drawn on by a checkout that was paid another way."""
    bank = system("payment_capture", "payment_refund", "payment_query")
    far = far_of(bank, own=OWN_FAR)
    rows = [
        op("value_reserve", OpState.OK, "lock:dep", connection="own"),
        op("payment_capture", OpState.DECLINED, "dep", first_sent=NOW, outcome={"asked": NOW}),
    ]
    saga = sale(State.PAYING, LOCK, DRAW, on_decline="await_tender")
    assert decided(saga, rows, far).progress == {"replaced": ["dep"]}
    saga = sale(State.PAYING, LOCK, DRAW, on_decline="await_tender", progress={"replaced": ["dep"]})
    assert decided(saga, rows, far).todo == [send("value_cancel", "lock:dep", connection="own")]


def test_a_capture_is_repeated_where_that_acts_once_and_undone_by_a_refund_only() -> None:
    """It needs no customer; a reversal would be asked of a charge that there never was."""
    hooks, sure = ("payment_capture", "payment_refund", "payment_reverse"), Traits(idempotent=True)
    far = far_of(system(*hooks, payment_capture=sure), own=OWN_FAR)
    lost = op("payment_capture", OpState.UNKNOWN, "dep", first_sent=NOW - 1)
    assert decided(sale(State.PAYING, DRAW), [lost], far).todo == [send("payment_capture", "dep", op=lost)]
    taken = op("payment_capture", OpState.OK, "dep", first_sent=NOW - 1)
    assert decided(sale(State.CLOSING, DRAW), [taken], far).todo == [send("payment_refund", "dep")]


def test_what_an_ended_sale_still_tries_ends_after_a_week() -> None:
    """The case stays open, and nobody calls."""
    till, bill = far_of(system("order_post")), leg("order", post="order_post")
    for age, calls in ((TIMING.tail - 1, 1), (TIMING.tail, 0)):
        down = op("order_post", OpState.NOT_SENT, "order", first_sent=NOW - age)
        found = decided(sale(State.COMPLETED, bill), [down], till)
        assert len(found.todo) == calls and [case.kind for case in found.tasks] == ["post-overdue"]
