"""Undoing a leg that is not money: a hold is cancelled, what was used up is given back."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.engine.closing import OpsView
from gateway.engine.model import MAYBE, Far, Leg, Op, Phase
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


def _inverse(leg: Leg, hook: str, ops: OpsView, far: Far, pursuer: Pursuer) -> tuple[Pursuit, Op | None]:
    undo = UNDO_HOOKS.get(hook)
    if undo is None or not far.has(undo):
        return Pursuit(Way.STUCK), None
    op = ops.last(leg.name, undo)
    way = pursuer.pursue(leg, undo, op, far)
    return (DONE if way.way is Way.DONE else way), op
