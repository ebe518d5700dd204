"""sqlite-utils on the gateway's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store import driver
from gateway.store.migrate import migrate
from gateway.store.port import Database
from gateway.store.tools import sqlite_tools
from tests.store.conftest import SHOP


def test_tools_read_what_the_gateway_wrote(sqlite_url: str, tmp_path: Path, opened: Callable[..., Database]) -> None:
    """Tools look at the live file with the same library build, and cannot write by mistake."""
    database = opened(sqlite_url)
    migrate(database, [SHOP])
    database.tx(lambda tx: tx.execute("INSERT INTO stock (sku, free) VALUES ('apple', 7)"))
    tools = sqlite_tools(tmp_path / "gateway.db")
    try:
        assert set(tools.table_names()) == {"migration", "stock", "sale"}
        assert tools["stock"].count == 1
        assert next(tools.query("SELECT sqlite_version() AS v"))["v"] == ".".join(map(str, driver.VERSION))
        with pytest.raises(driver.DriverError, match="readonly"):
            tools.table("stock").insert({"sku": "pear", "free": 1})
    finally:
        tools.close()


def test_tools_do_not_make_a_database(tmp_path: Path) -> None:
    """A mistyped path must not leave an empty database behind."""
    with pytest.raises(FileNotFoundError):
        sqlite_tools(tmp_path / "gatewya.db")
    assert list(tmp_path.iterdir()) == []
