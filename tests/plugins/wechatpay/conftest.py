"""Keys are made once a session; every test has a simulator and books of its own."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.settings import settings_folder
from plugins.wechatpay.adapter import WechatPayAdapter
from plugins.wechatpay.simulator import WechatPaySimulator
from plugins.wechatpay.simulator_keys import load_or_make
from tests.plugins.wechatpay.support import Shop, settings


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wechatpay-keys")
    load_or_make(folder)
    return folder


@pytest.fixture
def data(keys: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "wechatpay"
    shutil.copytree(keys, folder)
    return folder


@pytest.fixture
def options() -> dict[str, str]:
    """The simulator's options; a test module may override this."""
    return {
        "bill_ready": "at_once",
        "password_after_s": "0.1",
        "notice_scale": "0.001",
        "reverse_not_before_s": "0",
        "refund_after_s": "0",
    }


@pytest.fixture(scope="session")
def checked(keys: Path) -> dict[str, Any]:
    """Settings, checked once a session (the check of a private key takes 0.1 s)."""
    with settings_folder(keys):
        return dict(WechatPayAdapter.Settings().load(settings(load_or_make(keys), "127.0.0.1:1")))


@pytest.fixture
def shop(data: Path, options: dict[str, str], checked: dict[str, Any]) -> Iterator[Shop]:
    sim = WechatPaySimulator(data, options)
    shop = Shop(sim, sim.start()["gateway"], data, checked)
    yield shop
    shop.adapter.context.http.close()
    threading.Thread(target=shop.sim.stop).start()  # takes a poll of its server: the next test need not wait
