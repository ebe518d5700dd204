"""A wallet of the merchant's own: its codes are told by a range in his file, and come to its connection."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.engine.problems import Problem
from tests.engine.conftest import seed
from tests.engine.kit import build

SHOP = """
[merchant]
id = "m1"
name = "Campus shop"
[[stores]]
id = "s1"
name = "One"
[[payment_codes]]
prefix_from = "0"
prefix_to = "9"
length_min = 10
length_max = 10
channel = "campus"
[connections.cards]
adapter = "sandbox"
[connections.wallets]
adapter = "sandbox"
[connections.house]
adapter = "house"
[[routes]]
family = "payments"
channels = ["campus"]
connection = "cards"
[[routes]]
family = "payments"
connection = "wallets"
"""
SHOP += "".join(f'[[routes]]\nfamily = "{name}"\nconnection = "house"\n' for name in ("orders", "stock", "membership"))


def sale(order_no: str, code: str) -> dict[str, object]:
    line = {"line_id": "A", "sku": "A", "quantity": "1"}
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": [line],
        "tenders": [{"method": "payment_code", "auth_code": code}],
    }


def test_a_campus_card_pays_by_its_printed_number(tmp_path: Path) -> None:
    house = build(tmp_path, SHOP, {})
    try:
        house.database.tx(seed)
        reply, body = house.checkout(sale("O1", "2748193652"))
        assert (reply.status, body["tenders"][0]["channel"]) == (201, "campus")
        rows = house.database.read(lambda tx: tx.all("SELECT connection FROM ops WHERE hook = 'payment_charge'", {}))
        assert [row["connection"] for row in rows] == ["cards"]
        assert "2748193652" not in (tmp_path / "gateway.db").read_bytes().decode("latin-1"), "a code is never stored"
        with pytest.raises(Problem) as seen:
            house.checkout(sale("O2", "274819365"))
        assert seen.value.slug == "payment-code-unrecognised"
    finally:
        house.stop()
