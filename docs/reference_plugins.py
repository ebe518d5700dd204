"""The page about what each plugin can do, from what the conformance suite found: ``docs/evidence/conformance.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gateway.testing.ladder import GRADES, LADDER
from gateway.testing.printing import COLUMNS

EVIDENCE = Path(__file__).parent / "evidence" / "conformance.json"
_COLUMNS = ("contract", "faults", "kill -9", *COLUMNS)
_MARKS = {"shown": "✓", "not shown": "–", "refuted": "✗", "unclaimed": "", "exempt": "n/a"}
_STATES = {"pass": "✓", "fail": "–", "untried": "–", "exempt": "exempt"}
_INTRODUCTION = (
    "Found by `make plugins`, which runs the conformance suite ([conformance.md](conformance.md)) on each plugin that",
    "comes with the gateway, against its own simulator, and by `make real-…-grade`, which runs it against a real",
    "system that nobody here wrote. They write `docs/evidence/conformance.json`; this page is made from that file and",
    "from nothing else.",
    "",
)
_LEGEND = (
    "In the tables below: ✓ shown by trying it, – claimed and not shown, ✗ refuted, empty: not claimed, n/a: it does",
    "not apply. *contract*: the hook does what its spec says. *faults*: the outcome is right under each fault,",
    "and nothing happens twice. *kill -9*: the process is killed at each send, and the next one finds out what became",
    "of the change. *doubled*: the network delivers each message twice, and there is one effect.",
)


def plugins_page() -> Iterator[str]:
    """Grades, then hook by hook what was shown."""
    found: dict[str, Any] = json.loads(EVIDENCE.read_text(encoding="utf-8"))
    yield "# What each plugin can do"
    yield ""
    yield from _INTRODUCTION
    yield "| Adapter | Plugin | Grade |"
    yield "|---|---|---|"
    for name, run in sorted(found.items(), key=lambda each: (-GRADES.index(each[1]["grade"]), each[0])):
        yield f"| [{name}](#{name}) | `plugins/{run['plugin']}` | {run['grade']}{_how(run)} |"
    yield ""
    yield from _LEGEND
    for name, run in sorted(found.items()):
        yield from _adapter(name, run)


def _how(run: dict[str, Any]) -> str:
    """What is to be said about a grade: that it was found on a real system, or with the most telling faults only."""
    real = ", on the real system" if run.get("real") else ""
    return f"{real}, the most telling faults" if run["quick"] else real


def _adapter(name: str, run: dict[str, Any]) -> Iterator[str]:
    columns = [column for column in _COLUMNS if any(column in row for row in run["matrix"].values())]
    yield ""
    yield f"## {name}"
    yield ""
    yield "| Hook | " + " | ".join(columns) + " | messages |"
    yield "|---|" + "---|" * (len(columns) + 1)
    for hook, row in sorted(run["matrix"].items()):
        cost = run["costs"].get(hook)
        cells = [_MARKS[row[column]] if column in row else "" for column in columns]
        yield f"| `{hook}` | " + " | ".join(cells) + f" | {cost['messages'] if cost else ''} |"
    yield ""
    states = {rule["rule"]: rule for rule in run["rules"]}
    for grade in GRADES[1:]:
        rules = [states[rule.name] for rule in LADDER if rule.grade == grade]
        yield f"- *{grade}*: " + ", ".join(f"{rule['rule']} {_STATES[rule['state']]}" for rule in rules)
    exempt = [rule for rule in run["rules"] if rule["state"] == "exempt"]
    yield from (f"- exempt from {rule['rule']}: {rule['why']}" for rule in exempt)
