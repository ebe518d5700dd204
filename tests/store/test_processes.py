"""Several processes on one database: exact, none starved, nothing acknowledged lost when one is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.driver import connect
from gateway.store.errors import StorageBusy, StorageMisuse
from gateway.store.filelock import TurnLock
from gateway.store.migrate import Migration, migrate, pending
from gateway.store.port import Database, Tx, open_database
from tests.store.conftest import SHOP
from tests.store.shop import free, sales, sell, value
from tests.store.worker import SLOW

ROOT = Path(__file__).parents[2]


def start(*words: str, count: int = 1, log: Path | None = None) -> subprocess.Popen[str]:
    """So many processes of :mod:`tests.store.worker`, a session by themselves; they speak into ``log`` or a pipe."""
    command = [sys.executable, "-m", "tests.store.worker", str(count), *words]
    if log is None:
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with log.open("wb") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, text=True, start_new_session=True)


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def said(worker: subprocess.Popen[str]) -> str:
    """All that the worker says until it ends."""
    out, _ = worker.communicate(timeout=30)
    assert worker.returncode == 0, out
    return out


def test_last_items_are_sold_once(database: Database, url: str) -> None:
    """Eight processes with four threads each, 100 apples: exactly 100 are sold."""
    had = [int(line) for line in said(start("buy", url, "apple", "process-{n}", count=8)).split()]
    assert (len(had), sum(had)) == (8, 100)
    assert (free(database, "apple"), sales(database)) == (0, 100)


def test_no_process_starves_another(grouped_url: str, opened: Callable[..., Database]) -> None:
    """Two processes that write all the time take turns; SQLite's own busy handler lets one wait for seconds."""
    database = opened(grouped_url)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 0)"))
    outs = said(start("hammer", grouped_url, "1.5", count=2)).splitlines()
    writes, waits = zip(*(map(int, out.split()) for out in outs), strict=True)
    assert free(database, "apple") == sum(writes)
    assert min(writes) * 4 >= max(writes), f"unequal turns: {writes}"
    assert max(waits) < 1000, f"a write waited {max(waits)} ms"


def test_who_waits_comes_before_who_has_just_written(tmp_path: Path) -> None:
    """Without the second lock whoever has just released takes it again before a sleeper wakes (waits of 200 ms)."""
    path, order = tmp_path / "gateway.db", list[str]()
    first, second = TurnLock(path), TurnLock(path)
    deadline = time.monotonic() + 10
    first.acquire(deadline)

    def wait() -> None:
        second.acquire(deadline)
        order.append("waiter")
        time.sleep(0.05)
        order.append("waiter done")
        second.release()

    waiter = threading.Thread(target=wait)
    waiter.start()
    time.sleep(0.05)
    first.release()
    first.acquire(deadline)
    order.append("writer again")
    waiter.join(5)
    assert order == ["waiter", "waiter done", "writer again"]
    with pytest.raises(StorageBusy):
        second.acquire(time.monotonic() + 0.05)
    first.close()
    second.acquire(deadline)
    second.close()


def test_kill_loses_nothing_acknowledged(database: Database, url: str, tmp_path: Path) -> None:
    """kill -9 in the middle of writing: what was acknowledged stands, the others go on, the file is whole."""
    database.tx(lambda tx: tx.execute("UPDATE stock SET free = 1000000 WHERE sku = 'apple'"))
    acknowledged: set[str] = set()
    for turn in range(3):
        log = tmp_path / f"{turn}"
        workers = start("append", url, f"{turn}-{{n}}", count=2, log=log)
        _wait_until(lambda log=log, turn=turn: {f"{turn}-0", f"{turn}-1"} <= _names(log))  # type: ignore[misc]
        time.sleep(0.15 + 0.07 * turn)
        os.killpg(workers.pid, signal.SIGKILL)
        workers.wait(10)
        assert database.tx(sell("apple", f"after kill {turn}")), "a killed process kept others from writing"
        acknowledged.update(log.read_text().splitlines(keepends=True))
    stand = {row["buyer"] + "\n" for row in database.read(lambda tx: tx.all("SELECT buyer FROM sale"))}
    assert len(acknowledged) > 100
    assert acknowledged <= stand
    assert free(database, "apple") == 1_000_000 - len(stand)
    if database.dialect == "sqlite":
        assert value(database, "SELECT integrity_check AS n FROM pragma_integrity_check") == "ok"


def _names(log: Path) -> set[str]:
    """The processes that have sold something."""
    return {line.rsplit("-", 2)[0] for line in log.read_text().splitlines()}


def test_migrations_run_once_whoever_starts(url: str, opened: Callable[..., Database]) -> None:
    """Four processes start at once on an empty database: each migration runs once, and all end well."""
    assert sorted(map(int, said(start("upgrade", url, count=4)).split())) == [0, 0, 0, len(SLOW)]
    database = opened(url)
    assert pending(database, SLOW) == []
    assert value(database, "SELECT count(*) AS n FROM migration") == len(SLOW)
    assert value(database, "SELECT count(*) AS n FROM t19") == 1


def test_long_migration_is_waited_for(url: str, opened: Callable[..., Database]) -> None:
    """An upgrade that takes longer than a unit may wait must not stop the other processes from starting."""
    slow, other = opened(url), opened(url, busy_seconds=0.2)
    inside, go_on = threading.Event(), threading.Event()

    def long_upgrade(tx: Tx) -> None:
        tx.lock("gateway-migrations")
        inside.set()
        assert go_on.wait(10)

    upgrading = threading.Thread(target=slow.tx, args=(long_upgrade,))
    upgrading.start()
    assert inside.wait(5)
    with pytest.raises(StorageBusy):
        migrate(other, SLOW[:1], patience_seconds=0.3)
    threading.Timer(0.6, go_on.set).start()
    assert migrate(other, SLOW[:1]) == ["step 0"]
    upgrading.join(5)


def test_failed_migration_leaves_the_schema_as_it_was(url: str, opened: Callable[..., Database]) -> None:
    """Half an upgrade would leave a schema that no program knows."""
    database = opened(url)
    broken = [SLOW[0], Migration("broken", "CREATE TABLE half (x INTEGER); CREATE TABLE t0 (x INTEGER)")]
    with pytest.raises(StorageMisuse):
        migrate(database, broken)
    assert pending(database, SLOW[:1]) == ["step 0"]
    assert migrate(database, SLOW[:2]) == ["step 0", "step 1"]


def test_changed_or_unknown_migration_is_refused(url: str, opened: Callable[..., Database]) -> None:
    """A database that is not what the program thinks it is must stop it at the start."""
    database = opened(url)
    migrate(database, SLOW[:2])
    with pytest.raises(StorageMisuse, match="changed"):
        migrate(database, [Migration("step 0", "CREATE TABLE other (x INTEGER)"), SLOW[1]])
    with pytest.raises(StorageMisuse, match="newer"):
        migrate(database, SLOW[:1])
    with pytest.raises(StorageMisuse, match="same name"):
        migrate(database, [SLOW[0], SLOW[0]])


def test_fork_opens_anew(database: Database) -> None:
    """Connections are not carried across a fork: the child uses its own and does not harm the parent's."""
    assert database.tx(sell("apple", "before"))
    child = os.fork()
    if child == 0:  # the child must never come back into the test runner
        code = 1
        try:
            for turn in range(20):
                assert database.tx(sell("apple", f"child {turn}"))
            assert sales(database) >= 21
            code = 0
        finally:
            os._exit(code)
    for turn in range(20):
        assert database.tx(sell("apple", f"parent {turn}"))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (free(database, "apple"), sales(database)) == (59, 41)


def test_child_of_a_forked_writer_does_not_keep_its_lock(sqlite_url: str, tmp_path: Path) -> None:
    """A child that only lives on must not hold the parent's place in the queue after the parent was killed."""
    script = (
        "import os, sys, time\n"
        "from gateway.store.port import open_database\n"
        f"database = open_database({sqlite_url!r})\n"
        "def unit(tx):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(20); os._exit(0)\n"
        "    print('inside', flush=True); time.sleep(20)\n"
        "database.tx(unit)\n"
    )
    worker = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert worker.stdout is not None and worker.stdout.readline() == "inside\n"
        worker.kill()
        database = open_database(sqlite_url, busy_seconds=2)
        assert database.tx(lambda tx: tx.execute("CREATE TABLE t (x INTEGER) STRICT")) == 0
        database.close()
    finally:
        os.killpg(worker.pid, signal.SIGKILL)
        worker.communicate(timeout=10)


def test_foreign_writer_is_waited_for_then_told(sqlite_url: str, tmp_path: Path) -> None:
    """A tool that holds a transaction open costs a wait, then ``StorageBusy``; when it ends all is well."""
    database = open_database(sqlite_url, busy_seconds=0.3)
    database.tx(lambda tx: tx.execute("CREATE TABLE t (x INTEGER) STRICT"))
    tool = connect(tmp_path / "gateway.db")
    tool.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(Exception, match="locked") as caught:
        database.tx(lambda tx: tx.execute("INSERT INTO t VALUES (1)"))
    assert type(caught.value).__name__ == "StorageBusy"
    assert 0.25 <= time.monotonic() - started < 1.5
    assert value(database, "SELECT count(*) AS n FROM t") == 0
    tool.execute("COMMIT")
    assert database.tx(lambda tx: tx.execute("INSERT INTO t VALUES (1)")) == 1
    tool.close()
    database.close()
