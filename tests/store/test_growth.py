"""What must not grow: the WAL under readers that never rest, and the descriptors of a process whose disk fails."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store import driver
from gateway.store.errors import StorageDown
from gateway.store.migrate import migrate
from gateway.store.port import Database, Tx
from gateway.store.sqlite import SqliteDatabase
from tests.store.conftest import SHOP

MIB = 1 << 20


@pytest.mark.slow
def test_the_wal_stays_small_under_constant_readers(sqlite_url: str, opened: Callable[..., Database]) -> None:
    """Readers that overlap at all times keep a checkpoint from ending; yet the file must not fill the disk."""
    database = opened(sqlite_url)
    database.tx(lambda tx: tx.execute("CREATE TABLE pile (n INTEGER PRIMARY KEY, x BLOB) STRICT"))
    stopping, most, written = threading.Event(), 0, 0

    def read() -> None:
        while not stopping.is_set():
            database.read(_read_slowly)

    readers = [threading.Thread(target=read) for _ in range(4)]
    for reader in readers:
        reader.start()
    deadline = time.monotonic() + 15
    while written < 112 * MIB and time.monotonic() < deadline:
        database.tx(_write(written // MIB % 16))
        written += MIB
        most = max(most, database.health().wal_bytes or 0)
    stopping.set()
    for reader in readers:
        reader.join(5)
    assert written >= 96 * MIB, "too little was written to show anything"
    assert most <= 64 * MIB, f"the WAL grew to {most / MIB:.0f} MiB"


def _read_slowly(tx: Tx) -> None:
    tx.one("SELECT count(*) AS n FROM pile")
    time.sleep(0.02)


def _write(number: int) -> Callable[[Tx], int]:
    sql = "INSERT INTO pile VALUES (:n, :x) ON CONFLICT (n) DO UPDATE SET x = excluded.x"
    return lambda tx: tx.execute(sql, {"n": number, "x": os.urandom(MIB)})


class _Failing:
    """A connection whose commits fail as on a broken disk while it is told to; opening it may fail too."""

    broken = False

    def __init__(self, path: Path) -> None:
        self._inner = driver.connect(path)
        self.close, self.executemany = self._inner.close, self._inner.executemany

    @property
    def in_transaction(self) -> bool:
        return self._inner.in_transaction

    @property
    def total_changes(self) -> int:
        return self._inner.total_changes

    def execute(self, sql: str, params: object = (), /) -> driver.Cursor:
        if _Failing.broken and sql.startswith(("COMMIT", "PRAGMA busy", "PRAGMA synchronous")):
            error = driver.DriverError("disk I/O error")
            error.sqlite_errorcode = 10  # type: ignore[attr-defined]
            raise error
        return self._inner.execute(sql, params)  # type: ignore[arg-type]


def test_a_failing_disk_costs_no_descriptors(tmp_path: Path) -> None:
    """Each failure opens the file anew: one descriptor lost each time would stop the server after a bad hour."""
    database = SqliteDatabase(tmp_path / "gateway.db", ballast_bytes=0, connect=_Failing)
    migrate(database, [SHOP])
    sell = "INSERT INTO stock (sku, free) VALUES ('apple', 1) ON CONFLICT (sku) DO UPDATE SET free = stock.free + 1"

    def fail() -> None:
        _Failing.broken = True
        try:
            for work in (database.tx, database.tx):
                with pytest.raises(StorageDown):
                    work(lambda tx: tx.execute(sell))
            with pytest.raises(StorageDown):
                database.read(lambda tx: tx.one("SELECT 1"))
        finally:
            _Failing.broken = False
        database.tx(lambda tx: tx.execute(sell))

    fail()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for _ in range(20):
        fail()
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
    database.close()
