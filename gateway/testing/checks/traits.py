"""Every claimed trait is tried: what the suite cannot show counts as false."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from gateway.domain.traits import Traits
from gateway.hookspecs import UNDO_HOOKS
from gateway.testing.bench import Bench, Stage, moved, told
from gateway.testing.chains import DERIVED, Made, part_of, rest_of
from gateway.testing.checks import doubles, repeats
from gateway.testing.checks.claims import NotShown, Refuted, must_be, must_show
from gateway.testing.ladder import Verdict
from gateway.testing.profile import Missing, Profile

RULE = "traits_proved"
#: How shortly before and after its time a hold is looked at, in seconds.
_JUST_S = 5.0
_DAY_S = 86_400.0
_UNDONE_BY = {undo: change for change, undo in UNDO_HOOKS.items()}


def check(bench: Bench, hook: str) -> None:
    """Try all that is claimed of one hook."""
    traits = bench.traits(hook)
    for name, claimed, trial in _TRIALS:
        if not claimed(bench, hook, traits):
            continue
        if name in _BY_CLOCK and bench.ground.foreign is not None and _on_a_simulator(bench.profile):
            why = "its clock can't be moved here: the run on the simulator shows it"
            bench.report.add(RULE, Verdict.UNCLAIMED, hook, name, why)
            continue
        try:
            with bench.stage(hook) as stage:
                said = trial(bench, stage, hook, traits)
        except Refuted as seen:
            bench.report.refuted(RULE, hook, name, str(seen))
        except (NotShown, Missing, RuntimeError) as trouble:
            bench.report.not_shown(RULE, hook, name, str(trouble))
        else:
            if said is not None:
                bench.report.shown(RULE, hook, name, said)


#: What is tried by moving both clocks, which no real system lets itself be done to.
_BY_CLOCK = frozenset({"reserve_ttl_s", "extendable", "reverse_window_s", "refund_window_days", "reverse_not_before_s"})


def _on_a_simulator(profile: Profile) -> bool:
    """Whether the same adapter has a profile with a simulator beside this one."""
    others = [each for each in _profiles(Profile) if each.adapter.name == profile.adapter.name]
    return any(each.simulator is not None and each.foreign is None for each in others)


def _profiles(kind: type[Profile]) -> Iterator[type[Profile]]:
    for each in kind.__subclasses__():
        if hasattr(each, "adapter"):
            yield each
        yield from _profiles(each)


def _queryable(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str | None:
    """Done, never sent and refused are told apart. What is unknown in between, the faults try."""
    request = stage.request()
    far = stage.far
    made, came = far.change(hook, request)
    made, came = far.settled(made, came)
    must_be(came, "done", what="a valid request")
    asked = far.query(made)
    if asked.kind == "not_supported":
        bench.report.add(RULE, Verdict.UNCLAIMED, hook, "queryable", asked.text)
        return None
    must_be(asked, "done", what="a query about what was done")
    unseen = Made(hook, far.key(), stage.request())
    if unseen.request != request:
        asked = stage.far.query(unseen)
        must_be(asked, "not_found", "not_supported", what="a query about what was never sent")
    told_apart = ["done", "never sent"]
    for _, refused in bench.profile.declines(stage.far, hook):
        made, came = stage.far.change(hook, refused)
        if came.kind == "declined":
            asked = stage.far.query(made)
            must_be(asked, "declined", "not_found", "pending", what="a query about what was refused")
            told_apart.append("refused")
            break
    if _still_known(stage, hook):
        told_apart.append("done the day before")
    return f"tells apart: {', '.join(told_apart)}"


def _still_known(stage: Stage, hook: str) -> bool:
    """Whether what was done is known a day later, when a gateway that was down comes back: a number or a date that is
    made of today's would find nothing. A system that keeps it no longer leaves it unknown."""
    if stage.far.foreign is not None:
        return False
    request = stage.request()
    made = stage.far.do(hook, request)
    with stage.far.later(_DAY_S):
        asked = stage.far.query(made)
    must_be(asked, "done", "pending", "unknown", "not_supported", what="a query about it a day later")
    return asked.kind == "done"


def _reversible(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str | None:
    """The undo brings the books back to where they were."""
    undo = UNDO_HOOKS[hook]
    if hook.endswith("_confirm"):
        return None  # what undoes it refers to the hold: tried with that
    request = stage.request()
    far = stage.far
    before = far.quiet()
    made = far.do(hook, request)
    undone, came = far.change(undo, far.profile.request(undo, far, made))
    undone, came = far.settled(undone, came)
    must_be(came, "done", what=undo)
    left = bench.profile.leaves.get(hook, ())
    still = {name: value for name, value in moved(before, far.quiet()).items() if name not in left}
    must_show(still, {}, f"{hook}, then {undo}")
    return f"{undo} brings the books back"


def _partial(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str | None:
    """A part, then the rest; or, where no part is possible, a part is refused and nothing happens."""
    whole = stage.request()
    part = part_of(hook, whole)
    if part is None:
        return None
    far, effect = stage.far, bench.measured[hook].effect
    before = far.quiet()
    made, came = far.change(hook, part)
    came = far.settled(made, came)[1]
    first = moved(before, far.quiet())
    if not traits.partial:
        if came.kind == "done" and first != dict(effect):
            raise Refuted(f"a part is possible after all: {told(first)}")
        return "a part is refused"
    must_be(came, "done", what="a part of it")
    if not first or first == dict(effect):
        raise Refuted(f"half of it: the books show {told(first)}, the whole is {told(effect)}")
    if hook == "payment_capture":
        return f"a part ({told(first)}); what becomes of the rest is the release's matter"
    rest = far.change(hook, rest_of(hook, whole, part))
    must_be(far.settled(*rest)[1], "done", what="the rest of it")
    must_show(moved(before, far.quiet()), effect, "a part and the rest")
    return f"a part ({told(first)}), then the rest"


def _reserve_ttl(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """A hold ends by itself after its time, and not before: the books tell, just before and just after.

    A system that lets go only when somebody else wants the same may show it still: then the next hold takes its place.
    """
    assert traits.reserve_ttl_s is not None
    ttl, request = traits.reserve_ttl_s, stage.request()
    far, effect = stage.far, bench.measured[hook].effect
    before = far.quiet()
    far.do(hook, request)
    with far.later(ttl - min(_JUST_S, ttl / 20)):
        must_show(moved(before, far.quiet()), effect, "just before its time is over")
    with far.later(ttl + _JUST_S):
        bench.profile.advance(far)
        left = moved(before, far.quiet())
        if left:
            _, again = far.change(hook, replace(request), key=far.key())
            now = moved(before, far.quiet())
            if again.kind != "done" or now != dict(effect):
                raise Refuted(
                    f"{ttl + _JUST_S:.0f} s later it is still held: the books show {told(left)}, and another hold of "
                    f"the same came to {again}, after which they show {told(now)}"
                )
    return f"let go after {ttl:.0f} s"


def _extendable(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """Asking again with the same key prolongs a hold."""
    if traits.reserve_ttl_s is None:
        raise NotShown("claimed without reserve_ttl_s")
    request, ttl = stage.request(), traits.reserve_ttl_s
    far, effect = stage.far, bench.measured[hook].effect
    before = far.quiet()
    made = far.do(hook, request)
    with far.later(ttl * 0.8):
        must_be(far.change(hook, request, key=made.key, attempt=2)[1], "done", what="asking again")
    with far.later(ttl * 1.4):
        must_show(moved(before, far.quiet()), effect, "after it was prolonged")
    return "asking again prolongs it"


def _window(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """After its time an undo is refused, and changes nothing."""
    seconds = traits.reverse_window_s
    if seconds is None:
        seconds = float((traits.refund_window_days or 0) * 86_400)
    limit = f"{traits.refund_window_days} days" if _in_days(traits) else f"{seconds:.0f} s"
    undo = hook if hook in _UNDONE_BY or hook == "payment_refund" else UNDO_HOOKS.get(hook, "")
    if undo not in bench.changes:
        raise NotShown("there is no undo to which it could apply")
    if hook != undo:
        return "see its undo"
    request = stage.request()
    far = stage.far
    before = far.quiet()
    with far.later(seconds + 3600):
        _, came = far.change(hook, request)
        late = moved(before, far.quiet())
    if came.kind == "done" or late:
        raise NotShown(f"{limit} and an hour later it is {came.kind}: the simulator does not hold the limit")
    return f"refused after {limit}: {came}"


def _not_before(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """An undo that comes too early is not done. The profile's own request may have let the time pass: not here."""
    far = stage.far
    change = _UNDONE_BY[hook]
    request = DERIVED[hook](far.do(change, far.profile.request(change, far)))
    before = far.quiet()
    _, came = far.change(hook, request)
    if came.kind == "done" or moved(before, far.quiet()):
        raise NotShown("done at once: the limit is not needed")
    with far.later(traits.reverse_not_before_s + 1):
        must_be(far.change(hook, request)[1], "done", what=f"after {traits.reverse_not_before_s:.0f} s")
    return f"too early is {came.kind}"


def _deferred(bench: Bench, stage: Stage, hook: str, traits: Traits) -> str:
    """The answer is pending at first, and done once the far system has come round to it."""
    request = stage.request()
    made, first = stage.far.change(hook, request)
    if first.kind == "done":
        raise Refuted("done at once: it is not deferred")
    must_be(first, "pending", what="the change")
    must_be(stage.far.settled(made, first)[1], "done", what="the query after a while")
    return "pending, then done"


def _declared(name: str) -> Callable[[Bench, Stage, str, Traits], str]:
    return lambda bench, stage, hook, traits: f"{getattr(traits, name):g} s: a wish, nothing to show"


def _undo_there(bench: Bench, hook: str, traits: Traits) -> bool:
    return UNDO_HOOKS.get(hook, "") in bench.hooks


def _in_days(traits: Traits) -> bool:
    return traits.reverse_window_s is None and traits.refund_window_days is not None


Trial = Callable[[Bench, Stage, str, Traits], str | None]

#: Name, when it is claimed, and how it is tried.
_TRIALS: tuple[tuple[str, Callable[[Bench, str, Traits], bool], Trial], ...] = (
    ("queryable", lambda bench, hook, traits: any(h.endswith("_query") for h in _family(bench, hook)), _queryable),
    ("reversible", _undo_there, _reversible),
    ("idempotent", lambda bench, hook, traits: traits.idempotent, repeats.idempotent),
    ("doubled", doubles.possible, doubles.doubled),
    ("tombstone", lambda bench, hook, traits: traits.tombstone, repeats.tombstone),
    ("partial", lambda bench, hook, traits: True, _partial),
    ("reserve_ttl_s", lambda bench, hook, traits: traits.reserve_ttl_s is not None, _reserve_ttl),
    ("extendable", lambda bench, hook, traits: traits.extendable, _extendable),
    ("reverse_window_s", lambda bench, hook, traits: traits.reverse_window_s is not None, _window),
    ("refund_window_days", lambda bench, hook, traits: _in_days(traits), _window),
    ("reverse_not_before_s", lambda bench, hook, traits: traits.reverse_not_before_s > 0, _not_before),
    ("deferred", lambda bench, hook, traits: traits.deferred, _deferred),
)
TRAIT_NAMES = ("queryable", "reversible", *(field.name for field in fields(Traits)))


def _family(bench: Bench, hook: str) -> list[str]:
    from gateway.hookspecs import FAMILY_OF

    return [name for name in bench.hooks if FAMILY_OF[name] == FAMILY_OF[hook]]


def about(bench: Bench) -> None:
    """What is claimed of the adapter as a whole: currencies, and calls side by side."""
    first = next((hook for hook in bench.changes if hasattr(bench.measured[hook], "effect")), "")
    money = next((hook for hook in bench.changes if hook in ("payment_charge", "payment_authorize")), "")
    if money:
        _tried(bench, money, "currencies", _currencies)
    if first and bench.profile.adapter.about.max_parallel > 1:  # else there is nothing side by side
        _tried(bench, first, "max_parallel", _parallel)


def _tried(bench: Bench, hook: str, name: str, trial: Callable[[Bench, Stage, str], str]) -> None:
    try:
        with bench.stage(hook) as stage:
            bench.report.shown(RULE, "", name, trial(bench, stage, hook))
    except Refuted as seen:
        bench.report.refuted(RULE, "", name, str(seen))
    except (NotShown, Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, "", name, str(trouble))


def _currencies(bench: Bench, stage: Stage, hook: str) -> str:
    request = replace(stage.request(), currency="XTS")
    before = stage.far.quiet()
    _, came = stage.far.change(hook, request)
    effect = moved(before, stage.far.quiet())
    if effect or came.kind == "done":
        raise Refuted(f"a charge in another currency is {came.kind}: {told(effect)}")
    return f"another currency is {came.kind.replace('_', ' ')}"


def _parallel(bench: Bench, stage: Stage, hook: str) -> str:
    """As many calls side by side as it allows: each acts once."""
    many = min(bench.profile.adapter.about.max_parallel, 4)
    requests = [stage.request() for _ in range(many)]
    far = stage.far
    before, came = far.quiet(), []

    def once(request: Any) -> None:
        made, answer = far.change(hook, request, seconds=far.profile.deadline_s * many)
        came.append(far.settled(made, answer)[1])

    threads = [threading.Thread(target=once, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    done = [each for each in came if each.kind == "done"]
    busy = [each for each in came if each.kind == "not_sent"]
    expected = {name: value * len(done) for name, value in bench.measured[hook].effect.items()}
    if not done or len(done) + len(busy) != many:
        odd = next((str(each) for each in came if each.kind not in ("done", "not_sent")), "no answer")
        raise Refuted(f"{many} calls of {hook} side by side: {odd}")
    must_show(moved(before, far.quiet()), expected, f"{many} calls of {hook} side by side")
    late = f", {len(busy)} were not sent" if busy else ""
    return f"{many} calls of {hook} side by side act {len(done)} times{late}"
