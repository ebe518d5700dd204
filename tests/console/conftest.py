"""A shop with an evening behind it: a sale, a part given back, a decline, a bill half paid, a task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from gateway.console import create_console
from gateway.console.pages import Parts
from plugins.alipay.simulator import AlipaySimulator
from tests.engine.conftest import PHONE, everything, seed, shop_file
from tests.engine.kit import House, build

OTHER = """
[merchant]
id = "m2"
name = "青禾里"
name_en = "Qinghe Table"
[[stores]]
id = "t1"
name = "徐汇店"
name_en = "Xuhui"
[connections.house]
adapter = "house"
[[routes]]
family = "orders"
connection = "house"
"""
HOSTILE = 'O9"><script>alert(1)</script>'


@dataclass
class Evening:
    """The shop, its parts as the console sees them, and the ids of what happened."""

    house: House
    parts: Parts
    ids: dict[str, str]

    def client(self) -> FlaskClient:
        return create_console(self.parts).test_client()


def plain(order_no: str, code: str) -> dict[str, Any]:
    lines = [{"line_id": "A", "sku": "A", "quantity": "1"}]
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": lines,
        "tenders": [{"method": "payment_code", "auth_code": code}],
    }


def play(house: House) -> dict[str, str]:
    ids = {}
    _, paid = house.checkout(everything("O1"))
    ids["paid"] = paid["id"]
    house.refunds.create(house.asked(), paid["id"], {"lines": [{"line_id": "B", "quantity": "1"}]})
    _, declined = house.checkout(plain("O2", "281234567890129011"))
    ids["declined"] = declined["checkout_id"]
    request = plain("O3", "281234567890123456")
    request["tenders"][0]["amount"] = 10_000
    _, split = house.checkout({**request, "on_decline": "await_tender"})
    ids["split"] = split["id"]
    _, hostile = house.checkout(plain(HOSTILE, "281234567890123457"))
    ids["hostile"] = hostile["id"]
    row = {
        "id": "tsk_01M82DVYXFFE5A699W570G6TXY",
        "subject": paid["id"],
        "detail": "see at house whether order_post happened",
    }
    house.database.tx(
        lambda tx: tx.execute(
            "INSERT INTO tasks (id, merchant, subject, leg, kind, status, owner, detail, opened, deadline)"
            " VALUES (:id, 'm1', :subject, 'order', 'post-unknown', 'open', 'merchant', :detail, 0, 0)",
            row,
        )
    )
    return ids


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    folder: Path = tmp_path_factory.mktemp("console")
    wallet = AlipaySimulator(folder / "alipay", {"latency_ms": "0"})
    house = build(folder, shop_file(wallet), {"alipay": wallet})
    (folder / "merchants" / "m2.toml").write_text(OTHER, encoding="utf-8")
    house.runtime.reload()
    house.database.tx(seed)
    parts = SimpleNamespace(config=house.runtime.config, engine=house.engine, runtime=house.runtime)
    yield Evening(house, parts, play(house))  # type: ignore[arg-type]
    house.stop()


__all__ = ["HOSTILE", "PHONE", "Evening", "evening"]
