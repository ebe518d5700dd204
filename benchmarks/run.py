"""``make bench``: checkouts through gunicorn beside their peers, all in one run on one machine, as ratios with gates.

Figures in seconds hold for this machine and this moment alone; quote the ratios. What is compared is run in turns, so
that whatever else the machine does hits both sides, and the median of the turns counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import store
from benchmarks.checkout import checkout, far_checkout, forwarded, last_pieces, lookup, plain
from benchmarks.load import Measured, Request, run
from benchmarks.shop import LAST, LAST_ON_HAND, ROOT, Shop, far_shop, gunicorn, process, shop, wait_for
from gateway.demo.stage import free_port

#: What one hook of the slow systems takes, and how many such rounds a checkout over them has at least.
SLOW_MS, ROUNDS = 20, 2


@dataclass(frozen=True)
class Goal:
    """A ratio's gate and dream; ``most``: it should be at most that, else at least."""

    what: str
    gate: float
    dream: float
    most: bool = False

    def reached(self, value: float) -> bool:
        return value <= self.gate if self.most else value >= self.gate


GOALS = {
    "P4": Goal("CPU a checkout / CPU of a bare Flask JSON request, 16 clients", 7, 3.5, most=True),
    "P5": Goal("CPU of one adapter call through the gateway / a six-line Flask proxy", 1.0, 0.75, most=True),
    "P7": Goal("durable journal steps/s / the raw group-commit limit, 16 threads", 0.7, 0.9),
    "P8 native, 16 clients": Goal("five-step checkouts/s, group commit / a commit each", 3, 4),
    "P8 +1 ms, 16 clients": Goal("the same with an fsync 1 ms slower", 7, 7.6),
    "P8 +1 ms, 64 clients": Goal("the same with 64 clients", 20, 23),
    "P10": Goal("longest wait of a write, ms: 2 processes × 8 threads that do nothing else", 100, 25, most=True),
    "P11": Goal("checkouts/s all on one SKU / spread over 1,000", 0.9, 1.0),
    "P11 oversold": Goal("pieces sold that were not there", 0, 0, most=True),
    "P13": Goal("ms above 40 ms: three adapters of 20 ms, two rounds, one client", 4, 2, most=True),
}


@dataclass
class Results:
    """Everything measured so far; printed as it comes."""

    quick: bool
    runs: list[Measured] = field(default_factory=list)
    ratios: dict[str, float] = field(default_factory=dict)
    store: dict[str, float] = field(default_factory=dict)

    def count(self, full: int) -> int:
        return max(16, full // 8) if self.quick else full

    def run(self, name: str, at: tuple[int, int], clients: int, count: int, request: Request) -> Measured:
        """One run on the server at (port, pid), noted."""
        measured = run(name, *at, clients, self.count(count), request)
        self.runs.append(measured)
        print(measured.line(), flush=True)
        return measured

    def ratio(self, name: str, value: float) -> None:
        self.ratios[name] = value


def turns(results: Results, one: Callable[[int], float]) -> float:
    """The median over turns of a ratio whose two sides ran one after the other."""
    return statistics.median(one(turn) for turn in range(1 if results.quick else 3))


@contextmanager
def peer(app: str, **env: str) -> Iterator[tuple[int, int]]:
    """A peer under gunicorn, 2 × 8 as the gateway: port and pid."""
    port = free_port()
    with process(gunicorn(f"benchmarks.peers:{app}", port), PYTHONPATH=str(ROOT), **env) as server:
        wait_for(f"http://127.0.0.1:{port}/")
        yield port, server.pid


def embedded(results: Results, at: tuple[int, int], found: Shop) -> None:
    """Checkouts with all adapters in the house: P4 and P11."""
    gateway = (found.port, found.pid)
    run("warm-up", *at, 16, 300, plain())
    run("warm-up", *gateway, 16, 300, checkout(found.key, wallet=False, seed=90))
    results.run("checkout, adapters embedded", gateway, 1, 600, checkout(found.key, wallet=False, seed=91))

    def p4(turn: int) -> float:
        flask = results.run("bare Flask JSON route", at, 16, 3000, plain())
        ours = results.run(
            "checkout, adapters embedded", gateway, 16, 1800, checkout(found.key, wallet=False, seed=turn)
        )
        return ours.cpu_us / flask.cpu_us

    def p11(turn: int) -> float:
        one = checkout(found.key, wallet=False, hot=True, seed=10 + turn)
        hot = results.run("checkout, embedded, all on one SKU", gateway, 16, 1200, one)
        spread = checkout(found.key, wallet=False, seed=20 + turn)
        return hot.per_second / results.run("checkout, embedded, spread", gateway, 16, 1200, spread).per_second

    results.ratio("P4", turns(results, p4))
    results.ratio("P11", turns(results, p11))
    results.ratio("P11 oversold", oversold(results, found))


def oversold(results: Results, found: Shop) -> float:
    """Twice as many buyers as pieces: sold and left must add up to what there was."""
    buyers = run("the last pieces", found.port, found.pid, 16, 2 * LAST_ON_HAND, last_pieces(found.key))
    sold, left = buyers.statuses[201], found.on_hand(LAST) // 1000
    print(f"the last pieces: {LAST_ON_HAND} there, {sum(buyers.statuses.values())} buyers, {sold} sold, {left} left")
    return abs(sold + left - LAST_ON_HAND) + max(0, sold - LAST_ON_HAND)


def sockets(results: Results, found: Shop) -> None:
    """Checkouts with the wallet over its socket."""
    at = (found.port, found.pid)
    run("warm-up", *at, 16, 60, checkout(found.key, wallet=True, seed=30))
    results.run("checkout, the wallet over its socket", at, 1, 240, checkout(found.key, wallet=True, seed=31))
    results.run("checkout, the wallet over its socket", at, 16, 600, checkout(found.key, wallet=True, seed=32))


def far(results: Results, folder: Path) -> None:
    """Three systems over sockets at latency 0, and one call of an adapter beside a six-line proxy: P5."""
    with far_shop(folder / "far", 0, silent=False) as (found, members):
        gateway = (found.port, found.pid)
        run("warm-up", *gateway, 16, 60, far_checkout(found.key))
        results.run("checkout, three systems over sockets", gateway, 1, 240, far_checkout(found.key))
        results.run("checkout, three systems over sockets", gateway, 16, 600, far_checkout(found.key))
        with peer("proxy_app", UPSTREAM=f"http://{members}/member") as proxy:
            run("warm-up", *proxy, 16, 200, forwarded())
            run("warm-up", *gateway, 16, 200, lookup(found.key))

            def p5(turn: int) -> float:
                theirs = results.run("six-line Flask proxy (requests)", proxy, 16, 1200, forwarded())
                ours = results.run("one adapter call through the gateway", gateway, 16, 1200, lookup(found.key))
                return ours.cpu_us / theirs.cpu_us

            results.ratio("P5", turns(results, p5))


def slow(results: Results, folder: Path) -> None:
    """Three systems that take 20 ms a message: P13."""
    with far_shop(folder / "slow", SLOW_MS, silent=True) as (found, _):
        at = (found.port, found.pid)
        run("warm-up", *at, 1, 20, far_checkout(found.key))
        name = f"checkout, three systems of {SLOW_MS} ms"
        measured = results.run(name, at, 1, 150, far_checkout(found.key))
        results.ratio("P13", measured.p50_ms - SLOW_MS * ROUNDS)


def journal(results: Results, folder: Path) -> None:
    """The store by itself: P7, P8 and P10."""
    seconds, rounds = (0.3, 1) if results.quick else (1.5, 3)
    folder.mkdir()
    waits = store.waits(folder, 5 if results.quick else 60, 1)
    results.store = store.steps(folder, seconds, rounds) | store.checkouts(folder, seconds, rounds) | waits
    results.ratio("P10", next(iter(waits.values())))
    for name, value in results.store.items():
        if name.startswith("P7"):
            results.ratio("P7", value)
        elif name.startswith("P8"):
            results.ratio(f"P8 {name.split('each, ')[1]}", value)


def measure(quick: bool) -> Results:
    """All of it."""
    results, folder = Results(quick), Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        print("simulators answer at once (latency 0), but for P13: 20 ms a message", flush=True)
        with peer("json_app") as flask, shop(folder / "shop") as found:
            embedded(results, flask, found)
            sockets(results, found)
        far(results, folder)
        slow(results, folder)
        journal(results, folder / "journal")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return results


def table(results: Results) -> list[str]:
    """The ratios with their gates."""
    lines = []
    for name, goal in GOALS.items():
        value = results.ratios[name]
        sign, verdict = ("≤" if goal.most else "≥"), ("reached" if goal.reached(value) else "NOT REACHED")
        lines.append(
            f"{name:<22}{value:>8.2f}  gate {sign} {goal.gate:<4g} dream {goal.dream:<4g} {verdict:<12}{goal.what}"
        )
    return lines


def document(results: Results, took: float) -> dict[str, Any]:
    """All of it as plain values, with where and when."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
        "seconds": round(took),
        "quick": results.quick,
        "simulator_latency_ms": {"P13": SLOW_MS, "others": 0},
        "runs": [measured.to_json() for measured in results.runs],
        "ratios": {
            name: {
                "value": round(results.ratios[name], 3),
                "gate": goal.gate,
                "reached": goal.reached(results.ratios[name]),
            }
            for name, goal in GOALS.items()
        },
        "store": {name.strip(): round(value, 3) for name, value in results.store.items()},
    }


def main() -> None:
    """Run, print, and write the JSON file if one is named."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute; good for a look, not for a quote")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    begun = time.monotonic()
    results = measure(arguments.quick)
    took = time.monotonic() - begun
    print("\n".join(["", *table(results), f"\n{took:.0f} s"]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(document(results, took), ensure_ascii=False, indent=1) + "\n", "utf-8")
    failures = sum(measured.failures for measured in results.runs)
    if failures:
        raise SystemExit(f"{failures} requests failed: these figures are worth nothing")


if __name__ == "__main__":
    main()
