"""One transaction of one saga: outcomes in, decisions, embedded changes, and the intents of what is to be sent next."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from gateway.domain.errors import AdapterError, NotSent, PluginError
from gateway.domain.outcomes import Answer, Change
from gateway.engine import outcomes as rules
from gateway.engine.decide import decide
from gateway.engine.evidence import attempt_row, bind_attempts, mark_events, standing
from gateway.engine.facts import completion_facts
from gateway.engine.model import TERMINAL, Decision, Far, NewTask, Op, OpState, Saga, State, Timing, Todo, Verb
from gateway.engine.notes import Notes
from gateway.engine.records import op_row, saga_change, saga_row
from gateway.engine.replies import Reply
from gateway.engine.requests import SecretGone, build_query, build_request, expected_amount
from gateway.engine.seams import Caller, Clock, Effect, Ids, Outcome, Secrets
from gateway.engine.unbooked import look_at_sale, tell_refunds
from gateway.engine.words import Ops
from gateway.store import audit, frames
from gateway.store import journal as sql
from gateway.store.port import Tx

#: Rounds of deciding within one transaction; more would be a loop in ``decide``.
ROUNDS_MOST = 64


class Lost(Exception):
    """The claim on this saga is gone: another worker has it. Nothing was written."""


class Refused(Exception):
    """A checkout was refused before anything was sent anywhere: nothing of it is kept."""

    def __init__(self, saga: Saga) -> None:
        super().__init__(saga.failure())
        self.saga = saga


class Duplicate(Exception):
    """The merchant has a saga of this kind and number already."""

    def __init__(self, saga: Saga) -> None:
        super().__init__(saga.number)
        self.saga = saga


class EmbeddedTrouble(Exception):
    """A change of an embedded adapter went wrong inside the transaction: all of it is rolled back."""

    def __init__(self, name: str, error: AdapterError) -> None:
        super().__init__(name)
        self.name, self.error = name, error


@dataclass(slots=True)
class Work:
    """A claimed saga in the hands of one worker. ``reply`` is what was kept as its final answer in this run."""

    saga: Saga
    ops: list[Op]
    secrets: Secrets = field(default_factory=Secrets)
    fresh: bool = False
    reply: Reply | None = None

    def copy(self) -> Work:
        """A copy that a unit of work may change: a transaction can run twice."""
        return Work(self.saga.copy(), [op.copy() for op in self.ops], self.secrets, self.fresh, self.reply)


@dataclass(slots=True)
class Round:
    """What a round's transaction came to."""

    work: Work
    effects: list[Effect]
    wake_at: int | None
    resting: bool


StepJournal = Callable[[Mapping[str, Any]], None]


class Driving(Protocol):
    """What a round needs of the driver."""

    caller: Caller
    clock: Clock
    ids: Ids
    timing: Timing

    def journal_step(self, work: Work, op: Op) -> StepJournal: ...


class Transaction(Notes):
    """One transaction of one saga; it may run twice, and so works on a copy."""

    def __init__(
        self, driver: Driving, work: Work, done: list[Outcome], until: int, failed: Mapping[str, AdapterError]
    ) -> None:
        self.driver, self.original, self.done, self.until, self.failed = driver, work, done, until, failed
        self.timing, self.caller, self.ids = driver.timing, driver.caller, driver.ids
        self.known: dict[str, Far] = {}

    def run(
        self, tx: Tx, accept: Callable[[Tx, Work], None] | None, finish: Callable[[Tx, Work], None] | None
    ) -> Round:
        self.tx = tx
        self.work = self.original.copy()
        self.saga = self.work.saga
        self.now = self.driver.clock.now()
        self.legs = {leg.name: leg for leg in self.saga.legs()}
        self.ops = Ops(self.work.ops)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.standing: list[NewTask] = []
        self.attempts: list[dict[str, Any]] = []
        was = self.saga.state
        look_at_sale(tx, self.saga)
        if self.work.fresh:
            self.events.append((f"{self.saga.kind}.accepted", {}))
        for outcome in self.done:
            self._apply(outcome)
        decision, todos = self._decide()
        effects = [self._effect(todo) for todo in todos]
        self._refuse_if_nothing_left_us(was, effects)
        self._write(decision, effects, accept, finish, was)
        return Round(self.work, effects, decision.wake_at, self.resting)

    def _far(self, connection: str) -> Far:
        far = self.known.get(connection)
        if far is None:
            far = self.known[connection] = self.caller.far(self.saga.merchant, connection)
        return far

    # --- outcomes ----------------------------------------------------------------------------------------------------

    def _apply(self, outcome: Outcome) -> None:
        op = next(op for op in self.work.ops if op.key == outcome.effect.op.key)
        op.steps = outcome.effect.op.steps
        self._apply_to(op, outcome.effect.todo.verb, outcome.result, outcome.began)
        self.attempts.append(attempt_row(op, outcome.effect.todo.verb, outcome, self.now))

    def _apply_to(self, op: Op, verb: Verb, result: Change | Answer | AdapterError, began: int = 0) -> None:
        """``began`` is when the call did (0: at this moment, inside this transaction)."""
        traits = self._far(op.connection).traits(op.hook)
        amount = expected_amount(self.saga, self.legs[op.leg], op.hook)
        apply: Any = rules.apply_sent if verb is Verb.SEND else partial(rules.apply_answer, asked=began or self.now)
        apply(op, result, amount, traits, self.timing, self.now)

    # --- decisions ---------------------------------------------------------------------------------------------------

    def _decide(self) -> tuple[Decision, list[Todo]]:
        """Decide until only far calls or waiting are left; run embedded changes on the way."""
        for _ in range(ROUNDS_MOST):
            decision = decide(self.saga, self.ops, self._far, self.timing, self.now)
            moved = decision.state is not self.saga.state or bool(decision.progress)
            self.saga.state = decision.state
            self.saga.progress.update(decision.progress)
            self.standing = decision.tasks
            for event in decision.events:
                self.events.append((event, {}))
            near: list[Todo] = []
            far: list[Todo] = []
            for todo in decision.todo:
                (near if self._far(todo.connection).embedded else far).append(todo)
            for todo in near:
                self._run_embedded(todo)
            if far and not moved:
                lost = [todo for todo in far if not self._can_be_built(todo)]
                if not lost and not near:
                    return decision, far
                if not lost:
                    continue
            elif not near and not moved:
                return decision, []
        raise PluginError("the decision does not come to rest")

    def _run_embedded(self, todo: Todo) -> None:
        effect = self._effect(todo)
        before = self.failed.get(_attempt(todo, effect.op)) if self.failed else None
        if before is not None:
            self._apply_to(effect.op, todo.verb, rolled_back(before))
            return self.attempts.append(attempt_row(effect.op, todo.verb, Outcome(effect, before), self.now))
        result = self.caller.embedded(self.saga.merchant, effect, self.tx)
        if isinstance(result, AdapterError):
            raise EmbeddedTrouble(_attempt(todo, effect.op), result)
        return self._apply_to(effect.op, todo.verb, result)

    def _can_be_built(self, todo: Todo) -> bool:
        """A payment code is never stored: after a crash before its first send, the charge can't be sent any more."""
        if todo.verb is Verb.QUERY:
            return True
        try:
            build_request(self.saga, self.legs[todo.leg], todo.hook, self.work.ops, self.work.secrets, self.now)
        except SecretGone as gone:
            op = self._op(todo)
            op.state, op.dirty = OpState.NOT_SENT, True
            op.outcome |= {"error": str(gone), "code_lost": True}
            return False
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            op = self._op(todo)
            rules.begin(op, self.now)
            trouble = NotSent(f"the request cannot be built: {type(error).__name__}")
            self._apply_to(op, Verb.SEND, trouble)
            return False
        return True

    # --- effects -----------------------------------------------------------------------------------------------------

    def _op(self, todo: Todo) -> Op:
        if todo.op is not None:
            return todo.op
        if self.ops.last(todo.leg, todo.hook) is not None:
            for op in self.work.ops:
                if (op.leg, op.hook, op.turn) == (todo.leg, todo.hook, todo.turn):
                    return op
        op = Op(
            key=self.ids.new(),
            saga_id=self.saga.id,
            leg=todo.leg,
            hook=todo.hook,
            turn=todo.turn,
            connection=todo.connection,
            state=OpState.INTENT,
            new=True,
        )
        self.work.ops.append(op)
        self.ops.add(op)
        return op

    def _effect(self, todo: Todo) -> Effect:
        op, leg = self._op(todo), self.legs[todo.leg]
        if todo.verb is Verb.SEND:
            request: Any = build_request(self.saga, leg, todo.hook, self.work.ops, self.work.secrets, self.now)
            rules.begin(op, self.now)
        else:
            request = build_query(self.saga, leg, op, self.work.ops, self.now)
        holding = todo.verb is Verb.SEND and self.saga.state is State.RESERVING
        deadline = self.now + (self.timing.hold_call if holding else self.timing.call)
        step = self.driver.journal_step(self.work, op)
        return Effect(todo, op, leg.params, self.saga.merchant, request, deadline, self.saga.id, step)

    # --- the commit --------------------------------------------------------------------------------------------------

    def _refuse_if_nothing_left_us(self, was: State, effects: list[Effect]) -> None:
        """A new saga that fails on the gateway's own doorstep leaves no trace, and takes no order number."""
        if self.work.fresh and not effects and self.saga.state in (State.FAILED, State.CANCELLED):
            raise Refused(self.saga)

    def _write(
        self,
        decision: Decision,
        effects: list[Effect],
        accept: Callable[[Tx, Work], None] | None,
        finish: Callable[[Tx, Work], None] | None,
        was: State,
    ) -> None:
        saga, tx = self.saga, self.tx
        saga.updated = self.now
        self.resting = not effects and self._rests(decision)
        saga.lease_until = 0 if self.resting else self.now + self.timing.lease
        saga.due_at = decision.wake_at if not effects else self.now
        ended = saga.state in TERMINAL and (was not in TERMINAL or self.work.fresh)
        self._open_tasks()
        self._settle_tasks()
        if was is State.COMPLETED:
            tell_refunds(tx, saga, self.work.ops, self.now)
        if was not in TERMINAL:
            bind_attempts(saga, self.attempts)
        self._note_transition(was, ended)
        rows = self._event_rows()
        if accept is not None:
            accept(tx, self.work)
        born = saga_row(saga) if self.work.fresh else None
        if born is not None:
            if not sql.insert_saga(tx, born):
                raise Duplicate(saga)
        elif not sql.update_saga(tx, saga_change(saga)):
            raise Lost(saga.id)
        self._write_ops()
        stands = standing((self.original.saga, self.original.ops), (saga, self.work.ops), ended=ended)
        more = mark_events(saga, rows, born, stands)
        sql.insert_events(tx, rows)
        audit.enter(tx, more)
        frames.insert(tx, self.attempts)
        if ended:
            completion_facts(tx, self.work, self.ids, self.now)
            if finish is not None:
                finish(tx, self.work)
        self.work.fresh = False

    def _rests(self, decision: Decision) -> bool:
        """Nothing to wait for here: the end, a time beyond this worker's, or a customer who must be shown a code."""
        if self.saga.state in TERMINAL or decision.wake_at is None or decision.wake_at > self.until:
            return True
        shown = [op.outcome.get("next_action") or {} for op in self.work.ops if op.state is OpState.PENDING]
        return any(action.get("type") == "show_qr" for action in shown)

    def _write_ops(self) -> None:
        fence = self.saga.fence
        new = [op_row(op, fence) for op in self.work.ops if op.new]
        changed = [op_row(op, fence) for op in self.work.ops if op.dirty and not op.new]
        if not sql.write_ops(self.tx, new, changed):
            raise Lost(self.saga.id)
        for op in self.work.ops:
            op.new = op.dirty = False


def _attempt(todo: Todo, op: Op) -> str:
    """What names one attempt at an embedded change."""
    return f"{todo.leg}/{todo.hook}/{todo.turn}/{op.attempts}"


def rolled_back(error: AdapterError) -> AdapterError:
    """Trouble inside the engine's own transaction was undone with it: provably nothing happened."""
    return error if isinstance(error, NotSent) else NotSent(str(error))
