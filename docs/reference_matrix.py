"""The page about the matrix of faults, from the rules that its test holds the engine to."""

from __future__ import annotations

from collections.abc import Iterator

from tests.matrix.cells import PLACES, PROFILES, Cell, Place
from tests.matrix.faults import Fault
from tests.matrix.rules import RULES, TRACES, Trace, counts_twice, expected, rule, trace
from tests.simulation.far import Profile

CAN = {"idempotent": "acts once a key", "query": "can be asked", "reverse": "takes back", "refund": "refunds"}
WHERE = {"hold": "before the money", "pay": "the money", "use": "after the money", "tail": "the bill and the rewards"}


def matrix_page() -> Iterator[str]:
    yield "# The matrix of faults"
    yield ""
    yield f"{len(Fault)} faults × {len(PLACES)} legs × {len(PROFILES)} kinds of systems ="
    yield f"{len(Fault) * len(PLACES) * len(PROFILES)} cells. In each, one checkout with all nine legs runs through the"
    yield "engine's own decision, driver and SQL in virtual time; the fault hits the first message of its leg, whose"
    yield "system is of the cell's kind; all others are whole. The state in the end, the open tasks and what stands in"
    yield "the far systems' books must be exactly what the rules below say (`tests/matrix`, part of `make test`)."
    yield "`make matrix` also puts two faults at a time into two systems."
    yield ""
    yield "## What the systems can do"
    yield ""
    yield "| Kind | " + " | ".join(CAN.values()) + " |"
    yield "|---|" + "---|" * len(CAN)
    yield from (_profile(name, profile) for name, profile in PROFILES.items())
    yield ""
    yield "A payment code is never sent twice, whatever its channel claims."
    yield ""
    yield "## What a fault leaves"
    yield ""
    yield "| Fault | What it leaves |"
    yield "|---|---|"
    yield from (f"| {fault} | {TRACES[fault]} |" for fault in Fault)
    yield ""
    yield "A wrong amount counts where an amount was asked for (a charge, stored value); elsewhere it says nothing."
    yield ""
    yield from _rules()
    yield from _grids()


def _profile(name: str, profile: Profile) -> str:
    return f"| {name} | " + " | ".join("yes" if getattr(profile, field) else "" for field in CAN) + " |"


def _rules() -> Iterator[str]:
    yield "## The rules"
    yield ""
    yield "| Where | What the fault left | Systems | State in the end | Open task | Why |"
    yield "|---|---|---|---|---|---|"
    for each in RULES:
        where = "anywhere" if len(each.positions) == len(WHERE) else ", ".join(WHERE[name] for name in each.positions)
        profiles = "all" if len(each.profiles) == len(PROFILES) else ", ".join(each.profiles)
        task = f"`{each.task.format(phase='post/reward')}`" if each.task else ""
        yield f"| {where} | {'; '.join(each.traces)} | {profiles} | `{each.state}` | {task} | {each.why} |"
    yield ""
    yield "What a network itself delivers twice acts twice on a system that does not know keys, but for a payment code"
    yield "and the use of a hold: nobody can see this from here, and the day's comparison of the books finds it."
    yield ""


def _grids() -> Iterator[str]:
    yield "## All cells"
    yield ""
    yield "✓ completed · ✓✓ completed, and acted on twice · ↩ failed, all undone · ☎ a person's task"
    for profile in PROFILES:
        yield ""
        yield f"### {profile}"
        yield ""
        yield "| Leg | " + " | ".join(Fault) + " |"
        yield "|---|" + "---|" * len(Fault)
        for place in PLACES:
            yield f"| `{place.hook}` | " + " | ".join(_mark(place, fault, profile) for fault in Fault) + " |"


def _mark(place: Place, fault: Fault, profile: str) -> str:
    cell = Cell(place, fault, profile)
    if expected(cell).tasks:
        return "☎"
    if rule(cell).state == "failed":
        return "↩"
    return "✓✓" if trace(cell) is Trace.TWICE and counts_twice(place, profile) else "✓"
