"""``make power N=10000 SEED=1``: N power cuts, ten a machine, machines from SEED on, half of them without a WAL.

Goes on where it was stopped (what is done stands in ``docs/evidence/power.jsonl``). The controls come first: a machine
that asks for less than ``synchronous=FULL``, and one whose disk lies about its syncs, must lose; else the run shows
nothing. A machine that goes wrong is printed with its seed, and its disk kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests import evidence
from tests.power.world import CUTS, Machine, Tally, live

#: So many machines make a line of evidence.
BLOCK = 20
CONTROLS = {
    "WAL, NORMAL": Machine("WAL", "NORMAL"),
    "TRUNCATE, NORMAL": Machine("TRUNCATE", "NORMAL"),
    "WAL, syncs that lie": Machine("WAL", lies=True),
    "TRUNCATE, syncs that lie": Machine("TRUNCATE", lies=True),
}
KEPT = Path("var/power")


def machine_of(seed: int) -> Machine:
    """Odd seeds have a WAL, even ones the ``TRUNCATE`` journal."""
    return Machine("WAL" if seed % 2 else "TRUNCATE")


def one(seed: int) -> Tally:
    """One machine through its cuts."""
    return live(seed, machine_of(seed), CUTS, KEPT)


def controls(seeds: range) -> dict[str, int]:
    """Of each control, how many of these machines lost or broke something."""
    return {name: sum(live(seed, machine).violations > 0 for seed in seeds) for name, machine in CONTROLS.items()}


def blocks(first: int, last: int) -> Iterator[range]:
    """What is still to be done of these seeds, in parts."""
    while (first := evidence.done("power").next_seed(first)) <= last:
        begun = [low for low, _ in evidence.done("power").seeds if low > first]
        end = min(first + BLOCK, last + 1, *begun)
        yield range(first, end)
        first = end


def main() -> None:
    parser = argparse.ArgumentParser(prog="make power", description=__doc__)
    parser.add_argument("--cuts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    asked = parser.parse_args()
    evidence.tree()
    lost = controls(range(1, 4))
    print("controls, machines of 3 that lost:", ", ".join(f"{name}: {n}" for name, n in lost.items()), flush=True)
    if not all(lost.values()):
        sys.exit("a control did not lose: this run would show nothing")
    last = asked.seed + -(-asked.cuts // CUTS) - 1
    command, total = f"make power N={asked.cuts} SEED={asked.seed}", Tally()
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        for seeds in blocks(asked.seed, last):
            began, part = time.monotonic(), Tally()
            for tally in pool.imap_unordered(one, seeds):
                part.add(tally)
            _write(command, seeds, part, time.monotonic() - began, lost)
            total.add(part)
            print(
                f"seeds {seeds[0]}..{seeds[-1]}: {total.cuts} cuts, {total.acknowledged} acknowledged, "
                f"{total.lost} lost, {total.corrupt} corrupt, {total.wrong} wrong",
                flush=True,
            )
            if part.violations:
                sys.exit(f"{part.first}\nits disk is in {KEPT}")


def _write(command: str, seeds: range, part: Tally, seconds: float, lost: dict[str, int]) -> None:
    own = {"acknowledged": part.acknowledged, "lost": part.lost, "corrupt": part.corrupt, "wrong": part.wrong}
    evidence.append(
        "power",
        command=command,
        count=part.cuts,
        violations=part.violations,
        seconds=seconds,
        seeds=(seeds[0], seeds[-1]),
        **own,
        controls_lost=lost,
        **({"error": part.first} if part.first else {}),
    )


if __name__ == "__main__":
    main()
