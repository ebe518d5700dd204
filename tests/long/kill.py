"""kill -9 of the real server under load, again and again: nothing acknowledged is lost, nothing is charged twice.

A round is one death: of a worker, of the master with all its workers, or of the process that reaches a named point. In
the middle of a mixed load (payment code, QR code, stored value, coupon, points, stock, a bill in a real till, deposits,
refunds, declines) the next round begins as soon as the platform is served again. After every few rounds the load stops
and all is held against the books: the wallet's, the till's, the house's ledger, every reply asked for again byte for
byte, and the engine's invariants.

``--nodes``: two nodes on one PostgreSQL. A death is that of a whole node, for good; the other finishes its work, and a
new node comes for the dead one.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gateway.testing.postgres import PostgresServer
from tests.engine.street import TIMES
from tests.long import runs
from tests.long.audit import Audit, Journal
from tests.long.load import Load
from tests.long.town import Node, Town, kill, stock_up

#: Lease + 5 seconds, and the start of a server on a machine that is busy.
WITHIN_S = TIMES["lease_s"] + 5.0
START_S = 4.0
#: How long a shown code can be paid: its own minute, one in which its request may have been on its way to a wallet that
#: told nobody, and some seconds.
CODE_S = 135.0
#: Rounds until the load rests and what was told is asked again; until all is held against the books, which takes the
#: longer the more there is; and in one life.
BATCH, WHOLE, LIFE = 10, 50, 40
#: Those who buy; fewer where two nodes and their database share the machine, or a node that comes waits for them.
CLIENTS, CLIENTS_OF_NODES = 6, 3

STATES = ("reserving", "paying", "settling", "posting", "completed", "closing", "undoing", "failed")
SENT = ("payment_charge", "payment_query", "payment_reverse", "payment_refund", "order_post", "order_query")
POINTS = (
    "accepted",
    "before-reply",
    *(f"committed:{state}" for state in STATES),
    *(f"before-commit:{state}" for state in STATES if state not in ("failed", "completed")),
    *(f"{when}-send:{hook}" for hook in SENT for when in ("before", "after")),
)


@dataclass
class Deaths:
    """The killing of one town, and what it came to."""

    town: Town
    load: Load
    audit: Audit
    rng: random.Random
    #: When each death was, or when a master that died was there again (milliseconds).
    at: list[int] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    worst_ms: int = 0
    slowest_start_s: float = START_S

    # --- one death ---------------------------------------------------------------------------------------------------

    def once(self, point: str = "") -> None:
        """One death under load, and the platform is served again."""
        served = self.load.answered()
        if len(self.town.nodes) > 1:
            self._node(point)
        elif point or self.rng.random() < 0.4:
            self._at_point(point or self.rng.choice(POINTS))
        elif self.rng.random() < 0.15:
            self._master()
        else:
            self._worker()
        self.at.append(_now())
        self._served(served)

    def _worker(self) -> None:
        alive = self._alive(self.town.nodes[0])
        kill(self.rng.choice(alive))
        self.kinds["worker"] += 1

    def _alive(self, node: Node, seconds: float = 20.0) -> list[int]:
        deadline = time.monotonic() + seconds
        while not (alive := node.workers()):
            if time.monotonic() > deadline:
                raise AssertionError("the node has no workers any more")
            time.sleep(0.02)
        return alive

    def _master(self) -> None:
        node = self.town.nodes[0]
        node.die()
        node.start()
        node.wait()
        self.kinds["master"] += 1

    def _at_point(self, point: str) -> bool:
        """The next process that comes there dies; where none comes in time, a worker does."""
        self.town.die_at(point)
        deadline = time.monotonic() + 2.0
        while not self.town.died(point):
            if time.monotonic() > deadline:
                (self.town.crash_folder / point).unlink(missing_ok=True)
                if not any(node.workers() for node in self.town.nodes):
                    break
                self._worker()
                return False
            time.sleep(0.01)
        self.kinds[point.partition(":")[0]] += 1
        return True

    def _node(self, point: str) -> None:
        """A node dies for good, at a named point or anywhere; when the other has served on, a new one comes."""
        before = {node.port: set(self._alive(node)) for node in self.town.nodes}
        first = self.rng.choice(self.town.nodes)
        if point or self.rng.random() < 0.5:
            point = point or self.rng.choice(POINTS)
            self.town.die_at(point)
            deadline = time.monotonic() + 2.0
            while not self.town.died(point) and time.monotonic() < deadline:
                time.sleep(0.005)
            if self.town.died(point):
                hit = [node for node in self.town.nodes if before[node.port] - set(node.workers())]
                first = hit[0] if hit else first
                self.kinds[point.partition(":")[0]] += 1
            (self.town.crash_folder / point).unlink(missing_ok=True)
        self.town.leave(first)
        self.kinds["node"] += 1
        self.at.append(_now())
        self._served(self.load.answered())
        self.town.join().wait()

    def _served(self, before: int, seconds: float = 30.0) -> None:
        """Until a few requests have been answered since; the next death comes a moment after."""
        deadline = time.monotonic() + seconds
        while self.load.answered() < before + 6:
            if time.monotonic() > deadline or self.load.broken:
                raise AssertionError(f"the platform is not served any more: {self.load.broken}")
            time.sleep(0.01)
        time.sleep(self.rng.random() * 0.15)

    # --- and after ---------------------------------------------------------------------------------------------------

    def batch(self, rounds: int, points: tuple[str, ...] = (), *, whole: bool = True) -> Iterator[str]:
        """So many deaths in a row, then every check; unless ``whole``, without those of all that was ever sold."""
        self.load.start(CLIENTS if len(self.town.nodes) == 1 else CLIENTS_OF_NODES)
        for number in range(rounds):
            self.once(points[number] if number < len(points) else "")
        self.load.stop()
        yield from self.load.broken
        bound = self.bound()
        yield from self.audit.settled(bound)
        yield from self.in_time()
        yield from self.audit.again(bound)
        yield from self.audit.settled(bound)
        if whole:
            yield from self.audit.all()

    def bound(self) -> float:
        """Lease + 5 seconds, and what a server needs to start here and now."""
        self.slowest_start_s = max(START_S, self.slowest_start_s, *(node.start_s for node in self.town.nodes))
        return WITHIN_S + self.slowest_start_s

    def in_time(self) -> Iterator[str]:
        """What a death interrupted came to its end within the lease and five seconds, and a server's start."""
        journal = Journal.read(self.town)
        for saga_id, end in journal.ends.items():
            saga = journal.sagas[saga_id]
            if '"qr_code"' in saga["doc"]:
                continue  # a shown code waits for its customer
            begun = max([saga["created"], *(at for at in self.at if at <= end)])
            self.worst_ms = max(self.worst_ms, end - begun)
            if end - begun > self.bound() * 1000:
                yield f"{saga['number']} {saga['state']}: ended {end - begun} ms after the last death"


def _now() -> int:
    return time.time_ns() // 1_000_000


def town_in(folder: Path, url: str = "") -> Town:
    """Two shops: one on the house's ledger, one with a till of its own."""
    return Town(folder, names=("alipay", "convenience"), merchants=("convenience",), database_url=url)


def deaths(town: Town, seed: int) -> Deaths:
    """What kills this town, with its goods for a long life."""
    with town.opened() as database:
        database.tx(stock_up)
    load = Load(town, seed)
    audit = Audit(town, load)
    assert not list(audit.balances(Journal.read(town)))  # what there is before anything was sold
    return Deaths(town, load, audit, random.Random(seed))


def life(seed: int, rounds: int, *, nodes: bool = False) -> runs.Found:
    """One town's life: so many deaths, with an audit after every few."""
    folder = Path(tempfile.mkdtemp(prefix="kill-"))
    try:
        if not nodes:
            return _lived(town_in(folder), seed, rounds, 1)
        with PostgresServer() as server:
            return _lived(town_in(folder, server.new_database()), seed, rounds, 2)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _lived(town: Town, seed: int, rounds: int, nodes: int) -> runs.Found:
    found = runs.Found()
    with town:
        for _ in range(nodes - 1):
            town.join().wait()
        killer = deaths(town, seed)
        while found.count < rounds and not found.wrong:
            part = min(BATCH, rounds - found.count)
            found.count += part
            found.wrong += list(killer.batch(part, whole=found.count % WHOLE == 0 and found.count < rounds))
        if not found.wrong:
            found.wrong += [*killer.audit.settled(CODE_S, patient=True), *killer.audit.all()]
        found.figures = _figures(killer)
        if found.wrong:
            kept = Path(tempfile.mkdtemp(prefix="kill-wrong-"))
            shutil.copytree(town.data, kept, dirs_exist_ok=True, ignore=shutil.ignore_patterns("metrics"))
            found.figures["kept"] = str(kept)
    return found


def _figures(killer: Deaths) -> dict[str, object]:
    tasks = killer.town.rows("SELECT count(*) AS n FROM tasks WHERE status = 'open'")[0]["n"]
    states = killer.town.rows("SELECT state, count(*) AS n FROM sagas GROUP BY state")
    return {
        "database": "postgresql" if killer.town.database_url else "sqlite",
        "kinds": dict(killer.kinds),
        "requests": len(killer.load.deeds),
        "acknowledged": killer.audit.figures["acknowledged"],
        "ended": {row["state"]: row["n"] for row in states},
        "open_tasks": tasks,
        "longest_to_end_ms": killer.worst_ms,
        "slowest_start_ms": round(killer.slowest_start_s * 1000),
    }


def main() -> int:
    asked = runs.parser(__doc__, total=1000)
    asked.add_argument("--nodes", action="store_true", help="two nodes on PostgreSQL, of which one dies for good")
    asked.add_argument("--life", type=int, default=LIFE, help="rounds in one life of a town")
    args = asked.parse_args()
    what = "kill-nodes" if args.nodes else "kill"
    total = f"make {what} N={args.total}"
    plan = runs.Plan(what, "kills", args.total, args.life, args.jobs, args.minutes * 60, args.seed, total)
    return runs.run(plan, partial(life, nodes=args.nodes))


if __name__ == "__main__":
    sys.exit(main())
