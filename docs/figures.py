"""The figures in ``reliability.md``, made from the lines of ``docs/evidence/*.jsonl`` and from nothing else.

Long runs add lines while the page stands; what it was made from is said in its first comment, so that it can be held to
exactly that: the same lines must give the same table, and no line with a violation may be missing from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests import evidence

Line = Mapping[str, Any]
FOLDER = Path(__file__).parent / "evidence"
BEGIN, END = "<!-- figures: begin", "<!-- figures: end -->"
#: What each kind of run counts.
COUNTED = {
    "simulation": "simulated checkouts",
    "bugs": "planted bugs looked for",
    "matrix": "cells of the fault matrix",
    "model": "walks of the state machine",
    "kill": "`kill -9`",
    "power": "power cuts",
    "storage": "faults of the storage",
    "scenes": "scenes of a server whose storage or clock fails",
    "races": "rounds of races",
    "soak": "minutes of a soak",
    "faults": "faults over sockets",
    "kill-nodes": "`kill -9` of a whole node",
}


def files(folder: Path = FOLDER) -> dict[str, int]:
    """How many lines each kind of evidence has now."""
    return {file.stem: len(evidence.lines(file.stem, folder)) for file in sorted(folder.glob("*.jsonl"))}


def block(upto: Mapping[str, int], folder: Path = FOLDER) -> str:
    """The part of the page between its two comments, from the first so many lines of each file."""
    runs = {name: evidence.lines(name, folder)[:count] for name, count in upto.items()}
    made_of = ", ".join(f"{name} {count}" for name, count in sorted(upto.items()))
    return "\n".join([f"{BEGIN}; made by python -m docs.generate of: {made_of} -->", *_tables(runs), END])


def said(page: str) -> dict[str, int]:
    """Of how many lines of which files a page says that it was made."""
    found = re.search(rf"{BEGIN};.* of: (.*) -->", page)
    pairs = (part.split() for part in found.group(1).split(", ")) if found else ()
    return {pair[0]: int(pair[1]) for pair in pairs if pair}


def written(page: str) -> str:
    """The part that stands in a page."""
    return page[page.index(BEGIN) : page.index(END) + len(END)]


def renewed(page: str, folder: Path = FOLDER) -> str:
    """The page with the figures of all lines that there are."""
    return page.replace(written(page), block(files(folder), folder))


def hidden(page: str, folder: Path = FOLDER) -> list[Line]:
    """Lines with violations that came after the page was made: there may be none."""
    upto = said(page)
    return [
        line
        for name in files(folder)
        for line in evidence.lines(name, folder)[upto.get(name, 0) :]
        if line["violations"]
    ]


# --- the tables ------------------------------------------------------------------------------------------------------


def _tables(runs: Mapping[str, Sequence[Line]]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[Line]] = {}
    for name, lines in sorted(runs.items()):
        for line in lines if name != "mutation" else ():
            groups.setdefault((name, str(line.get("variant", ""))), []).append(line)
    yield ""
    if not groups:
        yield "No long run has been written down yet."
        yield ""
    else:
        yield from _counts(groups)
    yield from _mutants(runs.get("mutation", ()))
    wrong = [line for lines in runs.values() for line in lines if line["violations"]]
    if wrong:
        yield from _violations(wrong)


def _counts(groups: Mapping[tuple[str, str], Sequence[Line]]) -> Iterator[str]:
    yield "| What | Count | Violations | Without one since | Seeds | Hours | Commits | Last run |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from (_row(name, variant, lines) for (name, variant), lines in groups.items())
    yield ""
    yield "Last commands: " + "; ".join(f"{name} `{lines[-1]['command']}`" for (name, _), lines in groups.items()) + "."
    yield ""


def _mutants(lines: Sequence[Line]) -> Iterator[str]:
    """The last run of each group of rules: earlier ones were of other code or other tests."""
    last = {str(line["variant"]): line for line in lines}
    if not last:
        return
    yield "| Changed on purpose | Changes | Noticed | No difference | Missed | Noticed of the rest | Commit | Run |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, line in sorted(last.items()):
        same, noticed = line["equivalent"], line["killed"]
        share = f"{100 * noticed / max(line['count'] - same, 1):.1f} %"
        figures = f"{line['count']:,} | {noticed:,} | {same} | {len(line['survivors'])} | {share}"
        yield f"| {name} | {figures} | {_commits([line])} | {str(line['at'])[:10]} |"
    yield ""


def _row(name: str, variant: str, lines: Sequence[Line]) -> str:
    last = max((index for index, line in enumerate(lines) if line["violations"]), default=-1)
    cells = (
        f"{COUNTED.get(name, name)}{f', {variant}' if variant else ''}",
        f"{sum(line['count'] for line in lines):,}",
        f"{sum(line['violations'] for line in lines):,}",
        f"{sum(line['count'] for line in lines[last + 1 :]):,}",
        _seeds(lines),
        f"{sum(line['seconds'] for line in lines) / 3600:.2f}",
        _commits(lines),
        str(lines[-1]["at"])[:10],
    )
    return "| " + " | ".join(cells) + " |"


def _seeds(lines: Sequence[Line]) -> str:
    """The ranges done, joined where they meet."""
    joined: list[list[int]] = []
    for low, high in sorted(tuple(line["seeds"]) for line in lines if "seeds" in line):
        if joined and low <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], high)
        else:
            joined.append([low, high])
    return ", ".join(f"{low:,}–{high:,}" for low, high in joined)


def _commits(lines: Sequence[Line]) -> str:
    """The commits in their order; ``+`` marks one whose tree had changes."""
    found = dict.fromkeys(f"{line['commit'][:7]}{'' if line['clean'] else '+'}" for line in lines)
    names = [f"`{name}`" for name in found]
    return ", ".join(names) if len(names) <= 3 else f"{names[0]} … {names[-1]} ({len(names)})"


def _violations(wrong: Sequence[Line]) -> Iterator[str]:
    yield "What went wrong in these runs:"
    yield ""
    yield "| What | Commit | Seeds | Violations | Text |"
    yield "|---|---|---|---|---|"
    for line in wrong:
        text = " ".join(str(line.get("error", "")).split())[:200].replace("|", "\\|")
        seed = str(line.get("seed", _seeds([line])))
        dirty = "" if line["clean"] else "+"
        yield f"| {line['what']} | `{line['commit'][:7]}{dirty}` | {seed} | {line['violations']} | {text} |"
    yield ""
