"""A shop with one terminal at a bank's host: the simulator on a real socket, the adapter against it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import (
    Answer,
    Change,
    Charge,
    Done,
    Method,
    Original,
    PaymentRefund,
    Query,
    Reverse,
    Secret,
    Settle,
    Site,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import MemoryStore, build, call
from plugins.bankhost.adapter import BankHostAdapter
from plugins.bankhost.simulator import MASTER_KEY, MERCHANT, TERMINAL, BankHostSimulator

SITE = Site(store_id="S1", business_date=date(2026, 11, 22), till_id="T1", cashier_id="C1")


def key(number: int) -> str:
    return f"01JCHK{number:020d}"


@dataclass
class Shop:
    """Short words for the two sides."""

    sim: BankHostSimulator
    address: str
    folder: Path
    store: MemoryStore = field(default_factory=MemoryStore)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    adapter: BankHostAdapter = field(init=False)

    def __post_init__(self) -> None:
        self.adapter = self.build()

    def build(self, **more: Any) -> BankHostAdapter:
        secret = self.folder / "master.key"
        secret.touch(mode=0o600)
        secret.write_text(MASTER_KEY)
        host, port = self.address.split(":")
        settings = {
            "host": host,
            "port": int(port),
            "terminal": TERMINAL,
            "merchant": MERCHANT,
            "master_key": f"file:{secret}",
            "files": str(self.sim.data / "files"),
            "timeout_s": 0.5,
            "query_timeout_s": 0.5,
        }
        return build(BankHostAdapter, settings | more, self.folder, store=self.store)

    def once(self, name: str, match: str = "*", value: int = 0, times: int | None = 1) -> None:
        self.sim.faults.set([Fault(name, match=match, times=times, value=value)])

    def code(self, do: str = "make_code", **more: Any) -> str:
        return str(self.sim.control({"do": do, **more})["auth_code"])

    def request(self, amount: int = 1200, code: str = "", method: Method = Method.PAYMENT_CODE) -> Charge:
        return Charge(
            amount=amount,
            currency="CNY",
            method=method,
            order_no="WEB-1",
            subject="鲜肉包 2 个",
            site=SITE,
            auth_code=Secret(code or self.code()),
        )

    def charge(self, number: int, request: Charge | None = None, attempt: int = 1) -> Change:
        return self.adapter.payment_charge(request or self.request(), call(key(number), attempt=attempt))

    def paid(self, number: int, amount: int = 1200) -> Done:
        came = self.charge(number, self.request(amount))
        assert isinstance(came, Done), came
        return came

    def original(self, number: int, made: Done | None = None) -> Original:
        facts = made.facts if made else {}
        return Original(key=key(number), ref=made.ref if made else "", facts=facts, at=datetime.now(UTC))

    def reverse(self, number: int, original: int, made: Done | None = None, attempt: int = 1) -> Change:
        asked = Reverse(original=self.original(original, made), amount=1200, currency="CNY", site=SITE)
        return self.adapter.payment_reverse(asked, call(key(number), attempt=attempt))

    def refund(self, number: int, original: int, amount: int, made: Done | None = None) -> Change:
        asked = PaymentRefund(
            original=self.original(original, made),
            amount=amount,
            charged_amount=1200,
            currency="CNY",
            reason="凉了",
            site=SITE,
        )
        return self.adapter.payment_refund(asked, call(key(number)))

    def settle(self, number: int, *, amount: int, count: int, back: int = 0, backs: int = 0) -> Change:
        asked = Settle(site=SITE, sale_count=count, sale_amount=amount, refund_count=backs, refund_amount=back)
        return self.adapter.payment_settle(asked, call(key(number)))

    def ask(self, number: int, hook: str = "payment_charge") -> Answer:
        asked = Query(hook=hook, key=key(number), request=self.request(code="6" * 19), sent_at=datetime.now(UTC))
        return self.adapter.payment_query(asked)

    def net(self) -> int:
        return int(self.sim.books()["net"])

    def requests(self) -> dict[str, int]:
        found: dict[str, int] = self.sim.books()["requests"]
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    sim = BankHostSimulator(tmp_path / "host", {"day_cut": "24:00"})
    shop = Shop(sim, sim.start()["host"], tmp_path)
    yield shop
    shop.adapter.close()
    sim.stop()
