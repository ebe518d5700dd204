"""What the store's port costs, against what the database can do by itself, in one run.

    python benchmarks/store.py [--seconds 2] [--rounds 3] [--only steps,checkouts,waits,hot,postgres]

A *step* is what the journal writes for one leg of a checkout: the outcome of an operation (guarded by its fence), the
intent of the next one, and an event. The raw limit is the same statements in a group commit written by hand for this
file alone: no savepoints, no lock between processes, no bound on waiting, no errors. Figures in seconds hold for this
machine only: quote the ratios.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from gateway.store import driver
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, Tx, open_database
from gateway.store.sqlite import SqliteDatabase

SCHEMA = Migration(
    "bench",
    """
    CREATE TABLE op (id INTEGER PRIMARY KEY, saga TEXT NOT NULL, leg TEXT NOT NULL, state TEXT NOT NULL,
        fence INTEGER NOT NULL, outcome TEXT NOT NULL) STRICT;
    CREATE INDEX op_saga ON op (saga, leg);
    CREATE TABLE event (id INTEGER PRIMARY KEY, saga TEXT NOT NULL, type TEXT NOT NULL, data TEXT NOT NULL) STRICT;
    CREATE TABLE stock (sku TEXT NOT NULL PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0)) STRICT;
    """,
)
INTENT = "INSERT INTO op (saga, leg, state, fence, outcome) VALUES (:saga, :leg, 'INTENT', 1, '')"
OUTCOME = "UPDATE op SET state = 'OK', outcome = :outcome WHERE saga = :saga AND leg = :leg AND fence = 1"
EVENT = "INSERT INTO event (saga, type, data) VALUES (:saga, 'checkout.step', :outcome)"
TAKE = "UPDATE stock SET free = free - 1 WHERE sku = :sku AND free >= 1"

_SERIAL = count()


def parameters() -> dict[str, str]:
    """Those of one step; each step belongs to a saga of its own."""
    return {
        "saga": f"chk_{next(_SERIAL):012d}",
        "leg": "pay",
        "outcome": '{"code":"OK","amount":12800,"trade":"2026112200"}',
    }


def step() -> Callable[[Tx], int]:
    """One step of the journal as a unit of the port."""
    values = parameters()

    def unit(tx: Tx) -> int:
        tx.execute(INTENT, values)
        tx.execute(EVENT, values)
        return tx.execute(OUTCOME, values)

    return unit


# -- the raw limit


class Raw:
    """A group commit with nothing but the commit: what the library and the interpreter allow on this machine."""

    def __init__(self, path: Path) -> None:
        SqliteDatabase(path).close()
        database = open_database(f"sqlite:///{path}")
        migrate(database, [SCHEMA])
        database.close()
        self.connection = driver.connect(path)
        self.connection.execute("PRAGMA synchronous=FULL")
        self._mutex = threading.Lock()
        self._queue: deque[list[Any]] = deque()
        self._leading = False

    def write(self, values: dict[str, str]) -> None:
        """The statements of one step."""
        self.connection.execute(INTENT, values)
        self.connection.execute(EVENT, values)
        self.connection.execute(OUTCOME, values)

    def loop(self, size: int, until: float) -> int:
        """One thread, batches of ``size`` by hand; how many steps by ``until``."""
        done = 0
        while time.perf_counter() < until:
            self.connection.execute("BEGIN IMMEDIATE")
            for _ in range(size):
                self.write(parameters())
            self.connection.execute("COMMIT")
            done += size
        return done

    def submit(self) -> None:
        """One step from one of many threads: lead, or wait for who leads."""
        values = parameters()
        entry: list[Any] = []
        with self._mutex:
            if self._leading:
                entry = [values, threading.Lock(), False]
                entry[1].acquire()
                self._queue.append(entry)
            else:
                self._leading = True
        if entry:
            entry[1].acquire()
            if not entry[2]:
                return
        self._lead(values)

    def _lead(self, values: dict[str, str]) -> None:
        served = []
        self.connection.execute("BEGIN IMMEDIATE")
        self.write(values)
        while self._queue:
            served.append(self._queue.popleft())
            self.write(served[-1][0])
        self.connection.execute("COMMIT")
        with self._mutex:
            heir = self._queue.popleft() if self._queue else None
            self._leading = heir is not None
        if heir is not None:
            heir[2] = True
            heir[1].release()
        for entry in served:
            entry[1].release()


# -- running


def rate(threads: int, seconds: float, work: Callable[[], object]) -> tuple[float, float]:
    """(how many a second, microseconds of CPU of this process each) of ``work`` from that many threads."""
    counts = [0] * threads
    until = time.perf_counter() + seconds

    def run(index: int) -> None:
        while time.perf_counter() < until:
            work()
            counts[index] += 1

    workers = [threading.Thread(target=run, args=(index,)) for index in range(threads)]
    cpu, started = time.process_time(), time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    total = max(1, sum(counts))
    return total / (time.perf_counter() - started), (time.process_time() - cpu) / total * 1e6


class Slow:
    """A connection whose commit takes longer, as on a disk that does."""

    def __init__(self, inner: driver.Connection, seconds: float) -> None:
        self._inner, self._seconds = inner, seconds
        self.executemany, self.close = inner.executemany, inner.close

    @property
    def in_transaction(self) -> bool:
        return self._inner.in_transaction

    @property
    def total_changes(self) -> int:
        return self._inner.total_changes

    def execute(self, sql: str, params: Any = (), /) -> driver.Cursor:
        if sql == "COMMIT":
            time.sleep(self._seconds)
        return self._inner.execute(sql, params)


@contextmanager
def sqlite(folder: Path, slower_by: float = 0.0, most: int = 64) -> Iterator[SqliteDatabase]:
    """A new database; with ``most=1`` every unit has a commit of its own."""
    path = folder / f"{next(_SERIAL)}.db"
    connect = driver.connect if not slower_by else lambda path: Slow(driver.connect(path), slower_by)
    database = SqliteDatabase(path, connect=connect)
    migrate(database, [SCHEMA])
    database._process.writer.group._most = most
    yield database
    database.close()


def report(name: str, value: float, unit: str, note: str = "") -> None:
    """One line for people."""
    print(f"{name:56s} {value:10,.2f} {unit:6s} {note}", flush=True)


# -- the measurements


def steps(folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    """P7: durable steps a second through the port, against the raw group commit of the same run."""
    found: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):  # interleaved, so that what else the machine does hits both sides
        raw = Raw(folder / f"{next(_SERIAL)}.db")
        started = time.perf_counter()
        loop = raw.loop(16, started + seconds) / (time.perf_counter() - started)
        found.setdefault("raw, one thread, batches of 16", []).append((loop, 1e6 / loop))
        with sqlite(folder) as database:
            for threads in (1, 16):
                found.setdefault(f"raw, {threads} threads", []).append(rate(threads, seconds, raw.submit))
                port = rate(threads, seconds, lambda: database.tx(step()))
                found.setdefault(f"port, {threads} threads", []).append(port)
        raw.connection.close()
    medians = {name: statistics.median(value for value, _ in values) for name, values in found.items()}
    for name, values in found.items():
        cpu = statistics.median(cpu for _, cpu in values)
        report(f"steps: {name}", medians[name], "/s", f"{cpu:.0f} µs CPU each")
    return {
        "P7 port / raw group commit, 16 threads": medians["port, 16 threads"] / medians["raw, 16 threads"],
        "   port / raw, 1 thread": medians["port, 1 threads"] / medians["raw, 1 threads"],
        "   port 16 threads / raw one-thread loop of 16": medians["port, 16 threads"]
        / medians["raw, one thread, batches of 16"],
    }


def checkouts(folder: Path, seconds: float, _: int) -> dict[str, float]:
    """P8: checkouts of five steps a second, group commit against a commit each."""
    found: dict[str, float] = {}
    for name, clients, slower_by in (("native", 16, 0.0), ("+1 ms", 16, 0.001), ("+1 ms", 64, 0.001)):
        figures = []
        for most in (64, 1):
            with sqlite(folder, slower_by, most) as database:
                checkout = lambda: [database.tx(step()) for _ in range(5)]  # noqa: E731
                figures.append(rate(clients, seconds, checkout)[0])
        report(
            f"checkouts of 5 steps: {name}, {clients} clients, grouped", figures[0], "/s", f"each: {figures[1]:,.0f}/s"
        )
        found[f"P8 group commit / commit each, {name}, {clients} clients"] = figures[0] / figures[1]
    return found


def waits(folder: Path, seconds: float, _: int) -> dict[str, float]:
    """P10: how long a write waits at most, two processes with eight threads each."""
    url = f"sqlite:///{folder / 'waits.db'}"
    database = open_database(url)
    migrate(database, [SCHEMA])
    database.close()
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        results = pool.starmap(_waits_of_one_process, [(url, seconds)] * 2, chunksize=1)
    times = sorted(one for result in results for one in result)
    report("waits: 2 processes × 8 threads", len(times) / seconds, "/s", f"split {[len(one) for one in results]}")
    report("waits: p50 / p99", times[len(times) // 2] * 1e3, "ms", f"{times[int(len(times) * 0.99)] * 1e3:.2f} ms")
    report("P10 longest wait", times[-1] * 1e3, "ms", f"load {os.getloadavg()[0]:.1f}")
    return {"P10 longest write wait, 2 processes × 8 threads, ms": times[-1] * 1e3}


def _waits_of_one_process(url: str, seconds: float) -> list[float]:
    database = open_database(url)
    lists: list[list[float]] = [[] for _ in range(8)]
    until = time.perf_counter() + seconds

    def run(mine: list[float]) -> None:
        while (started := time.perf_counter()) < until:
            database.tx(step())
            mine.append(time.perf_counter() - started)

    workers = [threading.Thread(target=run, args=(mine,)) for mine in lists]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    database.close()
    return [one for mine in lists for one in mine]


def hot(folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    """P11: all sales on one SKU against sales spread over 1,000."""
    with sqlite(folder) as database:
        return _hot(database, seconds, rounds)


def _hot(database: Database, seconds: float, rounds: int) -> dict[str, float]:
    rows = [{"sku": f"sku-{number}", "free": 1 << 40} for number in range(1000)]
    database.tx(lambda tx: tx.execute_many("INSERT INTO stock (sku, free) VALUES (:sku, :free)", rows))
    found: dict[str, list[float]] = {"one": [], "spread": []}
    for _ in range(rounds):
        found["one"].append(rate(16, seconds, lambda: database.tx(_sell("sku-7")))[0])
        found["spread"].append(rate(16, seconds, lambda: database.tx(_sell(f"sku-{next(_SERIAL) % 1000}")))[0])
    one, spread = (statistics.median(found[name]) for name in ("one", "spread"))
    report(f"{database.dialect}: sales on one SKU, 16 clients", one, "/s", f"spread over 1,000: {spread:,.0f}/s")
    return {f"P11 {database.dialect}: one SKU / spread": one / spread}


def _sell(sku: str) -> Callable[[Tx], int]:
    values = {**parameters(), "sku": sku}

    def unit(tx: Tx) -> int:
        tx.execute(INTENT, values)
        tx.execute(EVENT, values)
        return tx.execute(TAKE, values)

    return unit


def postgres(folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    """The store's share of P12: the same steps on PostgreSQL, durable, on this machine."""
    from gateway.testing.postgres import PostgresServer

    found: dict[str, float] = {}
    with PostgresServer(fsync=True) as server, sqlite(folder) as lite:
        database = open_database(server.new_database())
        migrate(database, [SCHEMA])
        for threads in (1, 16):
            pairs = [
                [rate(threads, seconds, partial(_one_step, one)) for one in (database, lite)] for _ in range(rounds)
            ]
            ours, theirs = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
            cpu = statistics.median(pair[0][1] for pair in pairs)
            report(f"postgresql: steps, {threads} threads", ours, "/s", f"{cpu:.0f} µs CPU of this process each")
            found[f"   PostgreSQL / SQLite, steps, {threads} threads"] = ours / theirs
        found |= _hot(database, seconds, rounds)
        database.close()
    return found


def _one_step(database: Database) -> int:
    return database.tx(step())


MEASUREMENTS = {"steps": steps, "checkouts": checkouts, "waits": waits, "hot": hot, "postgres": postgres}


def main() -> None:
    """Run the measurements named and print the ratios, last as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0, help="each measurement lasts so long")
    parser.add_argument("--rounds", type=int, default=3, help="of each side, interleaved; the median counts")
    parser.add_argument("--only", default=",".join(MEASUREMENTS), help="names, by comma")
    arguments = parser.parse_args()
    ratios: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="store-bench-") as folder:
        for name in arguments.only.split(","):
            ratios |= MEASUREMENTS[name](Path(folder), arguments.seconds, arguments.rounds)
    for name, ratio in ratios.items():
        report(name, ratio, "×")
    print(json.dumps({name.strip(): round(ratio, 3) for name, ratio in ratios.items()}))


if __name__ == "__main__":
    main()
