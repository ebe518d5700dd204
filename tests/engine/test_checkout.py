"""The main job on a real wallet: what a customer and a shop must be able to rely on, also when answers are lost."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from gateway.engine.problems import Problem
from gateway.engine.service import Asked
from gateway.sdk.simulator import Fault, start
from plugins.alipay.simulator import AlipaySimulator
from tests.engine.conftest import everything, seed, shop_file
from tests.engine.kit import House, build


def member(shop: House) -> dict[str, Any]:
    return dict(shop.database.read(lambda tx: tx.one("SELECT * FROM house_members")) or {})


def goods(shop: House) -> dict[str, tuple[int, int]]:
    rows = shop.database.read(lambda tx: tx.all("SELECT sku, on_hand, reserved FROM house_stock ORDER BY sku"))
    return {row["sku"]: (row["on_hand"], row["reserved"]) for row in rows}


def coupon(shop: House) -> tuple[int, int, int]:
    row = shop.database.read(lambda tx: tx.one("SELECT * FROM house_coupons WHERE code = 'C30'"))
    return (row["available"], row["held"], row["used"]) if row else (0, 0, 0)


def charged(shop: House) -> int:
    return int(shop.books("alipay")["money"]["net"])


def nothing_spent(shop: House) -> None:
    assert charged(shop) == 0
    assert (member(shop)["points"], member(shop)["points_held"]) == (5000, 0)
    assert (member(shop)["real"], member(shop)["gift"]) == (10_000, 2_000)
    assert coupon(shop) == (1, 0, 0)
    assert goods(shop) == {"A": (10_000, 0), "B": (10_000, 0), "C": (10_000, 0)}


def all_spent(shop: House) -> None:
    # E01's basket: 234.96 to pay, 5.00 of it with points; 50.00 from stored value, the rest from the wallet.
    assert charged(shop) == 17_996
    assert member(shop)["points"] == 5000 - 500 + 229
    assert member(shop)["real"] == 5_000
    assert coupon(shop) == (0, 0, 1)
    assert goods(shop) == {"A": (9_000, 0), "B": (9_000, 0), "C": (8_000, 0)}


def test_one_call_settles_every_asset(shop: House) -> None:
    reply, body = shop.checkout(everything("O1"))
    assert (reply.status, body["status"]) == (201, "completed")
    assert body["quote"]["payable_amount"] == 22_996
    assert sum(split["amount"] for split in body["splits"]) == 22_996
    assert body["receipt"]
    all_spent(shop)


def test_refunds_in_parts_give_everything_back(shop: House) -> None:
    _, body = shop.checkout(everything("O1"))
    first = shop.refunds.create(shop.asked(), body["id"], {"lines": [{"line_id": "B", "quantity": "1"}]})
    assert (first.status, coupon(shop)) == (201, (0, 0, 1))
    for request in ({"lines": [{"line_id": "C", "quantity": "1"}]}, {}):
        preview = shop.refunds.preview("m1", body["id"], request)
        reply = shop.refunds.create(shop.asked(), body["id"], request)
        assert reply.status == 201
        assert json.loads(reply.body)["amount"] == preview["amount"]
    nothing_spent(shop)
    with pytest.raises(Problem) as refused:
        shop.refunds.create(shop.asked(), body["id"], {})
    assert refused.value.slug == "refund-exceeds-paid"


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "half_body", "bad_signature", "wrong_amount", "wrong_id"])
def test_a_payment_whose_answer_is_lost_is_resolved_and_charged_once(shop: House, fault: str) -> None:
    shop.fault("alipay", Fault(fault, "alipay.trade.pay", times=1, value=100))
    reply, body = shop.checkout(everything("O1"))
    if reply.status == 202:
        assert body["status"] == "resolving"
        shop.settle(20)
        body = shop.checkouts.get("m1", body["id"])
    assert body["status"] == "completed"
    all_spent(shop)


@pytest.mark.parametrize("fault", ["refuse", "drop_before"])
def test_a_payment_that_never_arrived_leaves_nothing_behind(shop: House, fault: str) -> None:
    shop.fault("alipay", Fault(fault, "alipay.trade.pay"))
    try:
        _, body = shop.checkout(everything("O1"))
    except Problem as problem:
        assert problem.slug in ("adapter-unavailable", "checkout-failed")
    else:
        shop.fault("alipay")
        shop.settle(40)
        final = shop.checkouts.get("m1", body.get("checkout_id") or body["id"])
        assert final["status"] == "failed"
    nothing_spent(shop)


def test_a_wallet_that_is_down_is_503_and_the_same_key_works_later(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    wallet = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0", "port": str(port)})
    shop = build(tmp_path, shop_file(wallet).replace("<alipay.gateway>", f"127.0.0.1:{port}"), {})
    try:
        shop.database.tx(seed)
        request = {**everything("O1"), "tenders": [{"method": "payment_code", "auth_code": "281234567890123456"}]}
        with pytest.raises(Problem) as refused:
            shop.checkouts.create(Asked("m1", "again", "fp"), request)
        assert refused.value.slug == "adapter-unavailable"
        shop.running["alipay"] = start(wallet)
        reply = shop.checkouts.create(Asked("m1", "again", "fp"), request)
        assert reply.status == 201
    finally:
        shop.stop()


def test_the_same_key_gives_the_same_reply_and_charges_once(shop: House) -> None:
    asked = shop.asked(key="k")
    first = shop.checkouts.create(asked, everything("O1"))
    again = shop.checkouts.create(asked, everything("O1"))
    assert (again.body, again.status, again.replayed) == (first.body, first.status, True)
    all_spent(shop)


def test_an_order_number_is_taken_for_ever(shop: House) -> None:
    shop.checkout(everything("O1"))
    with pytest.raises(Problem) as refused:
        shop.checkout(everything("O1", "281234567890123457"))
    assert refused.value.slug == "duplicate-order"
    all_spent(shop)


@pytest.mark.parametrize(
    ("change", "slug"),
    [
        ({"points": 500_000}, "insufficient-points"),
        ({"tenders": [{"method": "stored_value"}]}, "insufficient-stored-value"),
        ({"lines": [{"sku": "A", "quantity": "11"}]}, "out-of-stock"),
        ({"coupons": ["NONE"]}, "coupon-not-applicable"),
        ({"tenders": [{"method": "payment_code", "auth_code": "991234567890123456"}]}, "payment-code-unrecognised"),
        ({"tenders": [{"method": "cash", "amount": 1}]}, "tenders-mismatch"),
        ({"expected_payable_amount": 1}, "price-changed"),
    ],
)
def test_a_refusal_before_anything_is_sent_keeps_nothing(shop: House, change: dict[str, Any], slug: str) -> None:
    request = {**everything("O1"), **change}
    with pytest.raises(Problem) as refused:
        shop.checkout(request)
    assert refused.value.slug == slug
    nothing_spent(shop)
    assert shop.checkout(everything("O1"))[0].status == 201, "the order number was not taken by the refusal"


def test_a_declined_payment_releases_everything(shop: House) -> None:
    reply, body = shop.checkout(everything("O1", "281234567890129011"))  # a buyer without enough money
    assert (reply.status, body["type"]) == (402, "/problems/payment-declined")
    nothing_spent(shop)


def test_a_split_bill_awaits_the_second_payer(shop: House) -> None:
    request = everything("O1")
    request["on_decline"] = "await_tender"
    request["tenders"] = [{"method": "payment_code", "auth_code": "281234567890123456", "amount": 10_000}]
    reply, body = shop.checkout(request)
    assert (reply.status, body["status"], body["next_action"]["amount"]) == (202, "awaiting_customer", 12_996)
    second = {"method": "payment_code", "auth_code": "281234567890123457"}
    final = shop.checkouts.add_tender(shop.asked(), body["id"], second)
    assert json.loads(final.body)["status"] == "completed"
    assert charged(shop) == 22_996


def test_cancelling_a_split_bill_gives_the_first_payer_the_money_back(shop: House) -> None:
    request = everything("O1")
    request["on_decline"] = "await_tender"
    request["tenders"] = [{"method": "payment_code", "auth_code": "281234567890123456", "amount": 10_000}]
    _, body = shop.checkout(request)
    shop.checkouts.cancel(shop.asked(), body["id"])
    assert shop.checkouts.get("m1", body["id"])["status"] == "cancelled"
    nothing_spent(shop)


def test_questions_that_get_no_answer_pause(shop: House) -> None:
    """A wallet that is down must not be asked without end; once it answers, the checkout ends by itself."""
    shop.fault("alipay", Fault("error", "alipay.trade.query"))
    try:
        _, body = shop.checkout(everything("O1", "281234567890129011"))
    finally:
        asked = shop.books("alipay")["requests"].get("alipay.trade.query", 0)
        shop.fault("alipay")
    assert 0 < asked < 80, f"asked {asked} times within one request"
    for _ in range(60):
        shop.settle(10)
        if shop.checkouts.get("m1", body.get("checkout_id") or body["id"])["status"] == "failed":
            break
    nothing_spent(shop)
