"""WeChat Pay through the gateway's own engine: its codes are routed to it, on real sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.sdk.simulator import Fault
from plugins.alipay.simulator import AlipaySimulator
from plugins.wechatpay.simulator import WechatPaySimulator
from tests.engine.conftest import SHOP, seed
from tests.engine.kit import House, build

pytestmark = pytest.mark.slow

WECHAT = """
[connections.wechatpay]
adapter = "wechatpay"
insecure_transport = true
[connections.wechatpay.settings]
endpoint = "http://<wechatpay.gateway>"
mchid = "MCHID"
appid = "WXAPP"
serial_no = "SERIAL"
private_key = "file:<wechatpay.data>/private_key.pem"
api_v3_key = "file:<wechatpay.data>/api_v3_key.txt"
notify_url = "http://127.0.0.1:9/callbacks/x"
timeout_s = 1.0
[[routes]]
family = "payments"
channels = ["wechat"]
connection = "wechatpay"
"""


@pytest.fixture
def house(data: Path, tmp_path: Path) -> Iterator[House]:
    """A shop with both wallets: the code's first digits tell which."""
    wallet = WechatPaySimulator(
        data, {"password_after_s": "0.3", "refund_after_s": "0.1", "reverse_not_before_s": "0.1"}
    )
    other = AlipaySimulator(tmp_path / "alipay-far")
    who = json.loads((data / "merchant.json").read_text())
    theirs = json.loads((tmp_path / "alipay-far" / "merchant.json").read_text())
    shop = SHOP.replace("APP", theirs["app_id"], 1).replace("SELLER", theirs["seller_id"])
    first = '[[routes]]\nfamily = "payments"'
    ours = WECHAT.replace("MCHID", who["mchid"]).replace("WXAPP", who["appid"]).replace("SERIAL", who["serial_no"])
    shop = shop.replace(first, f"{ours}{first}", 1)
    running = build(tmp_path, shop, {"wechatpay": wallet, "alipay": other})
    running.database.tx(seed)
    yield running
    running.stop()


def basket(order_no: str, ending: str = "0000", **tender: Any) -> dict[str, Any]:
    """Goods for 128.00 yuan."""
    tender = tender or {"method": "payment_code", "auth_code": f"1312345678{order_no[1:]:0>4}{ending}"}
    lines = [{"line_id": "A", "sku": "A", "quantity": "1"}]
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": [tender]}


def net(house: House) -> int:
    return int(house.books("wechatpay")["money"]["net"])


def ended(house: House, body: dict[str, Any], seconds: float = 10) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while True:
        found = house.checkouts.get("m1", body.get("checkout_id") or body["id"])
        if found["status"] in ("completed", "failed", "cancelled"):
            return dict(found)
        assert time.monotonic() < until, f"still {found['status']}"
        house.engine.worker.recover(house.engine.finish, patience=500)
        time.sleep(0.02)


def test_a_wechat_code_goes_to_wechat_pay(house: House) -> None:
    _, body = house.checkout(basket("O1"))
    assert ended(house, body)["status"] == "completed"
    assert net(house) == 12_800 and house.books("alipay")["money"]["net"] == 0
    assert ended(house, body)["tenders"][0]["channel"] == "wechat"


def test_a_password_typed_in_time_completes_the_checkout(house: House) -> None:
    _, body = house.checkout(basket("O1", "9002"))
    assert ended(house, body)["status"] == "completed" and net(house) == 12_800


@pytest.mark.parametrize("ending", ["9011", "9013"])
def test_a_decline_is_402_at_once(house: House, ending: str) -> None:
    """What was refused is reversed without the fifteen seconds that are asked for after a payment."""
    began = time.monotonic()
    reply, _ = house.checkout(basket("O1", ending))
    assert reply.status == 402 and net(house) == 0
    assert time.monotonic() - began < 2.5, "a cashier waits"


@pytest.mark.parametrize("ending", ["9014"])
def test_a_system_error_that_was_paid_is_completed_once(house: House, ending: str) -> None:
    _, body = house.checkout(basket("O1", ending))
    assert ended(house, body)["status"] == "completed"
    assert net(house) == 12_800 and len(house.books("wechatpay")["orders"]) == 1


def test_a_password_that_never_comes_is_reversed(house: House) -> None:
    try:
        _, body = house.checkout(basket("O1", "9001"))
    except Problem as problem:
        assert problem.slug in ("payment-declined", "checkout-failed")
    else:
        assert ended(house, body)["status"] == "failed"
    (order,) = house.books("wechatpay")["orders"].values()
    assert (order["state"], net(house)) == ("REVOKED", 0)


def test_a_shown_code_is_scanned_and_paid(house: House) -> None:
    reply, body = house.checkout(basket("O1", method="qr_code", channel="wechat"))
    assert (reply.status, body["status"]) == (202, "awaiting_customer")
    simulator = house.running["wechatpay"].simulator
    simulator.control({"do": "scan", "code_url": body["next_action"]["qr_code"]})
    assert ended(house, body)["status"] == "completed" and net(house) == 12_800


@pytest.mark.parametrize("fault", ["drop_after"])
def test_a_refund_and_its_lost_answers(house: House, fault: str) -> None:
    _, body = house.checkout(basket("O1"))
    house.fault("wechatpay", Fault(fault, "refund", times=2))
    house.refunds.create(house.asked(), body["id"], {"amount": 2_800})
    house.settle(40)
    assert net(house) == 10_000
    assert [refund["amount"] for refund in house.books("wechatpay")["refunds"]] == [2_800]
