"""A database of each dialect for every test, each empty and real."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database
from gateway.testing.postgres import PostgresServer
from tests.store.shop import open_shop

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


def _kinds(*kinds: str) -> list[ParameterSet]:
    return [pytest.param(kind, id=kind, marks=[pytest.mark.postgres] if kind != "sqlite" else []) for kind in kinds]


def _new_url(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if kind == "sqlite":
        return f"sqlite:///{tmp_path / 'gateway.db'}"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return ("apart+" if kind == "apart" else "") + server.new_database()


@pytest.fixture(params=_kinds("sqlite", "postgresql", "apart"))
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: SQLite, PostgreSQL with units in groups, PostgreSQL with units side by side."""
    return _new_url(request.param, request, tmp_path)


@pytest.fixture(params=_kinds("sqlite", "postgresql"))
def grouped_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database that commits units in groups."""
    return _new_url(request.param, request, tmp_path)


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """Opens databases that are closed after the test."""
    databases: list[Database] = []

    def open_one(url: str, **settings: object) -> Database:
        databases.append(open_shop(url, **settings))
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
