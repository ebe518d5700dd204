"""What all long runs have in common: lives side by side, a bound on time, progress, evidence, and going on where a run
that was stopped had come to.

A *life* is a piece of a run with a seed of its own: it sets up its processes, works, holds everything against the
books, and says what it counted. Every life that ended is a line of evidence, so that stopping a run loses at most the
lives that were under way.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from tests import evidence

#: So many faults of one life are kept and shown.
SHOWN = 20


@dataclass
class Found:
    """What a life came to: how much it counted, what was wrong, and its own figures."""

    count: int = 0
    wrong: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


#: A life: its seed, and how much it is to count at most.
Life = Callable[[int, int], Found]


@dataclass(frozen=True, slots=True)
class Plan:
    """A run as asked for: its name in the evidence, how much of it, in what portions, and for how long at most."""

    what: str
    unit: str
    total: int
    portion: int
    jobs: int
    seconds: float
    seed: int
    command: str


def parser(doc: str | None, *, total: int, jobs: int = 1, minutes: float = 240) -> argparse.ArgumentParser:
    """The options that every long run has."""
    asked = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--total", type=int, default=total, help="how much is to be shown, with what was shown before")
    asked.add_argument("--jobs", type=int, default=jobs, help="how many lives side by side")
    asked.add_argument("--minutes", type=float, default=minutes, help="the longest that this may take")
    asked.add_argument("--seed", type=int, default=1, help="the first life's seed; what was done is passed over")
    return asked


def stoppable() -> None:
    """A SIGTERM is like a Ctrl-C: the run ends what it started."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def run(plan: Plan, life: Life) -> int:
    """Run lives until the total is reached, time is up, or one goes wrong. The exit status: 0 if nothing was wrong."""
    evidence.tree()
    stoppable()
    before = evidence.done(plan.what)
    left, began = plan.total - before.count, time.monotonic()
    say(f"{plan.what}: {before.count} of {plan.total} {plan.unit} were shown before ({evidence.folder()})")
    wrong = 0
    if left > 0:
        wrong = _live(plan, life, left, before.next_seed(plan.seed), began + plan.seconds)
    after = evidence.done(plan.what)
    took = time.monotonic() - began
    say(f"{plan.what}: {after.count} of {plan.total} {plan.unit}, {after.violations} wrong in all, {took:.0f} s now")
    return 1 if wrong else 0


def _live(plan: Plan, life: Life, left: int, seed: int, deadline: float) -> int:
    """Keep ``jobs`` lives going; the number of faults found."""
    context, wrong, planned, began = multiprocessing.get_context("spawn"), 0, 0, time.monotonic()
    done = 0
    running: dict[Future[Found], tuple[int, int]] = {}
    with ProcessPoolExecutor(plan.jobs, mp_context=context, max_tasks_per_child=1) as pool:
        try:
            while running or (planned < left and not wrong and time.monotonic() < deadline):
                while len(running) < plan.jobs and planned < left and not wrong and time.monotonic() < deadline:
                    portion = min(plan.portion, left - planned)
                    running[pool.submit(lived, life, seed, portion)] = (seed, portion)
                    planned, seed = planned + portion, seed + 1
                ready, _ = wait(running, timeout=5, return_when=FIRST_COMPLETED)
                for each in ready:
                    found = _taken(plan, *running.pop(each), each)
                    wrong, done = wrong + len(found.wrong), done + found.count
                    pace = (time.monotonic() - began) / max(done, 1)
                    say(f"  {done} of {left} {plan.unit}, {pace:.2f} s each, about {(left - done) * pace:.0f} s to go")
        except KeyboardInterrupt:
            say("stopped; the lives that ended are kept, the same command goes on from here")
            for child in multiprocessing.active_children():
                child.terminate()
            pool.shutdown(wait=True, cancel_futures=True)
    return wrong


def _taken(plan: Plan, seed: int, portion: int, each: Future[Found]) -> Found:
    try:
        found = each.result()
    except Exception as error:  # its process is gone: the kernel took it, or somebody ended it
        found = Found(wrong=[f"the life itself ended: {type(error).__name__}: {error}"])
    own = dict(found.figures)
    if found.wrong:
        own["error"] = found.wrong[0][:500]
        for text in found.wrong[:SHOWN]:
            say(f"  WRONG, seed {seed}: {text}")
    evidence.append(
        plan.what,
        command=plan.command,
        count=found.count,
        violations=len(found.wrong),
        seconds=found.seconds,
        seeds=(seed, seed),
        **own,
    )
    return found


def lived(life: Life, seed: int, portion: int) -> Found:
    """One life in a process of its own. What it raises is a fault of the life, told and never passed over."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    began = time.monotonic()
    try:
        found = life(seed, portion)
    except Exception:
        found = Found(wrong=["the life itself: " + traceback.format_exc()[-2000:]])
    found.seconds = time.monotonic() - began
    return found


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def command(name: str) -> str:
    """What to type to have this again."""
    return " ".join(["make", name, *(word for word in os.environ.get("RUN_ARGS", "").split() if word)])


__all__ = ["Found", "Life", "Plan", "command", "lived", "parser", "run", "say", "stoppable"]
