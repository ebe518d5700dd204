"""Servers that nobody here wrote, started once a session where they are to be had."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gateway.sdk.transports import wire
from gateway.testing.postgres import PostgresServer
from tests.sdk import mariadb


@pytest.fixture(autouse=True)
def new_call() -> None:
    """Each test is a call of its own."""
    wire.begin()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[mariadb.MariaDb]:
    pytest.importorskip("pymysql", reason="PyMySQL is not installed: make peers")
    root = mariadb.find()
    if root is None:
        pytest.skip("no MariaDB here: make peers")
    with mariadb.MariaDb(root, tmp_path_factory.mktemp("mariadb")) as server:
        yield server
