"""Notices: posted by the channel over HTTP, believed only if signed just now and about our merchant."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from gateway.sdk import Notice, NoticeRequest
from gateway.sdk.simulator import HttpReply, HttpRequest, serve_http
from tests.plugins.wechatpay.support import Shop, key


class Receiver:
    """A callback address that hands each notice to the adapter, as the gateway does."""

    def __init__(self, shop: Shop) -> None:
        self.shop, self.refuse = shop, 0
        self.requests: list[NoticeRequest] = []
        self.notices: list[Notice | None] = []
        self.server = serve_http(self._handle)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/callbacks/x"

    def _handle(self, request: HttpRequest) -> HttpReply:
        told = NoticeRequest(method="POST", query="", headers=request.headers, body=request.body)
        self.requests.append(told)
        if self.refuse:
            self.refuse -= 1
            return HttpReply(503, b"later")
        notice = self.shop.adapter.notice_read(told)
        self.notices.append(notice)
        return HttpReply(200 if notice else 401, notice.reply if notice else b"{}")

    def wait(self, count: int) -> list[Notice | None]:
        until = time.monotonic() + 4
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


def paid(shop: Shop, number: int = 1) -> None:
    shop.show(number)
    shop.pull("scan", out_trade_no=key(number))


def test_a_payment_and_a_refund_are_told(shop: Shop, receiver: Receiver) -> None:
    paid(shop)
    notice = receiver.wait(1)[0]
    assert notice is not None and (notice.key, notice.kind) == (key(1), "payment")
    assert notice.reply_content_type == "application/json" and b"SUCCESS" in notice.reply
    assert (notice.facts["state"], notice.facts["total"]) == ("SUCCESS", 500)
    shop.sim.orders.refund(key(1), key(2), 200, 500, "", receiver.url)
    shop.sim.books()
    back = receiver.wait(2)[1]
    assert back is not None and (back.key, back.kind, back.facts["refund"]) == (key(2), "refund", 200)


@pytest.mark.parametrize("fault", ["notice_forged", "notice_old", "notice_other_merchant"])
def test_what_is_not_genuine_is_not_believed(shop: Shop, receiver: Receiver, fault: str) -> None:
    shop.once(fault)
    paid(shop)
    assert receiver.wait(1)[0] is None


def test_a_notice_is_repeated_until_it_is_accepted_each_time_signed_anew(shop: Shop, receiver: Receiver) -> None:
    receiver.refuse = 2
    paid(shop)
    assert receiver.wait(1)[0] is not None
    assert len({request.body for request in receiver.requests}) == 1
    assert len({request.headers["wechatpay-nonce"] for request in receiver.requests}) == 3


def test_a_notice_may_come_twice_or_never(shop: Shop, receiver: Receiver) -> None:
    shop.once("notice_twice")
    paid(shop)
    first, second = receiver.wait(2)
    assert first == second
    shop.once("notice_lost")
    paid(shop, 2)
    time.sleep(0.1)
    assert len(receiver.notices) == 2


def test_a_replay_after_five_minutes_is_refused(shop: Shop, receiver: Receiver) -> None:
    paid(shop)
    receiver.wait(1)
    told = receiver.requests[0]
    assert shop.adapter.notice_read(told) is not None
    shop.later(301)
    assert shop.adapter.notice_read(told) is None


def test_a_notice_signed_with_a_new_key_is_believed(shop: Shop, receiver: Receiver) -> None:
    shop.pull("rotate")
    paid(shop)
    assert receiver.wait(1)[0] is not None


def test_every_byte_counts(shop: Shop, receiver: Receiver) -> None:
    paid(shop)
    receiver.wait(1)
    good = receiver.requests[0]
    for body in (good.body[:-1], good.body + b" ", good.body.replace(b"a", b"b", 1), b"", b"\xff"):
        told = NoticeRequest(method="POST", query="", headers=good.headers, body=body)
        assert shop.adapter.notice_read(told) is None
    for name in ("wechatpay-signature", "wechatpay-serial", "wechatpay-timestamp", "wechatpay-nonce"):
        headers = {each: value for each, value in good.headers.items() if each != name}
        told = NoticeRequest(method="POST", query="", headers=headers, body=good.body)
        assert shop.adapter.notice_read(told) is None
