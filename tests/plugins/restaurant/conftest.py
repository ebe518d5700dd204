"""A running restaurant chain on real sockets, and an adapter bound to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.simulator import Running, start
from gateway.testing.context import build
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.simulator import RestaurantSimulator
from plugins.restaurant.simulator_seed import APP_SECRET, OPERATOR_PASSWORD
from tests.plugins.restaurant.support import Chain, settings


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TILL_PASSWORD", OPERATOR_PASSWORD)
    monkeypatch.setenv("TEST_OFFICE_SECRET", APP_SECRET)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    simulator = RestaurantSimulator(tmp_path / "sim", {"soldout_every_s": "0"})
    started = start(simulator)
    yield started
    started.stop()


@pytest.fixture
def chain(running: Running, secrets: None, tmp_path: Path) -> Iterator[Chain]:
    adapter = build(RestaurantAdapter, settings(running.addresses), tmp_path)
    yield Chain(running, adapter)
    adapter.context.http.close()


@pytest.fixture
def rebuild(running: Running, secrets: None, tmp_path: Path) -> Callable[..., RestaurantAdapter]:
    """Build an adapter with some settings changed."""

    def with_changes(**changes: Any) -> RestaurantAdapter:
        return build(RestaurantAdapter, {**settings(running.addresses), **changes}, tmp_path)

    return with_changes
