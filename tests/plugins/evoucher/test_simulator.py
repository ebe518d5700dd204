"""The simulated platform holds its own rules, whoever calls: signatures, tokens, whole texts, garbage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import requests

from plugins.evoucher.protocol import Reply, call_body, read_reply
from plugins.evoucher.simulator import APP_KEY, APP_SECRET, SESSION
from tests.plugins.evoucher.support import Shop


def ask(shop: Shop, method: str, fields: dict[str, str], late_s: float = 0, secret: str = APP_SECRET) -> Reply:
    body = call_body(method, fields, APP_KEY, SESSION, secret, datetime.now(UTC) - timedelta(seconds=late_s))
    return read_reply(requests.post(f"http://{shop.address}/router/rest", data=body, timeout=5).content, method)


def test_strangers_and_old_calls_are_refused(shop: Shop) -> None:
    assert ask(shop, "seller.get", {}).error == ""
    assert ask(shop, "seller.get", {}, secret="wrong").error == "isv.invalid-signature"
    assert ask(shop, "seller.get", {}, late_s=700).error == "isv.invalid-parameter"
    order_id, [code] = shop.bought(2)
    use = {"order_id": order_id, "verify_code": code, "consume_num": "1", "serial_num": "A", "token": "x" * 32}
    said = ask(shop, "consume", use)
    assert said.error == "isv.token-invalid"


@pytest.mark.parametrize(
    ("method", "fields", "error"),
    [
        ("send", {"verify_codes": "123456789012:2"}, "isv.already-sent"),
        ("send", {"verify_codes": "12"}, "isv.invalid-parameter"),
        ("resend", {"verify_codes": "123456789012:2"}, "isv.codes-differ"),
        ("failsend", {"reason": "x"}, "isv.already-sent"),
        ("consume", {"verify_code": "1", "consume_num": "1", "serial_num": "a-b"}, "isv.invalid-parameter"),
        ("consume", {"verify_code": "1", "consume_num": "0", "serial_num": "ab"}, "isv.invalid-parameter"),
        ("reverse", {"serial_num": "ab", "reverse_num": "1"}, "isv.serial-num-not-exist"),
        ("oplogs.get", {"page_no": "1", "start_time": "yesterday"}, "isv.invalid-parameter"),
        ("tasks.get", {"type": "3"}, "isv.invalid-parameter"),
    ],
)
def test_what_is_not_allowed_is_refused(shop: Shop, method: str, fields: dict[str, str], error: str) -> None:
    order_id, _ = shop.bought(2)
    token = shop.order(order_id)["token"]
    assert ask(shop, method, {"order_id": order_id, "token": token, **fields}).error == error


def test_an_order_may_be_refused_by_its_merchant(shop: Shop) -> None:
    told = shop.pull("buy", num=2)
    token = shop.order(told["order_id"])["token"]
    refusal = {"order_id": told["order_id"], "token": token, "reason": "sold out"}
    assert ask(shop, "failsend", refusal).error == ""
    assert shop.order(told["order_id"])["failed"] == "sold out"
    assert shop.take(told["notice"]) is not None and shop.follow() == 0 and shop.codes(told["order_id"]) == []


def test_garbage_does_no_harm(shop: Shop) -> None:
    url = f"http://{shop.address}/router/rest"
    for body in (b"", b"\xff\xfe", b"method=evoucher.consume", b"a" * 5000, b"method=evoucher.nothing"):
        assert requests.post(url, data=body, timeout=5).status_code == 200
    assert requests.get(url, timeout=5).status_code == 404
    for wrong in ({"do": "buy", "num": 0}, {"do": "buy", "item": "X"}, {"do": "refund", "order_id": "1"}, {"do": "x"}):
        with pytest.raises(ValueError, match=r"."):
            shop.sim.control(wrong)
