"""A running gateway of two processes: an import is in force in both within seconds, its last use has one winner."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.street import Street, in_threads

FLASH = {"id": "flash", "version": 1, "kind": "amount_off", "off_amount": 1000, "limits": {"total": 1}}
LINES = [{"line_id": "B", "sku": "B", "quantity": "0.1"}]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    with Street(tmp_path) as street:
        yield street
        street.stop()


def quoted(street: Street) -> set[int]:
    """What several quotes, of whichever process answers, come to."""
    found = [street.post("/quotes", {"store_id": "s1", "lines": LINES}, f"q{n}") for n in range(8)]
    return {reply.json()["payable_amount"] for reply in found if reply is not None}


def import_while_running(street: Street, campaign: dict[str, Any]) -> None:
    file = street.data / "flash.json"
    file.write_text(json.dumps({"campaigns": [campaign]}), encoding="utf-8")
    command = [sys.executable, "-m", "gateway.cli", "campaigns", "import", "--config", str(street.config_file)]
    subprocess.run([*command, str(file)], check=True, timeout=30)


def test_an_import_reaches_every_process_and_the_last_use_is_sold_once(street: Street) -> None:
    assert quoted(street) == {599}
    import_while_running(street, {**FLASH, "off_amount": 99})
    deadline = time.monotonic() + 5
    while quoted(street) != {500}:
        assert time.monotonic() < deadline, "some process has not noticed the import"
        time.sleep(0.2)
    statuses: list[tuple[int, str]] = []

    def buy(number: int) -> None:
        request = {"store_id": "s1", "order_no": f"O{number}", "lines": LINES, "tenders": [{"method": "cash"}]}
        reply = street.post("/checkouts", {**request, "expected_payable_amount": 500}, f"k{number}")
        assert reply is not None
        statuses.append((reply.status_code, reply.json().get("type", "")))

    assert in_threads(32, buy) == []
    assert sorted(statuses) == [(201, ""), *[(409, "/problems/price-changed")] * 31]
    assert street.rows("SELECT state, times, amount FROM campaign_uses") == [
        {"state": "used", "times": 1, "amount": 99}
    ]
    assert quoted(street) == {599}
