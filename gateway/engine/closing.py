"""Closing a tender: reversed, and then asked about, until no money is taken under its key any more."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol

from gateway.engine.model import Far, Leg, Op, OpState, Phase, Timing
from gateway.engine.pursue import DONE, Pursuer, Pursuit, Way, queryable

#: When closed payments are looked at again, as parts of the watch's whole length.
WATCH_PARTS = (8, 4, 2, 1)
#: How often a payment that still shows as paid is reversed again before a person has to look.
REVERSALS_MOST = 8

STUCK = Pursuit(Way.STUCK)


class OpsView(Protocol):
    """The last operation of a leg's hook."""

    def last(self, leg: str, hook: str) -> Op | None: ...


class Closer:
    """Closes tenders at one moment. ``by_hand`` are legs that a person has shown to hold no money any more;
    ``since`` is when the checkout was given up (0: it goes on without this tender)."""

    def __init__(
        self,
        ops: OpsView,
        far: Callable[[str], Far],
        pursuer: Pursuer,
        timing: Timing,
        now: int,
        by_hand: Collection[str] = (),
        since: int = 0,
    ) -> None:
        self.ops, self.far, self.pursuer, self.timing, self.now = ops, far, pursuer, timing, now
        self.by_hand, self.since = by_hand, since

    def close(self, leg: Leg) -> Pursuit:
        """DONE once the tender is shown to hold no money; STUCK if only a person can tell or act."""
        hook = leg.hook(Phase.PAY) or ""
        charge = self.ops.last(leg.name, hook)
        if leg.name in self.by_hand or charge is None or charge.state is OpState.NOT_SENT:
            return DONE
        far = self.far(leg.connection)
        undo = self._undo_hook(leg, charge, far)
        if undo is None:
            return self._without_undo(leg, charge, far)
        if undo == "payment_refund" and charge.state is not OpState.OK:
            return self._shown_empty(leg, charge, far)
        return self._reverse(leg, charge, undo, far)

    def being_closed(self, leg: Leg) -> bool:
        """Whether the money of this tender has begun to be given back: it can only be closed now, never kept."""
        return any(self.ops.last(leg.name, undo) is not None for undo in _UNDOES)

    def can_undo(self, leg: Leg, charge: Op) -> bool:
        """Whether the channel can take the charge back at all."""
        return self._undo_hook(leg, charge, self.far(leg.connection)) is not None

    def _undo_hook(self, leg: Leg, charge: Op, far: Far) -> str | None:
        """The reversal; a refund where there is none, where it is too late for it, or where it was refused."""
        if charge.hook == "payment_authorize":
            return "payment_release" if far.has("payment_release") else None
        if charge.hook == "payment_capture":  # what was taken of held money is given back, never held again
            return "payment_refund" if far.has("payment_refund") else None
        ways = [undo for undo in ("payment_reverse", "payment_refund") if far.has(undo)]
        if (
            len(ways) == 2
            and self.ops.last(leg.name, "payment_refund") is None
            and not self._too_late(leg, charge, far)
        ):
            return ways[0]
        return ways[-1] if ways else None

    def _too_late(self, leg: Leg, charge: Op, far: Far) -> bool:
        """Whether the reversal can no longer be had. A refund is only asked for once the money is known to be there."""
        reverse = self.ops.last(leg.name, "payment_reverse")
        if reverse is not None:
            asked = int(charge.outcome.get("asked", 0))
            return reverse.state is OpState.DECLINED and charge.state is OpState.OK and asked >= reverse.finished
        window = far.traits("payment_reverse").reverse_window_s
        return window is not None and self.now > charge.first_sent + self.timing.seconds(window)

    def _without_undo(self, leg: Leg, charge: Op, far: Far) -> Pursuit:
        """No undo at all: fine if nothing was taken, else a person's case."""
        found = self._shown_empty(leg, charge, far)
        return STUCK if charge.state is OpState.OK else found

    def _shown_empty(self, leg: Leg, charge: Op, far: Far) -> Pursuit:
        """Nothing can be closed here: DONE once the channel says that it holds nothing.

        A decline that was told long ago is asked about again: a late duplicate may have been accepted since.
        """
        since = max(self.since, charge.finished if charge.state is OpState.DECLINED else 0)
        if queryable(far, charge.hook) and int(charge.outcome.get("asked", 0)) < since:
            return self._ask(leg, charge, since)
        found = self.pursuer.find_out(leg, charge, far)
        return DONE if found.way is Way.REFUSED else found

    def _reverse(self, leg: Leg, charge: Op, undo: str, far: Far) -> Pursuit:
        reverse = self.ops.last(leg.name, undo)
        if reverse is None:
            not_before = charge.first_sent + self.timing.seconds(far.traits(undo).reverse_not_before_s)
            # What was refused is no payment under way: a cashier need not wait.
            if self.now < not_before and charge.state not in (OpState.DECLINED, OpState.GONE):
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
            return self._unasked(leg, charge, reverse, undo, far)
        if int(charge.outcome.get("asked", 0)) < reverse.finished:
            return self._ask(leg, charge, reverse.finished)
        if charge.state in (OpState.DECLINED, OpState.GONE):
            return DONE
        if charge.state is OpState.OK:
            return STUCK if refused else self._again(leg, reverse, undo)
        return self.pursuer.find_out(leg, charge, far)

    def _unasked(self, leg: Leg, charge: Op, reverse: Op, undo: str, far: Far) -> Pursuit:
        """Nobody can be asked: a reversal holds once the charge can no longer be on its way."""
        if charge.state is OpState.DECLINED:
            return DONE
        if reverse.state is OpState.DECLINED:
            return STUCK
        if charge.state is OpState.OK or far.traits(undo).tombstone:
            return DONE
        return self._after_quiet(leg, charge, reverse, undo, far)

    def _after_quiet(self, leg: Leg, first: Op, undone: Op, undo: str, far: Far) -> Pursuit:
        quiet = self.timing.quiet_at(first, far.traits(first.hook))
        if undone.first_sent >= quiet:
            return DONE
        return self.pursuer.send(leg, undo, None, undone.turn + 1) if self.now >= quiet else Pursuit(Way.WAIT, at=quiet)

    def _again(self, leg: Leg, reverse: Op, undo: str) -> Pursuit:
        if reverse.turn >= REVERSALS_MOST:
            return STUCK
        at = reverse.finished + self.timing.backoff(reverse.turn + 1)
        if self.now < at:
            return Pursuit(Way.WAIT, at=at)
        return self.pursuer.send(leg, undo, None, turn=reverse.turn + 1)

    def _ask(self, leg: Leg, op: Op, since: int) -> Pursuit:
        """Ask at once, but after a question since then that got no answer only when its pause is over."""
        if int(op.outcome.get("unanswered", 0)) >= since and self.now < op.next_at:
            return Pursuit(Way.WAIT, at=op.next_at)
        return self.pursuer.ask(leg, op)

    def watch(self, leg: Leg, charge: Op) -> Pursuit:
        """The next look for late money on a closed charge; after the watch the day's bill takes over."""
        far = self.far(leg.connection)
        if leg.name in self.by_hand:
            return DONE
        if not queryable(far, charge.hook):
            return self._watch_unasked(leg, charge, far)
        asked = int(charge.outcome.get("asked", 0))
        for part in WATCH_PARTS:
            at = charge.first_sent + self.timing.watch // part
            if asked < at:
                if self.now < at:
                    return Pursuit(Way.WAIT, at=at)
                return DONE if self.now > charge.first_sent + 4 * self.timing.watch else self._ask(leg, charge, at)
        return DONE

    def _watch_unasked(self, leg: Leg, charge: Op, far: Far) -> Pursuit:
        """A declined charge that nobody can be asked about is reversed once more when it can't arrive any more."""
        undo = self._undo_hook(leg, charge, far)
        reverse = self.ops.last(leg.name, undo) if undo else None
        if undo is None or reverse is None or charge.state is not OpState.DECLINED or far.traits(undo).tombstone:
            return DONE
        way = self.pursuer.pursue(leg, undo, reverse, far)
        if way.way is Way.DONE:
            return self._after_quiet(leg, charge, reverse, undo, far)
        return DONE if way.way is Way.REFUSED else way


_UNDOES = ("payment_reverse", "payment_refund", "payment_release")
