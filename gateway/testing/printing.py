"""A report as people and machines read it: a table, JSON, a badge."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from gateway.testing.ladder import Report, Verdict

_MARKS = {
    Verdict.SHOWN: "shown",
    Verdict.NOT_SHOWN: "NOT SHOWN",
    Verdict.REFUTED: "REFUTED",
    Verdict.UNCLAIMED: "-",
    Verdict.EXEMPT: "exempt",
}
_COLOURS = {"none": "#e05d44", "bronze": "#a97142", "silver": "#8a8d91", "gold": "#d4a017", "platinum": "#5b9aa0"}
#: The columns of the capability matrix: traits that are shown by trying, not wishes.
COLUMNS = (
    "queryable",
    "reversible",
    "idempotent",
    "doubled",
    "partial",
    "tombstone",
    "deferred",
    "reserve_ttl_s",
    "extendable",
)
_RULES = {"contract": "hooks_pass", "faults": "outcome_classes", "kill -9": "survives_kill"}


def matrix(report: Report) -> dict[str, dict[str, str]]:
    """Hook by hook: what was found of its contract, its traits, under faults and kills."""
    found: dict[str, dict[str, str]] = {hook: {} for hook in report.hooks}
    for finding in report.findings:
        if finding.hook not in found:
            continue
        row = found[finding.hook]
        if finding.rule == "traits_proved":
            _worst(row, finding.subject, finding.verdict)
        for column, rule in _RULES.items():
            if finding.rule == rule:
                _worst(row, column, finding.verdict)
    return found


_ORDER = [Verdict.SHOWN, Verdict.UNCLAIMED, Verdict.NOT_SHOWN, Verdict.REFUTED]


def _worst(row: dict[str, str], column: str, verdict: Verdict) -> None:
    before = row.get(column)
    if before is None or _ORDER.index(Verdict(before)) < _ORDER.index(verdict):
        row[column] = verdict.value


def as_json(report: Report) -> dict[str, Any]:
    """The whole report, as plain values."""
    return {
        "adapter": report.adapter,
        "plugin": report.plugin,
        "grade": report.grade,
        "claimed_grade": report.claimed_grade,
        "quick": report.quick,
        "real": report.real,
        "seconds": round(report.seconds, 1),
        "date": date.today().isoformat(),  # noqa: DTZ011 - the day of whoever runs it
        "rules": [
            {"rule": s.rule.name, "grade": s.rule.grade, "state": s.state, "why": s.why} for s in report.standings
        ],
        "matrix": matrix(report),
        "costs": report.costs,
        "findings": [{**asdict(finding), "verdict": finding.verdict.value} for finding in report.findings],
        "next": report.next_step,
    }


def print_report(report: Report, echo: Callable[[str], None]) -> None:
    """Print the capability matrix, each rule, the grade, and what to do next."""
    _print_matrix(report, echo)
    echo("")
    for standing in [] if report.only else report.standings:
        echo(f"{standing.rule.grade:<9} {standing.rule.name:<26} {standing.state:<7} {standing.why}".rstrip())
    echo("")
    for finding in report.findings:
        if finding.verdict in (Verdict.REFUTED, Verdict.NOT_SHOWN, Verdict.UNCLAIMED):
            echo(f"{finding.verdict.value}: [{finding.rule}] {finding}")
    claimed = f", {report.claimed_grade} is claimed" if report.claimed_grade != report.grade else ""
    how = ", quick: not all faults at all messages" if report.quick else ""
    grade = f"no grade: of {', '.join(report.only)} alone" if report.only else report.grade + claimed
    echo(f"{report.adapter}: {grade} ({report.seconds:.0f} s{how})")
    echo(f"next: {report.next_step}")


def _print_matrix(report: Report, echo: Callable[[str], None]) -> None:
    rows = matrix(report)
    columns = [*_RULES, *(name for name in COLUMNS if any(name in row for row in rows.values()))]
    widths = [max(9, len(name)) for name in columns]
    first = max((len(hook) for hook in rows), default=4)
    echo("  ".join([" " * first, *(name.ljust(width) for name, width in zip(columns, widths, strict=True))]).rstrip())
    for hook, row in rows.items():
        cells = [_MARKS[Verdict(row[name])] if name in row else "-" for name in columns]
        line = [hook.ljust(first), *(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))]
        echo("  ".join(line).rstrip())


def badge(report: Report) -> str:
    """The grade as an SVG picture."""
    label, grade = "conformance", report.grade
    left, right = 6 * len(label) + 14, 7 * len(grade) + 14
    texts: Mapping[str, int] = {label: left // 2, grade: left + right // 2}
    written = "".join(f'<text x="{x}" y="14">{escape(text)}</text>' for text, x in texts.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}: {grade}"><rect width="{left}" height="20" fill="#555"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{_COLOURS[grade]}"/>'
        f'<g fill="#fff" text-anchor="middle" font-family="Verdana,sans-serif" font-size="11">{written}</g></svg>\n'
    )


def record(reports: list[Report], file: Path) -> None:
    """Write what was found into a file, over what it said of the same adapters; the page is made from it."""
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for report in reports:
        whole = as_json(report)
        kept = ("plugin", "grade", "quick", "real", "date", "rules", "matrix", "costs")
        known[report.adapter] = {name: whole[name] for name in kept}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(dict(sorted(known.items())), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
