"""Each statement of the writer fails once, in each way: what was acknowledged stands, what was refused does not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.store import driver
from gateway.store.errors import StorageError, StorageUnknown
from gateway.store.migrate import migrate
from gateway.store.port import Tx
from gateway.store.sqlite import SqliteDatabase
from tests.store.conftest import SHOP
from tests.store.shop import free, sell

BUSY, IOERR, FULL = 5, 10, 13


class Trap:
    """Fails the ``at``-th statement from when it is set, with a code of SQLite's.

    A failed or full disk may also end the transaction, as the library does by itself then.
    """

    def __init__(self) -> None:
        self.left = -1
        self.code = 0
        self.ends_transaction = False
        self.sprung = ""

    def set(self, at: int, code: int, ends_transaction: bool) -> None:
        """Arm it anew."""
        self.left, self.code, self.ends_transaction, self.sprung = at, code, ends_transaction, ""

    def check(self, connection: driver.Connection, sql: str) -> None:
        """Raise if this statement is the one."""
        self.left -= 1
        if self.left != 0:
            return
        self.sprung = sql
        if self.ends_transaction and connection.in_transaction:
            connection.execute("ROLLBACK")
        error = driver.DriverError("the trap has sprung")
        error.sqlite_errorcode = self.code  # type: ignore[attr-defined]
        raise error


class Trapped:
    """A real connection behind the trap."""

    def __init__(self, path: Path, trap: Trap) -> None:
        self._inner = driver.connect(path)
        self._trap = trap
        self.close = self._inner.close

    @property
    def in_transaction(self) -> bool:
        return self._inner.in_transaction

    @property
    def total_changes(self) -> int:
        return self._inner.total_changes

    def execute(self, sql: str, params: Sequence[Any] = (), /) -> driver.Cursor:
        self._trap.check(self, sql)
        return self._inner.execute(sql, params)

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> driver.Cursor:
        return self._inner.executemany(sql, rows)


class Refused(Exception):
    """A unit's own error."""


@pytest.mark.parametrize("careful", [0, 99])
@pytest.mark.parametrize(("code", "ends"), [(BUSY, False), (IOERR, False), (IOERR, True), (FULL, False), (FULL, True)])
def test_any_statement_may_fail(tmp_path: Path, code: int, ends: bool, careful: int) -> None:
    """A batch of five, one of which fails by itself: whatever statement fails, no unit is told what is not so."""
    trap = Trap()
    database = SqliteDatabase(
        tmp_path / "gateway.db", busy_seconds=5, ballast_bytes=0, connect=lambda path: Trapped(path, trap)
    )
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 1000)"))
    seen: list[str] = [""]
    for at in range(1, 100):
        database._process.writer._runner.careful = careful
        trap.set(at, code, ends)
        outcomes = _batch(database, at)
        seen.append(trap.sprung)
        trap.set(-1, 0, False)
        _check(database, at, outcomes)
        assert database.tx(sell("apple", f"{at} after")), "the writer has not recovered"
        if not seen[-1]:
            break
    assert {"BEGIN IMMEDIATE", "COMMIT", "ROLLBACK TO unit" if careful else "ROLLBACK"} <= set(seen)
    database.close()


def _batch(database: SqliteDatabase, at: int) -> dict[str, object]:
    """Five units in one batch, the third of which fails after it has written; what came of each."""
    group = database._process.writer.group
    outcomes: dict[str, object] = {}
    met: list[bool] = []

    def leading(tx: Tx) -> bool:
        while len(group._queue) < 4 and not met:
            time.sleep(0.0005)
        met.append(True)
        return sell("apple", f"{at} leader")(tx)

    def refused(tx: Tx) -> None:
        sell("apple", f"{at} refused")(tx)
        raise Refused

    def run(name: str, unit: Callable[[Tx], object]) -> None:
        try:
            outcomes[name] = database.tx(unit)
        except Exception as error:
            outcomes[name] = error

    units: dict[str, Callable[[Tx], object]] = {
        n: sell("apple", f"{at} {n}") for n in ("one", "refused", "two", "three")
    }
    units["refused"] = refused
    threads = [threading.Thread(target=run, args=("leader", leading))]
    threads += [threading.Thread(target=run, args=item) for item in units.items()]
    for thread in threads:
        thread.start()
        time.sleep(0.001)
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    return outcomes


def _check(database: SqliteDatabase, at: int, outcomes: dict[str, object]) -> None:
    rows = database.read(lambda tx: tx.all("SELECT buyer FROM sale"))
    stand = {row["buyer"] for row in rows}
    assert len(outcomes) == 5
    for name, outcome in outcomes.items():
        if outcome is True:
            assert f"{at} {name}" in stand, f"{name} was acknowledged and does not stand"
        elif not isinstance(outcome, StorageUnknown):
            assert isinstance(outcome, Refused | StorageError), repr(outcome)
            assert f"{at} {name}" not in stand, f"{name} was refused ({outcome!r}) and stands"
    assert 1000 - len(stand) == free(database, "apple")
