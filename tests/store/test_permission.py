"""The right to write is lost while the database is open, and comes back: told in words, healed without a restart."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.store.errors import StorageDown, StorageReadOnly
from gateway.store.migrate import migrate
from gateway.store.permission import unwritable
from gateway.store.port import Database, open_database
from tests.store.conftest import SHOP
from tests.store.scenes import can_freeze
from tests.store.shop import free, sales, sell
from tests.store.test_processes import said, start

NOBODY = 65534


@pytest.fixture
def shop(sqlite_url: str, tmp_path: Path, opened: Callable[..., Database]) -> Database:
    if not can_freeze(tmp_path):
        pytest.skip("who is not root, or whose file system has no attribute i, cannot take the right from an open file")
    database = opened(sqlite_url, ballast_bytes=0)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 10)"))
    assert database.tx(sell("apple", "ann")) and free(database, "apple") == 9
    return database


@contextmanager
def frozen(folder: Path) -> Iterator[None]:
    """Nothing in the folder can be written by anybody, not even into a file that is open."""
    files = [str(folder / "gateway.db"), str(folder / "gateway.db-wal"), str(folder)]
    subprocess.run(["chattr", "+i", *files], check=True)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", *files], check=True)


def test_an_open_database_that_takes_no_writes_is_read_and_heals(shop: Database, tmp_path: Path) -> None:
    """A disk that turns read-only: reading goes on, each sale is refused, and the first one after it succeeds."""
    with frozen(tmp_path):
        for buyer in ("bob", "cid", "dan"):
            with pytest.raises(StorageDown):
                shop.tx(sell("apple", buyer))
            assert (free(shop, "apple"), sales(shop)) == (9, 1)
        assert "may not be written by uid 0" in shop.unwritable()
        assert not shop.health().ok and "give the permission back" in shop.health().error
    assert shop.unwritable() == "" and shop.tx(sell("apple", "eve"))
    assert (free(shop, "apple"), sales(shop)) == (8, 2)
    assert shop.health().ok


def test_a_program_that_starts_while_nothing_can_be_written_reads_and_heals(
    shop: Database, tmp_path: Path, sqlite_url: str, opened: Callable[..., Database]
) -> None:
    """A worker that was killed meanwhile: what opens a file without the right never gets it, so it must open anew."""
    with frozen(tmp_path):
        other = opened(sqlite_url, ballast_bytes=0)
        assert migrate(other, [SHOP]) == []
        assert free(other, "apple") == 9
        with pytest.raises(StorageReadOnly):
            other.tx(sell("apple", "bob"))
        assert free(other, "apple") == 9
    assert other.tx(sell("apple", "cid")), "it was healed, and the first sale was refused"
    assert shop.tx(sell("apple", "dan")) and sales(other) == 3


def test_readers_that_never_rest_do_not_keep_it_from_healing() -> None:
    """One reader that was opened without the right, and is kept, keeps all that open after it from having it."""
    with tempfile.TemporaryDirectory(prefix="store-") as name:  # pytest's own folders are closed to other accounts
        folder = Path(name)
        url = f"sqlite:///{folder / 'gateway.db'}"
        kept = open_database(url, ballast_bytes=0)
        migrate(kept, [SHOP])
        kept.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 1)"))
        for path in (*folder.iterdir(), folder):  # while it is open: the journal and its shared memory are there
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            assert said(start("heals", url, str(NOBODY), name)) == "refused 40 then False\n"
        finally:
            folder.chmod(0o755)
            kept.close()


def test_what_is_not_there_is_not_forbidden(tmp_path: Path) -> None:
    """Before the first start there is no file: that is no reason to refuse."""
    assert unwritable(tmp_path / "none.db") == ""
    database = open_database(f"sqlite:///{tmp_path / 'new.db'}", ballast_bytes=0)
    assert database.unwritable() == ""
    database.close()
