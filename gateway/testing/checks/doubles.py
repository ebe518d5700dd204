"""The same message twice: what the far system gets when something on the way sends a request a second time.

A hook that claims to be idempotent must then act once, in whole and in parts, whichever of the two copies is answered.
What is not claimed can't be asked for: no adapter knows of a copy that was made behind its back. What the system makes
of it is told all the same; that nothing of the adapter's own sends twice is what the faults try.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from gateway.domain.traits import Traits
from gateway.testing.bench import Bench, Stage, Tally, moved, told
from gateway.testing.chains import part_of, rest_of
from gateway.testing.checks.claims import Refuted, must_be, must_show
from gateway.testing.far import Far
from gateway.testing.ladder import Verdict
from gateway.testing.outcome import Outcome
from gateway.testing.proxy import Plan
from gateway.testing.resolver import resolve

_AT_WORK_S = 0.3


@dataclass(frozen=True, slots=True)
class Doubling:
    """One way to double a message: by the proxy at message ``at``, or by the simulator (``at`` is 0)."""

    plan: str
    at: int = 0

    def __str__(self) -> str:
        if not self.at:
            return "taken twice by the system"
        first = ", the copy's answer arriving" if self.plan == "double_first" else ""
        return f"message {self.at} doubled on the way{first}"


def possible(bench: Bench, hook: str, traits: Traits) -> bool:
    """Whether it is tried: for each hook on a simulator; on a real system as a fault, and for what is claimed."""
    return bench.ground.foreign is None or traits.idempotent


def doubled(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str | None:
    """Double each message; then a part and the rest of it. One effect, if the hook claims to be idempotent."""
    effect, tried, acted = bench.measured[hook].effect, 0, ""
    for way in _ways(bench, stage.far, hook):
        request = stage.request()
        seen = _struck(stage.far, hook, request, way, traits.idempotent)
        if seen is None:
            continue
        tried += 1
        came, now = seen
        if traits.idempotent:
            must_show(now, effect, f"{way}, answered {came}")
            must_be(came, "done", "pending", "unknown", "not_sent", what=f"the answer with {way}")
        elif came.kind == "done" and not now:
            raise Refuted(f"{way}: done, and the books show nothing")
        elif now and now != dict(effect):
            acted = f"{way}: the books show {told(now)}"
    if acted:
        bench.report.add("traits_proved", Verdict.UNCLAIMED, hook, "doubled", f"not idempotent: {acted}")
    if acted or not tried:
        return None
    parts = _parts(bench, stage, hook) if traits.idempotent and traits.partial else ""
    return f"{tried} times doubled{parts}: never more than one effect"


def _ways(bench: Bench, far: Far, hook: str) -> list[Doubling]:
    messages = bench.measured[hook].messages
    numbers = sorted({1, messages} - {0}) if bench.quick else range(1, messages + 1)
    found = [Doubling(plan, at) for at in numbers for plan in ("double", "double_first")]
    return [*found, Doubling("duplicate")] if "duplicate" in far.knows else found


def _struck(far: Far, hook: str, request: Any, way: Doubling, idempotent: bool = True) -> tuple[Outcome, Tally] | None:
    """What came of a change while a message was doubled, and its effect; ``None``: it had no chance."""
    before = far.quiet()
    if way.at:
        far.line.set(Plan(way.plan, way.at))
    else:
        far.faults({"name": way.plan, "times": 1})
    made, came = far.change(hook, request)
    happened = far.line.fired if way.at else far.fired()
    far.line.set(None)
    far.faults()
    made, came = far.settled(made, came)
    if came.kind in ("unknown", "not_sent"):
        time.sleep(_AT_WORK_S)  # the system may still be at work on the copy that was not answered
        if idempotent:
            resolve(far, made, came)  # it is repeated, as the engine does: one effect then
    return (came, moved(before, far.quiet())) if happened else None


def _parts(bench: Bench, stage: Stage, hook: str) -> str:
    """A part and the rest, each doubled: together the effect of the whole, and no more."""
    if part_of(hook, stage.request()) is None:
        return ""
    effect = bench.measured[hook].effect
    alone = _alone(stage, hook)
    for way in _ways(bench, stage.far, hook):
        whole = stage.request()
        far, part = stage.far, part_of(hook, whole)
        before = far.quiet()
        seen = _struck(far, hook, part, way)
        if seen is None or alone is None:
            continue
        must_show(seen[1], alone, f"a part, {way}, answered {seen[0]}")
        rest = _struck(far, hook, rest_of(hook, whole, part), way)
        answered = f"{seen[0]} and {rest[0] if rest else 'nothing'}"
        must_show(moved(before, far.quiet()), effect, f"a part and the rest, each with {way}, answered {answered}")
    return ", a part and the rest too"


def _alone(stage: Stage, hook: str) -> Tally | None:
    """What a part moves by itself; ``None`` where a part is refused, which is another trial's matter."""
    part = part_of(hook, stage.request())
    far = stage.far
    before = far.quiet()
    came = far.settled(*far.change(hook, part))[1]
    return moved(before, far.quiet()) if came.kind == "done" else None
