"""Every test has a simulator and books of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.groupbuy.simulator import GroupBuySimulator
from tests.plugins.groupbuy.support import Shop


@pytest.fixture
def options() -> dict[str, str]:
    """The simulator's options; a test module or class may override this."""
    return {}


@pytest.fixture
def shop(tmp_path: Path, options: dict[str, str]) -> Iterator[Shop]:
    sim = GroupBuySimulator(tmp_path, options)
    shop = Shop(sim, sim.start()["platform"], tmp_path)
    yield shop
    shop.adapter.context.http.close()
    threading.Thread(target=shop.sim.stop).start()  # takes a poll of its server: the next test need not wait
