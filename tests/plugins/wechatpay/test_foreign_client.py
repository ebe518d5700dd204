"""A client that nobody here wrote, wechatpayv3, drives the simulated channel over the wire.

It signs requests, verifies replies, fetches certificates and opens notices with its own code and its own cryptography.
It lives in an environment of its own, made here once (``.cache`` of the repository): its packages are none of ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from plugins.wechatpay.bill import read_bill, unpack
from plugins.wechatpay.protocol import CHINA
from tests.plugins.wechatpay.support import Shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SDK = "wechatpayv3==2.0.4"

#: Runs inside the SDK's environment: reads calls from standard input, one JSON a line, and answers one JSON a line.
DRIVER = r"""
import base64, json, sys
from wechatpayv3 import WeChatPay, WeChatPayType
from wechatpayv3.core import Core

setup = json.loads(sys.stdin.readline())
real, Core._init_certificates = Core._init_certificates, lambda self: None
client = WeChatPay(WeChatPayType.CODEPAY, setup["mchid"], open(setup["private_key"]).read(), setup["serial_no"],
                   setup["appid"], open(setup["api_v3_key"]).read(), **setup["more"])
client._core._gate_way = setup["gateway"]
if not setup["more"]:
    real(client._core)
for line in sys.stdin:
    name, arguments = json.loads(line)
    try:
        if name == "pay" and "shown" in arguments:
            arguments.pop("shown")
            arguments["pay_type"] = WeChatPayType.NATIVE
        answer = getattr(client, name)(**arguments)
        if isinstance(answer, tuple):
            status, text = answer
            if isinstance(text, bytes) and status == 200:
                answer = {"status": status, "bytes": base64.b64encode(text).decode()}
            else:
                answer = {"status": status, **(json.loads(text) if text else {})}
    except Exception as error:
        answer = {"raised": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), flush=True)
"""


class Foreign:
    """The SDK in a process of its own."""

    def __init__(self, python: Path, shop: Shop, more: dict[str, str] | None = None, **setup: str) -> None:
        self.process = subprocess.Popen(
            [str(python), "-W", "ignore", "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        who = shop.sim.who
        start = {"mchid": who.mchid, "appid": who.appid, "serial_no": who.serial_no, "more": more or {}}
        start |= {"gateway": f"http://{shop.address}", "private_key": str(shop.folder / "private_key.pem")}
        self._write(start | {"api_v3_key": str(shop.folder / "api_v3_key.txt")} | setup)

    def _write(self, value: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def __call__(self, name: str, **arguments: Any) -> dict[str, Any]:
        self._write([name, arguments])
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the SDK's process has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, (
        f"{' '.join(command)} failed; is the package registry reachable?\n{done.stderr[-2000:]}"
    )


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of the SDK's environment; made if it is not there. Fails, and never skips, without a registry."""
    folder = Path(__file__).parents[3] / ".cache" / "wechatpayv3"
    python = folder / "bin" / "python"
    marker = folder / SDK
    if not marker.exists():
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK)
        marker.touch()
    return python


@pytest.fixture
def sdk(python: Path, shop: Shop) -> Iterator[Foreign]:
    foreign = Foreign(python, shop)
    yield foreign
    foreign.close()


def pay(sdk: Foreign, number: str, code: str, total: int = 1200) -> dict[str, Any]:
    scene = {"store_info": {"id": "S1"}, "device_ip": "127.0.0.1"}
    return sdk(
        "pay",
        description='豆浆/油条 {1} "份"',
        out_trade_no=number,
        amount={"total": total, "currency": "CNY"},
        payer={"auth_code": code},
        scene_info=scene,
        notify_url="http://127.0.0.1:9/x",  # the SDK asks for one everywhere
    )


def test_it_pays_asks_refunds_and_reverses(sdk: Foreign, shop: Shop) -> None:
    paid = pay(sdk, "SDK0001", shop.code("9016"))
    assert (paid["trade_state"], paid["amount"]["payer_total"]) == ("SUCCESS", 700)
    asked = sdk("query", out_trade_no="SDK0001")
    assert asked["transaction_id"] == paid["transaction_id"]
    money = {"refund": 333, "total": 1200, "currency": "CNY"}
    refunds = [sdk("refund", out_refund_no="R1", amount=money, out_trade_no="SDK0001") for _ in range(2)]
    assert [each["refund_id"] for each in refunds] == [refunds[0]["refund_id"]] * 2
    assert sdk("query_refund", out_refund_no="R1")["status"] == "SUCCESS"
    pay(sdk, "SDK0002", shop.code())
    assert sdk("codepay_reverse", out_trade_no="SDK0002")["status"] == 200
    assert sdk("query", out_trade_no="SDK0002")["trade_state"] == "REVOKED"
    assert shop.money()["net"] == 1200 - 333


def test_it_shows_a_code_and_closes_it(sdk: Foreign, shop: Shop) -> None:
    amount = {"total": 500, "currency": "CNY"}
    shown = sdk(
        "pay", shown=1, description="豆浆", out_trade_no="SDK0003", amount=amount, notify_url="http://127.0.0.1:9/x"
    )
    assert shown["code_url"].startswith("weixin://wxpay/bizpayurl")
    assert sdk("close", out_trade_no="SDK0003")["status"] == 403  # in its first five minutes
    shop.pull("ripen", out_trade_no="SDK0003")
    assert sdk("close", out_trade_no="SDK0003") == {"status": 204}
    assert sdk("query", out_trade_no="SDK0003")["trade_state"] == "CLOSED"


def test_it_sees_waits_declines_and_unknown_outcomes(sdk: Foreign, shop: Shop) -> None:
    found = [pay(sdk, f"SDK001{ending}", shop.code(ending))["code"] for ending in ("9001", "9011", "9014")]
    assert found == ["USERPAYING", "NOTENOUGH", "SYSTEM_ERROR"]


def test_it_fetches_the_bill(sdk: Foreign, shop: Shop) -> None:
    import base64

    pay(sdk, "SDK0007", shop.code())
    told = sdk("trade_bill", bill_date=datetime.now(CHINA).date().isoformat())
    packed = base64.b64decode(sdk("download_bill", url=told["download_url"])["bytes"])
    assert [row.out_trade_no for row in read_bill(unpack(packed, told["hash_value"]))] == ["SDK0007"]


def test_it_follows_an_exchange_of_keys_and_refuses_what_faults_spoil(sdk: Foreign, shop: Shop) -> None:
    pay(sdk, "SDK0008", shop.code())
    shop.pull("rotate")
    assert sdk("query", out_trade_no="SDK0008")["trade_state"] == "SUCCESS"
    shop.once("bad_signature")
    assert "verify" in sdk("query", out_trade_no="SDK0008")["text"]


def test_it_works_with_the_public_key(python: Path, shop: Shop) -> None:
    public = {"public_key_id": shop.sim.who.public_key_id, "public_key": (shop.folder / "public_key.pem").read_text()}
    foreign = Foreign(python, shop, public)
    try:
        assert pay(foreign, "SDK0009", shop.code())["trade_state"] == "SUCCESS"
        assert shop.sim.requests["certificates"] == 0
    finally:
        foreign.close()


def test_a_strangers_key_is_refused(python: Path, shop: Shop) -> None:
    public = {"public_key_id": shop.sim.who.public_key_id, "public_key": (shop.folder / "public_key.pem").read_text()}
    stranger = Foreign(python, shop, public, private_key=str(shop.folder / "platform1_key.pem"))
    try:
        told = stranger("query", out_trade_no="SDK0010")
        assert (told["status"], told["code"]) == (401, "SIGN_ERROR")
    finally:
        stranger.close()


def test_it_opens_our_channels_notices(sdk: Foreign, shop: Shop) -> None:
    pay(sdk, "SDK0011", shop.code())
    order = shop.sim.orders.find("SDK0011")
    assert order is not None
    body = shop.sim.notices.body("TRANSACTION.SUCCESS", "transaction", shop.sim.methods.told(order), "2026-11-22")
    headers = shop.sim._signed(body, shop.sim._current)
    told = sdk("callback", headers=headers, body=body.decode())
    assert told["resource"]["out_trade_no"] == "SDK0011"
    assert sdk("callback", headers=headers, body=body.decode().replace("SUCCESS", "SUCCES5")) is None
