"""What every part of the decision says in: the rows it looks at, and the small words it speaks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from gateway.engine.model import Decision, Far, Json, Leg, NewTask, Op, Phase, Saga, State, Timing
from gateway.engine.pursue import Pursuer, Pursuit

#: How often a change that provably never left us is tried again before its leg is given up.
NOT_SENT_MOST = 2


class Ops:
    """The operations of one saga, by leg and hook; the last turn of a hook is the one that counts."""

    def __init__(self, ops: Iterable[Op]) -> None:
        self._last: dict[tuple[str, str], Op] = {}
        for op in ops:
            self.add(op)

    def add(self, op: Op) -> None:
        known = self._last.get((op.leg, op.hook))
        if known is None or op.turn >= known.turn:
            self._last[op.leg, op.hook] = op

    def last(self, leg: str, hook: str) -> Op | None:
        return self._last.get((leg, hook))


class Words:
    """Looks at one saga at one time; ``ops`` and the saga may move on between two decisions."""

    decision: Decision

    def __init__(self, saga: Saga, ops: Ops, far: Callable[[str], Far], timing: Timing, now: int) -> None:
        self.saga, self.ops, self.far, self.timing, self.now = saga, ops, far, timing, now
        self.legs = saga.legs()
        self.pursuer = Pursuer(timing, now)

    # --- small words -------------------------------------------------------------------------------------------------

    def _legs(self, phase: Phase) -> tuple[tuple[Leg, str], ...]:
        return self.saga.due(phase)

    def _go(self, state: State, **progress: object) -> None:
        self.decision.state = state
        self.decision.progress.update(progress)
        self.decision.todo.clear()
        self.decision.wake_at = None

    def _wake(self, at: int | None) -> None:
        if at is not None and (self.decision.wake_at is None or at < self.decision.wake_at):
            self.decision.wake_at = at

    def _take(self, pursuit: Pursuit) -> None:
        """Take what a pursuit asks for into the decision."""
        if pursuit.todo is not None:
            self.decision.todo.append(pursuit.todo)
        self._wake(pursuit.at)

    def _task(self, leg: str, kind: str, detail: str, owner: str = "merchant", hook: str = "") -> None:
        self.decision.tasks.append(NewTask(leg, kind, detail, owner, hook))

    def _pursue(self, leg: Leg, hook: str) -> Pursuit:
        return self.pursuer.pursue(leg, hook, self.ops.last(leg.name, hook), self.far(leg.connection))

    def _fail(self, leg: str, op: Op | None, reason: str = "") -> None:
        """Give the checkout up: remember the first failure, give the money back, undo the rest."""
        failure: Json = {"leg": leg, "reason": reason or (op.outcome.get("reason", "declined") if op else "declined")}
        if op is not None:
            failure |= {"code": op.outcome.get("code", ""), "message": op.outcome.get("message", "")}
        self._go(State.CLOSING, failure=self.saga.failure() or failure, closing_since=self.now)

    def _overdue(self, op: Op | None) -> bool:
        return op is not None and self.now >= op.first_sent + self.timing.task_after

    def _declined_legs(self) -> set[str]:
        return set(self.saga.progress.get("declined", ()))

    def _await_another(self, leg: Leg) -> None:
        """Ask for another tender in this one's place; it holds nothing any more."""
        self._go(State.AWAITING_TENDER, declined=sorted({*self._declined_legs(), tender_leg(leg)}))

    def _go_without(self, leg: Leg) -> None:
        """Leave a leg out that the merchant can do without while its system is down; nothing of it ever left us."""
        self._go(self.saga.state, without=sorted({*self.saga.without(), leg.name}))


def tender_leg(leg: Leg) -> str:
    """The leg of the tender or benefit that this leg stands for: a lock on a code stands for the code's own leg."""
    return str(leg.params.get("lock_of", leg.name))


def end_of_code(action: Json) -> int | None:
    """When a shown code runs out (``expires_at``, RFC 3339 with an offset), in milliseconds; None if nobody said."""
    try:
        ends = datetime.fromisoformat(str(action.get("expires_at", "")))
    except ValueError:
        return None
    return None if ends.tzinfo is None else int(ends.timestamp() * 1000)


def told(op: Op | None) -> str:
    """What the far system said, for the person who reads the task."""
    words = [str(op.outcome.get(name, "")) for name in ("reason", "code", "message")] if op is not None else []
    return ": " + " ".join(word for word in words if word) if any(words) else ""
