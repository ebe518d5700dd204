"""``make power N=10000 SEED=1`` and ``make storage N=2000 SEED=1``: long runs on disks that forget, or that fail.

``power``: N power cuts, ten a machine, machines from SEED on, half of them without a WAL. The controls come first: a
machine that asks for less than ``synchronous=FULL``, and one whose disk lies about its syncs, must lose; else the run
would show nothing. ``storage``: N faults, five a machine, every kind of fault in turn, each with and without a kill.

Goes on where it was stopped: what is done stands in ``docs/evidence``. A machine that goes wrong is printed with its
seed, and its disk kept.
"""

from __future__ import annotations

import argparse
import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests import evidence
from tests.power.faults import draw, faulty
from tests.power.world import CUTS, Machine, Tally, World, live, on_disk

#: So many machines make a line of evidence, and so many faults each machine lives through.
BLOCK, FAULTS_EACH = 20, 5
CONTROLS = {
    "WAL, NORMAL": Machine("WAL", "NORMAL"),
    "TRUNCATE, NORMAL": Machine("TRUNCATE", "NORMAL"),
    "WAL, syncs that lie": Machine("WAL", lies=True),
    "TRUNCATE, syncs that lie": Machine("TRUNCATE", lies=True),
}
KEPT = Path("var/power")


def cuts(seed: int) -> Tally:
    """One machine through power cuts; odd seeds have a WAL, even ones the ``TRUNCATE`` journal."""
    with on_disk(seed, Machine("WAL" if seed % 2 else "TRUNCATE")) as world:
        return _kept(world, CUTS)


def faults(seed: int) -> Tally:
    """One machine through faults of one kind."""
    kind, kill, journal = draw(seed)
    with faulty(seed, kind, kill=kill, journal=journal) as world:
        return _kept(world, FAULTS_EACH)


def _kept(world: World, count: int) -> Tally:
    tally = world.live(count)
    if tally.violations:
        shutil.copytree(world.disk_folder, KEPT / f"seed-{world.seed}", dirs_exist_ok=True)
    return tally


def controls(seeds: range) -> dict[str, int]:
    """Of each control, how many of these machines lost or broke something."""
    return {name: sum(live(seed, machine).violations > 0 for seed in seeds) for name, machine in CONTROLS.items()}


def blocks(what: str, first: int, last: int) -> Iterator[range]:
    """What is still to be done of these seeds, in parts."""
    while (first := evidence.done(what).next_seed(first)) <= last:
        begun = [low for low, _ in evidence.done(what).seeds if low > first]
        end = min(first + BLOCK, last + 1, *begun)
        yield range(first, end)
        first = end


def main() -> None:
    parser = argparse.ArgumentParser(prog="make power|storage", description=__doc__)
    parser.add_argument("what", choices=("power", "storage"))
    parser.add_argument("--count", type=int, default=10_000, help="cuts, or faults")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    asked = parser.parse_args()
    evidence.tree()
    own: dict[str, Any] = {}
    if asked.what == "power":
        own["controls_lost"] = lost = controls(range(1, 4))
        print("controls, machines of 3 that lost:", ", ".join(f"{name}: {n}" for name, n in lost.items()), flush=True)
        if not all(lost.values()):
            sys.exit("a control did not lose: this run would show nothing")
    one, each = (cuts, CUTS) if asked.what == "power" else (faults, FAULTS_EACH)
    last = asked.seed + -(-asked.count // each) - 1
    command = f"make {asked.what} N={asked.count} SEED={asked.seed}"
    with multiprocessing.get_context("spawn").Pool(asked.jobs) as pool:
        run(pool, asked.what, one, command, (asked.seed, last), own)


def run(
    pool: Any, what: str, one: Callable[[int], Tally], command: str, seeds: tuple[int, int], own: dict[str, Any]
) -> None:
    """All machines, a line of evidence a block; ends at the first block in which one went wrong."""
    total = Tally()
    for block in blocks(what, *seeds):
        began, part = time.monotonic(), Tally()
        for tally in pool.imap_unordered(one, block):
            part.add(tally)
        _write(what, command, block, part, time.monotonic() - began, own)
        total.add(part)
        found = f"{total.acknowledged} acknowledged, {total.lost} lost, {total.corrupt} corrupt, {total.wrong} wrong"
        print(f"seeds {block[0]}..{block[-1]}: {total.cuts} {what}, {found}", flush=True)
        if part.violations:
            sys.exit(f"{part.first}\nits disk is in {KEPT}")


def _write(what: str, command: str, seeds: range, part: Tally, seconds: float, own: dict[str, Any]) -> None:
    evidence.append(
        what,
        command=command,
        count=part.cuts,
        violations=part.violations,
        seconds=seconds,
        seeds=(seeds[0], seeds[-1]),
        acknowledged=part.acknowledged,
        lost=part.lost,
        corrupt=part.corrupt,
        wrong=part.wrong,
        **own,
        **({"error": part.first} if part.first else {}),
    )


if __name__ == "__main__":
    main()
