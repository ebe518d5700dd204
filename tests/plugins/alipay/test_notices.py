"""Notices: posted by the channel over HTTP, believed only if signed and about our account, answered by ``success``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlencode

import pytest

from gateway.sdk import Notice, NoticeRequest
from gateway.sdk.simulator import HttpReply, HttpRequest, serve_http
from plugins.alipay.protocol import content_to_sign, sign
from tests.plugins.alipay.support import Shop, key


class Receiver:
    """A callback address that hands each body to the adapter, as the gateway does."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.bodies, self.refuse = shop, [], 0
        self.notices: list[Notice | None] = []
        self.server = serve_http(self._handle)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/callbacks/x"

    bodies: list[bytes]

    def _handle(self, request: HttpRequest) -> HttpReply:
        self.bodies.append(request.body)
        if self.refuse:
            self.refuse -= 1
            return HttpReply(503, b"later")
        notice = self.read(request.body)
        self.notices.append(notice)
        return HttpReply(200, notice.reply if notice else b"fail", "text/plain")

    def read(self, body: bytes) -> Notice | None:
        return self.shop.adapter.notice_read(NoticeRequest(method="POST", query="", headers={}, body=body))

    def wait(self, count: int) -> list[Notice | None]:
        until = time.monotonic() + 3
        while len(self.notices) < count:
            assert time.monotonic() < until, f"{len(self.notices)} notices came, {count} expected"
            time.sleep(0.01)
        return self.notices


@pytest.fixture
def receiver(shop: Shop) -> Iterator[Receiver]:
    receiver = Receiver(shop)
    shop.adapter = shop.build(notify_url=receiver.url)
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def test_a_payment_is_told(shop: Shop, receiver: Receiver) -> None:
    shop.charge(1)
    (notice,) = receiver.wait(1)
    assert notice is not None
    assert (notice.key, notice.kind, notice.reply) == (key(1), "payment", b"success")
    assert notice.facts["trade_status"] == "TRADE_SUCCESS" and notice.facts["total_amount"] == 1200


def test_a_shown_code_s_payment_and_a_refund_are_told(shop: Shop, receiver: Receiver) -> None:
    shop.show(1)
    shop.pull("scan", out_trade_no=key(1))
    receiver.wait(1)
    shop.refund(2, 1, 500)
    notice = receiver.wait(2)[1]
    assert notice is not None and notice.facts["refund_fee"] == 500
    assert notice.facts["trade_status"] == "TRADE_CLOSED"  # given back in full: our own records tell it from unpaid


@pytest.mark.parametrize("fault", ["notice_forged", "notice_other_seller"])
def test_what_is_not_genuine_is_not_believed(shop: Shop, receiver: Receiver, fault: str) -> None:
    shop.once(fault)
    shop.charge(1)
    first = receiver.wait(1)[0]
    assert first is None


def test_a_notice_is_repeated_until_it_is_accepted(shop: Shop, receiver: Receiver) -> None:
    receiver.refuse = 2
    shop.charge(1)
    receiver.wait(1)
    assert len(receiver.bodies) == 3 and len(set(receiver.bodies)) == 1
    until = time.monotonic() + 2
    while len(shop.sim.main.notices.log) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert [entry["accepted"] for entry in shop.sim.main.notices.log] == [False, False, True]


def test_a_notice_may_come_twice_or_never(shop: Shop, receiver: Receiver) -> None:
    shop.once("notice_twice")
    shop.charge(1)
    first, second = receiver.wait(2)
    assert first == second
    shop.once("notice_lost")
    shop.charge(2)
    time.sleep(0.1)
    assert len(receiver.bodies) == 2


def resigned(shop: Shop, body: bytes, **changes: str) -> bytes:
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True)) | changes
    signature = sign(content_to_sign(fields, ("sign", "sign_type")), shop.sim.main.who.alipay_private_key)
    return urlencode(fields | {"sign": signature}).encode()


def test_every_field_is_covered_and_checked(shop: Shop, receiver: Receiver) -> None:
    """A signed notice about another application, another account, without an order or with a broken amount."""
    shop.charge(1)
    receiver.wait(1)
    body = receiver.bodies[0]
    assert receiver.read(resigned(shop, body)) is not None
    for changes in (
        {"app_id": "2021000000000000"},
        {"seller_id": "2088000000000000"},
        {"out_trade_no": ""},
        {"total_amount": "12.0.0"},
        {"sign_type": "RSA"},
    ):
        assert receiver.read(resigned(shop, body, **changes)) is None
    for tampered in (body.replace(b"12.00", b"0.01"), body + b"&x=1", body[:-5], b"", b"\xff", body.replace(b"=", b"")):
        assert receiver.read(tampered) is None
