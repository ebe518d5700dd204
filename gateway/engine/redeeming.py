"""What to do when something cannot be used up after the money was taken, as the merchant's policy says."""

from __future__ import annotations

from gateway.domain.outcomes import DeclineReason
from gateway.engine.model import Leg, Op, OpState, Phase, Saga
from gateway.engine.pursue import DONE, REFUSED, Pursuit, Way
from gateway.engine.requests import tenders_of
from gateway.engine.undoing import undo_ways
from gateway.engine.words import Words, tender_leg, told

#: What a system says of a code that somebody else has used meanwhile.
_SPENT = frozenset({DeclineReason.COUPON_EXHAUSTED.value})


class Redeeming(Words):
    """Confirms and redemptions after the pivot, and what becomes of those that are refused."""

    def _used(self, leg: Leg, hook: str) -> Pursuit:
        """Pursue a use; one that the merchant honours all the same counts as done."""
        op = self.ops.last(leg.name, hook)
        if op is not None and op.state is OpState.GONE and op.outcome.get("by_hand") and op.outcome.get("reason"):
            return REFUSED  # a person has said that it will not be done: all is given back
        way = self._pursue(leg, hook)
        return DONE if way.way is Way.REFUSED and honoured(self.saga, leg, op) else way

    def _redemption_failed(self, leg: Leg, op: Op | None) -> None:
        """Everything else is known by now: give all back, await another tender, or ask a person."""
        said = self.saga.policy("redemption_failure")
        if said == "await_tender" and self._pays(leg) and self.now < self.saga.expires_at:
            return self._replace_tender(leg)
        if said == "task" and op is not None and op.state is not OpState.GONE:
            detail = f"{leg.adapter} refused {op.hook} after the money was taken{told(op)}: settle it by hand (done),"
            detail += " or have everything given back (not_done)"
            return self._task(leg.name, "redemption-refused", detail, hook=op.hook)
        return self._fail(leg.name, op)

    def _pays(self, leg: Leg) -> bool:
        """Whether this leg is a tender's: only then is there a difference that another tender can pay."""
        return any(tender["leg"] == tender_leg(leg) for tender in tenders_of(self.saga))

    def _replace_tender(self, leg: Leg) -> None:
        """Let go what the failed tender still holds, then wait for another one in its place."""
        failed, known = tender_leg(leg), self.saga.progress.get("replaced", ())
        parts = [part for part in self.legs if tender_leg(part) == failed]
        if failed not in known and any(part.hook(Phase.HOLD) or part.hook(Phase.SETTLE) for part in parts):
            return self._go(self.saga.state, replaced=sorted({*known, failed}))
        settled = [self._let_go(part) for part in parts]  # all of them, side by side
        return self._await_another(leg) if all(settled) else None

    def _let_go(self, leg: Leg) -> bool:
        """Undo this leg, which is no payment; whether it holds nothing any more."""
        if leg.name in self.saga.by_hand():
            return True
        settled = True
        for way, op in undo_ways(leg, self.ops, self.far(leg.connection), self.pursuer):
            settled &= way.way is Way.DONE
            self._take(way)
            if way.way in (Way.STUCK, Way.REFUSED) or (self._overdue(op) and way.way is not Way.DONE):
                self._task(leg.name, "undo-failed", f"give {leg.name} back by hand at {leg.adapter}")
        return settled


def honoured(saga: Saga, leg: Leg, op: Op | None) -> bool:
    """Whether this is a coupon that lowered the price, was spent elsewhere meanwhile, and is borne by the merchant.

    Not a voucher, which pays: honouring it would book money that nobody owes.
    """
    if op is None or not leg.name.startswith("coupon:") or saga.policy("spent_elsewhere") != "honour":
        return False
    return op.state is OpState.DECLINED and op.outcome.get("reason") in _SPENT
