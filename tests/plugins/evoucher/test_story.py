"""Vouchers of our own codes through a whole gateway: its HTTP API, its callback address, its recovery, real systems."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner
from werkzeug.serving import make_server

from gateway.api.keys import SCOPES, create_key
from gateway.api.parts import Parts
from gateway.app import create_app
from gateway.cli import main
from gateway.engine.following import Following
from gateway.engine.service import Asked
from gateway.sdk.simulator import Fault, Running, start
from plugins.alipay.simulator import AlipaySimulator
from plugins.evoucher.simulator import EVoucherSimulator
from tests.engine.conftest import SHOP, seed

pytestmark = pytest.mark.slow

VOUCHERS = """
[connections.vouchers]
adapter = "evoucher"
[connections.vouchers.settings]
base_url = "http://<evoucher.platform>"
app_key = "ev-app-1001"
app_secret = "file:<evoucher.data>/app_secret"
session = "file:<evoucher.data>/session"
seller_nick = "星海旗舰店"
code_key = "file:code_key"
timeout_s = 1.0
items = { EV-CASH50 = { kind = "cash", face_amount = 5000 } }
[[routes]]
family = "coupons"
kinds = ["cash"]
connection = "vouchers"
[[routes]]
family = "payments"
"""
TIMES = "[engine]\nscale = 0.05\ncall_s = 1.5\nbackoff_first_s = 0.05\nbackoff_most_s = 0.5\nrecovery_every_s = 0.1\n"


@dataclass
class House:
    """A gateway that listens, with its systems."""

    url: str
    key: str
    parts: Parts
    systems: dict[str, Running]

    def post(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.key}", "Idempotency-Key": uuid.uuid4().hex}
        reply = requests.post(f"{self.url}/v1/merchants/m1{path}", json=body, headers=headers, timeout=30)
        return reply.status_code, reply.json()

    def get(self, path: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.key}"}
        found: dict[str, Any] = requests.get(f"{self.url}/v1/merchants/m1{path}", headers=headers, timeout=30).json()
        return found

    def pull(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.systems["evoucher"].simulator.control({"do": do, **arguments})

    def fault(self, name: str, match: str, times: int) -> None:
        self.systems["evoucher"].simulator.faults.set([Fault(name, match=match, times=times)])

    def books(self) -> dict[str, Any]:
        return self.systems["evoucher"].simulator.books()

    def net(self) -> int:
        return int(self.systems["alipay"].simulator.books()["money"]["net"])

    def bought(self, num: int) -> str:
        """A customer buys; the platform posts its notice; the code is there as soon as the gateway has followed it."""
        order_id = self.pull("buy", num=num)["order_id"]
        return str(until(lambda: self._code_of(order_id)))

    def _code_of(self, order_id: str) -> str:
        return next((code for code, row in self.books()["codes"].items() if row["order_id"] == order_id), "")

    def left(self, code: str) -> int:
        return int(self.books()["codes"][code]["left_num"])


def until(look: Callable[[], Any], seconds: float = 30) -> Any:
    """What a look gives once it gives something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    systems = {
        "alipay": start(AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0"})),
        "evoucher": start(EVoucherSimulator(tmp_path / "evoucher", {"notice_pause_s": "0.2", "notice_tries": "50"})),
    }
    file = configured(tmp_path, systems)
    app = create_app(file)
    parts: Parts = app.extensions["gateway"]
    parts.database.tx(seed)
    key, _ = create_key(parts.database, name="test", merchants=("m1",), stores=("*",), scopes=SCOPES)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    parts.start_recovery()
    made = House(f"http://127.0.0.1:{server.server_port}", key, parts, systems)
    told = CliRunner().invoke(main, ["merchants", "--config", str(file), "--callbacks"]).output
    [path] = [line.strip() for line in told.splitlines() if "/callbacks/m1/vouchers/" in line]
    made.pull("subscribe", url=made.url + path)
    yield made
    for system in systems.values():
        system.stop()
    server.shutdown()
    server.server_close()
    parts.close()


def configured(folder: Path, systems: dict[str, Running]) -> Path:
    who = json.loads((folder / "alipay" / "merchant.json").read_text())
    shop = SHOP.replace("APP", who["app_id"], 1).replace("SELLER", who["seller_id"])
    shop = shop.replace('[[routes]]\nfamily = "payments"\n', VOUCHERS, 1)
    for name, system in systems.items():
        for role, address in system.addresses.items():
            shop = shop.replace(f"<{name}.{role}>", address)
        shop = shop.replace(f"<{name}.data>", str(folder / name))
    (folder / "merchants").mkdir()
    (folder / "merchants" / "m1.toml").write_text(shop, encoding="utf-8")
    (folder / "merchants" / "code_key").touch(mode=0o600)
    (folder / "merchants" / "code_key").write_text("a-key-for-codes-of-one-shop-77")
    file = folder / "gateway.toml"
    file.write_text(f'data = "data"\nmerchants = ["merchants/*.toml"]\n{TIMES}', encoding="utf-8")
    return file


def basket(order_no: str, *vouchers: tuple[str, int]) -> dict[str, Any]:
    """Goods for 278.90 yuan, paid by vouchers and, for the rest, by a payment code."""
    lines = [
        {"line_id": sku, "sku": sku, "quantity": quantity} for sku, quantity in (("A", "1"), ("B", "1"), ("C", "2"))
    ]
    tenders: list[dict[str, Any]] = [{"method": "voucher", "code": code, "count": n} for code, n in vouchers]
    tenders.append({"method": "payment_code", "auth_code": f"2812345678901{order_no[1:]:0>3}00"})
    return {"store_id": "s1", "order_no": order_no, "lines": lines, "tenders": tenders}


def refund(house: House, checkout: dict[str, Any], **asked: Any) -> dict[str, Any]:
    """Give back, some tenders before others, as the merchant wants it."""
    reply = house.parts.refunds.create(Asked("m1", uuid.uuid4().hex, uuid.uuid4().hex), checkout["id"], asked)
    made = json.loads(reply.body)
    assert reply.status in (201, 202), made
    ended = ("succeeded", "needs_attention")
    return dict(until(lambda: (found := house.get(f"/refunds/{made['id']}"))["status"] in ended and found))


def test_uses_by_count_pay_a_sale_and_a_part_refund_takes_one_of_them_back(house: House) -> None:
    """Two orders' codes pay, two uses each; the goods of the second come back, and with them its uses alone."""
    first, second = house.bought(5), house.bought(3)
    status, done = house.post("/checkouts", basket("O1", (first, 2), (second, 2)))
    assert (status, done["status"]) == (201, "completed"), done
    assert (house.left(first), house.left(second)) == (3, 1)
    assert house.net() == done["quote"]["payable_amount"] - 20_000 == 7_890
    part = refund(house, done, amount=10_000, tender_order=["t2"])
    assert part["status"] == "succeeded", part
    assert (house.left(first), house.left(second), house.net()) == (3, 3, 7_890)
    rest = refund(house, done)
    assert rest["status"] == "succeeded" and (house.left(first), house.net()) == (5, 0)
    log = [(line["type"], line["num"], line["code"]) for line in house.books()["log"]]
    assert sorted(log) == sorted([(1, 2, first), (1, 2, second), (2, 2, second), (2, 2, first)])


@pytest.mark.parametrize("fault", ["drop_after", "busy_acted", "duplicate", "drop_before"])
def test_a_use_whose_answers_are_lost_is_made_once(house: House, fault: str) -> None:
    code = house.bought(5)
    house.fault(fault, "consume", 2)
    _, body = house.post("/checkouts", basket("O1", (code, 3)))
    ended = ("completed", "failed", "needs_attention")
    checkout = until(lambda: (found := house.get(f"/checkouts/{body['id']}"))["status"] in ended and found)
    assert checkout["status"] == "completed" and not checkout["tasks"], checkout
    assert house.left(code) == 2 and len(house.books()["log"]) == 1 and house.net() == 12_890


def test_uses_that_the_customer_gives_back_meanwhile_undo_the_sale(house: House) -> None:
    """The platform has no hold: the money is taken, the use is refused, the money goes back."""
    code = house.bought(2)
    order_id = house.books()["codes"][code]["order_id"]
    house.pull("ask_refund", order_id=order_id, num=1)
    status, _ = house.post("/checkouts", basket("O1", (code, 2)))
    assert status == 422 and house.net() == 0  # seen before anything was taken
    house.pull("withdraw_refund", order_id=order_id)
    house.systems["evoucher"].simulator.faults.set([Fault("latency", match="consume", times=1, value=800)])
    replies: list[tuple[int, dict[str, Any]]] = []
    sale = threading.Thread(target=lambda: replies.append(house.post("/checkouts", basket("O2", (code, 2)))))
    sale.start()
    until(lambda: house.books()["requests"].get("consume"))
    house.pull("ask_refund", order_id=order_id, num=2)
    sale.join(30)
    found = until(
        lambda: (each := house.get("/checkouts?order_no=O2")["data"]) and each[0]["status"] == "failed" and each
    )
    assert found and house.net() == 0 and house.books()["used"] == 0 and house.books()["log"] == []


def test_a_notice_that_could_not_be_followed_is_followed_by_the_next_process(house: House) -> None:
    """The notice was answered, so the platform asks no more; calls fail just then; a process that starts finds it."""
    house.fault("drop_before", "order.get", 1)
    order_id = house.pull("buy", num=4)["order_id"]
    until(lambda: any(row["answered"] for row in house.books()["notices"]))
    until(lambda: house.books()["requests"].get("order.get"))
    assert house.books()["orders"][order_id]["state"] == 1
    Following(house.parts.runtime, house.parts.clock).look()
    assert until(lambda: house.books()["orders"][order_id]["state"] == 2)
    assert house.books()["requests"]["send"] == 1
