"""``python -m tests.simulation.run --checkouts N --seed S``: many worlds, one after the other, until N checkouts are
done or one goes wrong. A violation prints its seed, and which troubles it needs."""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from dataclasses import dataclass

from tests.simulation.store import Memory
from tests.simulation.world import TROUBLES, Violation, World

CHECKOUTS_A_WORLD = 4


@dataclass
class Result:
    """What a run came to."""

    worlds: int = 0
    checkouts: int = 0
    crashes: int = 0
    calls: int = 0
    seed: int | None = None
    error: str = ""
    needs: tuple[str, ...] = ()


def live(seed: int, db: Memory, without: frozenset[str] = frozenset()) -> World:
    """One world. Raises ``Violation``, or whatever the engine raised."""
    world = World(seed, db, CHECKOUTS_A_WORLD, without)
    world.live()
    return world


def simulate(checkouts: int, seed: int, seconds: float | None = None, *, minimise: bool = True) -> Result:
    """Worlds from this seed on, for so many checkouts or so long; ends at the first violation."""
    result, db, began = Result(), Memory(random.Random(0)), time.monotonic()
    while result.checkouts < checkouts and (seconds is None or time.monotonic() - began < seconds):
        try:
            world = live(seed + result.worlds, db)
        except Exception as error:
            result.seed, result.error = seed + result.worlds, f"{type(error).__name__}: {error}"
            if not isinstance(error, Violation):
                result.error += "\n" + traceback.format_exc()
            if minimise:
                result.needs = needed(result.seed, db)
            return result
        result.worlds += 1
        result.checkouts += CHECKOUTS_A_WORLD
        result.crashes += world.crashes
        result.calls += sum(world.sent.values())
    return result


def needed(seed: int, db: Memory) -> tuple[str, ...]:
    """The kinds of trouble without which this seed shows no violation: the others are switched off one by one."""
    off: frozenset[str] = frozenset()
    for name in TROUBLES:
        try:
            live(seed, db, off | {name})
        except Exception:
            off |= {name}
    return tuple(name for name in TROUBLES if name not in off)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkouts", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--bug", default="", help="plant a bug first; see tests/simulation/bugs.py")
    asked = parser.parse_args()
    began = time.monotonic()
    if asked.bug:
        from tests.simulation.bugs import planted

        with planted(asked.bug):
            result = simulate(asked.checkouts, asked.seed, asked.seconds)
    else:
        result = simulate(asked.checkouts, asked.seed, asked.seconds)
    took = time.monotonic() - began
    print(
        f"{result.checkouts} checkouts in {result.worlds} worlds, {result.crashes} crashes, {result.calls} calls,"
        f" seeds {asked.seed}..{asked.seed + result.worlds - 1}, {took:.0f} s"
    )
    if result.seed is not None:
        print(f"seed {result.seed}: {result.error}\nneeds: {', '.join(result.needs) or 'no trouble at all'}")
        sys.exit(1)


if __name__ == "__main__":
    main()
