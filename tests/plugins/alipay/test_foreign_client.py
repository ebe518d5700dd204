"""A client that nobody here wrote, python-alipay-sdk, drives the simulated channel over the wire.

It signs requests and verifies replies with its own code and its own cryptography. It lives in an environment of its
own, made here once (``.cache`` of the repository), because its packages are none of ours.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from plugins.alipay.bill import read_bill
from plugins.alipay.client import CHINA
from plugins.alipay.protocol import read_notice, read_public_key
from tests.plugins.alipay.support import Shop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SDK = "python-alipay-sdk==3.4.0"

#: Runs inside the SDK's environment: reads calls from standard input, one JSON a line, and answers one JSON a line.
DRIVER = r"""
import json, sys
from alipay import AliPay
from alipay.exceptions import AliPayException

setup = json.loads(sys.stdin.readline())
client = AliPay(
    appid=setup["app_id"],
    app_private_key_string=open(setup["app_private_key"]).read(),
    alipay_public_key_string=open(setup["alipay_public_key"]).read(),
    sign_type="RSA2",
)
client._gateway = setup["gateway"]
for line in sys.stdin:
    name, arguments = json.loads(line)
    try:
        if name == "verify":
            signature = arguments.pop("sign")
            answer = {"verified": client.verify(arguments, signature)}
        else:
            answer = getattr(client, name)(**arguments)
    except Exception as error:
        answer = {"raised": type(error).__name__, "text": str(error)}
    print(json.dumps(answer), flush=True)
"""


class Foreign:
    """The SDK in a process of its own."""

    def __init__(self, python: Path, shop: Shop, **setup: str) -> None:
        self.process = subprocess.Popen(
            [str(python), "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        keys = {name: str(shop.folder / f"{name}.pem") for name in ("app_private_key", "alipay_public_key")}
        gateway = f"http://{shop.address}/gateway.do"
        self._write({"app_id": shop.sim.main.who.app_id, "gateway": gateway, **keys, **setup})

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
    folder = Path(__file__).parents[3] / ".cache" / "python-alipay-sdk"
    python = folder / "bin" / "python"
    marker = folder / SDK
    if not marker.exists():
        run(sys.executable, "-m", "venv", "--clear", str(folder))
        run(str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", SDK)
        marker.touch()
    return python


@pytest.fixture
def sdk(python: Path, shop: Shop) -> Any:
    foreign = Foreign(python, shop)
    yield foreign
    foreign.close()


def pay(sdk: Foreign, number: str, code: str, **more: Any) -> dict[str, Any]:
    fields = {"out_trade_no": number, "auth_code": code, "scene": "bar_code", "subject": '豆浆/油条 {1} "份"', **more}
    return sdk("api_alipay_trade_pay", **({"total_amount": 12} | fields))


def test_it_pays_asks_refunds_and_cancels(sdk: Foreign, shop: Shop) -> None:
    paid = pay(sdk, "SDK1", shop.code("9016"))
    assert (paid["code"], paid["total_amount"], paid["buyer_pay_amount"]) == ("10000", "12.00", "7.00")
    asked = sdk("api_alipay_trade_query", out_trade_no="SDK1")
    assert (asked["trade_status"], asked["trade_no"]) == ("TRADE_SUCCESS", paid["trade_no"])
    ask = {"out_trade_no": "SDK1", "out_request_no": "R1"}
    changes = [sdk("api_alipay_trade_refund", refund_amount="3.33", **ask)["fund_change"] for _ in range(2)]
    assert changes == ["Y", "N"]
    assert sdk("api_alipay_trade_fastpay_refund_query", **ask)["refund_amount"] == "3.33"
    pay(sdk, "SDK2", shop.code())
    cancelled = sdk("api_alipay_trade_cancel", out_trade_no="SDK2")
    assert (cancelled["action"], cancelled["retry_flag"]) == ("refund", "N")
    assert shop.money()["net"] == 1200 - 333


def test_it_shows_a_code_and_closes_what_was_opened(sdk: Foreign, shop: Shop) -> None:
    shown = sdk("api_alipay_trade_precreate", subject="豆浆", out_trade_no="SDK3", total_amount="5.00")
    assert shown["qr_code"].startswith("https://qr.alipay.com/")
    assert sdk("api_alipay_trade_query", out_trade_no="SDK3")["sub_code"] == "ACQ.TRADE_NOT_EXIST"
    shop.pull("scan", qr_code=shown["qr_code"], pays=False)
    assert sdk("api_alipay_trade_close", out_trade_no="SDK3")["code"] == "10000"
    assert sdk("api_alipay_trade_query", out_trade_no="SDK3")["trade_status"] == "TRADE_CLOSED"


def test_it_sees_waits_and_declines(sdk: Foreign, shop: Shop) -> None:
    assert pay(sdk, "SDK4", shop.code("9001"))["code"] == "10003"
    assert pay(sdk, "SDK5", shop.code("9011"))["sub_code"] == "ACQ.BUYER_BALANCE_NOT_ENOUGH"
    assert pay(sdk, "SDK6", shop.code("9014"))["code"] == "20000"


def test_it_fetches_the_bill(sdk: Foreign, shop: Shop) -> None:
    pay(sdk, "SDK7", shop.code())
    day = datetime.now(CHINA).date().isoformat()
    told = sdk(
        "server_api",
        api_name="alipay.data.dataservice.bill.downloadurl.query",
        biz_content={"bill_type": "trade", "bill_date": day},
    )
    rows = read_bill(shop.client.download(told["bill_download_url"], timeout=3))
    assert [row.out_trade_no for row in rows] == ["SDK7"]


def test_it_refuses_what_our_faults_spoil(sdk: Foreign, shop: Shop) -> None:
    pay(sdk, "SDK8", shop.code())
    shop.once("bad_signature")
    assert sdk("api_alipay_trade_query", out_trade_no="SDK8")["raised"] == "AliPayValidationError"


def test_a_stranger_s_key_is_refused(python: Path, shop: Shop) -> None:
    stranger = Foreign(python, shop, app_private_key=str(shop.folder / "alipay_private_key.pem"))
    try:
        told = stranger("api_alipay_trade_query", out_trade_no="SDK9")
        assert (told["code"], told["sub_code"]) == ("40002", "isv.invalid-signature")
    finally:
        stranger.close()


def test_it_verifies_our_channel_s_notices(sdk: Foreign, shop: Shop) -> None:
    pay(sdk, "SDK10", shop.code())
    trade = shop.sim.main.trades.find("SDK10")
    fields = shop.sim.main.notices._fields(trade)
    assert sdk("verify", **fields) == {"verified": True}
    assert sdk("verify", **(fields | {"total_amount": "0.01"})) == {"verified": False}
    key = read_public_key((shop.folder / "alipay_public_key.pem").read_text())
    assert read_notice(urlencode(fields).encode(), key) == fields
