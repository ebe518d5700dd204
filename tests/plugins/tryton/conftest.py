"""The real Tryton, for the files that ``make real-tryton`` runs; without it they are not collected."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gateway.testing.context import build
from plugins.tryton.adapter import TrytonAdapter

if TYPE_CHECKING:
    from plugins.tryton.real.desk import Desk
    from plugins.tryton.real.server import TrytonServer

REAL = "O2O_REAL_TRYTON"
collect_ignore_glob = [] if os.environ.get(REAL) else ["test_real_*.py"]


@pytest.fixture(scope="session")
def server() -> Iterator[TrytonServer]:
    from gateway.testing import Unavailable
    from plugins.tryton.real.server import TrytonServer

    try:
        running = TrytonServer().__enter__()
    except Unavailable as error:
        pytest.exit(f"there is no Tryton to test against: {error}", returncode=3)
    yield running
    running.close()


@pytest.fixture
def desk(server: TrytonServer) -> Desk:
    from plugins.tryton.real.desk import Desk

    return Desk(f"{server.url}/{server.database}", "admin", server.password)


@pytest.fixture
def rebuild(server: TrytonServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., TrytonAdapter]:
    """Build one more adapter, as another process of the gateway would."""
    from tests.plugins.tryton.support import settings

    monkeypatch.setenv("TEST_TRYTON_PASSWORD", server.password)

    def another(**changes: Any) -> TrytonAdapter:
        return build(TrytonAdapter, {**settings(server.url, server.database), **changes}, tmp_path)

    return another


@pytest.fixture
def adapter(rebuild: Callable[..., TrytonAdapter]) -> TrytonAdapter:
    return rebuild()
