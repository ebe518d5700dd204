"""``docs/performance.md``: the ratios that ``make bench`` found, and their gates: ``docs/evidence/bench.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.run import GOALS, Goal

FILE = Path(__file__).parent / "evidence" / "bench.json"
#: Goals whose other side (another product, a store of ten million rows) this bench does not start.
UNMEASURED = {
    "P1, P3": "an integrated checkout beside a headless shop system on the same machine",
    "P6": "the same call with 20 plugins installed and with one",
    "P12": "the same checkout on PostgreSQL and on SQLite",
    "P14": "the schema layer beside plain marshmallow",
    "P15, P16": "import of products and search of nearby stores beside raw SQL",
    "P17": "growth from 1,000 to 10,000,000 rows; `tests/engine/test_plans.py` holds every statement to an index",
    "P18, P19": "memory and start beside a headless shop system; the soak in reliability.md bounds memory",
}
BEFORE_AFTER = """
P8 is the before and after of group commit: the same five steps with a commit each, and with the commits of all
threads made together by whoever came first. P11 is that of one guarded `UPDATE` inside the batch on a hot article. P10
is that of the turn between processes: without it SQLite's own busy handler lets a writer wait for seconds."""


def performance_page() -> Iterator[str]:
    yield "# What it costs"
    yield ""
    yield "Seconds hold for one machine and one moment; what is promised are **ratios** of two things measured in turns"
    yield "in one run. `make bench` measures them in about ten minutes (`ARGS=--quick`: a look, not for a quote;"
    yield '`ARGS="--json docs/evidence/bench.json"` for this page). A calm machine is needed.'
    yield ""
    if not FILE.exists():
        yield "No run has been written down yet."
        return
    found = json.loads(FILE.read_text(encoding="utf-8"))
    yield from _ratios(found)
    yield from BEFORE_AFTER.splitlines()
    yield ""
    yield "## The runs behind it"
    yield ""
    yield from _runs(found["runs"])
    yield ""
    yield "## Not measured by it"
    yield ""
    yield from (f"- **{name}**: {what}." for name, what in UNMEASURED.items())


def _ratios(found: dict[str, Any]) -> Iterator[str]:
    machine = found["machine"]
    kind = " (quick)" if found["quick"] else ""
    where = f"{machine['cores']} cores, Python {machine['python']}"
    yield f"Of {found['at'][:10]}{kind}, commit `{found['commit']}`, {where};"
    yield "everything on: journal, evidence, audit chain, `synchronous=FULL`."
    yield ""
    yield "| | What | Found | Gate | Dream | |"
    yield "|---|---|---|---|---|---|"
    for name, goal in GOALS.items():
        if name in found["ratios"]:
            yield _ratio(name, goal, found["ratios"][name]["value"])


def _ratio(name: str, goal: Goal, value: float) -> str:
    sign = "≤" if goal.most else "≥"
    verdict = "reached" if goal.reached(value) else "**not reached**"
    return f"| {name} | {goal.what} | {value:g} | {sign} {goal.gate:g} | {sign} {goal.dream:g} | {verdict} |"


def _runs(runs: list[dict[str, Any]]) -> Iterator[str]:
    """The last turn of each: the others are in the file."""
    last = {(run["name"], run["clients"]): run for run in runs}
    yield "| Run | Clients | A second | p50 ms | p99 ms | CPU µs each |"
    yield "|---|---|---|---|---|---|"
    for (name, clients), run in last.items():
        figures = (run[key] for key in ("per_second", "p50_ms", "p99_ms", "cpu_us"))
        yield f"| {name} | {clients} | " + " | ".join(f"{figure:,.1f}" for figure in figures) + " |"
