"""What the long runs found, one line a run or part of a run, in ``docs/evidence/WHAT.jsonl``.

``docs/reliability.md``'s figures are made from these files (``python -m docs.generate``), and from nothing else. A line
is never taken back: what went wrong once stays there, and the page shows it. ``EVIDENCE=FOLDER`` in the environment
puts the files elsewhere, so that a clone at one commit can add to those of another.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def folder() -> Path:
    """Where the files are."""
    return Path(os.environ.get("EVIDENCE") or ROOT / "docs" / "evidence")


@functools.cache
def tree() -> tuple[str, bool]:
    """The commit of the code that runs, and whether nothing was changed since; asked once, as the code is loaded once.

    Call it when a long run begins: the tree may move on while it runs.
    """
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":!docs/evidence")
    return (commit or "unknown", False) if commit is None or changed is None else (commit, not changed)


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def append(
    what: str,
    *,
    command: str,
    count: int,
    violations: int,
    seconds: float,
    seeds: tuple[int, int] | None = None,
    **own: Any,
) -> None:
    """Add a line to ``WHAT.jsonl``, on the disk when this returns.

    ``count`` is of whatever the run counts (checkouts, kills, rounds, cells); ``seeds`` are the first and the last one
    done. ``own`` are the run's own figures (``rounds``, ``crashes``, ``faults``, …), and with violations the text of
    the first (``error``); ``variant`` sets runs of one kind apart on the page. Several processes may append at once.
    """
    commit, clean = tree()
    line: dict[str, Any] = {"what": what, "command": command, "commit": commit, "clean": clean}
    if seeds is not None:
        line["seeds"] = list(seeds)
    line |= {"count": count, "violations": violations, "seconds": round(seconds, 1), **own}
    line["at"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    folder().mkdir(parents=True, exist_ok=True)
    target = folder() / f"{what}.jsonl"
    broken = target.exists() and not target.read_bytes().endswith(b"\n")  # a power cut may have left half a line
    text = "\n" * broken + json.dumps(line, ensure_ascii=False) + "\n"
    file = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, text.encode())  # one write: two processes' lines never mix
        os.fsync(file)
    finally:
        os.close(file)


def lines(what: str, at: Path | None = None) -> list[dict[str, Any]]:
    """The lines of ``WHAT.jsonl`` so far. One that a kill cut short is passed over."""
    file = (at or folder()) / f"{what}.jsonl"
    found = []
    for text in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            found.append(json.loads(text))
        except ValueError:
            continue
    return found


@dataclass(frozen=True, slots=True)
class Totals:
    """What a kind of run came to so far, over all its lines."""

    lines: int = 0
    count: int = 0
    violations: int = 0
    seconds: float = 0.0
    seeds: list[tuple[int, int]] = field(default_factory=list)

    def next_seed(self, first: int) -> int:
        """The first seed from ``first`` on that was not done yet: where a run that was stopped goes on."""
        for low, high in sorted(self.seeds):
            if low <= first <= high:
                first = high + 1
        return first


def done(what: str) -> Totals:
    """The totals of ``WHAT.jsonl``."""
    found = lines(what)
    return Totals(
        lines=len(found),
        count=sum(line["count"] for line in found),
        violations=sum(line["violations"] for line in found),
        seconds=sum(line["seconds"] for line in found),
        seeds=[(line["seeds"][0], line["seeds"][1]) for line in found if "seeds" in line],
    )
