"""``python -m tests.simulation.run --checkouts N --seed S --jobs J``: many worlds, until N checkouts are done.

A violation prints its seed and which troubles it needs, and ends the run. What was done is added to
``docs/evidence/simulation.jsonl`` twice a minute; ``--resume`` goes on behind the seeds that stand there, so that a run
can be killed at any moment.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field

from tests import evidence
from tests.simulation.jobs import side_by_side
from tests.simulation.store import Memory
from tests.simulation.troubles import SLOW
from tests.simulation.world import TROUBLES, Violation, World

CHECKOUTS_A_WORLD = 4
#: Worlds that a process lives before it tells what came of them.
BLOCK = 50
#: Seconds between two lines of evidence.
TELL_EVERY = float(os.environ.get("TELL_EVERY", "30"))


@dataclass
class Result:
    """What a run came to."""

    worlds: int = 0
    checkouts: int = 0
    crashes: int = 0
    calls: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seed: int | None = None
    error: str = ""
    needs: tuple[str, ...] = ()

    def add(self, other: Result) -> None:
        self.worlds += other.worlds
        self.checkouts += other.checkouts
        self.crashes += other.crashes
        self.calls += other.calls
        self.faults += other.faults
        if other.seed is not None:
            self.seed, self.error, self.needs = other.seed, other.error, other.needs


def live(seed: int, db: Memory, without: frozenset[str] = frozenset(), *, more: bool = True) -> World:
    """One world. Raises ``Violation``, or whatever the engine raised."""
    world = World(seed, db, CHECKOUTS_A_WORLD, without, more=more)
    world.live()
    return world


def simulate(
    checkouts: int,
    seed: int,
    seconds: float | None = None,
    *,
    minimise: bool = True,
    db: Memory | None = None,
    more: bool = True,
) -> Result:
    """Worlds from this seed on, for so many checkouts or so long; ends at the first violation. ``more``: see Ground."""
    result, began = Result(), time.monotonic()
    db = db or Memory(random.Random(0))
    while result.checkouts < checkouts and (seconds is None or time.monotonic() - began < seconds):
        at = seed + result.worlds
        result.worlds += 1
        result.checkouts += CHECKOUTS_A_WORLD
        try:
            world = live(at, db, more=more)
        except Exception as error:
            result.seed, result.error = at, f"{type(error).__name__}: {error}"
            if not isinstance(error, Violation):
                result.error += "\n" + traceback.format_exc()
            if minimise:
                result.needs = needed(at, db, more)
            return result
        result.crashes += world.crashes
        result.calls += sum(world.sent.values())
        result.faults += world.faults
    return result


def needed(seed: int, db: Memory, more: bool) -> tuple[str, ...]:
    """The kinds of trouble without which this seed shows no violation: the others are switched off one by one."""
    off: frozenset[str] = frozenset()
    for name in (*TROUBLES, SLOW):
        try:
            live(seed, db, off | {name}, more=more)
        except Exception:
            off |= {name}
    return tuple(name for name in (*TROUBLES, SLOW) if name not in off)


# --- the long run ----------------------------------------------------------------------------------------------------


def block(seed: int, worlds: int) -> Result:
    """So many worlds, in a process that lives many blocks on one database."""
    global _db
    if _db is None:
        _db = Memory(random.Random(0))
    return simulate(worlds * CHECKOUTS_A_WORLD, seed, db=_db)


_db: Memory | None = None


class Teller:
    """Adds what was done since it last told to the evidence."""

    def __init__(self, seed: int, command: str, jobs: int, keep: bool) -> None:
        self.first, self.command, self.jobs, self.keep = seed, command, jobs, keep
        self.since, self.part, self.all = time.monotonic(), Result(), Result()
        evidence.tree()

    def add(self, result: Result) -> None:
        self.part.add(result)
        self.all.add(result)
        if time.monotonic() - self.since > TELL_EVERY or result.seed is not None:
            self.tell()

    def tell(self) -> None:
        part, now = self.part, time.monotonic()
        if not part.worlds:
            return
        wrong = {} if part.seed is None else {"seed": part.seed, "error": part.error, "needs": list(part.needs)}
        if self.keep:
            evidence.append(
                "simulation",
                command=self.command,
                seeds=(self.first, self.first + part.worlds - 1),
                count=part.checkouts,
                violations=int(part.seed is not None),
                seconds=now - self.since,
                jobs=self.jobs,
                crashes=part.crashes,
                calls=part.calls,
                faults=dict(sorted(part.faults.items())),
                **wrong,
            )
        print(f"seeds {self.first}..{self.first + part.worlds - 1}: {part.checkouts} checkouts", flush=True)
        self.first, self.since, self.part = self.first + part.worlds, now, Result()


def long_run(checkouts: int, seed: int, jobs: int, *, resume: bool, keep: bool, seconds: float | None) -> Result:
    """N checkouts from a seed on, over several processes; with ``resume`` without those that stand in the evidence."""
    last = seed + -(-checkouts // CHECKOUTS_A_WORLD)
    command = f"make simulate N={checkouts} SEED={seed}" + (f' ARGS="--jobs {jobs}"' if jobs > 1 else "")
    first = evidence.done("simulation").next_seed(seed) if resume else seed
    teller = Teller(first, command, jobs, keep)
    blocks = [(at, min(BLOCK, last - at)) for at in range(first, last, BLOCK)]
    began = time.monotonic()
    try:
        for result in side_by_side(block, blocks, jobs):
            teller.add(result)
            if result.seed is not None or (seconds is not None and time.monotonic() - began > seconds):
                break
    except KeyboardInterrupt:
        print("stopped; --resume goes on from here")
    finally:
        teller.tell()
    return teller.all


def planted_run(name: str, checkouts: int, seed: int, seconds: float | None) -> Result:
    """The same with a bug in the engine."""
    from tests.simulation.bugs import NEEDS_MORE, planted

    with planted(name):
        return simulate(checkouts, seed, seconds, more=name in NEEDS_MORE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkouts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--resume", action="store_true", help="go on behind the seeds that stand in the evidence")
    parser.add_argument("--no-evidence", action="store_true", help="write no evidence")
    parser.add_argument("--bug", default="", help="plant a bug first; see tests/simulation/bugs.py")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began = time.monotonic()
    if asked.bug:
        result = planted_run(asked.bug, asked.checkouts, asked.seed, asked.seconds)
    else:
        result = long_run(
            asked.checkouts,
            asked.seed,
            asked.jobs,
            resume=asked.resume,
            keep=not asked.no_evidence,
            seconds=asked.seconds,
        )
    took = time.monotonic() - began
    print(
        f"{result.checkouts} checkouts in {result.worlds} worlds, {result.crashes} crashes, {result.calls} calls,"
        f" {sum(result.faults.values())} faults, {took:.0f} s"
    )
    if result.seed is not None:
        print(f"seed {result.seed}: {result.error}\nneeds: {', '.join(result.needs) or 'no trouble at all'}")
        sys.exit(1)


if __name__ == "__main__":
    main()
