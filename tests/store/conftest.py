"""A database of each dialect for every test, each empty and real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.testing.postgres import PostgresServer

SHOP = Migration(
    "shop",
    """
    CREATE TABLE stock (sku TEXT NOT NULL PRIMARY KEY, free INTEGER NOT NULL CHECK (free >= 0)) STRICT;
    CREATE TABLE sale (
        id INTEGER PRIMARY KEY, sku TEXT NOT NULL REFERENCES stock (sku), buyer TEXT NOT NULL UNIQUE,
        note TEXT, paid BLOB, weight REAL
    ) STRICT;
    """,
)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Opens databases that are closed after the test."""
    databases: list[Database] = []

    def open_one(url: str, **settings: object) -> Database:
        databases.append(open_database(url, **settings))
        return databases[-1]

    yield open_one
    for database in databases:
        database.close()


@pytest.fixture
def database(url: str, opened: Callable[..., Database]) -> Database:
    """An empty shop: ``stock`` (``apple`` 100, ``pear`` 1) and ``sale``."""
    database = opened(url)
    migrate(database, [SHOP])
    rows = [{"sku": "apple", "free": 100}, {"sku": "pear", "free": 1}]
    database.tx(lambda tx: tx.execute_many("INSERT INTO stock (sku, free) VALUES (:sku, :free)", rows))
    return database


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gateway.db'}"
