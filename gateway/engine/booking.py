"""The end of a sale: the bill into the till, then the rewards. Neither fails what is paid."""

from __future__ import annotations

from gateway.engine.model import Leg, Op, OpState, Phase, State
from gateway.engine.pursue import Way
from gateway.engine.unbooked import needless, waits
from gateway.engine.words import NOT_SENT_MOST, Words, told


class Booking(Words):
    """Decides what comes after the money and the goods are settled."""

    def _posting(self) -> None:
        """Book the sale, then give the rewards; neither holds the customer up for long."""
        patient_until = self.saga.progress.get("posting_since", self.now) + self.timing.post_patience
        refused = self._unbooked()
        if refused is not None:
            return self._fail(*refused)
        for phase in (Phase.POST, Phase.REWARD):
            if self._tail_phase(phase) and self.now < patient_until:
                return self._wake(patient_until)
        return self._go(State.COMPLETED)

    def _unbooked(self) -> tuple[str, Op] | None:
        """A till that refused the sale of a merchant who then gives the money back, while the customer still waits."""
        if self.saga.policy("post_failure") != "refund":
            return None
        ops = ((leg.name, self.ops.last(leg.name, hook)) for leg, hook in self._legs(Phase.POST))
        return next(((name, op) for name, op in ops if op is not None and op.state is OpState.DECLINED), None)

    def _tail_phase(self, phase: Phase) -> bool:
        """Pursue what must not fail the sale; say whether it is worth waiting for."""
        worth_waiting, without = False, self.saga.without()
        for leg, hook in self._legs(phase):
            if leg.name in without or self._not_now(phase, leg, hook):
                continue
            op = self.ops.last(leg.name, hook)
            way = self._pursue(leg, hook)
            down = _is_down(op)
            if down and leg.params.get("when_down") == "without":
                self._leave_out(leg)
                continue
            self._take(way)
            if way.way is Way.REFUSED:
                self._task(leg.name, f"{phase}-refused", f"{leg.adapter} refused {hook}{told(op)}", hook=hook)
            elif way.way is Way.STUCK:
                detail = f"see at {leg.adapter} whether {hook} happened, and do it by hand"
                self._task(leg.name, f"{phase}-unknown", detail, hook=hook)
            elif way.way is not Way.DONE:
                worth_waiting |= not (down or self._seen_later(leg, hook, op))
                self._overdue_tail(phase, leg, hook, op)
        return worth_waiting

    def _not_now(self, phase: Phase, leg: Leg, hook: str) -> bool:
        """Whether nothing is to be done now: a return waits for its sale, a slot is left as it is, or all of the sale
        was given back before it got there."""
        if waits(self.saga, leg) or (leg.params.get("slot") and self._left_as_it_is(leg, hook)):
            return True
        return needless(self.saga, phase, self.ops.last(leg.name, hook))

    def _left_as_it_is(self, leg: Leg, hook: str) -> bool:
        """Whether nothing is to be done now for a slot that a refund frees: somebody has, its session is to be closed
        first, or its system cannot or will not. Then it stays booked, and a person is asked only if it was asked for.
        """
        before = leg.params.get("after")
        if leg.name in self.saga.by_hand() or (before and not self._freed(before)):
            return True
        op, way = self.ops.last(leg.name, hook), self._pursue(leg, hook)
        cannot = way.way is Way.STUCK and (op is None or op.outcome.get("unsupported"))
        if way.way is not Way.REFUSED and not cannot and not leg.params.get("unable"):
            return False
        if leg.params["asked"]:
            detail = f"the slot stays booked at {leg.adapter}: free it there by hand{told(op)}"
            self._task(leg.name, "slot-not-returned", detail, hook=hook)
        return True

    def _freed(self, session: str) -> bool:
        op = self.ops.last(session, "session_close")
        return session in self.saga.by_hand() or (op is not None and op.state is OpState.OK)

    def _leave_out(self, leg: Leg) -> None:
        """What the merchant can do without is not given later either; the decision goes on."""
        self.decision.progress["without"] = sorted(
            {*self.decision.progress.get("without", self.saga.without()), leg.name}
        )

    def _seen_later(self, leg: Leg, hook: str, op: Op | None) -> bool:
        return op is not None and op.state is OpState.PENDING and self.far(leg.connection).traits(hook).deferred

    def _overdue_tail(self, phase: Phase, leg: Leg, hook: str, op: Op | None) -> None:
        if op is not None and self.now >= self._tail_deadline(leg, hook, op):
            detail = f"{hook} has not come to an end at {leg.adapter}"
            self._task(leg.name, f"{phase}-overdue", detail, hook=hook)

    def _tail_deadline(self, leg: Leg, hook: str, op: Op) -> int:
        in_flight = self.timing.seconds(self.far(leg.connection).traits(hook).max_in_flight_s)
        return op.first_sent + max(self.timing.task_after, in_flight)


def _is_down(op: Op | None) -> bool:
    """Whether provably nothing of this change has left us, more than once: its system is down."""
    if op is None or op.state is not OpState.NOT_SENT or op.outcome.get("maybe"):
        return False
    return op.attempts >= NOT_SENT_MOST
