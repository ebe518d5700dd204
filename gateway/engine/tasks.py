"""Tasks: a person says what a machine can't find out, and the saga goes on from there.

What a person may say: ``done`` (it happened; or, where something was to be given back, it has been given back or was
never taken) and ``not_done`` (it did not happen: the gateway may do it; or try again to give it back). Who said it, on
what evidence and when stays with the task. Above the merchant's ``policy.two_person_above_amount`` a word takes effect
only when a second person has said the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.engine.driver import Work
from gateway.engine.model import Json, Leg, Op, OpState, Phase, Saga
from gateway.engine.problems import Problem, invalid
from gateway.engine.replies import Keys, KeyTaken, Reply, task_reply
from gateway.engine.seams import Secrets
from gateway.engine.service import KINDS, Asked, Engine, Telling
from gateway.hookspecs import UNDO_HOOKS
from gateway.store import audit
from gateway.store import journal as sql
from gateway.store.encoding import load
from gateway.store.port import Row, Tx

OUTCOMES = ("done", "not_done")
#: Cases about giving something back; all others are about one change.
_BACK = frozenset({"payment-not-closed", "undo-failed", "late-payment", "slot-not-returned"})
#: Characters of evidence.
_EVIDENCE_MOST = 2000


@dataclass(frozen=True, slots=True)
class Word:
    """What a person says of a task: the outcome, what it rests on, who says it (a key, an account of this machine)."""

    outcome: str
    evidence: str
    by: str


class Tasks:
    """Settles tasks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def resolve(self, asked: Asked, task_id: str, word: Word) -> Reply:
        """Take a person's word for a task. The reply is the task: 200, or 202 while a second person is awaited.

        Raises ``not-found``, ``validation-error``, ``invalid-state`` where the task has been settled, or where this
        person has said the same before. Idempotent by the key.
        """
        stored = self.engine.stored(asked)
        if stored is not None:
            return stored
        _check(word)
        task = self._task(asked.merchant, task_id)
        saga, _ = self.engine.load(asked.merchant, KINDS[task["subject"].split("_")[0]], task["subject"])
        said = load(task["words"])
        answer: Json = {"outcome": word.outcome, "evidence": word.evidence, "by": word.by, "at": self._now()}
        if self._needs_another(saga, task, said, word):
            return self._note(asked, task, [*said, answer])
        return self._take_effect(asked, saga, task, [*said, answer])

    def _now(self) -> int:
        return self.engine.clock.now()

    def _task(self, merchant: str, task_id: str) -> Row:
        found = self.engine.journal.read(lambda tx: sql.task(tx, task_id))
        if found is None or found["merchant"] != merchant:
            raise Problem("not-found", "no such task")
        if found["status"] != "open" or found["subject"].split("_")[0] not in KINDS:
            raise Problem("invalid-state", "this task is closed, or is none that can be settled here")
        return found

    # --- two persons -------------------------------------------------------------------------------------------------

    def _needs_another(self, saga: Saga, task: Row, said: list[Json], word: Word) -> bool:
        """Whether somebody else has to say the same first. A person's last word is the one that counts."""
        limit = self.engine.merchant(saga.merchant).policy.two_person_above_amount
        if limit is None or saga.at_stake(task["leg"]) <= limit:
            return False
        last = {each["by"]: each["outcome"] for each in said}
        if word.outcome in (outcome for by, outcome in last.items() if by != word.by):
            return False
        if last.get(word.by) == word.outcome:
            raise Problem("invalid-state", "you have said this before; a second person has to say it too")
        return True

    def _note(self, asked: Asked, task: Row, words: list[Json]) -> Reply:
        """Keep a first person's word, which has no effect yet."""

        def unit(tx: Tx) -> Reply:
            _write(tx, task, words)
            reply, now = task_reply(_read(tx, task), 202), self._now()
            Keys.take(tx, asked.merchant, asked.key, asked.fingerprint, task["id"], reply.location, now, reply)
            return reply

        try:
            return self.engine.journal.tx(unit)
        except KeyTaken:
            return self.engine.after_key_taken(asked)

    # --- taking effect -----------------------------------------------------------------------------------------------

    def _take_effect(self, asked: Asked, saga: Saga, task: Row, words: list[Json]) -> Reply:
        answer = words[-1]

        def alter(work: Work) -> None:
            case = _case(work, task["id"])
            work.saga.progress.setdefault("answers", {})[task["id"]] = answer
            _apply(work, case, answer["outcome"], self._now())

        def keep(tx: Tx, _: object) -> None:
            _write(tx, task, words)

        def reply() -> Reply:
            return self.engine.journal.read(lambda tx: task_reply(_read(tx, task)))

        telling = Telling(task["id"], task_reply(task).location, reply)
        return self.engine.change(asked, saga.kind, saga.id, alter, Secrets(), keep, telling)


def _read(tx: Tx, task: Row) -> Row:
    found = sql.task(tx, task["id"])
    assert found is not None
    return found


def _write(tx: Tx, task: Row, words: list[Json]) -> None:
    if not sql.say_of_task(tx, task["id"], task["words"], sql.dump(words)):
        raise Problem("invalid-state", "somebody else has just said something of this task; read it again")
    audit.act(tx, _act(task, words))


def _act(task: Row, words: list[Json]) -> Json:
    """A person's word as evidence."""
    word, about = words[-1], {name: task[name] for name in ("id", "leg", "kind", "detail")}
    return {
        "id": f"act_{task['id']}_{len(words)}",
        "merchant": task["merchant"],
        "subject": task["subject"],
        "kind": "task.word",
        "who": word["by"],
        "at": word["at"],
        "data": sql.dump({"task": about, "outcome": word["outcome"], "evidence": word["evidence"]}),
    }


def _check(word: Word) -> None:
    if word.outcome not in OUTCOMES:
        raise invalid("/outcome", f"one of {', '.join(OUTCOMES)}")
    if not word.evidence.strip() or len(word.evidence) > _EVIDENCE_MOST:
        raise invalid("/evidence", f"say what this rests on, in up to {_EVIDENCE_MOST} characters")


def _case(work: Work, task_id: str) -> Json:
    """The task as the saga knows it; one that settled itself meanwhile is gone."""
    for case in work.saga.progress.get("tasks", ()):
        if case["id"] == task_id:
            return dict(case)
    raise Problem("invalid-state", "this task has just been settled")


def _apply(work: Work, case: Json, outcome: str, now: int) -> None:
    leg = next(leg for leg in work.saga.legs() if leg.name == case["leg"])
    if case["kind"] in _BACK:
        undoes = {"payment_refund", *(UNDO_HOOKS.get(hook, "") for hook in leg.hooks.values()), case["hook"]}
        _given_back(work, leg, undoes, outcome, now)
    else:
        _happened(work, leg, case["hook"], outcome, now)


def _given_back(work: Work, leg: Leg, undoes: set[str], outcome: str, now: int) -> None:
    """Done: nobody need undo this leg any more. Not done: everything that undoes it is tried again."""
    if outcome == "done":
        work.saga.progress["by_hand"] = sorted({*work.saga.by_hand(), leg.name})
        return
    for op in work.ops:
        if op.leg == leg.name and op.hook in undoes and op.state is not OpState.OK:
            _settle(op, OpState.GONE, now)


def _happened(work: Work, leg: Leg, hook: str, outcome: str, now: int) -> None:
    hook = hook or leg.hook(Phase.PAY) or ""
    ops = [op for op in work.ops if (op.leg, op.hook) == (leg.name, hook)]
    if not ops:
        raise Problem("invalid-state", f"{hook} was never begun")
    op = max(ops, key=lambda each: each.turn)
    if op.state is OpState.OK:
        raise Problem("invalid-state", "this has just come to its end")
    _settle(op, OpState.OK if outcome == "done" else OpState.GONE, now)
    if outcome == "done" and "amount" in leg.params:
        op.outcome.setdefault("amount", leg.params["amount"])


def _settle(op: Op, state: OpState, now: int) -> None:
    op.state, op.finished, op.next_at, op.dirty = state, now, now, True
    op.outcome["by_hand"] = True
    op.outcome.pop("maybe", None)


__all__ = ["OUTCOMES", "Tasks", "Word"]
