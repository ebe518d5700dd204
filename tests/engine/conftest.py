"""One shop: the house's members, coupons and goods, and a wallet on a real socket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sdk import Identity, IdentityType, Secret, Transaction
from gateway.testing.postgres import PostgresServer
from plugins.alipay.simulator import AlipaySimulator
from plugins.house import coupons, members, stock
from plugins.house.adapter import insert_identity, insert_member
from tests.engine.kit import House, build

SHOP = """
[merchant]
id = "m1"
name = "便民超市"
[[stores]]
id = "s1"
name = "武林店"
[connections.house]
adapter = "house"
[connections.house.settings]
tiers = { gold = 9500 }
[connections.alipay]
adapter = "alipay"
insecure_transport = true
[connections.alipay.settings]
endpoint = "http://<alipay.gateway>/gateway.do"
app_id = "APP"
seller_id = "SELLER"
timeout_s = 1.0
app_private_key = "file:<alipay.data>/app_private_key.pem"
alipay_public_key = "file:<alipay.data>/alipay_public_key.pem"
[[routes]]
family = "payments"
connection = "alipay"
[[routes]]
family = "membership"
connection = "house"
[[routes]]
family = "coupons"
connection = "house"
[[routes]]
family = "stock"
connection = "house"
[[routes]]
family = "orders"
connection = "house"
[pricing.points]
rule = { points = 100, amount = 100 }
earn = { per_amount = 100, points = 1 }
"""

PHONE = "13800001001"
LINES = [
    {"line_id": "A", "sku": "A", "quantity": "1"},
    {"line_id": "B", "sku": "B", "quantity": "1"},
    {"line_id": "C", "sku": "C", "quantity": "2"},
]


def seed(tx: Transaction) -> None:
    """A gold member with points and value, a coupon, and ten of each article."""
    insert_member(tx, "m1", "mem1", "王小姐", "gold", points=5000, real=10_000, gift=2_000)
    identity = Identity(type=IdentityType.PHONE, value=Secret(PHONE))
    insert_identity(tx, "m1", "mem1", "phone", members.digest_of(identity, "m1"))
    terms = {"off_amount": 3000, "threshold_amount": 20_000, "basis": "after_member"}
    coupons.insert(tx, "m1", "C30", {"kind": "cash", "title": "满200减30", "terms": terms}, 1, "mem1", 0)
    for sku, amount in (("A", 12_800), ("B", 5_990), ("C", 4_550)):
        stock.set_level(tx, "m1", "s1", sku, 10_000)
        tx.execute(
            "INSERT INTO products (merchant, sku, name, doc, as_of) VALUES ('m1', :sku, :sku, :doc, 0)",
            {"sku": sku, "doc": json.dumps({"sku": sku, "name": sku, "unit_amount": amount})},
        )


def everything(order_no: str, code: str = "281234567890123456") -> dict[str, object]:
    """A checkout that touches every asset: stock, coupon, points, stored value, a wallet, the till, earned points."""
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": LINES,
        "member": {"type": "phone", "value": PHONE},
        "coupons": ["C30"],
        "points": 500,
        "tenders": [{"method": "stored_value", "amount": 5000}, {"method": "payment_code", "auth_code": code}],
    }


def shop_file(wallet: AlipaySimulator) -> str:
    """The shop's file with what the wallet has given the merchant."""
    who = json.loads((wallet.data / "merchant.json").read_text())
    file = SHOP.replace('"APP"', f'"{who["app_id"]}"').replace("SELLER", who["seller_id"])
    return file.replace("<alipay.data>", str(wallet.data))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database of each kind; ``""`` is a file in the test's own folder."""
    if request.param == "sqlite":
        return ""
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_database()


@pytest.fixture
def shop(tmp_path: Path, database_url: str) -> Iterator[House]:
    simulator = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
    house = build(tmp_path, shop_file(simulator), {"alipay": simulator}, url=database_url)
    house.database.tx(seed)
    yield house
    house.stop()
