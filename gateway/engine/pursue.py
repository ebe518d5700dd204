"""How one change is brought to an end: sent, asked about, waited for, or given to a person.

The rules, from what an adapter has declared and shown:

- Provably not sent: send again, after a pause.
- Unknown, and the same key acts once: send the same again. Unknown, and it can be asked: ask; not found counts only
  after the request can no longer be in flight, and then it is *gone* and may be sent again.
- Unknown, and neither: a person's case. Never a second send, never a guess from the time that has passed.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from gateway.engine.model import Far, Leg, Op, OpState, Timing, Todo, Verb
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS


class Way(Enum):
    """What pursuing a change came to for now."""

    DONE = "done"
    REFUSED = "refused"
    DO = "do"
    WAIT = "wait"
    STUCK = "stuck"


class Pursuit(NamedTuple):
    """The way, and what goes with it: the effect to run, or when to look again (milliseconds; None = never)."""

    way: Way
    todo: Todo | None = None
    at: int | None = None


DONE = Pursuit(Way.DONE)
REFUSED = Pursuit(Way.REFUSED)


def queryable(far: Far, hook: str) -> bool:
    """Whether the adapter can be asked what became of this change."""
    query = QUERY_HOOKS.get(FAMILY_OF.get(hook, ""))
    return query is not None and far.has(query)


def repeatable(far: Far, hook: str, op: Op, timing: Timing, now: int) -> bool:
    """Whether sending the same key again is known to act once, still."""
    traits = far.traits(hook)
    if not traits.idempotent:
        return False
    return traits.idempotent_for_s is None or now < op.first_sent + timing.seconds(traits.idempotent_for_s)


class Pursuer:
    """Pursues changes at one moment; ``far`` tells what may be known of a connection."""

    def __init__(self, timing: Timing, now: int) -> None:
        self.timing = timing
        self.now = now

    def send(self, leg: Leg, hook: str, op: Op | None, turn: int = 0) -> Pursuit:
        return Pursuit(Way.DO, Todo(Verb.SEND, leg.name, hook, op.turn if op else turn, leg.connection, op))

    def ask(self, leg: Leg, op: Op) -> Pursuit:
        return Pursuit(Way.DO, Todo(Verb.QUERY, leg.name, op.hook, op.turn, leg.connection, op))

    def _when(self, op: Op, pursuit: Pursuit) -> Pursuit:
        return pursuit if self.now >= op.next_at else Pursuit(Way.WAIT, at=op.next_at)

    def pursue(self, leg: Leg, hook: str, op: Op | None, far: Far, turn: int = 0) -> Pursuit:
        """Make this change happen in the end, unless it is refused."""
        if op is None:
            return self.send(leg, hook, None, turn) if far.has(hook) else Pursuit(Way.STUCK)
        match op.state:
            case OpState.OK:
                return DONE
            case OpState.DECLINED:
                return REFUSED
            case OpState.NOT_SENT if op.outcome.get("unsupported"):
                return Pursuit(Way.STUCK)
            case OpState.NOT_SENT | OpState.GONE:
                return self._when(op, self.send(leg, hook, op))
        return self.settle_unknown(leg, op, far)

    def settle_unknown(self, leg: Leg, op: Op, far: Far) -> Pursuit:
        """Find out about a change that is pending or unknown; repeat it only where that is known to act once."""
        asks = queryable(far, op.hook)
        if op.state in (OpState.PENDING, OpState.TASK):
            return self._when(op, self.ask(leg, op)) if asks else Pursuit(Way.STUCK)
        if repeatable(far, op.hook, op, self.timing, self.now):
            return self._when(op, self.send(leg, op.hook, op))
        return self._when(op, self.ask(leg, op)) if asks else Pursuit(Way.STUCK)

    def find_out(self, leg: Leg, op: Op, far: Far) -> Pursuit:
        """Learn what became of a change without making it happen: DONE it did, REFUSED it did not."""
        if op.state is OpState.OK:
            return DONE
        if op.state in (OpState.DECLINED, OpState.GONE, OpState.NOT_SENT):
            return REFUSED
        return self._when(op, self.ask(leg, op)) if queryable(far, op.hook) else Pursuit(Way.STUCK)
