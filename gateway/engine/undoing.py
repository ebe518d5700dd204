"""Undoing a leg that is not money: a hold is cancelled, what was used up is given back."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.engine.closing import OpsView
from gateway.engine.model import MAYBE, Far, Leg, Op, OpState, Phase, Timing
from gateway.engine.pursue import DONE, Pursuer, Pursuit, Way
from gateway.hookspecs import UNDO_HOOKS


def undo_ways(leg: Leg, ops: OpsView, far: Far, pursuer: Pursuer) -> Iterator[tuple[Pursuit, Op | None]]:
    """What is still to be done for this leg; nothing if it never happened.

    Once the use may have happened, it is undone by its own inverse and the hold with it; else the hold is cancelled. A
    cancel of a hold that never came to be is no error at the far system, so an unknown hold is simply cancelled; an
    unknown *use* must be found out about first, because giving back names it.
    """
    settle, hold = leg.hook(Phase.SETTLE), leg.hook(Phase.HOLD)
    used = ops.last(leg.name, settle) if settle else None
    if settle and used is not None and used.state in MAYBE:
        found = pursuer.find_out(leg, used, far)
        if found.way is Way.DONE:
            yield _inverse(leg, settle, ops, far, pursuer)
            return
        if found.way is not Way.REFUSED:
            yield found, used
            return
    held = ops.last(leg.name, hold) if hold else None
    if hold and held is not None and held.state in MAYBE:
        yield _inverse(leg, hold, ops, far, pursuer)


def late_hold(leg: Leg, ops: OpsView, far: Far, pursuer: Pursuer, timing: Timing) -> Pursuit:
    """A hold whose outcome was never known may still have arrived after its cancel: cancel once more when it can't.

    Not where cancelling an unseen number blocks it, and not where the first cancel already came late enough.
    """
    hold = leg.hook(Phase.HOLD)
    held = ops.last(leg.name, hold) if hold else None
    undo = UNDO_HOOKS.get(hold or "")
    cancel = ops.last(leg.name, undo) if undo else None
    if held is None or undo is None or cancel is None or far.embedded or held.state not in _UNCERTAIN:
        return DONE
    quiet = timing.quiet_at(held, far.traits(held.hook))
    if far.traits(undo).tombstone or (cancel.state is OpState.OK and cancel.first_sent >= quiet):
        return DONE
    way = pursuer.pursue(leg, undo, cancel, far)
    if way.way is Way.REFUSED:
        return DONE  # there was nothing left to cancel
    if way.way is not Way.DONE:
        return way
    if pursuer.now < quiet:
        return Pursuit(Way.WAIT, at=quiet)
    return pursuer.send(leg, undo, None, cancel.turn + 1)


_UNCERTAIN = frozenset({OpState.INTENT, OpState.PENDING, OpState.UNKNOWN, OpState.TASK})


def _inverse(leg: Leg, hook: str, ops: OpsView, far: Far, pursuer: Pursuer) -> tuple[Pursuit, Op | None]:
    undo = UNDO_HOOKS.get(hook)
    if undo is None or not far.has(undo):
        return Pursuit(Way.STUCK), None
    op = ops.last(leg.name, undo)
    way = pursuer.pursue(leg, undo, op, far)
    return (DONE if way.way is Way.DONE else way), op
