"""Every fault at every message of every change: the right outcome class, one effect at most, and an end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.domain.traits import Traits
from gateway.sdk.adapter import EmbeddedAdapter
from gateway.testing.bench import Bench, Stage, Tally, moved, told
from gateway.testing.chains import Made
from gateway.testing.far import Far
from gateway.testing.ladder import Verdict
from gateway.testing.outcome import Outcome
from gateway.testing.profile import Missing
from gateway.testing.proxy import FOREIGN_FAULTS, HTTP_ONLY, NETWORK_FAULTS, RESENT, Plan
from gateway.testing.resolver import resolve

RULE = "outcome_classes"
PERSON = "no_person_needed"
#: What is to be done where there is a way and it came to no end.
_STILL = (
    "{at}: it can be asked or repeated, and each time the answer was as bad: the fault was for one message, so look "
    "what it left behind, in the simulator or in a connection or session that {adapter} keeps"
)
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
    "late_read": 400,
}
QUICK_PANEL = ("drop_after", "error", "wrong_amount", "wrong_id", "bad_signature", "late_read")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault to try: made by the ``network`` at a message, by the simulator's ``panel``, by a ``lever`` of the
    profile's, or by the ``request`` itself."""

    name: str
    kind: str
    at: int = 0
    value: int = 0

    def __str__(self) -> str:
        where = {"network": f"at message {self.at}", "panel": "(simulator)", "request": "(request)", "lever": ""}
        return f"{self.name} {where[self.kind]}".strip()


def check(bench: Bench, hook: str) -> None:
    """Try every fault on one hook."""
    if issubclass(bench.profile.adapter, EmbeddedAdapter):
        for rule in (RULE, PERSON):
            bench.report.add(rule, Verdict.EXEMPT, why="its changes are done or undone with the engine's own commit")
        return
    tried = wrong = persons = 0
    try:
        with bench.stage(hook) as stage:
            for fault in _faults(bench, stage, hook):
                problem, person = one(bench, stage, hook, fault)
                if problem is None:
                    continue
                tried += 1
                if problem:
                    wrong += 1
                    bench.report.refuted(RULE, hook, str(fault), problem)
                if person:
                    persons += 1
                    change = _STILL if "; still" in person else ""
                    bench.report.not_shown(PERSON, hook, str(fault), f"needs a person: {person}", change)
    except (Missing, RuntimeError) as trouble:
        bench.report.not_shown(RULE, hook, "", f"no more requests could be made: {trouble}")
        return
    if tried and not wrong:
        bench.report.shown(RULE, hook, "", f"{tried} faults")
    if tried and not persons:
        bench.report.shown(PERSON, hook, "", f"{tried} faults")
    if not tried and bench.profile.simulator is None:
        for rule in (RULE, PERSON):
            bench.report.add(rule, Verdict.EXEMPT, hook, "", "nothing lies between the adapter and its system")
    elif not tried:
        bench.report.not_shown(RULE, hook, "", "there is nothing between adapter and system to spoil, and no trouble()")


def never(bench: Bench) -> None:
    """Say which faults of the simulator never happened: a signature that nobody spoilt is one that nobody looked at."""
    wanted = QUICK_PANEL if bench.quick else tuple(PANEL)
    missing = [name for name in wanted if name not in bench.happened]
    if bench.profile.simulator is not None and bench.changes and missing:
        why = f"the simulator never made: {', '.join(missing)}; what the adapter makes of them is not known"
        bench.report.add(RULE, Verdict.UNCLAIMED, "", "faults", f"{why} (docs/sdk-reference.md says what each is)")


def _faults(bench: Bench, stage: Stage, hook: str) -> Iterator[Fault]:
    messages = bench.measured[hook].messages
    at = sorted({1, messages} - {0}) if bench.quick and messages else range(1, messages + 1)
    more = (*FOREIGN_FAULTS,) if bench.ground.foreign is not None else ()
    if bench.quick and not bench.traits(hook).idempotent:
        more = (*more, *sorted(RESENT))  # sent again by itself, it acts again
    for name in (*QUICK, *more) if bench.quick else (*NETWORK_FAULTS, *more):
        if name in HTTP_ONLY and not stage.far.line.is_http:
            continue
        yield from (Fault(name, "network", at=number) for number in at if name != "refuse" or number == 1)
    known = stage.far.knows
    panel = {name: PANEL[name] for name in (QUICK_PANEL if bench.quick else PANEL)}
    for name, value in {**panel, **bench.profile.faults}.items():
        if name in known:
            yield Fault(name, "panel", value=value)
    yield from [Fault(name, "lever") for name in bench.profile.disturbances(stage.far, hook)]
    yield from [Fault(name, "request") for name in bench.profile.trouble(stage.far, hook)]


def one(bench: Bench, stage: Stage, hook: str, fault: Fault) -> tuple[str | None, str]:
    """Try one fault; what is wrong (``None``: the fault never happened), and why a person is needed, if one is."""
    request = _requested(bench, stage, hook, fault)
    far, effect = stage.far, bench.measured[hook].effect
    before = far.quiet()
    made, came = _struck(far, hook, request, fault)
    if not _happened(far, fault):
        far.line.set(None)
        far.faults()
        return None, ""
    if fault.kind == "panel":
        bench.happened.add(fault.name)
    if fault.kind == "panel" and fault.name == "wrong_amount" and came.kind != "done":
        other = moved(before, far.quiet())
        if other and other != dict(effect) and other.keys() == effect.keys():
            return _booked_wrongly(stage, made, came)
    asked_more = came.sent > bench.measured[hook].messages
    problem = _judged(far, made, came, fault, before, effect, asked_more) or _held(far, made, came, fault, before)
    problem = problem or _read_late(far, made, fault)
    far.line.set(None)
    far.faults()
    if fault.name == "late_success":
        time.sleep(PANEL["late_success"] / 1000 + 0.2)  # quiet before it comes says nothing
    if problem:
        stage.renew()
        return problem, ""
    end = resolve(far, made, came)
    traces = far.profile.traces.get(hook, ())
    now = {name: value for name, value in moved(before, far.quiet()).items() if name in effect or name not in traces}
    expected = {"done": (effect,), "declined": ({},), "undone": ({},), "person": ({}, effect)}[end.kind]
    if not any(_same(now, each, fault) for each in expected):
        stage.renew()
        return f"answered {came}, ended as {end.kind} ({end.way}), and the books show {told(now)}", ""
    return "", f"{hook} answered {came}; {end.way}" if end.kind == "person" else ""


def _booked_wrongly(stage: Stage, made: Made, came: Outcome) -> tuple[str, str]:
    """The system itself has booked another amount: that must never be taken for what was asked."""
    end = resolve(stage.far, made, came)
    stage.renew()
    if end.kind == "done":
        return f"the system booked another amount, and it ended as done ({end.way})", ""
    return "", "the system itself has booked another amount"


def _requested(bench: Bench, stage: Stage, hook: str, fault: Fault) -> Any:
    return bench.profile.trouble(stage.far, hook)[fault.name] if fault.kind == "request" else stage.request()


def _same(now: Tally, effect: Tally, fault: Fault) -> bool:
    """Whether the books show the effect; a request with another amount shows nearly the same."""
    if fault.kind != "request":
        return dict(now) == dict(effect)
    if now.keys() != effect.keys():
        return False
    return all(abs(value - effect[name]) * 20 <= abs(effect[name]) for name, value in now.items())


def _happened(far: Far, fault: Fault) -> bool:
    """Whether the fault had its chance: not all messages that were expected need have been sent."""
    if fault.kind == "network":
        return fault.name == "refuse" or far.line.fired
    return fault.kind != "panel" or far.fired()


def _struck(far: Far, hook: str, request: Any, fault: Fault) -> tuple[Made, Outcome]:
    """Make the change with the fault switched on."""
    if fault.kind == "network":
        far.line.set(Plan(fault.name, fault.at))
    elif fault.kind == "lever":
        far.profile.disturbances(far, hook)[fault.name]()
    elif fault.kind == "panel":
        far.faults({"name": fault.name, "times": 1, "value": fault.value})
    return far.change(hook, request, seconds=far.profile.patience_s)


def _judged(
    far: Far, made: Made, came: Outcome, fault: Fault, before: Tally, effect: Tally, asked_more: bool = False
) -> str:
    """What is wrong with an answer, held against the books. ``asked_more``: it sent more messages than it does when all
    is well, so that it may know from another answer."""
    if came.kind in ("hung", "plugin_error"):
        return str(came)
    now = moved(before, far.quiet())
    if fault.name == "error" and came.kind == "declined":
        return f"a system error is taken for a refusal: {came}"
    if fault.name == "bad_signature" and came.kind in ("done", "declined") and not asked_more:
        return f"an answer whose signature does not verify is believed: {came}"
    if fault.name == "refuse" and not came.not_sent:
        return f"nothing could leave, and the answer is {came}: it must be NotSent"
    traces = far.profile.traces.get(made.hook, ())
    beside = {name: value for name, value in now.items() if name not in traces}
    if not _within(beside, effect) and not _same(beside, effect, fault):
        again = ": it was sent again by itself, by a retry or a redirect" if fault.name in RESENT else ""
        return f"answered {came}, and the books show {told(now)} instead of {told(effect)}{again}"
    now = {name: value for name, value in now.items() if name not in traces or name in effect}
    if came.not_sent and now:
        return f"NotSent ({came.text}), and the books show {told(now)}"
    if came.kind == "declined" and now:
        return f"{came}, and the books show {told(now)}"
    if came.kind == "done" and not _same(now, effect, fault):
        return f"done, and the books show {told(now)}"
    return ""


def _within(now: Tally, effect: Tally) -> bool:
    """Whether the books show no more than the effect; a part of it may stand while a change of several messages is
    under way."""
    return all(
        0 < value * (1 if effect.get(name, 0) > 0 else -1) <= abs(effect.get(name, 0)) for name, value in now.items()
    )


def _read_late(far: Far, made: Made, fault: Fault) -> str:
    """What was done shows in questions only later: nobody may say meanwhile that it is not there for good.

    A change that is not repeated at once is asked about after its ``max_in_flight_s``: by then it shows.
    """
    if fault.name != "late_read":
        return ""
    asked = far.query(made) if far.queryable(made.hook) else None
    if asked and (asked.kind == "declined" or (asked.kind == "not_found" and asked.answer.final)):
        return f"it was done and shows only {fault.value} ms later, and the query said {asked} for good"
    if not far.profile.adapter.traits.get(made.hook, Traits()).idempotent:
        time.sleep(fault.value / 1000 + 0.1)
    return ""


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
