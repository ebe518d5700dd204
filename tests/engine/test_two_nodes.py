"""Two nodes on one PostgreSQL: one dies for good in the middle of its work, the other finishes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.demo.stage import free_port
from gateway.testing.postgres import PostgresServer
from tests.engine.street import TIMES, Street
from tests.engine.test_kill import START_S, WITHIN_S, basket

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(120)]


@pytest.fixture
def street(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Street]:
    with Street(tmp_path, database_url=postgres_server.new_database()) as street:
        with street.opened() as database:
            database.tx(lambda tx: tx.execute("UPDATE house_members SET points = 5000000, real = 10000000"))
        yield street


@pytest.fixture
def other(street: Street) -> Iterator[int]:
    """The port of a second node."""
    port, folder = free_port(), street.config_file.parent.parent / "node2"
    folder.mkdir()
    text = street.config_file.read_text().replace(f"port = {street.port}", f"port = {port}")
    text = text.replace('"merchants/*.toml"', f'"{street.config_file.parent}/merchants/*.toml"')
    (folder / "gateway.toml").write_text(text.replace("../gateway", "data"))
    command = [sys.executable, "-m", "gateway.cli", "serve", "--config", str(folder / "gateway.toml")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    yield port
    process.terminate()
    process.wait(20)


@pytest.mark.parametrize("point", ["after-send:payment_charge", "before-commit:paying"])
def test_the_other_node_finishes(street: Street, other: int, point: str) -> None:
    order_no, first = f"N-{point[:3]}", street.gateway
    assert first is not None
    everyone = [first.pid, *street.workers_alive()]
    street.die_at(point)
    request = basket(order_no)
    assert street.post("/checkouts", request, order_no) is None
    for pid in everyone:
        with_no_mercy(pid)
    first.wait(10)
    street.port = other
    done = street.by_number(order_no, WITHIN_S + START_S)
    assert done["status"] == "completed", done
    assert street.money()["net"] == done["quote"]["payable_amount"] - 200
    replay = street.post("/checkouts", request, order_no)
    deadline = time.monotonic() + TIMES["lease_s"] + 5
    while replay is not None and replay.status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.2)
        replay = street.post("/checkouts", request, order_no)
    assert replay is not None and (replay.status_code, replay.json()["status"]) == (201, "completed")


def with_no_mercy(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
