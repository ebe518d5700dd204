"""``python -m tests.simulation.catch``: every planted bug, and the seed that caught it, written to the evidence."""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import Any

from tests import evidence
from tests.simulation.bugs import BUGS, LOOK_FROM, NEEDS_MORE, planted
from tests.simulation.jobs import side_by_side
from tests.simulation.run import CHECKOUTS_A_WORLD, Result, simulate
from tests.simulation.store import Memory
from tests.simulation.troubles import Violation

#: Within how many worlds a bug must show.
WORLDS_MOST = 3000


def look_for(name: str, seed: int = 1, seconds: float | None = None) -> Result:
    """Simulate with this bug until it shows, or not; from this seed on, or from where the bug is known to show."""
    seed = max(seed, LOOK_FROM.get(name, seed))
    with planted(name):
        db, more = Memory(random.Random(0)), name in NEEDS_MORE
        return simulate(WORLDS_MOST * CHECKOUTS_A_WORLD, seed, seconds, minimise=False, db=db, more=more)


def is_caught(result: Result) -> bool:
    """Whether a watcher saw it: an engine that merely falls over shows nothing of the bug that was meant."""
    return result.error.startswith(Violation.__name__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-evidence", action="store_true", help="write no evidence")
    asked = parser.parse_args()
    evidence.tree()
    began, names = time.monotonic(), list(BUGS)
    caught: dict[str, int] = {}
    for name, result in zip(
        names, side_by_side(look_for, [(name, asked.seed) for name in names], asked.jobs), strict=True
    ):
        shown = result.seed is not None and is_caught(result)
        told = (
            f"not caught {result.error[:200]}"
            if not shown
            else f"seed {result.seed}: {result.error.splitlines()[0][:90]}"
        )
        print(f"{name}: {told}", flush=True)
        if shown and result.seed is not None:
            caught[name] = result.seed
    survivors = sorted(set(names) - set(caught))
    more: dict[str, Any] = {"error": f"not caught: {', '.join(survivors)}"} if survivors else {}
    if not asked.no_evidence:
        evidence.append(
            "bugs",
            command="make bugs",
            count=len(names),
            violations=len(survivors),
            seconds=time.monotonic() - began,
            caught=caught,
            **more,
        )
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
