"""Bugs that others shipped, or that are easily made, planted one at a time: each must be caught.

What a simulation does not catch when it is put in on purpose, it would not catch when it comes by accident.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from gateway.domain.errors import AdapterError, NotSent
from gateway.domain.outcomes import Declined
from gateway.engine import clock, closing, decide, driver, pursue, redeeming
from gateway.engine import outcomes as rules
from gateway.engine import round as rounds
from gateway.engine.model import OpState, Phase, State
from gateway.engine.pursue import DONE, Pursuit, Way
from gateway.store import holds, uses
from gateway.store import journal as sql
from tests.simulation import plans

Patch = Callable[[], Any]
#: name → (what is wrong, how it is put in).
BUGS: dict[str, tuple[str, tuple[Patch, ...]]] = {}


def bug(name: str, text: str, *patches: Patch) -> None:
    BUGS[name] = (text, patches)


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The engine with this bug in it."""
    patches = [make() for make in BUGS[name][1]]
    for each in patches:
        each.start()
    try:
        yield
    finally:
        for each in reversed(patches):
            each.stop()


def over(target: Any, name: str, new: Any) -> Patch:
    return lambda: patch.object(target, name, new)


def wrap(target: Any, name: str, around: Callable[..., Any]) -> Patch:
    """Replace a function by one that is also given the original."""
    original = getattr(target, name)
    return lambda: patch.object(target, name, lambda *args, **more: around(original, *args, **more))


def step(state: State, around: Callable[..., Any]) -> Patch:
    """Replace what is decided in one state."""
    return wrap(decide._Decider, decide._SELLING[state], around)


# --- the journal -----------------------------------------------------------------------------------------------------

bug(
    "no-fence",
    "a worker that lost its claim goes on writing",
    over(sql, "UPDATE_SAGA", sql.UPDATE_SAGA.replace("AND fence = :fence", "")),
    over(sql, "UPDATE_OP", sql.UPDATE_OP.replace("AND fence <= :fence", "")),
)
bug(
    "no-lease-no-fence",
    "two workers take the same saga, and both write",
    over(sql, "CLAIM", sql.CLAIM.replace("AND lease_until < :now", "")),
    over(sql, "CLAIM_DUE", sql.CLAIM_DUE.replace("AND lease_until < :now", "")),
    over(sql, "UPDATE_SAGA", sql.UPDATE_SAGA.replace("AND fence = :fence", "")),
    over(sql, "UPDATE_OP", sql.UPDATE_OP.replace("AND fence <= :fence", "")),
)
bug(
    "no-intent",
    "a change is sent before its intent is committed",
    wrap(
        sql,
        "write_ops",
        lambda write, tx, new, changed: write(
            tx,
            [row for row in new if row["state"] != "intent"],
            [row for row in changed if row["state"] != "intent"],
        ),
    ),
)
bug(
    "event-lost",
    "the event of an end is written in another transaction, and the worker dies between",
    wrap(
        sql,
        "insert_events",
        lambda insert, tx, rows: insert(tx, [row for row in rows if not row["type"].endswith(".completed")]),
    ),
)
bug(
    "number-not-unique",
    "a key is looked up and then taken, and two requests come at once",
    over(sql, "insert_key", lambda tx, row: True),
    over(sql, "INSERT_SAGA", sql.INSERT_SAGA.replace(":number,", ":number || '#' || :id,")),
)


# --- outcomes --------------------------------------------------------------------------------------------------------


def _timeout_is_failure(original: Any, op: Any, result: Any, *rest: Any) -> Any:
    if isinstance(result, AdapterError) and not isinstance(result, NotSent):
        result = Declined(code="timeout")
    return original(op, result, *rest)


def _not_found_is_final(original: Any, op: Any, result: Any, traits: Any, timing: Any, now: int) -> None:
    op.state, op.next_at = OpState.GONE, now
    op.outcome.pop("maybe", None)


def _orphan_never_left(original: Any, self: Any, saga: Any, op: Any, now: int) -> None:
    if op.state is OpState.INTENT:
        op.state, op.dirty = OpState.NOT_SENT, True


def _forget_maybe(original: Any, op: Any, result: Any, *rest: Any) -> Any:
    op.outcome.pop("maybe", None)
    return original(op, result, *rest)


bug("timeout-is-failure", "no answer in time is taken for a refusal", wrap(rules, "apply_sent", _timeout_is_failure))
bug(
    "not-found-is-final",
    "not found counts while it may still be on its way",
    wrap(rules, "_not_found", _not_found_is_final),
)
bug(
    "orphan-never-left",
    "what a dead worker meant to send counts as not sent",
    wrap(driver.Driver, "_orphaned", _orphan_never_left),
)
bug(
    "not-sent-after-all",
    "a repeat that could not be sent makes the first one not sent",
    wrap(rules, "apply_sent", _forget_maybe),
)
bug(
    "wall-clock-believed",
    "the engine goes by a wall clock that is turned under it",
    over(clock, "led", lambda line, up, right: clock.Line(line.boot, up, right)),
)
bug(
    "clock-taken-at-once",
    "a clock that was turned is taken over while something is under way",
    over(clock, "_busy", lambda tx: False),
)
bug(
    "return-forgotten",
    "a sale that is booked late wakes none of the refunds whose return waits for it",
    over(rounds, "tell_refunds", lambda *_: None),
)
bug("any-amount", "an answer about another amount is believed", over(rules, "EXACT", frozenset()))


# --- money -----------------------------------------------------------------------------------------------------------


def _trusting(original: Any, self: Any, leg: Any, charge: Any, *rest: Any) -> Pursuit:
    return DONE


def _close_declined_never(original: Any, self: Any, leg: Any) -> Pursuit:
    charge = self.ops.last(leg.name, "payment_charge")
    return DONE if charge is not None and charge.state is OpState.DECLINED else original(self, leg)


def _gives_up(original: Any, self: Any, leg: Any) -> Pursuit:
    found = original(self, leg)
    return DONE if found.way is Way.WAIT else found


def _swallows(original: Any, self: Any, leg: Any) -> Pursuit:
    found = original(self, leg)
    return DONE if found.way in (Way.STUCK, Way.REFUSED, Way.WAIT) else found


def _charges_again(original: Any, self: Any, leg: Any, hook: str, op: Any) -> Any:
    if op is not None and op.state is OpState.UNKNOWN:
        return self._take(self.pursuer.send(leg, hook, None, op.turn + 1))
    return original(self, leg, hook, op)


def _closing_skipped(original: Any, self: Any) -> None:
    self._go(State.UNDOING)


bug("cancel-trusted", "a cancel that says ok is not asked about", wrap(closing.Closer, "_verify", _trusting))
bug(
    "decline-trusted",
    "a declined charge is not closed",
    wrap(closing.Closer, "close", _close_declined_never),
    wrap(closing.Closer, "watch", _trusting),
)
bug("give-up-is-failed", "what takes too long counts as closed", wrap(closing.Closer, "close", _gives_up))
bug("compensation-swallowed", "a reversal that fails is passed over", wrap(closing.Closer, "close", _swallows))
bug(
    "no-late-watch",
    "late money is not looked for, nor a reversal verified",
    wrap(closing.Closer, "watch", _trusting),
    wrap(closing.Closer, "_verify", _trusting),
)
bug(
    "fresh-key",
    "an unknown charge is sent again under a new key",
    wrap(decide._Decider, "_take_tender", _charges_again),
)
bug("goods-first", "goods are let go before the payment is closed", step(State.CLOSING, _closing_skipped))
# --- what is held ----------------------------------------------------------------------------------------------------


def _repeats_all(original: Any, far: Any, hook: str, op: Any, timing: Any, now: int) -> bool:
    return True


def _forward_while_undoing(original: Any, self: Any) -> None:
    original(self)
    if self.decision.state is State.UNDOING and not self.decision.todo:
        for leg, hook in self._legs(Phase.SETTLE):
            if self.ops.last(leg.name, hook) is None:
                self._take(self.pursuer.send(leg, hook, None))


def _undoes_nothing_used(original: Any, leg: Any, ops: Any, far: Any, pursuer: Any) -> Any:
    for way, op in original(leg, ops, far, pursuer):
        yield (DONE if way.way in (Way.WAIT, Way.STUCK) else way), op


def _reads_then_writes(original: Any, tx: Any, row: Any, available: int, as_of: int) -> bool:
    tx.execute(holds._INSERT, {**row, "expires": 0})
    return True


bug("repeats-all", "what is not idempotent is repeated too", wrap(pursue, "repeatable", _repeats_all))
bug(
    "forward-while-undoing",
    "something forward is begun after the undo began",
    step(State.UNDOING, _forward_while_undoing),
)
bug(
    "undo-not-waited-for",
    "an undo whose outcome is unknown counts as done",
    wrap(redeeming, "undo_ways", _undoes_nothing_used),
)
bug(
    "late-hold-forgotten",
    "a hold that arrives after its cancel stays",
    wrap(decide, "late_hold", lambda original, *_: DONE),
)
bug(
    "lock-not-counted",
    "a code is locked without counting who holds it",
    wrap(holds, "take_count", _reads_then_writes),
)
bug(
    "confirm-not-needed",
    "the sale completes before what was held is used",
    step(State.SETTLING, lambda original, self: self._go(State.POSTING, posting_since=self.now)),
)

# --- the merchant's policies -----------------------------------------------------------------------------------------


def _honours_all(original: Any, saga: Any, leg: Any, op: Any) -> bool:
    return op is not None and op.outcome.get("reason") in redeeming._SPENT


def _down_if_unclear(original: Any, self: Any, op: Any, way: Any) -> str:
    found: str = original(self, op, way)
    return "unavailable" if found == "unresolved" else found


bug(
    "honours-vouchers",
    "a voucher that was spent elsewhere counts as paid, as a coupon that is honoured does",
    wrap(redeeming, "honoured", _honours_all),
)
bug(
    "without-what-may-be-held",
    "a part that may be left out while its system is down is left out though it may be held there",
    wrap(decide._Decider, "_hold_given_up", _down_if_unclear),
)
bug(
    "campaign-not-counted",
    "a campaign's uses are counted, and its limit is not asked about",
    wrap(uses, "hold", lambda hold, tx, use, limits, now: hold(tx, use, {}, now)),
)

# --- deposits, several payers, others' codes -------------------------------------------------------------------------


def _only_counted(original: Any, name: str, *rest: Any) -> Any:
    first, *more = original(name, *rest)
    return [first._replace(name=name, params={**first.params, "lock_of": name})] if more else [first]


def _captures_again(original: Any, self: Any, leg: Any, hook: str, op: Any) -> Any:
    if op is not None and op.state is OpState.UNKNOWN and hook == "payment_capture":
        return self._take(self.pursuer.send(leg, hook, None, op.turn + 1))
    return original(self, leg, hook, op)


def _all_shares(original: Any, self: Any) -> int:
    tenders = (*self.saga.doc["tenders"], *self.saga.progress.get("tenders", ()))
    return sum(tender["amount"] for tender in tenders)


def _goods_only(original: Any, self: Any, leg: Any, op: Any) -> None:
    self._go(State.UNDOING, failure={"leg": leg.name, "reason": "declined"})


def _lock_kept(original: Any, self: Any, leg: Any) -> None:
    self._await_another(leg)


def _whole_kind(original: Any, tx: Any, merchant: str, saga_id: str, kind: str, *rest: Any) -> None:
    holds.move(tx, merchant, saga_id, kind, "released", rest[-1])


_EARLIER = frozenset(BUGS)

bug(
    "deposit-only-counted",
    "what is drawn on a deposit that is only held is never captured",
    wrap(plans, "drawing_legs", _only_counted),
)
bug(
    "deposit-captured-twice",
    "a capture whose answer was lost is sent again under a new key",
    wrap(decide._Decider, "_take_tender", _captures_again),
)
bug(
    "declined-payer-counts",
    "the share of a payer whose tender was declined counts as paid once another one has paid",
    wrap(decide._Decider, "_paid", _all_shares),
)
bug(
    "redemption-back-money-stays",
    "a redemption that failed takes the others back, and the money stays",
    wrap(redeeming.Redeeming, "_redemption_failed", _goods_only),
)
bug(
    "lock-of-replaced-kept",
    "a tender is replaced by another, and what it held is not let go",
    wrap(redeeming.Redeeming, "_replace_tender", _lock_kept),
)
bug(
    "all-locks-go",
    "one tender that is replaced takes the locks of the others with it",
    wrap(holds, "give_back", _whole_kind),
)
bug(
    "answer-dated-when-heard",
    "an answer counts for when it was heard, not for when it was asked",
    wrap(rules, "apply_answer", lambda apply, *said, asked: apply(*said, asked=said[-1])),
)
#: Bugs that only show where there are deposits, several payers, and codes that others use.
NEEDS_MORE = frozenset(BUGS) - _EARLIER
#: Bugs that need a rare coincidence: from which seed to look for them. All others show within a few hundred worlds.
LOOK_FROM = {"all-locks-go": 180, "answer-dated-when-heard": 5_138_527}

__all__ = ["BUGS", "LOOK_FROM", "NEEDS_MORE", "planted"]
