"""The end of a sale: the bill into the till, then the rewards. Neither fails what is paid."""

from __future__ import annotations

from gateway.engine.model import Leg, Op, OpState, Phase, State
from gateway.engine.pursue import Way
from gateway.engine.words import Words, told


class Booking(Words):
    """Decides what comes after the money and the goods are settled."""

    def _posting(self) -> None:
        """Book the sale, then give the rewards; neither holds the customer up for long."""
        patient_until = self.saga.progress.get("posting_since", self.now) + self.timing.post_patience
        for phase in (Phase.POST, Phase.REWARD):
            if self._tail_phase(phase) and self.now < patient_until:
                return self._wake(patient_until)
        return self._go(State.COMPLETED)

    def _tail_phase(self, phase: Phase) -> bool:
        """Pursue what must not fail the sale; say whether it is worth waiting for."""
        worth_waiting = False
        for leg, hook in self._legs(phase):
            op = self.ops.last(leg.name, hook)
            deferred = op is not None and op.state is OpState.PENDING and self.far(leg.connection).traits(hook).deferred
            way = self._pursue(leg, hook)
            self._take(way)
            if way.way is Way.REFUSED:
                self._task(leg.name, f"{phase}-refused", f"{leg.adapter} refused {hook}{told(op)}", hook=hook)
            elif way.way is Way.STUCK:
                detail = f"see at {leg.adapter} whether {hook} happened, and do it by hand"
                self._task(leg.name, f"{phase}-unknown", detail, hook=hook)
            elif way.way is not Way.DONE:
                worth_waiting |= not deferred
                if op is not None and self.now >= self._tail_deadline(leg, hook, op):
                    detail = f"{hook} has not come to an end at {leg.adapter}"
                    self._task(leg.name, f"{phase}-overdue", detail, hook=hook)
        return worth_waiting

    def _tail_deadline(self, leg: Leg, hook: str, op: Op) -> int:
        in_flight = self.timing.seconds(self.far(leg.connection).traits(hook).max_in_flight_s)
        return op.first_sent + max(self.timing.task_after, in_flight)
