"""Storage that fails at the k-th read, write, sync, opening or lock: full, broken, locked, read-only; and then heals.

The same machine as for the power cuts, but the program lives on: what it had open must serve again once the fault is
over. Half of the faults kill the program at that moment, and another must go on with what it wrote.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import apsw

from tests.power.disk import Disk
from tests.power.shop import Process
from tests.power.world import Machine, World, in_memory

#: What can fail: which operation, with which of SQLite's codes, and at most how late.
FAULTS: dict[str, tuple[str, int, int]] = {
    "full disk": ("write", apsw.SQLITE_FULL, 150),
    "write error": ("write", apsw.SQLITE_IOERR_WRITE, 150),
    "read error": ("read", apsw.SQLITE_IOERR_READ, 100),
    "sync error": ("sync", apsw.SQLITE_IOERR_FSYNC, 15),
    "locked": ("lock", apsw.SQLITE_BUSY, 40),
    "cannot be opened": ("open", apsw.SQLITE_CANTOPEN, 6),
    "read-only": ("write", apsw.SQLITE_READONLY, 150),
    "cannot be cut": ("truncate", apsw.SQLITE_IOERR_TRUNCATE, 6),
}
#: How many operations after the first that failed go on failing; the last is "until it is healed".
LASTS = (1, 1, 5, 50, 10**9)


@dataclass
class Fault:
    """Fails ``kind`` from its ``at``-th operation on, ``lasts`` times or until healed; ``kill``: dies there instead."""

    disk: Disk
    kind: str
    at: int
    lasts: int
    kill: bool

    def __post_init__(self) -> None:
        self._operation, self._code, _ = FAULTS[self.kind]
        self._seen, self.hits, self.healed = 0, 0, False
        self._lock = threading.Lock()

    def __call__(self, operation: str, name: str) -> None:
        if operation != self._operation or self.healed or name.endswith("-shm"):
            return
        with self._lock:
            self._seen += 1
            if not self.at <= self._seen < self.at + self.lasts:
                return
            self.hits += 1
        if self.kill:
            self.disk.kill()
        raise apsw.exception_for(self._code)


class FaultyWorld(World):
    """Faults instead of power cuts, one after the other."""

    kind = "full disk"
    kill = False
    hits = 0
    busy_seconds = 0.5

    def _cut_once(self) -> None:
        self.tally.cuts += 1
        disk = self._power_on()
        at = self.rng.randrange(1, FAULTS[self.kind][2] + 1)
        fault = Fault(disk, self.kind, at, self.rng.choice(LASTS), self.kill)
        with self._processes(disk) as processes:
            if self.rng.random() < 0.5:
                self._warm(disk, processes)
            disk.before = fault
            self.customers.visit(disk, processes, self.checkouts)
            fault.healed = True
            self.hits += fault.hits > 0
            if not disk.off:
                self._lives_on(disk, processes)
            disk.kill()
        self._next(disk)
        self._check()

    def _warm(self, disk: Disk, processes: list[Process]) -> None:
        self.customers.visit(disk, processes, 1)

    def _lives_on(self, disk: Disk, processes: list[Process]) -> None:
        """The fault is over: the same program sells again, and finishes what was left."""
        before = len(self.customers.replies)
        self.customers.visit(disk, processes, 1)
        if len(self.customers.replies) == before:
            self._note("wrong", f"{self.kind}: nothing can be sold though it is over: {dict(self.customers.problems)}")
        self._finish(processes[0])
        self._whole(processes[0])
        self._kept(processes[0])
        self._agree(processes[0])


@contextmanager
def faulty(seed: int, kind: str, *, kill: bool = False, journal: str = "WAL") -> Iterator[FaultyWorld]:
    """A machine with faults of one kind."""
    with in_memory() as folder:
        world = FaultyWorld(seed, Machine(journal), folder)
        world.kind, world.kill = kind, kill
        yield world


def draw(seed: int) -> tuple[str, bool, str]:
    """The kind of fault, whether the program dies of it, and the journal: all combinations come round."""
    kinds = list(FAULTS)
    kind = kinds[seed % len(kinds)]
    only = FAULTS[kind][0] in ("lock", "truncate")  # a WAL is locked in shared memory, and hardly ever cut
    journal = "TRUNCATE" if only else ("WAL", "WAL", "TRUNCATE")[seed // len(kinds) // 2 % 3]
    return kind, bool(seed // len(kinds) % 2), journal
