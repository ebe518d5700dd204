"""The doctor is asked while the gateway sells: what is only under way is no finding."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from gateway.sdk.simulator import Fault
from tests.api.kit import PHONE, paid_code
from tests.api.server import Server, serving
from tests.api.test_checkouts import order


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("live")) as made:
        yield made


def customers(server: Server, number: int, stopping: threading.Event, statuses: list[int]) -> None:
    """One customer after the other, with member, points and two ways to pay; some wallets do not answer at once."""
    count = 0
    while not stopping.is_set():
        count += 1
        tenders = ({"method": "stored_value", "amount": 100}, {"method": "payment_code", "auth_code": paid_code()})
        body = order(f"L-{number}-{count}", *tenders, member={"type": "phone", "value": PHONE}, points=100)
        path, key = "/v1/merchants/bun/checkouts", f"l-{number}-{count}"
        statuses.append(server.ask("POST", path, body, Idempotency_Key=key)[0])


@pytest.mark.slow
def test_a_doctor_under_load_finds_nothing(server: Server) -> None:
    """An operator who is told of violations that are none stops asking."""
    stopping, statuses, folder = threading.Event(), list[int](), server.log.parent
    config = folder / "live.toml"  # without the shop whose wallet is never there
    text = (folder / "gateway.toml").read_text(encoding="utf-8")
    config.write_text(text.replace('["merchants"]', '["merchants/bun.toml", "merchants/song.toml"]'), encoding="utf-8")
    faults = [Fault("drop_after", "alipay.trade.pay", times=2), Fault("late_success", "alipay.trade.pay", 1, 400)]
    threads = [threading.Thread(target=customers, args=(server, n, stopping, statuses)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        for words in ([], ["--audit"]):
            command = [sys.executable, "-m", "gateway.cli", "doctor", "--config", str(config), *words]
            before = len(statuses)
            # Three of the four customers wait for a wallet that does not answer; the fourth goes on buying.
            server.running["alipay"].simulator.faults.set(faults)
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            assert len(statuses) > before, "nothing was sold meanwhile"
    finally:
        stopping.set()
        for thread in threads:
            thread.join(30)
    assert statuses.count(201) > 20
    assert set(statuses) <= {201, 202, 402, 409, 503}
