"""A merchant abroad: the simulated processor on a real socket, and the adapter against it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import Answer, Change, Charge, Done, Method, Original, PaymentRefund, Query, Reverse, Secret, Site
from gateway.sdk.simulator import Fault
from gateway.testing.context import MemoryStore, build, call
from plugins.stripe.adapter import StripeAdapter
from plugins.stripe.simulator import SECRET_KEY, WEBHOOK_SECRET, StripeSimulator

SITE = Site(store_id="S1", business_date=date(2026, 11, 22), till_id="T1", cashier_id="C1")


def key(number: int) -> str:
    return f"01JCHK{number:020d}"


def opened(endpoint: str, folder: Path, store: MemoryStore, **more: Any) -> StripeAdapter:
    """An adapter with the simulator's keys."""
    settings: dict[str, Any] = {"endpoint": endpoint, "timeout_s": 5.0}
    for name, value in {"secret_key": SECRET_KEY, "webhook_secret": WEBHOOK_SECRET, **more}.items():
        file = folder / name
        file.touch(mode=0o600)
        file.write_text(value)
        settings[name] = f"file:{file}"
    return build(StripeAdapter, settings, folder, store=store)


@dataclass
class Merchant:
    """Short words for the two sides."""

    sim: StripeSimulator
    adapter: StripeAdapter
    store: MemoryStore = field(default_factory=MemoryStore)
    currency: str = "CNY"

    def once(self, name: str, match: str = "*", value: int = 0) -> None:
        self.sim.faults.set([Fault(name, match=match, times=1, value=value)])

    def card(self, does: str = "") -> str:
        return str(self.sim.control({"do": "make_method", "does": does})["payment_method"])

    def request(self, amount: int = 1200, card: str = "") -> Charge:
        return Charge(
            amount=amount,
            currency=self.currency,
            method=Method.BANK_CARD,
            order_no="WEB-1",
            subject="Dumplings",
            site=SITE,
            auth_code=Secret(card or self.card()),
        )

    def charge(self, number: int, request: Charge | None = None, attempt: int = 1) -> Change:
        return self.adapter.payment_charge(request or self.request(), call(key(number), attempt=attempt))

    def paid(self, number: int, amount: int = 1200) -> Done:
        came = self.charge(number, self.request(amount))
        assert isinstance(came, Done), came
        return came

    def reverse(self, number: int, original: int, ref: str = "", amount: int = 1200) -> Change:
        was = Original(key=key(original), ref=ref)
        asked = Reverse(original=was, amount=amount, currency=self.currency, site=SITE)
        return self.adapter.payment_reverse(asked, call(key(number)))

    def refund(self, number: int, original: int, amount: int, ref: str = "", attempt: int = 1) -> Change:
        asked = PaymentRefund(
            original=Original(key=key(original), ref=ref),
            amount=amount,
            charged_amount=1200,
            currency=self.currency,
            reason="cold",
            site=SITE,
        )
        return self.adapter.payment_refund(asked, call(key(number), attempt=attempt))

    def ask(self, number: int, amount: int = 1200) -> Answer:
        request = self.request(amount, card="pm_gone")
        asked = Query(hook="payment_charge", key=key(number), request=request, sent_at=datetime.now(UTC))
        return self.adapter.payment_query(asked)

    def net(self) -> int:
        return int(self.sim.books()["net"].get(self.currency.lower(), 0))


@pytest.fixture
def merchant(tmp_path: Path) -> Iterator[Merchant]:
    sim, store = StripeSimulator(tmp_path / "processor"), MemoryStore()
    merchant = Merchant(sim, opened(sim.start()["api"], tmp_path, store), store)
    yield merchant
    merchant.adapter.context.http.close()
    sim.stop()
