"""The workers of a simulated world: threads that claim sagas, die and stall."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

from gateway.engine.driver import Duplicate, Lost, Pause, Refused, Work
from gateway.engine.problems import Problem
from gateway.engine.refunds import Moved
from gateway.engine.replies import Keys, KeyTaken
from gateway.engine.seams import Effect, Outcome
from gateway.store import journal as sql
from gateway.store.errors import StorageError
from gateway.store.port import Tx
from tests.simulation.network import Network
from tests.simulation.plans import MERCHANT


class Workers(Network):
    """Claims what is due, and runs the driver's steps on it."""

    @cached_property
    def alive(self) -> set[Worker]:
        """Those that have a saga in hand."""
        return set()

    def work(self, work: Work, until: int, accept: Any = None, then: Callable[[], None] = lambda: None) -> None:
        """Run the driver's steps on a claimed saga, as a worker would."""
        worker = Worker(self, work.saga.id, then)
        self.alive.add(worker)
        worker.steps = self.driver.steps(work, until, accept, None)
        self.active += 1
        worker.go(None)

    def recover(self) -> None:
        """What a recovery thread does: look at the clocks, look for what is due, claim it, work on it."""
        self.clocks.clock.look()
        if self.now() >= self.next_look:
            for saga_id in self.db.read(lambda tx: sql.due(tx, self.now(), 20)):
                self.claim(saga_id)

    def claim(self, saga_id: str, alter: Callable[[Work], bool] | None = None, key: str = "") -> bool:
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
        accept = (lambda tx, _: self._take_key(tx, key, saga_id)) if key else None
        self.work(work, self.now() + (0 if alter is None else 15_000), accept)
        return True

    def _take_key(self, tx: Tx, key: str, saga_id: str) -> None:
        Keys.take(tx, MERCHANT, key, "fp", saga_id, f"/{saga_id}#{key}", self.now())


class Worker:
    """One thread's work on one saga, step by step."""

    def __init__(self, world: Workers, saga_id: str, then: Callable[[], None]) -> None:
        self.world, self.saga_id, self.then = world, saga_id, then
        self.steps: Any = None
        self.waiting: dict[str, Outcome] = {}
        self.effects: list[Effect] = []

    def go(self, outcomes: list[Outcome] | None) -> None:
        world = self.world
        if self.steps is None:
            return None  # the machine fell over meanwhile
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
            last = world.now_ms + effect.deadline - world.now()
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
        self.world.clocks.new_process()
        self.end()

    def end(self) -> None:
        self.effects = []
        self.world.alive.discard(self)
        if self.steps is not None:
            self.steps.close()
            self.steps = None
            self.world.active -= 1
