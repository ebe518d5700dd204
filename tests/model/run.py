"""``python -m tests.model.run --walks N --seed S --jobs J``: walks of 50 steps, with evidence; ``--resume`` goes on.

A seed is a block of a hundred walks. A walk that goes wrong is printed as the shortest one that does.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from hypothesis import HealthCheck, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests import evidence
from tests.model.machine import Machine
from tests.simulation.jobs import side_by_side

WALKS, STEPS, TELL_EVERY = 100, 50, 30.0
LONG = settings(
    max_examples=WALKS,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def block(number: int) -> str:
    """A hundred walks of one seed; what went wrong, or nothing."""
    walks = seed(number)(type("Walk", (Machine,), {}))
    try:
        run_state_machine_as_test(walks, settings=LONG)
    except Exception:
        return traceback.format_exc()
    return ""


def walk(walks: int, first: int, jobs: int, resume: bool, keep: bool) -> int:
    """So many walks from a seed on; how many blocks went wrong (the run ends at the first)."""
    last = first + -(-walks // WALKS)
    at = evidence.done("model").next_seed(first) if resume else first
    told, done, since, wrong = at, at, time.monotonic(), ""
    for found in side_by_side(block, [(number,) for number in range(at, last)], jobs):
        done, wrong, now = done + 1, found, time.monotonic()
        if wrong or done == last or now - since > TELL_EVERY:
            _tell((told, done - 1), now - since, f"make model N={walks} SEED={first}", wrong, keep)
            told, since = done, now
        if wrong:
            print(wrong)
            return 1
    return 0


def _tell(seeds: tuple[int, int], seconds: float, command: str, wrong: str, keep: bool) -> None:
    count = WALKS * (seeds[1] - seeds[0] + 1)
    print(f"seeds {seeds[0]}..{seeds[1]}: {count} walks of {STEPS} steps", flush=True)
    if keep:
        more = {"error": wrong.strip().splitlines()[-1]} if wrong else {}
        evidence.append(
            "model",
            command=command,
            seeds=seeds,
            count=count,
            violations=int(bool(wrong)),
            seconds=seconds,
            variant=f"{STEPS} steps each",
            **more,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--walks", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--resume", action="store_true", help="go on behind the seeds that stand in the evidence")
    parser.add_argument("--no-evidence", action="store_true", help="write no evidence")
    asked = parser.parse_args()
    evidence.tree()
    sys.exit(walk(asked.walks, asked.seed, asked.jobs, asked.resume, not asked.no_evidence))


if __name__ == "__main__":
    main()
