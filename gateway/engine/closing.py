"""Closing a tender: reversed, and then asked about, until no money is taken under its key any more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.engine.model import Far, Leg, Op, OpState, Phase, Timing
from gateway.engine.pursue import DONE, Pursuer, Pursuit, Way, queryable

#: How far apart the looks of the watch are, as parts of its whole length.
WATCH_PARTS = (8, 4, 2, 1)


class OpsView(Protocol):
    """The last operation of a leg's hook."""

    def last(self, leg: str, hook: str) -> Op | None: ...


class Closer:
    """Closes tenders at one moment."""

    def __init__(self, ops: OpsView, far: Callable[[str], Far], pursuer: Pursuer, timing: Timing, now: int) -> None:
        self.ops, self.far, self.pursuer, self.timing, self.now = ops, far, pursuer, timing, now

    def close(self, leg: Leg) -> Pursuit:
        """DONE once the tender is shown to hold no money; STUCK if only a person can tell or act."""
        hook = leg.hook(Phase.PAY) or ""
        charge = self.ops.last(leg.name, hook)
        if charge is None or charge.state is OpState.NOT_SENT:
            return DONE
        far = self.far(leg.connection)
        undo = self._undo_hook(hook, far)
        if undo is None:
            return self._without_undo(leg, charge, far)
        if undo == "payment_refund" and charge.state is not OpState.OK:
            found = self.pursuer.find_out(leg, charge, far)
            return DONE if found.way is Way.REFUSED else found
        return self._reverse(leg, charge, undo, far)

    @staticmethod
    def _undo_hook(hook: str, far: Far) -> str | None:
        if hook == "payment_authorize":
            return "payment_release" if far.has("payment_release") else None
        return next((undo for undo in ("payment_reverse", "payment_refund") if far.has(undo)), None)

    def _without_undo(self, leg: Leg, charge: Op, far: Far) -> Pursuit:
        """No undo at all: fine if nothing was taken, else a person's case."""
        found = self.pursuer.find_out(leg, charge, far)
        if found.way is Way.REFUSED:
            return DONE
        return Pursuit(Way.STUCK) if found.way is Way.DONE else found

    def _reverse(self, leg: Leg, charge: Op, undo: str, far: Far) -> Pursuit:
        reverse = self.ops.last(leg.name, undo)
        if reverse is None:
            not_before = charge.first_sent + self.timing.seconds(far.traits(undo).reverse_not_before_s)
            if self.now < not_before:
                return Pursuit(Way.WAIT, at=not_before)
            return self.pursuer.send(leg, undo, None)
        way = self.pursuer.pursue(leg, undo, reverse, far)
        if way.way not in (Way.DONE, Way.REFUSED):
            return way
        return self._verify(leg, charge, reverse, undo, far)

    def _verify(self, leg: Leg, charge: Op, reverse: Op, undo: str, far: Far) -> Pursuit:
        """ "Cancel ok" is no proof: ask after it. Still paid: reverse again, under a new key."""
        refused = reverse.state is OpState.DECLINED
        if not queryable(far, charge.hook):
            return Pursuit(Way.STUCK) if refused and charge.state is not OpState.DECLINED else DONE
        asked = int(charge.outcome.get("asked", 0))
        if asked < reverse.finished:
            return self.pursuer.ask(leg, charge)
        if charge.state in (OpState.DECLINED, OpState.GONE):
            return DONE
        if charge.state is OpState.OK:
            if refused:
                return Pursuit(Way.STUCK)
            return self.pursuer.send(leg, undo, None, turn=reverse.turn + 1)
        return self.pursuer.find_out(leg, charge, far)

    def watch(self, leg: Leg, charge: Op) -> Pursuit:
        """The next look for late money on a closed charge; after the watch the day's bill takes over."""
        far = self.far(leg.connection)
        if not queryable(far, charge.hook):
            return DONE
        asked = int(charge.outcome.get("asked", 0))
        start = charge.first_sent
        for part in WATCH_PARTS:
            at = start + self.timing.watch // part
            if asked < at:
                return self.pursuer.ask(leg, charge) if self.now >= at else Pursuit(Way.WAIT, at=at)
        return DONE
