"""The disk fails or fills up, the library is too old, the server goes away: told in the store's words, and survived."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.store import driver
from gateway.store.driver import wal_is_safe
from gateway.store.errors import StorageDown, StorageUnknown
from gateway.store.migrate import migrate
from gateway.store.port import Database, Tx, open_database
from gateway.store.room import Room
from gateway.testing.postgres import PostgresServer
from tests.store.conftest import SHOP
from tests.store.shop import free, sales, sell, value
from tests.store.test_processes import ROOT, said, start

MIB = 1024 * 1024
NOBODY = 65534


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),
        ((3, 45, 9), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 53, 4), True),
        ((4, 0, 0), True),
    ],
)
def test_versions_with_the_wal_race(version: tuple[int, int, int], safe: bool) -> None:
    """WAL between processes corrupts files up to 3.51.2, but for two repaired branches."""
    assert wal_is_safe(version) is safe


def test_unsafe_library_takes_the_slow_journal_and_says_so(
    sqlite_url: str, opened: Callable[..., Database], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that was in WAL mode is changed back, works, and ``/readyz`` gets a warning."""
    before = open_database(sqlite_url)
    migrate(before, [SHOP])
    assert before.health().journal_mode == "wal"
    before.close()
    monkeypatch.setattr(driver, "VERSION", (3, 40, 1))
    database = opened(sqlite_url)
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 10)"))
    assert database.tx(sell("apple", "ann"))
    health = database.health()
    assert (health.ok, health.journal_mode) == (True, "truncate")
    assert any("can corrupt a WAL" in warning for warning in health.warnings)


def test_safe_library_is_durable(sqlite_url: str, opened: Callable[..., Database]) -> None:
    """WAL with ``synchronous=FULL``: NORMAL has lost acknowledged commits at power cuts."""
    database = opened(sqlite_url)
    row = database.tx(lambda tx: tx.one("PRAGMA synchronous"))
    assert row is not None and row["synchronous"] == 2
    row = database.tx(lambda tx: tx.one("PRAGMA foreign_keys"))
    assert row is not None and row["foreign_keys"] == 1
    assert (database.health().journal_mode, database.health().warnings) == ("wal", ())


def test_full_disk(tmp_path: Path) -> None:
    """A disk of 24 MB fills up: the ballast lets work go on and raises the alarm, then it is told; nothing is lost."""
    assert _on_small_disk(tmp_path, "24m") == [
        "begin: ballast True",
        "thrown: low True",
        "full: StorageFull",
        "lost 0 ok False low True",
        "goes on 1",
    ]


def test_ballast_is_thrown_and_taken_aboard(tmp_path: Path) -> None:
    """The ballast frees its room once, marks the storage low, and comes back when there is ample room."""
    room = Room(tmp_path / "gateway.db", low_water_bytes=MIB, ballast_bytes=2 * MIB)
    room.take_ballast()
    ballast = tmp_path / "gateway.db.ballast"
    assert ballast.stat().st_size == 2 * MIB and ballast.stat().st_blocks * 512 >= 2 * MIB
    assert not room.low()
    assert room.throw_ballast() and not ballast.exists() and room.low()
    assert not room.throw_ballast()
    deadline = time.monotonic() + 10
    while room.low() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not room.low() and room.has_ballast()


def test_low_water_refuses_new_work_early(tmp_path: Path) -> None:
    """New work is refused long before the disk is full."""
    database = open_database(f"sqlite:///{tmp_path / 'a.db'}", low_water_bytes=1 << 62)
    assert database.storage_low()
    assert any("almost full" in warning for warning in database.health().warnings)
    database.tx(lambda tx: tx.execute("CREATE TABLE t (x INTEGER) STRICT"))  # recovery goes on
    database.close()


@pytest.mark.parametrize("limit", [120_000, 400_000, 900_000])
def test_failing_writes(sqlite_url: str, limit: int) -> None:
    """Writes that fail in the middle of batches lose nothing acknowledged, double nothing, and end with their cause."""
    assert said(start("small_files", sqlite_url, str(limit))) == "failed True lost 0 twice 0\n"


def test_read_only_file_is_told() -> None:
    """Without the right to write (a disk mounted read-only, a wrong owner) units and health say just that."""
    with tempfile.TemporaryDirectory(prefix="store-") as name:  # pytest's own folders are closed to other accounts
        folder = Path(name)
        url = f"sqlite:///{folder / 'gateway.db'}"
        database = open_database(url, ballast_bytes=0)
        migrate(database, [SHOP])
        database.close()
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            words = said(start("read_only", url, str(NOBODY))).splitlines()
        finally:
            folder.chmod(0o755)
    assert words == ["StorageReadOnly", "ok False"]


def test_missing_folder_is_told(tmp_path: Path) -> None:
    """A wrong path is told with the path, by units and by health."""
    database = open_database(f"sqlite:///{tmp_path / 'none' / 'a.db'}")
    with pytest.raises(StorageDown, match="none"):
        database.tx(lambda tx: tx.one("SELECT 1"))
    health = database.health()
    assert not health.ok and "none" in health.error


def test_not_a_database_is_told(tmp_path: Path) -> None:
    """A file that is something else is neither used nor harmed."""
    path = tmp_path / "a.db"
    path.write_text("these are the shop's accounts, not a database\n" * 100)
    database = open_database(f"sqlite:///{path}")
    with pytest.raises(StorageDown, match="not a database"):
        database.tx(lambda tx: tx.one("SELECT 1"))
    assert path.read_text().startswith("these are the shop's accounts")
    assert not database.health().ok
    database.close()


@pytest.fixture
def own_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.mark.postgres
@pytest.mark.parametrize("grouped", [True, False])
def test_server_that_restarts_is_found_again(
    own_server: PostgresServer, opened: Callable[..., Database], grouped: bool
) -> None:
    """Connections that a restart has broken are replaced; a unit that had not begun to commit runs again by itself."""
    database = opened(own_server.new_database(), busy_seconds=2, grouped=grouped)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 100)"))
    _warm_up(database)
    own_server.stop(crash=True)
    started = time.monotonic()
    with pytest.raises(StorageDown):
        database.tx(sell("apple", "ann"))
    assert time.monotonic() - started < 2, "a server that is down must be told at once"
    assert not database.health().ok
    own_server.start()
    assert database.tx(sell("apple", "ann"))
    assert (free(database, "apple"), sales(database)) == (99, 1)
    own_server.stop()
    own_server.start()
    assert database.tx(sell("apple", "bob")), "broken connections must not reach the caller"
    assert database.health().ok


@pytest.mark.postgres
@pytest.mark.parametrize("grouped", [True, False])
def test_connection_lost_while_committing_is_unknown(
    postgres_server: PostgresServer, opened: Callable[..., Database], grouped: bool
) -> None:
    """Nobody can tell whether such a commit stands: the unit is neither told as failed nor run again."""
    database = opened(postgres_server.new_database(), grouped=grouped)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 100)"))
    database.tx(lambda tx: tx.execute(_DIE))
    database.tx(lambda tx: tx.execute(_DIE_AT_COMMIT))
    runs: list[int] = []

    def unit(tx: Tx) -> bool:
        runs.append(1)
        return sell("apple", "ann")(tx)

    with pytest.raises(StorageUnknown):
        database.tx(unit)
    assert len(runs) == 1
    assert free(database, "apple") == 100


_DIE = """
CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
"""
_DIE_AT_COMMIT = """
CREATE CONSTRAINT TRIGGER die AFTER INSERT ON sale DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION die()
"""


@pytest.mark.postgres
def test_serialisable_units_run_again(postgres_server: PostgresServer, opened: Callable[..., Database]) -> None:
    """With ``isolation="serializable"`` even a careless unit, which reads and then writes, is exact."""
    database = opened(postgres_server.new_database(), grouped=False, isolation="serializable", busy_seconds=20)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 100)"))
    runs: list[int] = []

    def careless(tx: Tx) -> None:
        runs.append(1)
        row = tx.one("SELECT free FROM stock WHERE sku = 'apple'")
        assert row is not None
        tx.execute("UPDATE stock SET free = :free WHERE sku = 'apple'", {"free": row["free"] - 1})

    threads = [threading.Thread(target=lambda: [database.tx(careless) for _ in range(5)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert free(database, "apple") == 60
    assert len(runs) > 40, "no unit met another: the test has shown nothing"


@pytest.mark.postgres
def test_undurable_server_is_told(postgres_server: PostgresServer, opened: Callable[..., Database]) -> None:
    """A server with fsync off can lose acknowledged work: ``/readyz`` says so. (The tests' own server is one.)"""
    health = opened(postgres_server.new_database()).health()
    assert not health.durable
    assert any("fsync" in warning for warning in health.warnings)


def _warm_up(database: Database) -> None:
    threads = [threading.Thread(target=value, args=(database, "SELECT 1 AS n, pg_sleep(0.05)")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)


def _on_small_disk(tmp_path: Path, size: str) -> list[str]:
    """What the worker ``fill`` says on a disk of that size, mounted where nobody else sees it."""
    mount = tmp_path / "small"
    mount.mkdir()
    url = f"sqlite:///{mount / 'gateway.db'}"
    fill = f"{sys.executable} -m tests.store.worker 1 fill {url} {mount / 'filler'}"
    script = f"mount -t tmpfs -o size={size} none {mount} && exec {fill}"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
