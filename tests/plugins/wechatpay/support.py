"""A shop that takes WeChat Pay: the simulator on real sockets, the adapter against it, and short words for both."""

from __future__ import annotations

import itertools
import logging
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
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
from plugins.wechatpay.adapter import WechatPayAdapter
from plugins.wechatpay.simulator import WechatPaySimulator
from plugins.wechatpay.simulator_keys import Identity

SITE = Site(store_id="S1", business_date=date(2026, 11, 22), till_id="T1", cashier_id="C1", device_ip="127.0.0.1")


def key(number: int) -> str:
    """The key of change ``number``: 26 characters, as the engine makes them."""
    return f"01JCHK{number:020d}"


def settings(who: Identity, address: str, **more: Any) -> dict[str, Any]:
    return {
        "endpoint": f"http://{address}",
        "mchid": who.mchid,
        "appid": who.appid,
        "serial_no": who.serial_no,
        "private_key": "file:private_key.pem",
        "api_v3_key": "file:api_v3_key.txt",
        "timeout_s": 2.0,
        "notify_url": "http://127.0.0.1:9/callbacks/x",
        **more,
    }


@dataclass
class Shop:
    """The simulator, running, and one adapter; ``later_s`` moves both clocks."""

    sim: WechatPaySimulator
    address: str
    folder: Path
    checked: dict[str, Any]
    adapter: WechatPayAdapter = field(init=False)
    later_s: float = 0
    codes: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        context = Context(
            merchant="test",
            connection="wechatpay",
            settings=self.checked | {"endpoint": f"http://{self.address}"},
            http=Http(),
            log=logging.LoggerAdapter(logging.getLogger("gateway.adapter.wechatpay"), {}),
            store=MemoryStore(),
            spool=self.folder,
            clock=self.clock,
        )
        self.adapter = WechatPayAdapter(context)

    def clock(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.later_s)

    def later(self, seconds: float) -> None:
        """So much later, at both sides."""
        self.later_s = seconds
        self.faults(Fault("clock_skew", value=int(seconds)))

    def build(self, **more: Any) -> WechatPayAdapter:
        """Another adapter, its settings checked."""
        given = settings(self.sim.who, self.address, **more)
        given = {name: value for name, value in given.items() if value is not None}
        return build(WechatPayAdapter, given, self.folder, clock=self.clock)

    def faults(self, *faults: Fault) -> None:
        self.sim.faults.set(list(faults))

    def once(self, name: str, match: str = "*", value: int = 0) -> None:
        """Switch a fault on for one request."""
        self.faults(Fault(name, match=match, times=1, value=value))

    def pull(self, do: str, **arguments: Any) -> dict[str, Any]:
        return self.sim.control({"do": do, **arguments})

    def code(self, ending: str = "0000") -> str:
        """A fresh payment code with these last four digits."""
        return f"1312345{next(self.codes):07d}{ending}"

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

    def _call(self, number: int, attempt: int = 1, seconds: float = 5.0) -> Any:
        return call(key(number), seconds=seconds + self.later_s, attempt=attempt)

    def charge(self, number: int, ending: str = "0000", *, seconds: float = 5.0, **more: Any) -> Change:
        request = self.request(code=self.code(ending), **more)
        return self.adapter.payment_charge(request, self._call(number, seconds=seconds))

    def show(self, number: int, amount: int = 500) -> Change:
        return self.adapter.payment_charge(self.request(amount, Method.QR_CODE), self._call(number))

    def reverse(self, number: int, original: int, attempt: int = 1, **facts: Any) -> Change:
        told = Original(key=key(original), facts=facts)
        request = Reverse(original=told, amount=1200, currency="CNY", site=SITE)
        return self.adapter.payment_reverse(request, self._call(number, attempt))

    def refund_request(self, original: int, amount: int, charged: int = 1200) -> PaymentRefund:
        return PaymentRefund(
            original=Original(key=key(original)),
            amount=amount,
            charged_amount=charged,
            currency="CNY",
            reason="凉了",
            site=SITE,
        )

    def refund(self, number: int, original: int, amount: int, attempt: int = 1) -> Change:
        request = self.refund_request(original, amount)
        return self.adapter.payment_refund(request, self._call(number, attempt))

    def ask(self, number: int, hook: str = "payment_charge", request: Any = None, **more: Any) -> Answer:
        asked = request or self.request(code="gone", amount=more.pop("amount", 1200))
        return self.adapter.payment_query(
            Query(hook=hook, key=key(number), request=asked, sent_at=self.clock(), **more)
        )

    def ask_refund(self, number: int, original: int, amount: int) -> Answer:
        return self.ask(number, "payment_refund", self.refund_request(original, amount))

    def ask_reverse(self, number: int, original: int) -> Answer:
        request = Reverse(original=Original(key=key(original)), amount=1200, currency="CNY", site=SITE)
        return self.ask(number, "payment_reverse", request)

    def order(self, number: int) -> dict[str, Any]:
        """The order of this key in the simulator's books."""
        found: dict[str, Any] = self.sim.books()["orders"].get(key(number), {})
        return found

    def money(self) -> dict[str, int]:
        found: dict[str, int] = self.sim.books()["money"]
        return found
