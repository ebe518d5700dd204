"""The database's file is deleted, moved away or replaced under a running gateway: nothing is acknowledged into it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.errors import StorageDown
from gateway.store.migrate import migrate
from gateway.store.port import Database, open_database
from tests.store.conftest import SHOP
from tests.store.shop import free, sell


@pytest.fixture
def shop(sqlite_url: str, opened: Callable[..., Database]) -> Database:
    database = opened(sqlite_url, ballast_bytes=0)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 10)"))
    return database


@pytest.mark.parametrize("name", ["gateway.db", "gateway.db-wal"])
def test_what_is_moved_away_takes_nothing_and_serves_again_when_it_is_back(
    shop: Database, tmp_path: Path, name: str
) -> None:
    """A sale written into a deleted file would be answered, and gone at the next start."""
    path = tmp_path / name
    path.rename(tmp_path / "elsewhere")
    for _ in range(3):  # also after the connection was opened anew
        with pytest.raises(StorageDown, match=f"{name} was removed or replaced while in use"):
            shop.tx(sell("apple", "ann"))
    health = shop.health()
    assert not health.ok and f"{name} was removed or replaced" in health.error
    assert str(health).startswith("sqlite ") and "does not work: " in str(health), "what doctor prints is a sentence"
    assert not path.exists(), "an empty one was made in its place"
    (tmp_path / "elsewhere").rename(path)
    assert shop.tx(sell("apple", "ann")) and free(shop, "apple") == 9
    assert shop.health().ok and " works; " in str(shop.health())


def test_what_lay_in_a_deleted_file_is_not_read_either(shop: Database, tmp_path: Path) -> None:
    """Two processes must not see two databases: one the deleted file, the other a new one."""
    (tmp_path / "gateway.db").rename(tmp_path / "elsewhere")
    with pytest.raises(StorageDown, match="removed or replaced"):
        free(shop, "apple")
    (tmp_path / "elsewhere").rename(tmp_path / "gateway.db")


def test_another_file_in_its_place_is_not_taken_for_it(shop: Database, tmp_path: Path) -> None:
    """A backup copied over the live file while others still write the old one: nobody may go on with half of each."""
    path = tmp_path / "gateway.db"
    shutil.copy(path, tmp_path / "backup")
    os.replace(tmp_path / "backup", path)  # noqa: PTH105
    for _ in range(2):
        with pytest.raises(StorageDown, match="removed or replaced"):
            shop.tx(sell("apple", "ann"))
    with pytest.raises(StorageDown, match="all that was acknowledged is in"):
        shop.close()
    # Started again: what lies there now is right.
    assert shop.tx(sell("apple", "bob"))


def test_a_file_that_goes_during_a_commit_leaves_the_outcome_unknown(shop: Database, tmp_path: Path) -> None:
    """Between the first look and the commit the file may go: what was written then must not pass for kept."""

    def unit(tx: object) -> bool:
        (tmp_path / "gateway.db").rename(tmp_path / "elsewhere")
        return sell("apple", "ann")(tx)  # type: ignore[arg-type]

    with pytest.raises(StorageDown, match=r"while committing.*removed or replaced"):
        shop.tx(unit)
    (tmp_path / "elsewhere").rename(tmp_path / "gateway.db")


def test_health_tells_of_writes_that_failed(sqlite_url: str, tmp_path: Path) -> None:
    """Reading alone works on: without this a server that can write nothing would stay in the balancer's circle."""
    holder = open_database(sqlite_url, ballast_bytes=0)
    migrate(holder, [SHOP])
    database = open_database(sqlite_url, busy_seconds=0.1, ballast_bytes=0)
    assert database.health().ok

    def while_held(_: object) -> None:
        with pytest.raises(Exception, match="too long"):
            database.tx(sell("apple", "ann"))
        found = database.health()
        assert (found.ok, found.error) == (
            False,
            f"{tmp_path / 'gateway.db'}: it cannot be written: another process has been writing for too long",
        )

    holder.tx(while_held)
    database.tx(lambda tx: tx.one("SELECT 1"))
    assert database.health().ok
    database.close()
    holder.close()
