"""Tasks: a person says what a machine can't find out, and the saga goes on from there.

What a person may say: ``done`` (it happened; or, where something was to be given back, it has been given back or was
never taken) and ``not_done`` (it did not happen: the gateway may do it; or try again to give it back). Who said it, on
what evidence and when stays with the task.
"""

from __future__ import annotations

from gateway.engine.driver import Work
from gateway.engine.model import Json, Leg, Op, OpState, Phase
from gateway.engine.problems import Problem, invalid
from gateway.engine.replies import Reply
from gateway.engine.seams import Secrets
from gateway.engine.service import KINDS, Asked, Engine
from gateway.hookspecs import UNDO_HOOKS
from gateway.store import journal as sql
from gateway.store.port import Row, Tx

OUTCOMES = ("done", "not_done")
#: Cases about giving something back; all others are about one change.
_BACK = frozenset({"payment-not-closed", "undo-failed", "late-payment"})
#: Characters of evidence.
_EVIDENCE_MOST = 2000


class Tasks:
    """Settles tasks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def resolve(self, asked: Asked, task_id: str, outcome: str, evidence: str, by: str) -> Reply:
        """Take a person's word for a task. The reply is the resource that the task is about.

        Args:
            outcome: ``done`` or ``not_done``.
            evidence: what it rests on: a slip number, a statement's line; up to 2,000 characters.
            by: who says it: the credential's name.

        Raises ``not-found``, ``validation-error``, ``invalid-state`` where the task has been settled. Idempotent by
        the key.
        """
        stored = self.engine.stored(asked)
        if stored is not None:
            return stored
        _check(outcome, evidence)
        task = self._task(asked.merchant, task_id)
        kind = KINDS[task["subject"].split("_")[0]]
        answer: Json = {"outcome": outcome, "evidence": evidence, "by": by, "at": self.engine.clock.now()}

        def alter(work: Work) -> None:
            case = _case(work, task_id)
            work.saga.progress.setdefault("answers", {})[task_id] = answer
            _apply(work, case, outcome, self.engine.clock.now())

        def keep(tx: Tx, _: object) -> None:
            sql.answer_task(tx, task_id, sql.dump(answer))

        return self.engine.change(asked, kind, task["subject"], alter, Secrets(), keep)

    def _task(self, merchant: str, task_id: str) -> Row:
        found = self.engine.journal.read(lambda tx: sql.task(tx, task_id))
        if found is None or found["merchant"] != merchant:
            raise Problem("not-found", "no such task")
        if found["status"] != "open" or found["subject"].split("_")[0] not in KINDS:
            raise Problem("invalid-state", "this task is closed, or is none that can be settled here")
        return found


def _check(outcome: str, evidence: str) -> None:
    if outcome not in OUTCOMES:
        raise invalid("/outcome", f"one of {', '.join(OUTCOMES)}")
    if not evidence.strip() or len(evidence) > _EVIDENCE_MOST:
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
        _given_back(work, leg, outcome, now)
    else:
        _happened(work, leg, case["hook"], outcome, now)


def _given_back(work: Work, leg: Leg, outcome: str, now: int) -> None:
    """Done: nobody need undo this leg any more. Not done: everything that undoes it is tried again."""
    if outcome == "done":
        work.saga.progress["by_hand"] = sorted({*work.saga.by_hand(), leg.name})
        return
    undoes = {"payment_refund", *(UNDO_HOOKS.get(hook, "") for hook in leg.hooks.values())}
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


__all__ = ["OUTCOMES", "Tasks"]
