"""The driver: executes what ``decide`` asks for, one commit a round.

A round is one transaction: the outcomes of the effects that ran, then decisions until the next effects are known, whose
intents are committed with it. Changes of embedded adapters run inside that transaction. Then the effects run, with no
transaction open. The driver is a generator that yields batches of effects and pauses, so that a simulation can run it
against a world of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.errors import AdapterError, NotSent, PluginError
from gateway.domain.outcomes import Answer, Change
from gateway.engine import crash
from gateway.engine import outcomes as rules
from gateway.engine.decide import Ops, decide
from gateway.engine.facts import completion_facts
from gateway.engine.model import (
    TERMINAL,
    Decision,
    Far,
    Kind,
    Leg,
    NewTask,
    Op,
    OpState,
    Saga,
    State,
    Timing,
    Todo,
    Verb,
)
from gateway.engine.records import op_from, op_row, saga_change, saga_from, saga_row
from gateway.engine.replies import Reply
from gateway.engine.requests import SecretGone, build_query, build_request, expected_amount
from gateway.engine.seams import Caller, Clock, Effect, Ids, Journal, Outcome, Secrets
from gateway.store import journal as sql
from gateway.store.errors import StorageBusy
from gateway.store.port import Tx

#: How long a person has for a task, in milliseconds.
TASK_DEADLINE = 24 * 3600 * 1000
#: How often outcomes in hand are offered to a busy database again.
BUSY_MOST = 3
#: Rounds of deciding within one transaction; more would be a loop in ``decide``.
ROUNDS_MOST = 64


class Lost(Exception):
    """The claim on this saga is gone: another worker has it. Nothing was written."""


class Refused(Exception):
    """A checkout was refused before anything was sent anywhere: nothing of it is kept."""

    def __init__(self, saga: Saga) -> None:
        super().__init__(saga.failure())
        self.saga = saga


@dataclass(slots=True)
class Pause:
    """Nothing to do before this time (milliseconds)."""

    until: int


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


Steps = Generator[list[Effect] | Pause, list[Outcome], Work]


@dataclass(slots=True)
class Round:
    """What a round's transaction came to."""

    work: Work
    effects: list[Effect]
    wake_at: int | None
    resting: bool


class Driver:
    """Drives sagas; stateless between them, safe to share between threads."""

    def __init__(self, journal: Journal, caller: Caller, clock: Clock, ids: Ids, timing: Timing) -> None:
        self.journal, self.caller, self.clock, self.ids, self.timing = journal, caller, clock, ids, timing

    # --- the claim ---------------------------------------------------------------------------------------------------

    def claim(self, saga_id: str) -> Work | None:
        """Take a saga that nobody works on; ``None`` if somebody does."""
        now = self.clock.now()

        def unit(tx: Tx) -> Work | None:
            row = sql.claim(tx, saga_id, now, now + self.timing.lease)
            return Work(saga_from(row), [op_from(op) for op in sql.ops(tx, saga_id)]) if row else None

        work = self.journal.tx(unit)
        if work is not None:
            for op in work.ops:
                self._orphaned(work.saga, op, now)
        return work

    def _orphaned(self, saga: Saga, op: Op, now: int) -> None:
        """An intent found on load belongs to a worker that died: its outcome is unknown."""
        if op.state is OpState.INTENT:
            traits = self.caller.far(saga.merchant, op.connection).traits(op.hook)
            rules.apply_sent(op, PluginError("the worker that sent this is gone"), None, traits, self.timing, now)

    # --- the rounds --------------------------------------------------------------------------------------------------

    def steps(
        self,
        work: Work,
        until: int,
        accept: Callable[[Tx, Work], None] | None = None,
        finish: Callable[[Tx, Work], None] | None = None,
    ) -> Steps:
        """Work on a saga until it rests or ``until`` (milliseconds) has come; yields effects and pauses.

        ``accept`` runs in the first transaction (it takes the idempotency key of what is asked); ``finish`` in the one
        in which the saga comes to its end. Raises ``Lost``, ``Refused``, or what the store raises.
        """
        done: list[Outcome] = []
        while True:
            crash.point("before-commit", work.saga.state)
            turn = self._round(work, done, until, accept, finish)
            crash.point("accepted" if work.fresh else "committed", "" if work.fresh else turn.work.saga.state)
            work, accept = turn.work, None
            if turn.effects:
                done = yield turn.effects
            elif turn.resting:
                return work
            else:
                done = []
                yield Pause(turn.wake_at or until)

    def _round(
        self,
        before: Work,
        done: list[Outcome],
        until: int,
        accept: Callable[[Tx, Work], None] | None,
        finish: Callable[[Tx, Work], None] | None,
    ) -> Round:
        failed: dict[str, AdapterError] = {}

        def unit(tx: Tx) -> Round:
            return _Round(self, before, done, until, failed).run(tx, accept, finish)

        busy = 0
        while True:
            try:
                return self.journal.tx(unit)
            except EmbeddedTrouble as trouble:
                failed[trouble.name] = trouble.error  # rolled back with all it did; decide again with its outcome
            except StorageBusy:
                # Outcomes that nobody else has are in hand: lost here, they would have to be found out again.
                busy += 1
                if not done or busy > BUSY_MOST:
                    raise

    def journal_step(self, work: Work, op: Op) -> Callable[[Mapping[str, Any]], None]:
        """The journal that a hook's ``call.step`` writes to, before each of its messages."""
        fence = work.saga.fence

        def write(step: Mapping[str, Any]) -> None:
            kept = [item for item in op.steps if (item["name"], item["ref"]) != (step["name"], step["ref"])]
            op.steps = [*kept, dict(step)]
            if not self.journal.tx(lambda tx: sql.write_steps(tx, op.key, sql.dump(op.steps), fence)):
                raise Lost(op.saga_id)

        return write


class EmbeddedTrouble(Exception):
    """A change of an embedded adapter went wrong inside the transaction: all of it is rolled back."""

    def __init__(self, name: str, error: AdapterError) -> None:
        super().__init__(name)
        self.name, self.error = name, error


class _Round:
    """One transaction of one saga."""

    def __init__(
        self, driver: Driver, work: Work, done: list[Outcome], until: int, failed: Mapping[str, AdapterError]
    ) -> None:
        self.driver, self.original, self.done, self.until, self.failed = driver, work, done, until, failed
        self.timing, self.caller = driver.timing, driver.caller
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
        was = self.saga.state
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
        self._apply_to(op, outcome.effect.todo.verb, outcome.result)

    def _apply_to(self, op: Op, verb: Verb, result: Change | Answer | AdapterError) -> None:
        traits = self._far(op.connection).traits(op.hook)
        amount = expected_amount(self.saga, self.legs[op.leg], op.hook)
        apply: Any = rules.apply_sent if verb is Verb.SEND else rules.apply_answer
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
            return self._apply_to(effect.op, todo.verb, rolled_back(before))
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
            key=self.driver.ids.new(),
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
        deadline = self.now + self.timing.call
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
        self._note_transition(was, ended)
        rows = self._event_rows()
        if accept is not None:
            accept(tx, self.work)
        if self.work.fresh:
            if not sql.insert_saga(tx, saga_row(saga)):
                raise Duplicate(saga)
        elif not sql.update_saga(tx, saga_change(saga)):
            raise Lost(saga.id)
        self._write_ops()
        sql.insert_events(tx, rows)
        if ended:
            completion_facts(tx, self.work, self.driver.ids, self.now)
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

    def _note_transition(self, was: State, ended: bool) -> None:
        kind, state = self.saga.kind, self.saga.state
        if ended:
            word = "succeeded" if kind is Kind.REFUND else state.value
            self.events.append((f"{kind}.{word}", {}))
        elif state is not was and state is State.AWAITING_TENDER:
            self.events.append((f"{kind}.awaiting_customer", {}))
        needs = bool(self.standing) and state not in TERMINAL
        if needs and not self.saga.progress.get("attention"):
            self.events.append((f"{kind}.needs_attention", {}))
        if needs or self.saga.progress.get("attention"):
            self.saga.progress["attention"] = needs

    def _event_rows(self) -> list[dict[str, Any]]:
        seq = int(self.saga.progress.get("events", 0))
        self.saga.progress["events"] = seq + len(self.events)
        return [
            {
                "id": f"evt_{self.driver.ids.new()}",
                "merchant": self.saga.merchant,
                "subject": self.saga.id,
                "seq": seq + index,
                "type": name,
                "occurred": self.now,
                "data": sql.dump({"state": self.saga.state.value, "number": self.saga.number, **data}),
            }
            for index, (name, data) in enumerate(self.events)
        ]

    def _open_tasks(self) -> None:
        """Open what stands now; a case that was settled before and stands again is opened again."""
        for task in {(task.leg, task.kind): task for task in self.standing}.values():
            row = {
                "id": f"tsk_{self.driver.ids.new()}",
                "merchant": self.saga.merchant,
                "subject": self.saga.id,
                "leg": task.leg,
                "kind": task.kind,
                "owner": task.owner,
                "detail": task.detail,
                "opened": self.now,
                "deadline": self.now + TASK_DEADLINE,
            }
            known = self.saga.progress.setdefault("tasks", [])
            if any((item["leg"], item["kind"]) == (task.leg, task.kind) for item in known):
                continue
            opened = sql.open_task(self.tx, row)
            known.append({"id": opened, "leg": task.leg, "kind": task.kind, "detail": task.detail, "hook": task.hook})
            self.events.append(("task.opened", {"task_id": opened, "leg": task.leg, "kind": task.kind}))

    def _settle_tasks(self) -> None:
        """Close what does not stand any more: the far system has answered in the end, or a person has."""
        standing = {(task.leg, task.kind) for task in self.standing}
        for task in list(self.saga.progress.get("tasks", ())):
            if (task["leg"], task["kind"]) in standing:
                continue
            self.saga.progress["tasks"].remove(task)
            answered = self.saga.progress.get("answers", {}).pop(task["id"], None)
            resolution = answered or {"outcome": "settled", "by": "gateway"}
            sql.resolve_task(self.tx, task["id"], self.now, sql.dump(resolution))
            told = {"task_id": task["id"], "leg": task["leg"], "kind": task["kind"]}
            self.events.append(("task.resolved", told))


def _attempt(todo: Todo, op: Op) -> str:
    """What names one attempt at an embedded change."""
    return f"{todo.leg}/{todo.hook}/{todo.turn}/{op.attempts}"


class Duplicate(Exception):
    """The merchant has a saga of this kind and number already."""

    def __init__(self, saga: Saga) -> None:
        super().__init__(saga.number)
        self.saga = saga


def rolled_back(error: AdapterError) -> AdapterError:
    """Trouble inside the engine's own transaction was undone with it: provably nothing happened."""
    return error if isinstance(error, NotSent) else NotSent(str(error))


__all__ = ["Driver", "Duplicate", "Leg", "Lost", "Pause", "Refused", "Round", "Work"]
