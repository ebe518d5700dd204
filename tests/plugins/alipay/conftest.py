"""Keys are made once a session; every test has a simulator and books of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sdk.simulator import start
from plugins.alipay.simulator import AlipaySimulator
from plugins.alipay.simulator_keys import load_or_make
from tests.plugins.alipay.support import Shop


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("alipay-keys")
    load_or_make(folder)
    return folder


@pytest.fixture
def data(keys: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "alipay"
    shutil.copytree(keys, folder)
    return folder


@pytest.fixture
def options() -> dict[str, str]:
    """The simulator's options; a test module may override this."""
    return {"bill_ready": "at_once", "password_after_s": "0.2", "notice_scale": "0.0005"}


@pytest.fixture
def shop(data: Path, options: dict[str, str]) -> Iterator[Shop]:
    running = start(AlipaySimulator(data, options))
    shop = Shop(running, data)
    yield shop
    shop.adapter.context.http.close()
    running.stop()
