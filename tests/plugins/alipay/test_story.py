"""Alipay through the gateway's own engine: passwords, shown codes, declines, lost answers, on real sockets."""

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
from tests.engine.conftest import SHOP, seed
from tests.engine.kit import House, build

pytestmark = pytest.mark.slow


@pytest.fixture
def house(keys: Path, data: Path, tmp_path: Path) -> Iterator[House]:
    wallet = AlipaySimulator(data, {"password_after_s": "0.3"})
    who = json.loads((data / "merchant.json").read_text())
    shop = SHOP.replace("APP", who["app_id"], 1).replace("SELLER", who["seller_id"])
    running = build(tmp_path, shop, {"alipay": wallet})
    running.database.tx(seed)
    yield running
    running.stop()


def basket(order_no: str, ending: str = "0000", method: str = "payment_code") -> dict[str, Any]:
    """Goods for 128.00 yuan."""
    tender: dict[str, Any] = {"method": method}
    if method == "payment_code":
        tender["auth_code"] = f"28123456789{order_no[1:]:0>3}{ending}"
    lines = [{"line_id": "A", "sku": "A", "quantity": "1"}]
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": [tender]}


def net(house: House) -> int:
    return int(house.books("alipay")["money"]["net"])


def pull(house: House, do: str, **arguments: Any) -> dict[str, Any]:
    return house.running["alipay"].simulator.control({"do": do, **arguments})


def number(house: House) -> str:
    """The order number of the only charge there is."""
    books = house.books("alipay")
    (only,) = [*books["trades"], *books["unopened"]]
    return str(only)


def ended(house: House, body: dict[str, Any], seconds: float = 10) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while True:
        found = house.checkouts.get("m1", body.get("checkout_id") or body["id"])
        if found["status"] in ("completed", "failed", "cancelled"):
            return dict(found)
        assert time.monotonic() < until, f"still {found['status']}"
        house.engine.worker.recover(house.engine.finish, patience=500)
        time.sleep(0.02)


def test_a_password_typed_in_time_completes_the_checkout(house: House) -> None:
    _, body = house.checkout(basket("O1", "9002"))
    assert ended(house, body)["status"] == "completed"
    assert net(house) == 12_800


def test_a_password_that_never_comes_is_closed(house: House) -> None:
    """The time to wait is over: cancelled directly after the last query, and closed at Alipay too."""
    try:
        _, body = house.checkout(basket("O1", "9001"))
    except Problem as problem:
        assert problem.slug in ("payment-declined", "checkout-failed")
    else:
        assert ended(house, body)["status"] == "failed"
    (trade,) = house.books("alipay")["trades"].values()
    assert (trade["status"], trade["cancelled"], net(house)) == ("TRADE_CLOSED", "close", 0)


def test_a_shown_code_is_scanned_and_paid(house: House) -> None:
    reply, body = house.checkout(basket("O1", method="qr_code"))
    assert (reply.status, body["status"]) == (202, "awaiting_customer")
    assert body["next_action"]["type"] == "show_qr" and body["next_action"]["qr_code"].startswith("https://")
    pull(house, "scan", qr_code=body["next_action"]["qr_code"])
    assert ended(house, body)["status"] == "completed"
    assert net(house) == 12_800


@pytest.mark.parametrize("ending", ["9011", "9012", "9013"])
def test_a_decline_is_402_and_closed(house: House, ending: str) -> None:
    began = time.monotonic()
    reply, _ = house.checkout(basket("O1", ending))
    assert reply.status == 402 and net(house) == 0
    assert time.monotonic() - began < 2.5, "a cashier waits: a refused code is dead, there is nothing to wait for"
    trades = house.books("alipay")["trades"].values()
    assert all(trade["status"] == "TRADE_CLOSED" for trade in trades)


@pytest.mark.parametrize("ending", ["9014", "9018"])
def test_an_unknown_outcome_that_was_paid_is_completed_once(house: House, ending: str) -> None:
    _, body = house.checkout(basket("O1", ending))
    assert ended(house, body)["status"] == "completed"
    assert net(house) == 12_800 and len(house.books("alipay")["trades"]) == 1


def test_late_money_after_a_failed_checkout_is_given_back(house: House) -> None:
    """The charge arrives after it was cancelled: Alipay has no tombstone, so the gateway watches and gives it back."""
    house.fault("alipay", Fault("late_success", "alipay.trade.pay", times=1, value=900))
    try:
        _, body = house.checkout(basket("O1"))
    except Problem:
        pass
    else:
        ended(house, body)
    until = time.monotonic() + 8
    while time.monotonic() < until:
        house.engine.worker.recover(house.engine.finish, patience=500)
        books = house.books("alipay")
        completed = house.database.read(lambda tx: tx.one("SELECT state FROM sagas"))["state"] == "completed"
        if books["trades"] and (completed or net(house) == 0):
            break
        time.sleep(0.05)
    state = house.database.read(lambda tx: tx.one("SELECT state FROM sagas"))["state"]
    assert net(house) == (12_800 if state == "completed" else 0)


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "bad_signature", "unknown", "error", "cancel_retry"])
def test_a_refund_and_its_lost_answers(house: House, fault: str) -> None:
    _, body = house.checkout(basket("O1"))
    house.fault("alipay", Fault(fault, "alipay.trade.refund", times=2))
    house.refunds.create(house.asked(), body["id"], {"amount": 2_800})
    house.settle(40)
    assert net(house) == 10_000
    assert [refund["amount"] for refund in house.books("alipay")["refunds"]] == [2_800]
