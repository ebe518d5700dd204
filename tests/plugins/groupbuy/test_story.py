"""Vouchers through the gateway's own engine: platform and wallet on real sockets, a real database."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk.simulator import Fault
from plugins.alipay.simulator import AlipaySimulator
from plugins.groupbuy.simulator import GroupBuySimulator
from tests.engine.conftest import SHOP, seed
from tests.engine.kit import House, build

pytestmark = pytest.mark.slow

VOUCHERS = """
[connections.vouchers]
adapter = "groupbuy"
[connections.vouchers.settings]
base_url = "http://<groupbuy.platform>"
client_key = "tqt-merchant-001"
client_secret = "file:<groupbuy.data>/client_secret"
poi_ids = { s1 = "7100000000000000002" }
operator_account = "gateway-01"
operator_name = "网关"
retry_after_s = 0.02
[[routes]]
family = "coupons"
kinds = ["group_buy"]
connection = "vouchers"
[[routes]]
family = "payments"
"""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    wallet = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})
    platform = GroupBuySimulator(tmp_path / "groupbuy")
    who = json.loads((tmp_path / "alipay" / "merchant.json").read_text())
    shop = SHOP.replace("APP", who["app_id"], 1).replace("SELLER", who["seller_id"])
    shop = shop.replace('[[routes]]\nfamily = "payments"\n', VOUCHERS, 1)
    running = build(tmp_path, shop, {"alipay": wallet, "groupbuy": platform})
    running.database.tx(seed)
    yield running
    running.stop()


def pull(house: House, do: str, **arguments: Any) -> dict[str, Any]:
    return house.running["groupbuy"].simulator.control({"do": do, **arguments})


def buy(house: House, count: int = 1) -> list[str]:
    """Vouchers of 100 yuan, sold for 88."""
    codes: list[str] = pull(house, "buy", deal="V100", count=count)["codes"]
    return codes


def meal(order_no: str, code: str, count: int = 1) -> dict[str, Any]:
    """Goods for 278.90 yuan, paid by vouchers and, for the rest, by a payment code."""
    lines = [{"line_id": "A", "sku": "A", "quantity": "1"}, {"line_id": "B", "sku": "B", "quantity": "1"}]
    lines.append({"line_id": "C", "sku": "C", "quantity": "2"})
    voucher = {"method": "voucher", "code": code, "count": count}
    wallet = {"method": "payment_code", "auth_code": f"2812345678901{order_no[1:]:0>3}00"}
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": [voucher, wallet]}


def states(house: House, codes: list[str]) -> list[str]:
    certificates = house.books("groupbuy")["certificates"]
    return sorted(certificates[code]["status"] for code in codes)


def net(house: House) -> int:
    return int(house.books("alipay")["money"]["net"])


def ended(house: House, body: dict[str, Any], seconds: float = 12) -> dict[str, Any]:
    """The checkout once recovery has brought it to its end."""
    until = time.monotonic() + seconds
    while True:
        found = house.checkouts.get("m1", body.get("checkout_id") or body["id"])
        if found["status"] in ("completed", "failed", "needs_attention"):
            return dict(found)
        assert time.monotonic() < until, f"still {found['status']}"
        house.engine.worker.recover(house.engine.finish, patience=500)
        time.sleep(0.02)


def test_two_vouchers_and_a_wallet_pay_a_meal(house: House) -> None:
    codes = buy(house, 3)
    reply, body = house.checkout(meal("O1", codes[0], 2))
    assert (reply.status, body["status"]) == (201, "completed"), body
    assert states(house, codes) == ["unused", "used", "used"]
    assert net(house) == body["quote"]["payable_amount"] - 20_000 == 7_890
    back = house.refunds.create(house.asked(), body["id"], {})
    assert back.status in (201, 202) and net(house) == 0
    house.settle(20)
    assert states(house, codes) == ["unused"] * 3


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "verify_error_acted", "duplicate", "error", "drop_before"])
def test_a_verify_whose_answers_are_lost_uses_each_voucher_once(house: House, fault: str) -> None:
    codes = buy(house, 2)
    house.fault("groupbuy", Fault(fault, "verify", times=4))
    _, body = house.checkout(meal("O1", codes[0], 2))
    final = ended(house, body)
    assert final["status"] == "completed" and not final["tasks"]
    assert states(house, codes) == ["used", "used"] and len(house.books("groupbuy")["records"]) == 2
    assert net(house) == 7_890


def test_a_voucher_lost_after_the_payment_gives_everything_back(house: House) -> None:
    """The platform has no hold: between prepare and verify the customer gives one of two vouchers back."""
    codes = buy(house, 2)
    house.fault("groupbuy", Fault("partial_results", "verify", times=1))
    _, body = house.checkout(meal("O1", codes[0], 2))
    final = ended(house, body)
    assert final["status"] == "failed"
    assert states(house, codes) == ["refunded", "unused"], "the one that was redeemed is taken back"
    assert net(house) == 0, "the wallet's share is given back, not kept for a meal that is not paid"


def test_a_refund_whose_cancel_is_lost_gives_the_voucher_back_once(house: House) -> None:
    codes = buy(house, 2)
    _, body = house.checkout(meal("O1", codes[0], 2))
    house.fault("groupbuy", Fault("drop_after", "cancel", times=4))
    house.refunds.create(house.asked(), body["id"], {})
    house.settle(60)
    assert states(house, codes) == ["unused", "unused"] and net(house) == 0
    records = house.books("groupbuy")["records"]
    assert len(records) == 2 and all(record["cancel_time"] for record in records)


def test_a_declined_wallet_leaves_the_voucher_alone(house: House) -> None:
    """Vouchers are used after the money, because taking one back has an hour and no promise."""
    code = buy(house)[0]
    request = meal("O1", code)
    request["tenders"][1]["auth_code"] = "281234567890129011"
    reply, body = house.checkout(request)
    assert reply.status == 402, body
    assert states(house, [code]) == ["unused"] and house.books("groupbuy")["records"] == []
    assert net(house) == 0


def test_a_refund_after_the_hour_gives_the_money_back_and_asks_a_person_for_the_vouchers(house: House) -> None:
    """The platform takes nothing back any more: the wallet's part is refunded, and a task says what is left to do."""
    codes = buy(house, 2)
    _, body = house.checkout(meal("O1", codes[0], 2))
    assert body["status"] == "completed" and states(house, codes) == ["used", "used"]
    pull(house, "age", code=codes[0], seconds=3601)
    made = json.loads(house.refunds.create(house.asked(), body["id"], {}).body)
    until = time.monotonic() + 20
    while (found := house.refunds.get("m1", made["id"]))["status"] not in ("succeeded", "needs_attention"):
        assert time.monotonic() < until, found
        house.engine.worker.recover(house.engine.finish, patience=500)
        time.sleep(0.02)
    assert states(house, codes) == ["used", "used"] and net(house) == 0
    tasks = house.database.read(lambda tx: tx.all("SELECT * FROM tasks WHERE status = 'open'"))
    assert len(tasks) == 1 and "groupbuy" in str(dict(tasks[0])), [dict(task) for task in tasks]
    assert not house.books("groupbuy")["requests"].get("cancel", 0) > 4, "what is too late is not tried for ever"
