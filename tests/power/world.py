"""One machine through many power cuts: customers, a cut, what is left, recovery to the end, the books held together."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import apsw

from gateway.engine.invariants import all_violations, parent_covers_refunds
from gateway.store import driver
from gateway.store.errors import StorageError
from tests.power.connection import Tuner, lower, opener
from tests.power.disk import Disk
from tests.power.shop import FILE, Clock, Customers, Process, configured, furnished, process
from tests.power.vfs import DiskVFS
from tests.power.wallet import WALLETS, Books

_OLD = (3, 40, 1)  # a version for which the store takes the TRUNCATE journal
#: How many cuts one seed's machine lives through.
CUTS = 10
#: How often recovery may look for work before what is left counts as never ending.
ROUNDS = 400
_SERIAL = itertools.count()
_OPEN = "SELECT id, due_at FROM sagas WHERE state NOT IN ('completed', 'failed', 'cancelled')"
_WATCHED = "SELECT min(max(due_at, lease_until)) AS due FROM sagas WHERE due_at IS NOT NULL"


@dataclass(frozen=True)
class Machine:
    """What is the same through all cuts. ``synchronous`` and ``lies`` are for the controls, which must lose."""

    journal: str = "WAL"
    synchronous: str = "FULL"
    lies: bool = False


@dataclass
class Tally:
    """What was seen."""

    cuts: int = 0
    acknowledged: int = 0
    lost: int = 0
    corrupt: int = 0
    wrong: int = 0
    first: str = ""

    def add(self, other: Tally) -> None:
        for name in ("cuts", "acknowledged", "lost", "corrupt", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.first = self.first or other.first

    @property
    def violations(self) -> int:
        return self.lost + self.corrupt + self.wrong


class Gone(Exception):
    """The file is no whole database any more."""


@dataclass
class World:
    """One seed: a machine that is switched on, cut, and switched on again."""

    seed: int
    machine: Machine
    folder: Path
    tally: Tally = field(default_factory=Tally)
    busy_seconds = 5.0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.clock = Clock()
        name = f"world-{next(_SERIAL)}"
        self.books = WALLETS[name] = Books(random.Random(self.seed + 1))
        self.config = configured(self.folder, name)
        self.customers = Customers(self.rng)
        self.disk_folder = self.folder / "disk"
        self.disk_folder.mkdir()
        (self.disk_folder / FILE).write_bytes(furnished())
        self.usual = 0  # how many operations of the disk a visit takes, so that a cut falls anywhere in it
        self.start = self._standing_of(None)
        self.checkpoint = self.rng.choice((4000, 100, 20))
        self.checkouts = self.rng.choice((1, 1, 2))  # how many each of the six customers makes between two cuts

    # --- one cut -----------------------------------------------------------------------------------------------------

    def live(self, cuts: int = CUTS) -> Tally:
        """So many cuts; ends at the first violation."""
        try:
            while self.tally.cuts < cuts and not self.tally.violations:
                self._cut_once()
        except Gone as gone:
            self._note("corrupt", str(gone))
        return self.tally

    def _cut_once(self) -> None:
        self.tally.cuts += 1
        disk = self._power_on()
        disk.cut_at = self.rng.randrange(1, self.usual + 1) if self.usual else None
        with self._processes(disk) as processes:
            self.customers.visit(disk, processes, self.checkouts)
            if not disk.off:
                self.usual = disk.done
            disk.cut()
        self._next(disk)
        if self.rng.random() < 0.3:
            self._cut_recovery()
        self._check()

    def _cut_recovery(self) -> None:
        """The power goes again while the machine finds out what it has, or finishes what was left."""
        disk = self._power_on()
        disk.cut_at = self.rng.randrange(1, 40)
        with self._processes(disk, 1) as processes:
            try:
                self._finish(processes[0])
            except StorageError as error:
                if not disk.off:
                    raise Gone(f"while recovering: {error}") from error
            disk.cut()
        self._next(disk)

    def _check(self) -> None:
        """Everything that must hold once the machine has power and time."""
        disk = self._power_on()
        with self._processes(disk, 1) as processes:
            self._whole(processes[0])
            self._kept(processes[0])
            self._finish(processes[0])
            self._agree(processes[0])
        disk.cut()
        self._next(disk)

    # --- the machine -------------------------------------------------------------------------------------------------

    def _power_on(self) -> Disk:
        return Disk(self.disk_folder, random.Random(self.rng.getrandbits(32)), lies=self.machine.lies)

    @contextmanager
    def _processes(self, disk: Disk, count: int = 2) -> Iterator[list[Process]]:
        vfs = DiskVFS(f"disk-{next(_SERIAL)}", disk)
        opens = opener(vfs.name, lower(self.machine.synchronous), self._tuned())
        before, driver.VERSION = driver.VERSION, driver.VERSION if self.machine.journal == "WAL" else _OLD
        processes = [
            process(self.config, self.disk_folder / FILE, opens, self.clock, self.busy_seconds) for _ in range(count)
        ]
        try:
            yield processes
        finally:
            for each in processes:
                each.close()
            driver.VERSION = before
            vfs.unregister()

    def _tuned(self) -> Tuner:
        """Smaller checkpoints, so that cuts fall into them."""
        return lambda sql: f"PRAGMA wal_autocheckpoint={self.checkpoint}" if "wal_autocheckpoint" in sql else sql

    def _next(self, disk: Disk) -> None:
        folder = self.folder / f"disk-{next(_SERIAL)}"
        folder.mkdir()
        disk.restored(folder)
        shutil.rmtree(self.disk_folder)
        self.disk_folder = folder
        self.clock.sleep(5)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _note(self, kind: str, text: str) -> None:
        setattr(self.tally, kind, getattr(self.tally, kind) + 1)
        self.tally.first = self.tally.first or f"seed {self.seed}, cut {self.tally.cuts}: {text}"

    def _rows(self, at: Process, sql: str) -> list[dict[str, Any]]:
        try:
            return [dict(row) for row in at.database.read(lambda tx: tx.all(sql))]
        except StorageError as error:
            raise Gone(f"{sql}: {error}") from error

    def _whole(self, at: Process) -> None:
        found = self._rows(at, "SELECT integrity_check AS text FROM pragma_integrity_check")
        if [row["text"] for row in found] != ["ok"]:
            raise Gone(f"integrity check: {found[:3]}")
        if orphans := self._rows(at, "SELECT * FROM pragma_foreign_key_check"):
            raise Gone(f"foreign keys: {orphans[:3]}")

    def _kept(self, at: Process) -> None:
        """Every reply that was given is there as it was given; what was being worked on when it was, is there."""
        kept = {row["key"]: row for row in self._rows(at, "SELECT key, status, body, location FROM idempotency")}
        for key, reply in self.customers.replies.items():
            row = kept.get(key)
            same = row is not None and (
                reply.status == 202 or (row["status"], row["body"]) == (reply.status, reply.body)
            )
            if not same:
                self._note("lost", f"{key} was answered {reply.status}, and there is {row and row['status']}")
        self.tally.acknowledged = len(self.customers.replies)

    def _finish(self, at: Process) -> None:
        """Let recovery work until nothing is due any more, however late."""
        for _ in range(ROUNDS):
            if at.engine.worker.recover(at.engine.finish, patience=500):
                continue
            due = at.database.read(lambda tx: tx.one(_WATCHED))
            if due is None or due["due"] is None:
                return
            self.clock.sleep(max(1, due["due"] - self.clock.now()) / 1000 + 0.001)

    def _agree(self, at: Process) -> None:
        for text in at.database.read(lambda tx: list(all_violations(tx, self.clock.now()))):
            self._note("wrong", text)
        for row in self._rows(at, _OPEN):
            self._note("wrong", f"L1: {row['id']} did not end")
        self._money(at)
        if self.customers.errors:
            error = self.customers.errors[0]
            self._note("wrong", f"with power on: {type(error).__name__}: {error}")

    def _money(self, at: Process) -> None:
        """The wallet's own books and the house's stand as the journal says."""
        keys = {row["key"]: row for row in self._rows(at, "SELECT key, saga_id, state FROM ops")}
        for key in {*self.books.taken, *self.books.given} - set(keys):
            self._note("wrong", f"X1: the wallet was sent {key}, of which the journal knows nothing")
        sold = self._rows(at, "SELECT id, doc, state FROM sagas WHERE kind = 'checkout'")
        back = self._rows(at, "SELECT id, parent, state FROM sagas WHERE kind = 'refund'")
        whole = {row["parent"] for row in back if row["state"] == "completed"}
        expected = self.start
        for row in sold:
            stands = row["state"] == "completed" and row["id"] not in whole
            wallet, change = _effect(json.loads(row["doc"]))
            taken = sum(self.books.net(key) for key, op in keys.items() if op["saga_id"] == row["id"])
            if taken != (wallet if stands else 0):
                self._note("wrong", f"M1: {row['id']} is {row['state']}, and the wallet has {taken} of {wallet}")
            if stands:
                expected = tuple(a + b for a, b in zip(expected, change, strict=True))
        if (standing := self._standing_of(at)) != expected:
            self._note("wrong", f"the house stands at {standing}, not {expected}")
        for parent in whole:
            for text in at.database.read(lambda tx, parent=parent: list(parent_covers_refunds(tx, parent))):  # type: ignore[misc]
                self._note("wrong", text)

    def _standing_of(self, at: Process | None) -> tuple[int, ...]:
        """Points, points held, value, stock, stock reserved."""
        sql = (
            "SELECT points, points_held, real + gift AS value, on_hand, reserved FROM house_members"
            " JOIN house_stock ON sku = 'B' WHERE house_members.merchant = 'm1'"
        )
        if at is not None:
            return tuple(self._rows(at, sql)[0].values())
        inner = apsw.Connection(str(self.disk_folder / FILE))
        try:
            return tuple(map(int, cast(Any, inner.execute(sql).fetchall()[0])))
        finally:
            inner.close()


def _effect(doc: dict[str, Any]) -> tuple[int, tuple[int, ...]]:
    """What a completed checkout takes from the wallet; and what it changes in the house."""
    amounts = {tender["method"]: tender["amount"] for tender in doc["tenders"]}
    points = doc["quote"]["points"] or {}
    moved = points.get("earned", 0) - points.get("used", 0)
    return amounts.get("payment_code", 0), (moved, 0, -amounts.get("stored_value", 0), -1000, 0)


@contextmanager
def in_memory() -> Iterator[Path]:
    """A folder in memory: a disk that is really there would be waited for."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="power-", dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


@contextmanager
def on_disk(seed: int, machine: Machine) -> Iterator[World]:
    """One world, whose files are gone afterwards."""
    with in_memory() as folder:
        yield World(seed, machine, folder)


def live(seed: int, machine: Machine, cuts: int = CUTS) -> Tally:
    """One world through its cuts."""
    with on_disk(seed, machine) as world:
        return world.live(cuts)
