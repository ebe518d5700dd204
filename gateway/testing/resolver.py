"""The resolver's procedure in small: what the engine does with an outcome that nobody knows, against one far system."""

from __future__ import annotations

import time
from dataclasses import dataclass

from gateway.domain.traits import Traits
from gateway.hookspecs import UNDO_HOOKS
from gateway.testing.chains import Made
from gateway.testing.far import Far
from gateway.testing.outcome import Outcome

_ROUNDS = 8
#: The pauses between questions double: in all they are longer than a far system hangs in these tests.
_PAUSE_S = 0.03


@dataclass(frozen=True, slots=True)
class End:
    """How it ended: ``done``, ``declined``, ``undone`` or ``person``, and by what way."""

    kind: str
    way: str = ""


def resolve(far: Far, made: Made, came: Outcome) -> End:
    """Bring a change to its end: ask where it can be asked for, repeat where that acts once, else a person's case.

    A charge by payment code is never repeated once it may have been sent: it is closed by its undo. So is what stays
    pending.
    """
    traits = far.profile.adapter.traits.get(made.hook, Traits())
    again_is_once = traits.idempotent or far.embedded  # with the engine's own commit, or not at all
    attempt = 1
    for number in range(_ROUNDS):
        time.sleep(_PAUSE_S * 2**number if number > 1 else 0)
        if came.kind in ("done", "declined"):
            return End(came.kind, "asked" if attempt == 1 else f"attempt {attempt}")
        if came.kind in ("plugin_error", "hung", "misconfigured", "not_supported"):
            came = Outcome("unknown")
        if came.kind == "not_sent" or (came.kind == "unknown" and again_is_once and not _single_use(made)):
            attempt += 1
            again, came = far.change(made.hook, made.request, key=made.key, attempt=attempt, steps=made.steps)
            made = _joined(made, again)
            continue
        if not far.queryable(made.hook):
            return End("person", "neither idempotent nor queryable")
        asked = far.query(made)
        if asked.kind == "not_found" and not asked.answer.final:  # the engine waits until it can be no more
            far.profile.advance(far)
            asked = far.query(made)
        if asked.kind == "not_supported":
            return End("person", f"neither idempotent nor queryable: {asked.text}")
        if asked.kind == "not_found":
            if _single_use(made):
                return _closed(far, made)
            came = Outcome("not_sent")
            continue
        came = asked if asked.kind in ("done", "declined", "pending") else Outcome("unknown")
        if came.kind == "pending":
            far.profile.advance(far)
            made, came = far.settled(made, came)
            if came.kind == "pending":
                return _closed(far, made)
    return End("person", f"still {came.kind} after {_ROUNDS} rounds")


def _single_use(made: Made) -> bool:
    return getattr(made.request, "auth_code", None) is not None


def _joined(made: Made, again: Made) -> Made:
    return Made(made.hook, made.key, made.request, again.answer or made.answer, made.sent_at, again.steps)


def _closed(far: Far, made: Made) -> End:
    """Close a charge that was not found: after this no money can be taken under its key."""
    undo = UNDO_HOOKS.get(made.hook, "")
    if undo not in far.adapter_hooks:
        return End("person", f"{made.hook} was not done, and can't be closed")
    closing, came = far.change(undo, far.profile.request(undo, far, made))
    end = resolve(far, closing, came) if closing.hook != made.hook else End("person")
    if end.kind == "done":
        return End("undone", "closed")
    last = f", {end.way}" if end.way else ""
    return End("person", f"then closed by {undo}, which answered {came} and came to {end.kind}{last}")
