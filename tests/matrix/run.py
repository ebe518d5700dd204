"""``python -m tests.matrix.run --jobs J``: the 540 cells, then every pair of faults on two systems; with evidence.

A cell must end exactly as the rules say. Of two faults at a time it is demanded that the checkout ends or is a
person's case, that the journal and the far systems' books agree, and, where each fault alone would do no harm, that
both together do none. Killed, it goes on where it stopped with ``--resume``.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from itertools import islice

from tests import evidence
from tests.matrix.cells import Cell, cells, pairs, run
from tests.matrix.rules import BOOKS, Trace, expected, trace
from tests.simulation.jobs import side_by_side
from tests.simulation.store import Memory
from tests.simulation.troubles import Violation

#: Pairs that a process does before it tells what came of them; and the seconds between two lines of evidence.
BLOCK, TELL_EVERY = 100, 30.0


def wrong_cell(db: Memory, cell: Cell) -> str:
    """How a cell ends otherwise than it must, or nothing."""
    found, wanted = run(db, cell), expected(cell)
    return "" if found == wanted else f"{cell}: wanted {wanted}, found {found}"


def wrong_pair(db: Memory, one: Cell, two: Cell) -> str:
    """What two faults break together, or nothing."""
    try:
        found = run(db, one, two)
    except (Violation, AssertionError) as error:
        return f"{one} and {two}: {error}"
    ends = [expected(one), expected(two)]
    harmless = all(end.state == "completed" for end in ends)
    tasks = frozenset().union(*(end.tasks for end in ends))
    if harmless and (found.state, found.tasks) != ("completed", tasks):
        return f"{one} and {two}: each alone is harmless, together {found}"
    if found.state == "failed" and any(found.books.values()) and not _doubled(one, two):
        return f"{one} and {two}: failed, and {found.books} stands"
    if found.state == "completed" and not found.tasks and not _doubled(one, two) and found.books != BOOKS["completed"]:
        return f"{one} and {two}: completed, and {found.books} stands"
    if found.state not in ("completed", "failed") and not found.tasks:
        return f"{one} and {two}: {found.state} without a task"
    return ""


def _doubled(*found: Cell) -> bool:
    """A hold that a network doubled on a system that counts twice is let go once: the day's comparison finds it."""
    return any(trace(cell) is Trace.TWICE for cell in found)


def block(first: int, count: int) -> list[str]:
    """The pairs from the ``first`` on."""
    db = Memory(random.Random(0))
    return [text for one, two in islice(pairs(), first, first + count) if (text := wrong_pair(db, one, two))]


def all_cells(keep: bool) -> int:
    """Every cell; how many are wrong."""
    db, began = Memory(random.Random(0)), time.monotonic()
    wrong = [text for cell in cells() if (text := wrong_cell(db, cell))]
    _tell(len(list(cells())), wrong, time.monotonic() - began, keep, variant="one fault")
    return len(wrong)


def all_pairs(jobs: int, resume: bool, keep: bool) -> int:
    """Every pair; how many are wrong. Seeds of the evidence are the pairs' places in their order."""
    total = sum(1 for _ in pairs())
    first = evidence.done("matrix").next_seed(0) if resume else 0
    blocks = [(at, min(BLOCK, total - at)) for at in range(first, total, BLOCK)]
    since, told, done, failed = time.monotonic(), first, first, 0
    wrong: list[str] = []
    for (at, count), found in zip(blocks, side_by_side(block, blocks, jobs), strict=True):
        done, wrong, failed = at + count, wrong + found, failed + len(found)
        now = time.monotonic()
        if now - since > TELL_EVERY or done == total:
            _tell(done - told, wrong, now - since, keep, variant="two faults", seeds=(told, done - 1))
            since, told, wrong = now, done, []
    return failed


def _tell(
    count: int, wrong: list[str], seconds: float, keep: bool, variant: str, seeds: tuple[int, int] | None = None
) -> None:
    more = {"error": wrong[0]} if wrong else {}
    if keep:
        evidence.append(
            "matrix",
            command="make matrix",
            seeds=seeds,
            count=count,
            violations=len(wrong),
            seconds=seconds,
            variant=variant,
            **more,
        )
    print(f"{variant}: {count} done, {len(wrong)} wrong, {seconds:.0f} s", *wrong[:20], sep="\n  ", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--resume", action="store_true", help="go on behind the pairs that stand in the evidence")
    parser.add_argument("--no-evidence", action="store_true", help="write no evidence")
    asked = parser.parse_args()
    evidence.tree()
    failed = all_cells(not asked.no_evidence)
    failed += all_pairs(asked.jobs, asked.resume, not asked.no_evidence)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
