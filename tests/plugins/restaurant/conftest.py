"""A running restaurant chain on real sockets, and an adapter bound to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.testing.context import build
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.simulator import RestaurantSimulator
from plugins.restaurant.simulator_seed import APP_SECRET, OPERATOR_PASSWORD
from tests.plugins.restaurant.support import Chain, settings


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TILL_PASSWORD", OPERATOR_PASSWORD)
    monkeypatch.setenv("TEST_OFFICE_SECRET", APP_SECRET)


@dataclass
class Started:
    """A simulator without its panel: tests pull the levers in this process."""

    simulator: RestaurantSimulator
    addresses: dict[str, str]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    simulator = RestaurantSimulator(tmp_path_factory.mktemp("sim"), {"soldout_every_s": "0"})
    yield Started(simulator, simulator.start())
    simulator.stop()


@pytest.fixture
def started(running: Started) -> Started:
    """The chain as on its first day: one simulator serves a whole file of tests."""
    running.simulator.reset()
    running.simulator.write_sold_out()
    return running


@pytest.fixture
def chain(started: Started, secrets: None, tmp_path: Path) -> Iterator[Chain]:
    adapter = build(RestaurantAdapter, settings(started.addresses), tmp_path)
    yield Chain(started.simulator, started.addresses, adapter)
    adapter.context.http.close()


@pytest.fixture
def rebuild(started: Started, secrets: None, tmp_path: Path) -> Callable[..., RestaurantAdapter]:
    """Build an adapter with some settings changed."""

    def with_changes(**changes: Any) -> RestaurantAdapter:
        return build(RestaurantAdapter, {**settings(started.addresses), **changes}, tmp_path)

    return with_changes
