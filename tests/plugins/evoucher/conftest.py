"""Every test has a simulator and books of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.evoucher.simulator import EVoucherSimulator
from tests.plugins.evoucher.support import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    sim = EVoucherSimulator(tmp_path / "system", {"notice_pause_s": "0.1"})
    shop = Shop(sim, sim.start()["platform"], tmp_path)
    yield shop
    shop.adapter.context.http.close()
    threading.Thread(target=shop.sim.stop).start()  # takes a poll of its server: the next test need not wait
