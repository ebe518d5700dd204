"""A shop that takes Alipay: the simulator on real sockets, the adapter against it, and short words for both."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from gateway.sdk import (
    Answer,
    Change,
    Charge,
    Context,
    Http,
    Method,
    Original,
    PaymentRefund,
    Query,
    Reverse,
    Secret,
    Site,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import MemoryStore, build, call
from plugins.alipay.adapter import AlipayAdapter
from plugins.alipay.client import AlipayClient
from plugins.alipay.protocol import Reply, read_private_key, read_public_key
from plugins.alipay.simulator import AlipaySimulator
from plugins.alipay.simulator_keys import Identity

CODE = "2812345678{:06d}"
SITE = Site(store_id="S1", business_date=date(2026, 11, 22), till_id="T1", cashier_id="C1")


def key(number: int) -> str:
    """The key of change ``number``: 26 characters."""
    return f"01JCHK{number:020d}"


def settings(who: Identity, address: str, **more: Any) -> dict[str, Any]:
    return {
        "endpoint": f"http://{address}/gateway.do",
        "app_id": who.app_id,
        "seller_id": who.seller_id,
        "app_private_key": "file:app_private_key.pem",
        "alipay_public_key": "file:alipay_public_key.pem",
        "timeout_s": 2.0,
        **more,
    }


def opened(sim: AlipaySimulator, address: str, folder: Path, checked: dict[str, Any]) -> AlipayAdapter:
    """An adapter with settings that were checked before (the check of a private key takes 0.1 s)."""
    context = Context(
        merchant="test",
        connection="alipay",
        settings=checked | {"endpoint": f"http://{address}/gateway.do"},
        http=Http(),
        log=logging.LoggerAdapter(logging.getLogger("gateway.adapter.alipay"), {}),
        store=MemoryStore(),
        spool=folder,
    )
    return AlipayAdapter(context)


@dataclass
class Shop:
    """The simulator, running, and one adapter."""

    sim: AlipaySimulator
    address: str
    folder: Path
    checked: dict[str, Any]
    adapter: AlipayAdapter = field(init=False)
    client: AlipayClient = field(init=False)
    codes: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.adapter = opened(self.sim, self.address, self.folder, self.checked)
        self.client = AlipayClient(
            self.adapter.context.http,
            f"http://{self.address}/gateway.do",
            self.sim.main.who.app_id,
            read_private_key((self.folder / "app_private_key.pem").read_text(), checked=True),
            read_public_key((self.folder / "alipay_public_key.pem").read_text()),
            lambda: datetime.now(UTC),
        )

    def build(self, **more: Any) -> AlipayAdapter:
        """Another adapter, its settings checked."""
        return build(AlipayAdapter, settings(self.sim.main.who, self.address, **more), self.folder)

    def faults(self, *faults: Fault) -> None:
        self.sim.faults.set(list(faults))

    def once(self, name: str, match: str = "*", value: int = 0) -> None:
        """Switch a fault on for one request."""
        self.faults(Fault(name, match=match, times=1, value=value))

    def pull(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.sim.control({"do": do, **arguments})

    def code(self, ending: str = "0000") -> str:
        """A fresh payment code with these last four digits."""
        return f"2812345{next(self.codes):07d}{ending}"

    def request(self, amount: int = 1200, method: Method = Method.PAYMENT_CODE, code: str = "") -> Charge:
        auth_code = Secret(code or self.code()) if method is Method.PAYMENT_CODE else None
        return Charge(
            amount=amount,
            currency="CNY",
            method=method,
            order_no="WEB-1",
            subject="鲜肉包 2 个/豆浆",
            site=SITE,
            auth_code=auth_code,
        )

    def charge(self, number: int, ending: str = "0000", *, seconds: float = 5.0, **more: Any) -> Change:
        request = self.request(code=self.code(ending), **more)
        return self.adapter.payment_charge(request, call(key(number), seconds=seconds))

    def show(self, number: int, amount: int = 500) -> Change:
        return self.adapter.payment_charge(self.request(amount, Method.QR_CODE), call(key(number)))

    def reverse(self, number: int, original: int, attempt: int = 1) -> Change:
        request = Reverse(original=Original(key=key(original)), amount=1200, currency="CNY", site=SITE)
        return self.adapter.payment_reverse(request, call(key(number), attempt=attempt))

    def refund_request(self, original: int, amount: int) -> PaymentRefund:
        return PaymentRefund(
            original=Original(key=key(original)),
            amount=amount,
            charged_amount=1200,
            currency="CNY",
            reason="凉了",
            site=SITE,
        )

    def refund(self, number: int, original: int, amount: int, attempt: int = 1) -> Change:
        return self.adapter.payment_refund(self.refund_request(original, amount), call(key(number), attempt=attempt))

    def ask(self, number: int, hook: str = "payment_charge", request: Any = None, **more: Any) -> Answer:
        asked = request or self.request(code="gone")
        sent = more.pop("sent_at", datetime.now(UTC))
        return self.adapter.payment_query(Query(hook=hook, key=key(number), request=asked, sent_at=sent, **more))

    def trade(self, number: int) -> dict[str, Any]:
        """The trade of this key in the simulator's books."""
        found: dict[str, Any] = self.sim.books()["trades"].get(key(number), {})
        return found

    def money(self) -> dict[str, int]:
        found: dict[str, int] = self.sim.books()["money"]
        return found

    def raw(self, method: str, **biz: Any) -> Reply:
        """One call by the plain client, without the adapter."""
        return self.client.call(method, biz, timeout=3)
