"""What an outcome makes of an operation: the rules by which nothing unknown is ever called failed."""

from __future__ import annotations

from typing import Any

from gateway.domain.errors import AdapterError, NotSent, NotSupported, PluginError
from gateway.domain.outcomes import Answer, Change, Declined, Done, NotFound, Pending
from gateway.domain.traits import Traits
from gateway.engine.model import Op, OpState, Timing

#: Changes whose amount must come back as it was asked for; another amount is an unknown outcome.
EXACT = frozenset(
    {
        "payment_charge",
        "payment_refund",
        "payment_authorize",
        "payment_capture",
        "payment_release",
        "value_reserve",
        "value_return",
    }
)


def begin(op: Op, now: int) -> None:
    """Note the intent to send; committed before the first byte."""
    op.state = OpState.INTENT
    op.attempts += 1
    op.first_sent = op.first_sent or now
    op.last_sent = now
    op.dirty = True


def apply_sent(
    op: Op, result: Change | AdapterError, amount: int | None, traits: Traits, timing: Timing, now: int
) -> None:
    """The outcome of a send. ``amount`` is what was asked for."""
    op.dirty, op.finished = True, now
    match result:
        case Done():
            _done(op, result, amount, traits, timing, now)
        case Declined():
            _declined(op, result)
        case Pending():
            _pending(op, result, traits, timing, now)
        case NotSent() if not (op.outcome.get("maybe") or _begun(op)):
            op.state = OpState.NOT_SENT
            # What a system cannot do it cannot do in a minute either: that is a person's case at once.
            op.outcome["unsupported"] = isinstance(result, NotSupported)
            op.outcome["error"] = f"{type(result).__name__}: {result}"
            op.next_at = now + timing.pause(op, now, timing.backoff(op.attempts))
        case _:
            op.outcome["given_up"] = now
            _unknown(op, result, traits, timing, now)


def _begun(op: Op) -> bool:
    """Whether one of its messages was answered: what was not sent then is only the rest of it."""
    return any(step["done"] for step in op.steps)


def orphaned(op: Op, traits: Traits, timing: Timing, now: int) -> None:
    """An intent found on load belongs to a worker that died, or that still lives and may send until its deadline."""
    apply_sent(op, PluginError("the worker that sent this is gone"), None, traits, timing, now)
    op.outcome["given_up"] = now + timing.call


def apply_answer(
    op: Op, result: Answer | AdapterError, amount: int | None, traits: Traits, timing: Timing, now: int, asked: int
) -> None:
    """The answer to a query. An answer that never came changes nothing but when to ask again.

    ``asked`` is when the question left (milliseconds). The answer holds for that moment: by the time that it is heard
    and written down, what it did not find may have come.
    """
    op.dirty = True
    op.queries += 1
    if isinstance(result, AdapterError):
        op.outcome["error"] = f"{type(result).__name__}: {result}"
        op.outcome["unanswered"] = now
        op.next_at = now + timing.pause(op, now, timing.backoff(op.queries))
        return
    op.outcome["asked"] = op.finished = asked
    match result:
        case Done(amount=0) if amount:
            _declined(op, Declined(code="nothing-taken"), again=True)
        case Done():
            _done(op, result, amount, traits, timing, now)
        case Declined():
            _declined(op, result, again=True)
        case Pending():
            _pending(op, result, traits, timing, now)
        case NotFound():
            _not_found(op, result, traits, timing, now)


def _done(op: Op, result: Done, amount: int | None, traits: Traits, timing: Timing, now: int) -> None:
    if op.hook in EXACT and result.amount is not None and amount is not None and result.amount != amount:
        error = PluginError(f"asked for {amount}, the answer says {result.amount}")
        return _unknown(op, error, traits, timing, now)
    op.state = OpState.OK
    op.next_at = 0
    op.outcome = {**_kept(op), "ref": result.ref, "amount": result.amount, "facts": {**op.facts, **result.facts}}
    if result.replayed:
        op.outcome["replayed"] = True
    return None


def _declined(op: Op, result: Declined, again: bool = False) -> None:
    """``again``: an answer to a question. What was said of the refusal itself stands: asked later, a system only knows
    that the number is closed."""
    op.state = OpState.DECLINED
    op.next_at = 0
    if not (again and op.outcome.get("reason")):
        op.outcome |= {"reason": result.reason.value, "code": result.code, "message": result.message}
    op.outcome.pop("next_action", None)


def _pending(op: Op, result: Pending, traits: Traits, timing: Timing, now: int) -> None:
    op.state = OpState.PENDING
    op.next_at = now + timing.pause(op, now, timing.seconds(traits.poll_every_s))
    op.outcome["ref"] = result.ref or op.ref
    op.outcome["facts"] = {**op.facts, **result.facts}
    op.outcome["maybe"] = True
    if result.next_action is not None:
        op.outcome["next_action"] = {"type": result.next_action.type.value, **result.next_action.fields}


def _not_found(op: Op, result: NotFound, traits: Traits, timing: Timing, now: int) -> None:
    """Not found counts only if it was asked when the request could no longer be on its way."""
    quiet_at = timing.quiet_at(op, traits)
    if result.final or op.outcome["asked"] >= quiet_at:
        op.state = OpState.GONE
        op.next_at = now + timing.pause(op, now, 0)
        op.outcome.pop("maybe", None)
        return
    op.state = OpState.UNKNOWN
    op.next_at = min(quiet_at, now + timing.pause(op, now, timing.backoff(op.queries)))


def _unknown(op: Op, error: AdapterError | Any, traits: Traits, timing: Timing, now: int) -> None:
    op.state = OpState.UNKNOWN
    op.outcome["maybe"] = True
    op.outcome["error"] = f"{type(error).__name__}: {error}"
    pause = timing.backoff(max(op.attempts, op.queries))
    if now < op.first_sent + timing.pay:  # somebody is waiting for it
        pause = min(pause, max(timing.seconds(traits.poll_every_s), 1))
    op.next_at = now + timing.pause(op, now, pause)


def _kept(op: Op) -> dict[str, Any]:
    return {name: op.outcome[name] for name in ("asked", "maybe", "given_up") if name in op.outcome}
