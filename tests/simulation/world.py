"""One simulated world: virtual time, a few checkouts, far systems with their own truth, workers that die and stall.

The engine's own driver and decision run on its own SQL; only clock, ids, the calls and the waiting are ours. A seed
says everything that happens. After a while everything is healed, and then all must come to an end.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.errors import NotSent, OutcomeUnknown, PluginError
from gateway.domain.outcomes import Done
from gateway.engine import invariants
from gateway.engine.driver import Driver, Duplicate, Lost, Pause, Refused, Work
from gateway.engine.model import Kind, Op, OpState, Phase, Saga, State, Timing, Verb
from gateway.engine.own import OWN, OwnLedger
from gateway.engine.problems import Problem
from gateway.engine.records import op_from, saga_from
from gateway.engine.refunds import Moved, Refunds
from gateway.engine.replies import Keys, KeyTaken
from gateway.engine.requests import tenders_of
from gateway.engine.seams import Effect, Outcome, Secrets
from gateway.store import journal as sql
from gateway.store.errors import StorageError
from gateway.store.port import Row, Tx
from tests.simulation import far as fars
from tests.simulation.plans import MERCHANT, Planner, Shop, refund_of
from tests.simulation.store import Memory

START = 1_800_000_000_000
TIMING = Timing()
#: When everything is healed, and until when all must have ended after that (milliseconds).
HEAL_AFTER = 150_000
END_WITHIN = 900_000
#: For how long a world goes on after that, for the watches to end (milliseconds).
LOOKS = 3 * TIMING.watch
NEVER = 1 << 62
#: The longest that a request may be on its way: the call's deadline and what the adapters declare.
CALL = TIMING.call
IN_FLIGHT = int(fars.IN_FLIGHT_S * 1000)

#: Kinds of trouble and how likely each is, at most, per call (or per step of a worker).
TROUBLES: dict[str, float] = {
    "refused": 0.15,
    "lost_request": 0.15,
    "lost_reply": 0.2,
    "late": 0.15,
    "duplicate": 0.2,
    "garbage": 0.1,
    "wrong_amount": 0.1,
    "bug": 0.05,
    "query_lost": 0.3,
    "decline": 0.3,
    "patience": 0.3,
    "use_refused": 0.3,
    "crash": 0.15,
    "stall": 0.1,
    "busy": 0.1,
    "unsure": 0.03,
    "jump": 0.3,
    "cancel": 0.3,
    "again": 0.3,
}


@dataclass(slots=True)
class Mix:
    """The troubles of one world: each is off, or on at some rate."""

    rates: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> float:
        return self.rates.get(name, 0.0)


def draw_mix(rng: random.Random, without: frozenset[str]) -> Mix:
    """A swarm: in every world other troubles come together; in some there are none."""
    if rng.random() < 0.05:
        return Mix()
    share = rng.choice((0.2, 0.4, 0.7))
    kinds = [name for name in TROUBLES if rng.random() < share]
    return Mix({name: TROUBLES[name] * rng.choice((0.1, 0.3, 1.0)) for name in kinds if name not in without})


class Violation(AssertionError):
    """Something happened that must not."""


@dataclass(slots=True)
class Standing:
    """Where a saga stood at its last commit, so that the world need not ask the database at every tick."""

    state: State
    look_at: int | None


class Ids:
    """Identifiers of a seed; they rise."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def new(self) -> str:
        return f"{next(self._count):026d}"


class World:
    """One seed's world."""

    def __init__(self, seed: int, db: Memory, checkouts: int = 4, without: frozenset[str] = frozenset()) -> None:
        self.rng = rng = random.Random(seed)
        self.db, self.count = db, checkouts
        self.now_ms, self.skew = START, 0
        self.heap: list[tuple[int, int, Callable[[], None]]] = []
        self.ties = itertools.count()
        self.mix = draw_mix(rng, without)
        db.clear()
        db.rng, db.busy, db.unsure, db.after = rng, self.mix["busy"], self.mix["unsure"], self._committed
        self.faults = db.faults = Counter[str]()
        self.systems: dict[str, fars.FarSystem] = {}
        self.shop = self._build_shop()
        self.planner = Planner(self.shop, rng)
        self.ids = Ids()
        self.driver = Driver(db, self, self, self.ids, TIMING)
        self.own = OwnLedger()
        self.active = 0
        self.crashes = 0
        self.touched: set[str] = set()
        self.locks_moved = False
        self.standing: dict[str, Standing] = {}
        self.ops: dict[str, tuple[Row, Op]] = {}
        self.next_look = 0
        self.fences: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.healed = self.ended = False
        self.charged_after_end: set[str] = set()
        self.numbers: dict[str, str] = {}

    # --- the world's systems -----------------------------------------------------------------------------------------

    def _build_shop(self) -> Shop:
        rng = self.rng

        def system(role: str, name: str, profiles: Sequence[fars.Profile], free: int = 10**9) -> str:
            profile = rng.choice(profiles)
            built = fars.FarSystem(name, profile, fars.hooks_of(role, profile), rng, free)
            built.decline, built.patience, built.watch = self.mix["decline"], self.mix["patience"], self._seen
            built.faults = self.faults
            built.refusing = self.mix["use_refused"] if rng.random() < 0.3 else 0.0
            self.systems[name] = built
            return name

        scarce = rng.choice((1, 2, 3, 100, 100, 100, 100))
        return Shop(
            payments=tuple(system("payment", f"pay{index}", fars.PAYING) for index in range(2)),
            stock=system("stock", "stock", fars.HOLDING, scarce),
            coupon=system("coupon", "coupon", fars.HOLDING, rng.choice((1, 2, 100, 100))),
            voucher=system(
                "voucher", "voucher", (fars.FULL, fars.ASKED, fars.REPEATED), rng.choice((1, 100, 100, 100))
            ),
            points=system("points", "points", fars.HOLDING, rng.choice((1, 100, 100, 100))),
            value=system("value", "value", fars.HOLDING, rng.choice((1, 100, 100, 100))),
            till=system("till", "till", fars.POSTING),
            coupon_codes=3,
            expires_s=rng.choice((60, 300, 900)),
        )

    # --- the five seams ----------------------------------------------------------------------------------------------

    def now(self) -> int:
        return self.now_ms + self.skew

    def far(self, merchant: str, connection: str) -> Any:
        return self.own if connection == OWN else self.systems[connection]

    def embedded(self, merchant: str, effect: Effect, tx: Tx) -> Any:
        self.locks_moved = True
        return self.own.change(effect, tx, self.now())

    def run(self, effects: Sequence[Effect]) -> list[Outcome]:
        raise NotImplementedError

    def at(self, delay: int, fn: Callable[[], None]) -> None:
        heapq.heappush(self.heap, (self.now_ms + max(0, delay), next(self.ties), fn))

    def chance(self, trouble: str) -> bool:
        rate = self.mix[trouble]
        happens = not self.healed and rate > 0 and self.rng.random() < rate
        if happens:
            self.faults[trouble] += 1
        return happens

    # --- watching over it --------------------------------------------------------------------------------------------

    def _committed(self) -> None:
        """The invariants that hold at every moment, of the sagas that this commit may have touched."""
        tx = self._tx()
        for saga_id in self.touched:
            found = invariants.record(tx, saga_id, self._op)
            if found is None:
                self.standing.pop(saga_id, None)
                continue
            wrong = invariants.violations(found, invariants.ALWAYS)
            if found.saga.fence < self.fences.get(saga_id, 0):
                wrong.append(f"X3: {saga_id}'s fence went back")
            self.fences[saga_id] = found.saga.fence
            if wrong:
                raise Violation(wrong[0])
            due = found.saga.due_at
            look_at = None if due is None else max(due, found.saga.lease_until + 1)
            self.standing[saga_id] = Standing(found.saga.state, look_at)
        self.touched.clear()
        self.next_look = min((s.look_at for s in self.standing.values() if s.look_at is not None), default=NEVER)
        if self.locks_moved:
            self._locks_count()

    def _op(self, row: Row) -> Op:
        """The operation of a row as it stands in the database; parsed again only if it has changed."""
        known = self.ops.get(row["key"])
        if known is None or known[0] != row:
            known = self.ops[row["key"]] = (row, op_from(row))
        return known[1]

    def _locks_count(self) -> None:
        self.locks_moved = False
        taken = self.db.rows(
            "SELECT item, sum(quantity) AS n FROM holds WHERE kind = 'coupon' AND state IN ('held', 'used')"
            " GROUP BY item HAVING sum(quantity) > 1"
        )
        if taken:
            raise Violation(f"C1: the code {taken[0]['item']} is locked {taken[0]['n']} times")

    def _tx(self) -> Any:
        from gateway.store.sqlite_tx import SqliteTx

        return SqliteTx(self.db.connection)

    def _seen(self, saga_id: str, what: str) -> None:
        """M2, M3 at the far systems' own moment: never more money than the price, nothing let go while it is there."""
        taken = sum(self.net(saga_id).values())
        row = self.db.rows("SELECT amount, progress, state FROM sagas WHERE id = :id", id=saga_id)
        if not row:
            return
        if what == "released" and taken and row[0]["state"] not in ("failed", "cancelled", "completed"):
            raise Violation(f"{saga_id} M3: something was let go while {taken} was taken, in {row[0]['state']}")
        for key, net in self.net(saga_id).items():
            charge = next(s.charges[key] for s in self.systems.values() if key in s.charges)
            if net > charge.amount:
                raise Violation(f"{saga_id} M2: {net} taken for {charge.amount}")

    def net(self, saga_id: str) -> dict[str, int]:
        """What each charge of a checkout holds at its channel, as that says."""
        keys = self.db.rows("SELECT key FROM ops WHERE saga_id = :id AND hook = 'payment_charge'", id=saga_id)
        found: dict[str, int] = {}
        for row in keys:
            for system in self.systems.values():
                if (charge := system.charges.get(row["key"])) is not None and charge.net:
                    found[row["key"]] = charge.net
        return found

    # --- calls -------------------------------------------------------------------------------------------------------

    def _deliver(self, effect: Effect, done: Callable[[Outcome], None], last: int) -> None:
        system = self.systems[effect.todo.connection]
        if effect.todo.verb is Verb.QUERY:
            self._query(system, effect, done)
            return
        if self.now_ms >= last:  # the guard lets nothing out after its time, however long a thread slept
            done(Outcome(effect, NotSent("the deadline had passed before anything was sent")))
            return
        self._check_send(system, effect)
        act = self._acting(system, effect)
        travel = self.rng.randrange(5, 400)
        self._send(system, effect, act, travel, last, lambda result: done(Outcome(effect, result)))

    def _check_send(self, system: fars.FarSystem, effect: Effect) -> None:
        """X1: its intent is committed, under the key it carries. X2: what can't be asked nor repeated goes out once."""
        row = self.db.rows("SELECT state, attempts FROM ops WHERE key = :key", key=effect.op.key)
        if not row:
            raise Violation(f"X1: {effect.todo.hook} was sent without an intent")
        hook = effect.todo.hook
        self.sent[effect.op.key] = self.sent.get(effect.op.key, 0) + 1
        once = not system.resends_are_safe(hook) and not system.queryable(hook)
        if once and system.sends.get(effect.op.key, 0) > 0:
            raise Violation(f"X2: {hook} was sent again to a system that can neither be asked nor repeat")

    def _acting(self, system: fars.FarSystem, effect: Effect) -> Callable[[], Any]:
        hook, key, saga_id = effect.todo.hook, effect.op.key, effect.op.saga_id

        def act() -> Any:
            system.sends[key] = system.sends.get(key, 0) + 1
            result = system.act(hook, key, effect.request, saga_id, self.now_ms)
            if hook == "payment_charge" and (charge := system.charges.get(key)) is not None and charge.pending:
                pays = self.rng.random() < 0.7
                self.at(self.rng.randrange(1000, 90_000), lambda: system.customer(key, saga_id, pays))
            return result

        return act

    def _send(
        self,
        system: fars.FarSystem,
        effect: Effect,
        act: Callable[[], Any],
        travel: int,
        last: int,
        told: Callable[[Any], None],
    ) -> None:
        """One message on its way, with what may happen to it."""
        unknown = OutcomeUnknown("no answer in time")
        latest = max(travel, last - self.now_ms) + IN_FLIGHT
        if self.chance("refused"):
            return self.at(travel, lambda: told(NotSent("refused")))
        if self.chance("lost_request"):
            return self.at(CALL, lambda: told(unknown))
        if self.chance("late"):
            self.at(self.rng.randrange(travel, latest), lambda: _forget(act()))
            return self.at(CALL, lambda: told(unknown))
        if self.chance("duplicate") and self._may_come_twice(system, effect):
            self.at(self.rng.randrange(travel, latest), lambda: _forget(act()))
        if self.chance("lost_reply"):
            self.at(travel, lambda: _forget(act()))
            return self.at(CALL, lambda: told(unknown))
        return self.at(travel, lambda: told(self._distorted(act(), unknown)))

    def _may_come_twice(self, system: fars.FarSystem, effect: Effect) -> bool:
        """A network's own duplicate can't be undone where neither keys are known nor anything asked or reversed."""
        charge = effect.todo.hook == "payment_charge" and system.profile is not fars.NOTHING
        return charge or system.resends_are_safe(effect.todo.hook)

    def _distorted(self, result: Any, unknown: OutcomeUnknown) -> Any:
        if self.chance("garbage"):
            return OutcomeUnknown("garbage")
        if self.chance("bug"):
            return PluginError("a bug")
        if isinstance(result, Done) and result.amount and self.chance("wrong_amount"):
            return Done(ref=result.ref, amount=result.amount + 100)
        return result

    def _query(self, system: fars.FarSystem, effect: Effect, done: Callable[[Outcome], None]) -> None:
        if self.chance("query_lost"):
            return self.at(CALL, lambda: done(Outcome(effect, OutcomeUnknown("no answer"))))
        hook, key = effect.op.hook, effect.op.key
        travel = self.rng.randrange(5, 400)

        def ask() -> None:
            answer = system.ask(hook, key, self.now_ms)
            self.at(travel, lambda: done(Outcome(effect, answer)))

        return self.at(travel, ask)

    # --- workers -----------------------------------------------------------------------------------------------------

    def work(self, work: Work, until: int, accept: Any = None, then: Callable[[], None] = lambda: None) -> None:
        """Run the driver's steps on a claimed saga, as a worker would."""
        worker = Worker(self, work.saga.id, then)
        worker.steps = self.driver.steps(work, until, accept, None)
        self.active += 1
        worker.go(None)

    def recover(self) -> None:
        """What a recovery thread does: look for what is due, claim it, work on it."""
        if self.now() >= self.next_look:
            for saga_id in self.db.read(lambda tx: sql.due(tx, self.now(), 20)):
                self.claim(saga_id)

    def claim(self, saga_id: str, alter: Callable[[Work], bool] | None = None) -> bool:
        self.touched.add(saga_id)
        try:
            work = self.driver.claim(saga_id)
        except StorageError:
            return False
        if work is None:
            return False
        if alter is not None and not alter(work):
            row = {"id": saga_id, "fence": work.saga.fence}
            statement = "UPDATE sagas SET lease_until = 0 WHERE id = :id AND fence = :fence"
            self.touched.add(saga_id)
            with suppress(StorageError):
                self.db.tx(lambda tx: tx.execute(statement, row))
            return False
        self.work(work, self.now() + (0 if alter is None else 15_000))
        return True

    # --- what the platform does --------------------------------------------------------------------------------------

    def submit(self, number: str) -> None:
        saga = self.planner.checkout(number, f"chk_{self.ids.new()}", self.now())
        copies = 2 if self.chance("again") else 1
        for _ in range(copies):
            self._start(saga, number)
            saga = self.planner.checkout(number, f"chk_{self.ids.new()}", self.now())

    def _start(self, saga: Saga, key: str, before: Callable[[Tx], None] | None = None) -> None:
        self.numbers[saga.id] = saga.number

        def accept(tx: Tx, new: Work) -> None:
            Keys.take(tx, MERCHANT, key, "fp", new.saga.id, f"/{new.saga.id}", self.now())
            if before is not None:
                self.touched.add(saga.parent)
                before(tx)

        self.work(Work(saga, [], Secrets(), fresh=True), self.now() + 15_000, accept)

    def cancel(self, number: str) -> None:
        def alter(work: Work) -> bool:
            if work.saga.state not in (State.RESERVING, State.PAYING, State.AWAITING_TENDER):
                return False
            work.saga.progress["cancel"] = True
            return True

        self._change(number, alter)

    def add_tender(self, number: str) -> None:
        def alter(work: Work) -> bool:
            saga = work.saga
            left = saga.amount - sum(tender["amount"] for tender in tenders_of(saga))
            if saga.state is not State.AWAITING_TENDER or self.now() >= saga.expires_at or left <= 0:
                return False
            legs: list[Any] = []
            tenders: list[Any] = []
            count = len(saga.doc["tenders"]) + len(saga.progress.get("tenders", ())) + 1
            self.planner.tender(f"t{count}", left, legs, tenders)
            saga.progress.setdefault("legs", []).extend(leg.to_json() for leg in legs)
            saga.progress.setdefault("tenders", []).extend(tenders)
            saga.progress["tender_added"] = True
            return True

        self._change(number, alter, State.AWAITING_TENDER)

    def _change(self, number: str, alter: Callable[[Work], bool], *wanted: State) -> None:
        """A change that the platform asks for: mostly where it makes sense, now and then in vain."""
        row = self.db.rows("SELECT id, state FROM sagas WHERE number = :n AND kind = 'checkout'", n=number)
        if row and (not wanted or row[0]["state"] in wanted or self.rng.random() < 0.1):
            self.claim(row[0]["id"], alter)

    def refund(self, number: str) -> None:
        parent = self.saga(number)
        if parent is None or parent.state is not State.COMPLETED:
            return
        ops = [op_from(row) for row in self.db.read(lambda tx: sql.ops(tx, parent.id))]
        amount = self.rng.randrange(1, parent.amount + 1)
        refund = refund_of(parent, ops, f"rfd_{self.ids.new()}", f"R{self.ids.new()}", amount, self.now())
        if refund is not None and refund.amount + parent.refunded <= parent.amount:
            take = Refunds._take
            self._start(refund, refund.number, lambda tx: take(None, tx, parent, refund.amount))  # type: ignore[arg-type]

    def saga(self, number: str) -> Saga | None:
        row = self.db.read(lambda tx: sql.saga_by_number(tx, MERCHANT, Kind.CHECKOUT, number))
        return saga_from(row) if row is not None else None

    # --- a life ------------------------------------------------------------------------------------------------------

    def live(self) -> None:
        """From the first request to the end of all. Raises ``Violation``."""
        for index in range(self.count):
            number = f"N{index}"
            self.at(self.rng.randrange(0, 20_000), lambda n=number: self.submit(n))  # type: ignore[misc]
            if self.mix["cancel"]:
                for _ in range(3):
                    at = self.rng.randrange(0, 90_000)
                    self.at(at, lambda n=number: self._maybe_cancel(n))  # type: ignore[misc]
            for moment in (25_000, 60_000, 100_000):
                at = self.rng.randrange(moment, moment * 2)
                self.at(at, lambda n=number: self.add_tender(n))  # type: ignore[misc]
            if self.rng.random() < 0.4:
                for _ in range(self.rng.choice((1, 2))):
                    self.at(self.rng.randrange(30_000, 140_000), lambda n=number: self.refund(n))  # type: ignore[misc]
        for process in range(2):
            self.at(500 * process, self._tick)
        if self.mix["jump"]:
            self.at(self.rng.randrange(0, HEAL_AFTER), self._jump)
        self.at(HEAL_AFTER, self._heal)
        while self.heap:
            at, _, fn = heapq.heappop(self.heap)
            self.now_ms = max(self.now_ms, at)
            fn()
        self._at_rest()

    def _maybe_cancel(self, number: str) -> None:
        if self.chance("cancel"):
            self.cancel(number)

    def _jump(self) -> None:
        """Back by as much as you like; forward only by less than what stands between "not found" and "gone"."""
        self.faults["jump"] += 1
        self.skew = self.rng.choice((-3_600_000, -30_000, 4_000))

    def _heal(self) -> None:
        self.healed = True
        self.db.busy = self.db.unsure = 0.0
        self.at(CALL + 2 * IN_FLIGHT + 90_000, self._right_clock)

    def _right_clock(self) -> None:
        self.skew = 0

    def _tick(self) -> None:
        """A recovery thread looks, sleeps, looks again; where nothing can be due it may as well sleep on."""
        self.recover()
        pause = self.rng.randrange(500, 2500)
        if not self.healed:
            idle = self.next_look - self.now() if self.rng.random() < 0.8 else 0
            return self.at(max(pause, min(idle, 10_000)), self._tick)
        if self.active:
            return self.at(2_000, self._tick)
        due, end = self.next_look, START + HEAL_AFTER + END_WITHIN
        if self.now_ms < end:
            return self.at(max(500, min(due, end) - self.now_ms), self._tick)
        if not self.ended:
            self.ended = True
            self._must_have_ended()
        if due is not NEVER and self.now_ms < end + LOOKS:
            self.at(max(60_000, due - self.now_ms), self._tick)
        return None

    # --- the end -----------------------------------------------------------------------------------------------------

    def _records(self) -> list[invariants.Record]:
        ids = [row["id"] for row in self.db.rows("SELECT id FROM sagas ORDER BY id")]
        return [found for saga_id in ids if (found := invariants.record(self._tx(), saga_id, self._op)) is not None]

    def _must_have_ended(self) -> None:
        for found in self._records():
            wrong = list(invariants.ended_or_a_persons_case(found))
            if wrong:
                raise Violation(f"{found.saga.id} {wrong[0]}: {_told(found)}")

    def _at_rest(self) -> None:
        for found in self._records():
            wrong = invariants.violations(found)
            wrong += self._books(found)
            wrong += list(invariants.parent_covers_refunds(self._tx(), found.saga.id))
            if wrong:
                raise Violation(f"{wrong[0]}: {_told(found)}")
        for system in self.systems.values():
            if system.free < 0:
                raise Violation(f"C1: {system.name} has given {-system.free} too many")
        numbers = [self.numbers[row["id"]] for row in self.db.rows("SELECT id FROM sagas")]
        if len(set(numbers)) != len(numbers):
            raise Violation("I2: two sagas for one number")

    def _books(self, found: invariants.Record) -> list[str]:
        """M1, C2, O1 by the far systems' own books."""
        saga = found.saga
        if saga.kind is not Kind.CHECKOUT or found.open_task() or self._refund_open(saga):
            return []
        wrong = []
        net, given = sum(self.net(saga.id).values()), self._refunded(saga)
        done = saga.state is State.COMPLETED
        by_channel = sum(t["amount"] for t in tenders_of(saga) if self._external(saga, t["leg"]))
        if net != (by_channel - given if done else 0):
            wrong.append(f"M1: {saga.state}, and the channels hold {net} of {by_channel} less {given}")
        for system in self.systems.values():
            held = [held for held in system.held.values() if held.saga == saga.id and held.state != "released"]
            legs = [leg for leg in saga.legs() if leg.connection == system.name and leg.hook(Phase.SETTLE)]
            legs = [leg for leg in legs if leg.name not in saga.progress.get("declined", ())]
            used = [each for each in held if each.state == "used"]
            if len(held) != len(used) or len(used) != (len(legs) if done else 0):
                wrong.append(f"C2: {saga.state}, and {system.name} has {[h.state for h in held]} for {len(legs)} legs")
        posted = sum(system.posted.get(saga.id, 0) for system in self.systems.values())
        planned = sum(leg.hook(Phase.POST) is not None for leg in saga.legs())
        if posted != (planned if done else 0):
            wrong.append(f"O1: {saga.state}, posted {posted} times of {planned}")
        return [f"{saga.id} {text}" for text in wrong]

    def _external(self, saga: Saga, leg_name: str) -> bool:
        return any(leg.name == leg_name and leg.hook(Phase.PAY) for leg in saga.legs())

    def _refunded(self, saga: Saga) -> int:
        rows = self.db.read(lambda tx: sql.children(tx, saga.id, Kind.REFUND))
        return sum(row["amount"] for row in rows if row["state"] != "paying")

    def _refund_open(self, saga: Saga) -> bool:
        rows = self.db.read(lambda tx: sql.children(tx, saga.id, Kind.REFUND))
        return any(row["state"] == "paying" for row in rows)


def _forget(_: Any) -> None:
    """An answer that nobody waits for."""


def _told(found: invariants.Record) -> str:
    ops = ", ".join(f"{op.leg}/{op.hook}#{op.turn} {op.state} {op.attempts}" for op in found.ops)
    return f"{found.saga.state} {found.saga.progress} [{ops}]"


class Worker:
    """One thread's work on one saga, step by step."""

    def __init__(self, world: World, saga_id: str, then: Callable[[], None]) -> None:
        self.world, self.saga_id, self.then = world, saga_id, then
        self.steps: Any = None
        self.waiting: dict[str, Outcome] = {}
        self.effects: list[Effect] = []

    def go(self, outcomes: list[Outcome] | None) -> None:
        world = self.world
        if world.chance("crash"):
            return self.die()
        world.touched.add(self.saga_id)
        try:
            wanted = next(self.steps) if outcomes is None else self.steps.send(outcomes)
        except StopIteration:
            return self.end()
        except (Lost, Refused, Duplicate, KeyTaken, Problem, Moved, StorageError):
            return self.end()
        if isinstance(wanted, Pause):
            return world.at(wanted.until - world.now(), lambda: self.go([]))
        return self.send(wanted)

    def send(self, effects: list[Effect]) -> None:
        world = self.world
        sent = effects
        if world.chance("crash"):  # some of them have left
            sent = effects[: world.rng.randrange(0, len(effects) + 1)]
            self.effects = []
        else:
            self.effects = effects
        self.waiting = {}
        delay = world.rng.randrange(1_000, 70_000) if world.chance("stall") else 0
        for effect in sent:
            last = world.now_ms + CALL
            world.at(delay, lambda e=effect, last=last: world._deliver(e, self.told, last))  # type: ignore[misc]
        if not self.effects:
            self.die()

    def told(self, outcome: Outcome) -> None:
        if not self.effects:
            return  # nobody is there any more
        self.waiting[outcome.effect.op.key] = outcome
        if len(self.waiting) < len(self.effects):
            return
        outcomes = [self.waiting[effect.op.key] for effect in self.effects]
        stall = self.world.rng.randrange(1_000, 90_000) if self.world.chance("stall") else 0
        self.world.at(stall, lambda: self.go(outcomes))

    def die(self) -> None:
        self.world.crashes += 1
        self.end()

    def end(self) -> None:
        self.effects = []
        if self.steps is not None:
            self.steps.close()
            self.steps = None
            self.world.active -= 1


__all__ = ["TROUBLES", "Mix", "OpState", "Violation", "World"]
