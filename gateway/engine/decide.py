"""The decision: what a saga does next, as a pure function of its rows, the adapters' traits and the time.

Order of a checkout: holds side by side → external tenders in order, the pivot → confirms and redemptions side by side →
the bill into the till → rewards. Undo: money first, goods second; once a checkout closes, nothing forward is sent.
A refund or a release has no way back: it is pursued until it is done or a person's case.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from gateway.engine.booking import Booking
from gateway.engine.closing import Closer
from gateway.engine.model import (
    MAYBE,
    SETTLED,
    TERMINAL,
    Decision,
    Far,
    Kind,
    Leg,
    Op,
    OpState,
    Phase,
    Saga,
    State,
    Timing,
)
from gateway.engine.pursue import Pursuit, Way, queryable, repeatable
from gateway.engine.redeeming import Redeeming
from gateway.engine.undoing import late_hold
from gateway.engine.words import NOT_SENT_MOST, Ops, end_of_code, tender_leg, told
from gateway.hookspecs import UNDO_HOOKS

#: A person's case is looked at again after so many times the time after which it became one.
SLOW = 6


def decide(saga: Saga, ops: Iterable[Op] | Ops, far: Callable[[str], Far], timing: Timing, now: int) -> Decision:
    """What to do now. Called again with the outcomes until there is nothing to do but wait, or the end is reached.

    Pure: the same rows and the same time give the same decision. ``now`` is in milliseconds.
    """
    return _Decider(saga, ops if isinstance(ops, Ops) else Ops(ops), far, timing, now).decide()


#: What does what is to be done in each state.
_SELLING = {
    State.RESERVING: "_reserving",
    State.PAYING: "_paying",
    State.AWAITING_TENDER: "_awaiting",
    State.SETTLING: "_settling",
    State.POSTING: "_posting",
    State.COMPLETED: "_tail",
    State.CLOSING: "_closing",
    State.UNDOING: "_undoing",
    State.FAILED: "_watching",
    State.CANCELLED: "_watching",
}
#: A refund or a release goes forward only.
_GIVING_BACK = {
    State.PAYING: "_paying_back",
    State.SETTLING: "_settling_back",
    State.POSTING: "_posting",
    State.COMPLETED: "_tail",
}


class _Decider(Booking, Redeeming):
    """Decides about one saga at one time; ``ops`` and the saga may move on between two decisions."""

    def decide(self) -> Decision:
        """What to do as the rows now stand; see ``decide``."""
        self.decision = Decision(self.saga.state)
        steps = _GIVING_BACK if self.saga.kind in (Kind.REFUND, Kind.RELEASE) else _SELLING
        getattr(self, steps[self.saga.state])()
        if self.saga.state in TERMINAL:
            self._leave_to_people()
        if self.decision.tasks and not self.decision.todo:
            self._wake(self.now + self.timing.task_after * SLOW)  # a person's case is still looked at now and then
        return self.decision

    def _leave_to_people(self) -> None:
        """What an ended saga still tries is not tried for ever: after its time the open case is a person's alone."""
        over = [todo for todo in self.decision.todo if todo.op is not None and self._too_old(todo.op)]
        self.decision.todo = [todo for todo in self.decision.todo if todo not in over]
        if over and not self.decision.tasks:
            self.decision.wake_at = None

    def _too_old(self, op: Op) -> bool:
        return self.now >= op.first_sent + self.timing.tail

    # --- forward -----------------------------------------------------------------------------------------------------

    def _reserving(self) -> None:
        """Hold everything side by side; the first refusal gives it all up."""
        if self.saga.progress.get("cancel"):
            return self._fail("", None, "cancelled")
        declined = self._declined_legs()
        added = {leg["name"] for leg in self.saga.progress.get("legs", ())}
        without = self.saga.without()
        for leg, hook in self._legs(Phase.HOLD):
            if tender_leg(leg) in declined or leg.name in without:
                continue
            op = self.ops.last(leg.name, hook)
            way = self._pursue(leg, hook)
            reason = "" if way.way is Way.DONE else self._hold_given_up(op, way)
            if reason in ("declined", "unavailable") and leg.name in added:
                return self._await_another(leg)
            if reason == "unavailable" and leg.params.get("when_down") == "without":
                return self._go_without(leg)
            if reason:
                return self._fail(leg.name, op, "" if way.way is Way.REFUSED else reason)
            self._take(way)
        if not self.decision.todo and self.decision.wake_at is None:
            self._go(State.PAYING)
        return None

    def _hold_given_up(self, op: Op | None, way: Pursuit) -> str:
        if way.way is Way.REFUSED:
            return "declined"
        if op is None:
            return "unavailable" if way.way is Way.STUCK else ""
        if op.state is OpState.NOT_SENT and op.attempts >= NOT_SENT_MOST:
            return "unavailable"
        if way.way is Way.STUCK or self.now >= op.first_sent + self.timing.hold:
            return "unresolved"
        self._wake(op.first_sent + self.timing.hold)
        return ""

    def _paying(self) -> None:
        """Take the external tenders, one after the other."""
        if self.saga.progress.get("cancel"):
            return self._fail("", None, "cancelled")
        declined = self._declined_legs()
        for leg, hook in self._legs(Phase.PAY):
            op = self.ops.last(leg.name, hook)
            if leg.name in declined:
                continue
            if op is not None and self._closer().being_closed(leg):
                return self._give_up(leg, op, "declined")
            if op is None or op.state is not OpState.OK:
                return self._take_tender(leg, hook, op)
        if self._paid() < self.saga.amount:
            return self._go(State.AWAITING_TENDER)
        return self._go(State.SETTLING, pivot=self.now)

    def _take_tender(self, leg: Leg, hook: str, op: Op | None) -> None:
        far = self.far(leg.connection)
        if op is None:
            first = self._pursue(leg, hook)
            return self._fail(leg.name, None, "unavailable") if first.way is Way.STUCK else self._take(first)
        if op.state is OpState.DECLINED:
            return self._give_up(leg, op, "")
        if op.state in (OpState.NOT_SENT, OpState.GONE):
            if op.state is OpState.GONE or op.attempts >= NOT_SENT_MOST or op.outcome.get("code_lost"):
                return self._give_up(leg, op, "unavailable")
            return self._take(self.pursuer.pursue(leg, hook, op, far))
        # Ask once before giving up, however late it is: after an outage the customer may long have paid and gone.
        asks, close_at = queryable(far, hook), self._close_at(leg, hook, op)
        if self.now >= close_at and (op.queries or not asks):
            return self._undecided(leg, op, far)
        if hook == "payment_capture" and self.now < close_at and repeatable(far, hook, op, self.timing, self.now):
            self._take(self.pursuer.settle_unknown(leg, op, far))  # this needs no customer, and no code of theirs
            return self._wake(close_at)
        # A charge is never sent again, even where the adapter says that it could be: a payment code is single use.
        if asks:
            self._take(self.pursuer.find_out(leg, op, far))
            return self._wake(close_at if op.queries else None)
        if op.state is OpState.PENDING:
            return self._wake(close_at)
        return self._undecided(leg, op, far)

    def _undecided(self, leg: Leg, op: Op, far: Far) -> None:
        """Time is up for this payment: it is closed, or where nothing can be closed or asked, a person must say."""
        if queryable(far, op.hook) or self._closer().can_undo(leg, op):
            return self._give_up(leg, op, "undecided")
        detail = "ask the customer or the terminal whether this was paid"
        return self._task(leg.name, "payment-unknown", detail, "cashier", op.hook)

    def _close_at(self, leg: Leg, hook: str, op: Op) -> int:
        """When to stop waiting for this payment; a shown QR code is waited for as long as it or the checkout lives."""
        action = op.outcome.get("next_action") or {}
        if action.get("type") == "show_qr":
            # A code whose end is told by a clock that is off still gets the time that any payment gets.
            ends = end_of_code(action)
            patience = op.first_sent + self.timing.pay
            return self.saga.expires_at if ends is None else min(max(ends, patience), self.saga.expires_at)
        traits = self.far(leg.connection).traits(hook)
        own = self.saga.policy("close_after")
        if own is not None:  # the merchant knows its customers; beyond the checkout's own end nothing is held any more
            return min(op.first_sent + int(own), self.saga.expires_at)
        return op.first_sent + min(self.timing.seconds(traits.close_after_s), self.timing.pay)

    def _give_up(self, leg: Leg, op: Op, reason: str) -> None:
        """Give a tender up: the whole checkout with it, or wait for another one if the platform has asked for that."""
        if self.saga.doc.get("on_decline") != "await_tender" or self.now >= self.saga.expires_at:
            return self._fail(leg.name, op, reason)
        # Even a declined charge is closed before another one is asked for: a late duplicate may still be accepted.
        if self._close(leg, op):
            return self._replace_tender(leg)
        return None

    def _paid(self) -> int:
        """What is taken or held so far, over all tenders that were not declined."""
        declined = self._declined_legs()
        tenders = (*self.saga.doc["tenders"], *self.saga.progress.get("tenders", ()))
        return sum(tender["amount"] for tender in tenders if tender["leg"] not in declined)

    def _awaiting(self) -> None:
        """Wait for the next payer, until the checkout expires."""
        if self.saga.progress.get("cancel"):
            return self._fail("", None, "cancelled")
        if self.saga.progress.get("tender_added"):
            return self._go(State.RESERVING, tender_added=False)
        if self.now >= self.saga.expires_at:
            return self._fail("", None, "expired")
        return self._wake(self.saga.expires_at)

    def _settling(self) -> None:
        """Confirm and redeem side by side. The money is taken: what is unknown is resolved, never given up."""
        declined, without = self._declined_legs(), self.saga.without()
        legs = [(leg, hook) for leg, hook in self._legs(Phase.SETTLE) if tender_leg(leg) not in declined]
        legs = [(leg, hook) for leg, hook in legs if leg.name not in without]
        ways = [(leg, hook, self.ops.last(leg.name, hook), self._used(leg, hook)) for leg, hook in legs]
        refused = next(((leg, op) for leg, _, op, way in ways if way.way is Way.REFUSED), None)
        if refused is not None:
            return self._settling_refused(*refused, [(op, way) for _, _, op, way in ways])
        for leg, hook, op, way in ways:
            self._take(way)
            if way.way is Way.STUCK or (self._overdue(op) and way.way is not Way.DONE):
                detail = f"find out whether {hook} happened at {leg.adapter}"
                self._task(leg.name, "redemption-unknown", detail, hook=hook)
        if all(way.way is Way.DONE for *_, way in ways):
            self._go(State.POSTING, posting_since=self.now)
        return None

    def _settling_refused(self, leg: Leg, op: Op | None, ways: list[tuple[Op | None, Pursuit]]) -> None:
        """One was refused for good: what the others came to is found out first, because only what is known is undone.

        Nothing is begun any more.
        """
        for other, way in ways:
            begun = other is not None and other.state in MAYBE and other.state is not OpState.OK
            if begun and way.way is not Way.STUCK and not self._overdue(other):
                self._take(way)
        if not self.decision.todo and self.decision.wake_at is None:
            self._redemption_failed(leg, op)

    def _paying_back(self) -> None:
        self._forward(Phase.PAY, State.SETTLING)

    def _settling_back(self) -> None:
        self._forward(Phase.SETTLE, State.POSTING)

    def _forward(self, phase: Phase, after: State) -> None:
        """Pursue every leg of a phase to its end; a refusal is a person's case and stops what comes after."""
        unsettled = False
        for leg, hook in self._legs(phase):
            op = self.ops.last(leg.name, hook)
            way = self._pursue(leg, hook)
            unsettled |= way.way is not Way.DONE
            self._take(way)
            if way.way is Way.REFUSED:
                self._task(leg.name, "refund-refused", f"{leg.adapter} refused {hook}{told(op)}", hook=hook)
            elif way.way is Way.STUCK or (self._overdue(op) and way.way is not Way.DONE):
                detail = f"find out whether {hook} happened at {leg.adapter}"
                self._task(leg.name, "refund-unknown", detail, hook=hook)
        if not unsettled:
            self._go(after, posting_since=self.now)

    def _tail(self) -> None:
        self._tail_phase(Phase.POST)
        if not any(leg for leg, hook in self._legs(Phase.POST) if self.ops.last(leg.name, hook) is None):
            self._tail_phase(Phase.REWARD)
        if self.saga.kind not in (Kind.REFUND, Kind.RELEASE):
            self._watch_payments(self._declined_legs())

    # --- back --------------------------------------------------------------------------------------------------------

    def _closer(self) -> Closer:
        since = int(self.saga.progress.get("closing_since", 0))
        return Closer(self.ops, self.far, self.pursuer, self.timing, self.now, self.saga.by_hand(), since)

    def _close(self, leg: Leg, op: Op | None) -> bool:
        """Whether this tender is shown to hold no money; else it is pursued, or a person is asked."""
        way = self._closer().close(leg)
        self._take(way)
        if way.way is Way.STUCK or (self._overdue(op) and way.way is not Way.DONE):
            detail = f"give the money back by hand at {leg.adapter}, or show that none was taken"
            self._task(leg.name, "payment-not-closed", detail)
        return way.way is Way.DONE

    def _closing(self) -> None:
        """Money first: reverse and verify every tender that may have been taken."""
        legs = reversed(self._legs(Phase.PAY))
        closed = [self._close(leg, self.ops.last(leg.name, hook)) for leg, hook in legs]
        if all(closed):
            self._go(State.UNDOING)

    def _undoing(self) -> None:
        """Goods second: everything held is let go, everything used up is given back."""
        settled = [self._let_go(leg) for leg in reversed(self.legs)]
        if all(settled):
            cancelled = (self.saga.failure() or {}).get("reason") == "cancelled"
            self._go(State.CANCELLED if cancelled else State.FAILED)

    def _watching(self) -> None:
        """Look now and then whether money, or a hold, has come all the same after it was closed; give it back."""
        self._watch_payments({leg.name for leg in self.legs})
        for leg in self.legs:
            if leg.name in self.saga.by_hand():
                continue
            way = late_hold(leg, self.ops, self.far(leg.connection), self.pursuer, self.timing)
            self._take(way)
            if way.way is Way.STUCK or (way.way is not Way.DONE and self._overdue(self._cancel_of(leg))):
                self._task(leg.name, "undo-failed", f"give {leg.name} back by hand at {leg.adapter}")

    def _cancel_of(self, leg: Leg) -> Op | None:
        """The cancel of this leg's hold, if it is still to be settled."""
        undo = UNDO_HOOKS.get(leg.hook(Phase.HOLD) or "")
        op = self.ops.last(leg.name, undo) if undo else None
        return op if op is not None and op.state not in SETTLED else None

    def _watch_payments(self, legs: set[str]) -> None:
        closer, by_hand = self._closer(), self.saga.by_hand()
        for leg, hook in self._legs(Phase.PAY):
            op = self.ops.last(leg.name, hook)
            if leg.name not in legs or op is None or op.state is OpState.NOT_SENT:
                continue
            if op.state in MAYBE and op.outcome.get("asked") and leg.name not in by_hand:
                self._refund_late(leg, op, closer)
            else:
                self._take(closer.watch(leg, op))
                if leg.name not in by_hand and self._overdue_back(leg, SETTLED):
                    self._task(leg.name, "late-payment", f"give late money back by hand at {leg.adapter}")

    def _refund_late(self, leg: Leg, op: Op, closer: Closer) -> None:
        """Money came after the close: give it back by itself, and say so once."""
        way = closer.close(leg)
        self._take(way)
        if op.state is OpState.OK and way.todo is not None and not self.saga.progress.get("late"):
            self.decision.progress["late"] = True
            self.decision.events.append("checkout.late_payment_refunded")
        if way.way is Way.STUCK or (way.way is not Way.DONE and self._overdue_back(leg)):
            self._task(leg.name, "late-payment", f"give late money back by hand at {leg.adapter}")

    def _overdue_back(self, leg: Leg, ended: Collection[OpState] = (OpState.OK,)) -> bool:
        """Whether giving money back has gone on for too long."""
        undoes = (self.ops.last(leg.name, hook) for hook in ("payment_reverse", "payment_refund", "payment_release"))
        return any(self._overdue(op) and op is not None and op.state not in ended for op in undoes)
