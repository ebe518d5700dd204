"""One gateway for all tests of the API: they share its shops and never each other's order numbers."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from gateway.testing.postgres import PostgresServer
from tests.api.kit import Api, Gateway, build


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def gateway(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    url = request.getfixturevalue("postgres_server").new_database() if request.param == "postgresql" else ""
    made = build(tmp_path_factory.mktemp("api"), url)
    yield made
    made.stop()


@pytest.fixture(scope="session")
def api(gateway: Gateway) -> Api:
    """A client that may do everything at one shop."""
    return gateway.api("bun")


@pytest.fixture(scope="session")
def song(gateway: Gateway) -> Api:
    """A client of the karaoke house."""
    return gateway.api("song")


@pytest.fixture
def number() -> Callable[[], str]:
    """New order numbers."""
    return lambda: f"O-{uuid.uuid4().hex[:16]}"
