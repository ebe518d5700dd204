from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sdk.simulator import start
from plugins.messages.simulator import OfficialAccountSimulator
from tests.plugins.messages.support import Account


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    running = start(OfficialAccountSimulator(tmp_path / "account"))
    assert isinstance(running.simulator, OfficialAccountSimulator)
    try:
        yield Account(running.simulator, f"http://{running.addresses['account']}", tmp_path)
    finally:
        running.stop()
