"""Every fault at every message of every change: the right outcome class, one effect at most, and an end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.testing.bench import Bench, Stage, Tally, moved, told
from gateway.testing.chains import Made
from gateway.testing.far import Far, Outcome
from gateway.testing.profile import Missing
from gateway.testing.proxy import HTTP_ONLY, NETWORK_FAULTS, Plan
from gateway.testing.resolver import resolve

RULE = "outcome_classes"
PERSON = "no_person_needed"
QUICK = ("refuse", "hold", "silence", "reset", "half", "garbage")
#: Faults of the simulator's own panel, with their parameter: what no network can do to an answer.
PANEL = {
    "drop_before": 0,
    "drop_after": 0,
    "error": 0,
    "wrong_amount": 1,
    "wrong_id": 0,
    "bad_signature": 0,
    "wrong_encoding": 0,
    "half_body": 0,
    "garbage": 0,
    "late_success": 150,
}
QUICK_PANEL = ("drop_after", "error", "wrong_amount", "wrong_id", "bad_signature")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to try: made by the proxy at a message, by the simulator's panel, or by the request itself."""

    name: str
    at: int = 0
    request: Any = None

    def __str__(self) -> str:
        if self.request is not None:
            return f"request that is '{self.name}'"
        return f"{self.name} at message {self.at}" if self.at else f"{self.name} (simulator)"


def check(bench: Bench, hook: str) -> None:
    """Try every fault on one hook."""
    tried = wrong = persons = 0
    try:
        with bench.stage(hook) as stage:
            for fault in _faults(bench, stage, hook):
                tried += 1
                problem, person = one(bench, stage, hook, fault)
                if problem:
                    wrong += 1
                    bench.report.refuted(RULE, hook, str(fault), problem)
                if person:
                    persons += 1
                    bench.report.not_shown(PERSON, hook, str(fault), f"needs a person: {person}")
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, hook, "", f"no more requests could be made: {trouble}")
        return
    if tried and not wrong:
        bench.report.shown(RULE, hook, "", f"{tried} faults")
    if tried and not persons:
        bench.report.shown(PERSON, hook, "", f"{tried} faults")
    if not tried:
        bench.report.not_shown(RULE, hook, "", "there is nothing between adapter and system to spoil, and no trouble()")


def _faults(bench: Bench, stage: Stage, hook: str) -> Iterator[Fault]:
    messages = bench.measured[hook].messages
    at = range(1, messages + 1) if not bench.quick else sorted({1, messages} - {0})
    for name in QUICK if bench.quick else NETWORK_FAULTS:
        if name in HTTP_ONLY and not stage.far.line.is_http:
            continue
        yield from (Fault(name, number) for number in at if name != "refuse" or number == 1)
    known = stage.far.knows
    for name in QUICK_PANEL if bench.quick and messages else PANEL:
        if name in known:
            yield Fault(name)
    for name, request in bench.profile.trouble(stage.far, hook).items():
        yield Fault(name, request=request)


def one(bench: Bench, stage: Stage, hook: str, fault: Fault) -> tuple[str, str]:
    """Try one fault; what is wrong, and why a person is needed, if one is."""
    request = stage.request() if fault.request is None else fault.request
    far, effect = stage.far, bench.measured[hook].effect
    before = far.quiet()
    made, came = _struck(far, hook, request, fault)
    problem = _judged(far, came, fault, before, effect) or _held(far, made, came, fault, before)
    far.line.set(None)
    far.faults()
    if fault.name == "late_success":
        far.quiet(PANEL["late_success"] / 1000 + 0.2)
    if problem:
        stage.renew()
        return problem, ""
    end = resolve(far, made, came)
    now = moved(before, far.quiet())
    expected = {"done": (effect,), "declined": ({},), "undone": ({},), "person": ({}, effect)}[end.kind]
    if now not in [dict(each) for each in expected]:
        stage.renew()
        return f"answered {came}, ended as {end.kind} ({end.way}), and the books show {told(now)}", ""
    return "", f"{end.way} (answered {came})" if end.kind == "person" else ""


def _struck(far: Far, hook: str, request: Any, fault: Fault) -> tuple[Made, Outcome]:
    """Make the change with the fault switched on."""
    if fault.at:
        far.line.set(Plan(fault.name, fault.at))
    elif fault.request is None:
        far.faults({"name": fault.name, "times": 1, "value": PANEL[fault.name]})
    try:
        return far.change(hook, request, seconds=far.profile.patience_s)
    finally:
        if not fault.at:
            far.faults()


def _judged(far: Far, came: Outcome, fault: Fault, before: Tally, effect: Tally) -> str:
    """What is wrong with an answer, held against the books."""
    if came.kind in ("hung", "plugin_error"):
        return str(came)
    now = moved(before, far.quiet())
    if fault.name == "refuse" and not came.not_sent:
        return f"nothing could leave, and the answer is {came}: it must be NotSent"
    if not _within(now, effect):
        return f"answered {came}, and the books show {told(now)} instead of {told(effect)}"
    if came.not_sent and now:
        return f"NotSent ({came.text}), and the books show {told(now)}"
    if came.kind == "declined" and now:
        return f"{came}, and the books show {told(now)}"
    if came.kind == "done" and now != dict(effect):
        return f"done, and the books show {told(now)}"
    return ""


def _within(now: Tally, effect: Tally) -> bool:
    """Whether the books show no more than the effect; a part of it may stand while a change of several messages is
    under way."""
    return all(
        0 < value * (1 if effect.get(name, 0) > 0 else -1) <= abs(effect.get(name, 0)) for name, value in now.items()
    )


def _held(far: Far, made: Made, came: Outcome, fault: Fault, before: Tally) -> str:
    """A request that is still on its way arrives: nothing said before may be untrue then."""
    if fault.name != "hold" or not far.line.held:
        return ""
    then = moved(before, far.quiet())
    asked = far.query(made) if far.queryable(made.hook) else None
    if not far.line.release():
        return ""
    now = moved(before, far.quiet())
    if now == then:
        return ""
    if came.kind != "unknown" and came.kind != "pending":
        return f"{came}, and then the request arrived: {told(now)}"
    if asked and (asked.kind == "declined" or (asked.kind == "not_found" and asked.answer.final)):
        said = "not found for good" if asked.kind == "not_found" else str(asked)
        return f"the query said {said}, and then the request arrived: {told(now)}"
    return ""
