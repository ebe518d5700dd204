"""The adapter against a processor that nobody here wrote, localstripe: does it take our forms?

It has no idempotency, accepts refunds of more than was paid, and lists no movements by day: it shows protocol and
webhooks, and no trait. Its own command listens on every interface; here its application is bound to loopback. It
lives in an environment of its own, which `make peers` makes.
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from gateway.sdk import Declined, DeclineReason, Done, Http, NotFound, NoticeRequest, Pending
from gateway.sdk.simulator import HttpReply, HttpRequest, serve_http
from gateway.testing.context import MemoryStore
from plugins.stripe.simulator import SECRET_KEY, WEBHOOK_SECRET
from tests.plugins.stripe.conftest import Merchant, key, opened

PYTHON = Path(__file__).parents[3] / "var" / "peers" / "localstripe" / "bin" / "python"
PROGRAM = (
    "import sys; from aiohttp import web; from localstripe.server import app; "
    "web.run_app(app, host='127.0.0.1', port=int(sys.argv[1]), print=None)"
)

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PYTHON.exists(), reason="localstripe is not here: make peers")]


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    with (tmp_path / "processor.log").open("wb") as log:
        process = subprocess.Popen([str(PYTHON), "-c", PROGRAM, str(port)], stdout=log, stderr=log, cwd=tmp_path)
    try:
        _await(port)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait(10)


def _await(port: int) -> None:
    until = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert time.monotonic() < until, "the foreign processor does not start"
            time.sleep(0.1)
        else:
            return


class Abroad(Merchant):
    """A merchant whose cards are made by the foreign processor's own interface."""

    endpoint = ""

    def card(self, does: str = "4242424242424242") -> str:
        card = {"card[number]": does or "4242424242424242", "card[exp_month]": "12", "card[exp_year]": "2030"}
        return str(self.post("/v1/payment_methods", {"type": "card", "card[cvc]": "123", **card})["id"])

    def post(self, path: str, values: dict[str, str]) -> dict[str, Any]:
        http = Http()
        headers = {"Authorization": f"Bearer {SECRET_KEY}", "Content-Type": "application/x-www-form-urlencoded"}
        url = self.endpoint + path
        reply = http.send("POST", url, data=urlencode(values).encode(), headers=headers, timeout=5)
        http.close()
        assert reply.status == 200, reply.body
        return dict(json.loads(reply.body or b"{}"))


@pytest.fixture
def abroad(endpoint: str, tmp_path: Path) -> Iterator[Abroad]:
    store = MemoryStore()
    # There is no simulator: this processor runs by itself.
    merchant = Abroad(None, opened(endpoint, tmp_path, store), store)  # type: ignore[arg-type]
    merchant.endpoint = endpoint
    yield merchant
    merchant.adapter.context.http.close()


def test_it_takes_money_and_gives_it_back(abroad: Abroad) -> None:
    abroad.adapter.check()
    paid = abroad.paid(1)
    assert paid.ref.startswith("pi_")
    asked = abroad.ask(1)
    assert isinstance(asked, Done) and asked.ref == paid.ref and isinstance(abroad.ask(2), NotFound)
    back = abroad.refund(3, 1, 500, paid.ref)
    assert isinstance(back, Done) and back.amount == 500
    again = abroad.refund(3, 1, 500, paid.ref, attempt=2)  # found among the refunds: it has no idempotency
    assert isinstance(again, Done) and again.ref == back.ref
    second = abroad.paid(4)
    reversed_ = abroad.reverse(5, 4, second.ref)
    assert isinstance(reversed_, Done) and reversed_.facts["action"] == "refund"
    told = abroad.ask(4)
    assert isinstance(told, Declined) and told.reason is DeclineReason.CLOSED


def test_it_refuses_a_card_and_asks_a_customer(abroad: Abroad) -> None:
    refused = abroad.charge(1, abroad.request(card=abroad.card("4000000000000341")))
    assert isinstance(refused, Declined)
    waiting = abroad.charge(2, abroad.request(card=abroad.card("4000002500003155")))
    assert isinstance(waiting, Pending)
    assert isinstance(abroad.reverse(3, 2), Done)
    told = abroad.ask(2)
    assert isinstance(told, Declined) and told.reason is DeclineReason.CLOSED


def test_amounts_without_decimals_are_its_own_too(abroad: Abroad) -> None:
    abroad.currency = "JPY"
    assert abroad.paid(1, 500).amount == 500


def test_its_webhook_verifies(abroad: Abroad) -> None:
    heard: list[HttpRequest] = []

    def hear(request: HttpRequest) -> HttpReply:
        heard.append(request)
        return HttpReply(200, b"ok")

    server = serve_http(hear)
    url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    abroad.post("/_config/webhooks/ours", {"url": url, "secret": WEBHOOK_SECRET})
    abroad.paid(1)
    until = time.monotonic() + 10
    while not any(b"payment_intent.succeeded" in each.body for each in heard):
        assert time.monotonic() < until, "no webhook came"
        time.sleep(0.05)
    server.shutdown()
    server.server_close()
    event = next(each for each in heard if b"payment_intent.succeeded" in each.body)
    told = abroad.adapter.notice_read(NoticeRequest(method="POST", query="", headers=event.headers, body=event.body))
    assert told is not None and told.key == key(1) and told.facts["type"] == "payment_intent.succeeded"
