"""The way between the engine and the far systems of a simulated world: lost, late, doubled, distorted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.domain.errors import NotSent, OutcomeUnknown, PluginError
from gateway.domain.outcomes import Done
from gateway.engine.model import Verb
from gateway.engine.seams import Effect, Outcome
from tests.simulation import far as fars
from tests.simulation.ground import Ground
from tests.simulation.troubles import CALL, IN_FLIGHT, Violation


class Network(Ground):
    """Carries calls, with what may happen to them."""

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
        travel = self.travel()
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
            if hook in _BY_CODE and (charge := system.charges.get(key)) is not None and charge.pending:
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
            return self.at(last - self.now_ms, lambda: told(unknown))
        if self.chance("late"):
            self.at(self.rng.randrange(travel, latest), lambda: _forget(act()))
            return self.at(last - self.now_ms, lambda: told(unknown))
        if self.chance("duplicate") and self._may_come_twice(system, effect):
            self.at(self.rng.randrange(travel, latest), lambda: _forget(act()))
        if self.chance("lost_reply") or travel >= last - self.now_ms:
            self.at(travel, lambda: _forget(act()))
            return self.at(last - self.now_ms, lambda: told(unknown))
        return self.at(travel, lambda: told(self._distorted(act(), unknown)))

    def _may_come_twice(self, system: fars.FarSystem, effect: Effect) -> bool:
        """A network's own duplicate can't be undone where neither keys are known nor anything asked or reversed."""
        charge = effect.todo.hook in _BY_CODE and system.profile is not fars.NOTHING
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
        hook, key, began = effect.op.hook, effect.op.key, self.now()
        travel = self.travel()
        if 2 * travel >= CALL:
            return self.at(CALL, lambda: done(Outcome(effect, OutcomeUnknown("no answer"))))

        def ask() -> None:
            answer = system.ask(hook, key, self.now_ms)
            self.at(travel, lambda: done(Outcome(effect, answer, began)))

        return self.at(travel, ask)


#: What the customer's code or card is needed for: once, whatever comes of it.
_BY_CODE = ("payment_charge", "payment_authorize")


def _forget(_: Any) -> None:
    """An answer that nobody waits for."""
