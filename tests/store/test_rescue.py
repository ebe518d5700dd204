"""A program ends after its database or its WAL was deleted: what was acknowledged is kept, and it is said where."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.driver import connect
from gateway.store.errors import StorageDown
from gateway.store.migrate import migrate
from gateway.store.port import Database, open_database
from gateway.store.rescue import copies
from tests.store.conftest import SHOP
from tests.store.shop import free, sales, sell


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
def shop(sqlite_url: str) -> Database:
    """Open, with one sale that was acknowledged; each test closes it."""
    database = open_database(sqlite_url, ballast_bytes=0)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 10)"))
    assert database.tx(sell("apple", "ann"))
    return database


def left(path: Path, *ends: str) -> None:
    for end in ends:
        path.with_name(path.name + end).unlink()


def test_a_deleted_wal_goes_into_the_database_at_the_end(
    shop: Database, path: Path, sqlite_url: str, opened: Callable[..., Database], caplog: pytest.LogCaptureFixture
) -> None:
    """`rm *-wal` by somebody who takes it for a left-over, and then a restart: today's sales must not go with it."""
    left(path, "-wal")
    with caplog.at_level(logging.ERROR, "gateway.store"):
        shop.close()
    assert "is in the database now" in caplog.text
    again = opened(sqlite_url)
    assert (free(again, "apple"), sales(again)) == (9, 1)


def test_one_that_has_only_read_notices_a_deleted_wal_too(shop: Database, path: Path, sqlite_url: str) -> None:
    """A worker without a sale yet would put its first one into the deleted file."""
    other = open_database(sqlite_url, ballast_bytes=0)
    assert sales(other) == 1
    left(path, "-wal")
    with pytest.raises(StorageDown, match="-wal was removed or replaced"):
        other.tx(sell("apple", "bob"))
    other.close()
    shop.close()


@pytest.mark.parametrize("by", ["a sale", "a look"])
def test_a_deleted_wal_goes_into_the_database_as_soon_as_it_is_noticed(shop: Database, path: Path, by: str) -> None:
    """The next thing that happens may be kill -9: by then everything stands in the database's own file."""
    left(path, "-wal")
    with pytest.raises(StorageDown):
        shop.tx(sell("apple", "bob")) if by == "a sale" else free(shop, "apple")
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    found = connect(copy).execute("SELECT count(*) AS n, (SELECT free FROM stock) AS free FROM sale").fetchone()
    assert (found["n"], found["free"]) == (1, 9)
    shop.close()


def test_a_deleted_database_is_copied_at_the_end(
    shop: Database, path: Path, sqlite_url: str, opened: Callable[..., Database]
) -> None:
    """Its content lives until the last program closes it: that program must not let it go, nor begin a new one."""
    other = open_database(sqlite_url, ballast_bytes=0)
    assert other.tx(sell("apple", "bob"))
    left(path, "", "-wal", "-shm")
    for each in (shop, other):
        with pytest.raises(StorageDown, match=r"all that was acknowledged is in .*gateway\.db\.rescued-\d+"):
            each.close()
    assert not path.exists()
    [copy] = copies(path)
    with pytest.raises(StorageDown, match=f"is gone: rename {copy}, which holds all of it, or remove"):
        free(opened(sqlite_url), "apple")
    copy.rename(path)
    again = opened(sqlite_url)
    assert (free(again, "apple"), sales(again)) == (8, 2)
    assert again.tx(sell("apple", "cid"))


def test_a_database_that_is_gone_is_not_begun_anew(
    shop: Database, path: Path, sqlite_url: str, opened: Callable[..., Database]
) -> None:
    """A gateway on an empty database would sell every order number a second time."""
    shop.close()
    left(path, "")
    with pytest.raises(StorageDown, match="is gone: put it back, or a backup of it"):
        free(opened(sqlite_url), "apple")
    assert not path.exists()
    left(path, ".lock")
    migrate(opened(sqlite_url), [SHOP])


def test_what_cannot_be_rescued_is_told(shop: Database, path: Path) -> None:
    """With the folder gone there is no place for a copy: the end says so instead of looking like any other."""
    shutil.rmtree(path.parent)
    with pytest.raises(StorageDown, match="removed or replaced while in use, and no copy of it could be made"):
        shop.close()
    path.parent.mkdir()
