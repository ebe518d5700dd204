"""A running chain of convenience shops and an adapter connected to it: real files, a real database, real threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import (
    Answer,
    Done,
    Method,
    OrderLine,
    OrderPost,
    OrderReturn,
    Original,
    Pending,
    Query,
    Site,
    TenderLine,
)
from gateway.sdk.simulator import Fault
from gateway.testing.context import build, call
from plugins.convenience.adapter import ConvenienceAdapter
from plugins.convenience.protocol import SHOP_ZONE
from plugins.convenience.simulator import ConvenienceSimulator

BRANCHES = {"wulin": "0101", "wensan": "0102", "jingan": "0201", "century": "0202"}
PRICES = {"980001": 300, "980011": 200, "980013": 200, "010003": 350}


def key(number: int) -> str:
    """A change's key: 26 characters of 0-9A-Z."""
    return f"01K7TESTCONVENIENCE{number:07d}"


def line(sku: str, quantity: str, unit: int, net: int | None = None) -> OrderLine:
    gross = int(unit * Decimal(quantity))
    paid = gross if net is None else net
    return OrderLine(
        line_id=sku,
        sku=sku,
        name=sku,
        quantity=Decimal(quantity),
        unit_amount=unit,
        gross_amount=gross,
        discount_amount=gross - paid,
        net_amount=paid,
    )


def tender(
    amount: int, method: Method = Method.PAYMENT_CODE, channel: str = "alipay", ref: str = "2026112222001"
) -> Any:
    return TenderLine(tender_id=f"{method}{amount}", method=method, amount=amount, channel=channel, ref=ref)


def site(store: str = "wulin") -> Site:
    return Site(store_id=store, business_date=datetime.now(SHOP_ZONE).date(), till_id="01")


#: Two meat buns, two daikon, one kelp: exactly 12.00 yuan.
TWELVE = (line("980001", "2", 300), line("980011", "2", 200), line("980013", "1", 200))


def sale(lines: tuple[OrderLine, ...] = TWELVE, tenders: Any = None, store: str = "wulin", **more: Any) -> OrderPost:
    net = sum(each.net_amount for each in lines)
    fees = sum(fee.amount for fee in more.get("fees", ()))
    payable = net + fees - more.get("points_amount", 0) - more.get("rounding_amount", 0)
    return OrderPost(
        order_no="P1",
        site=site(store),
        currency="CNY",
        lines=lines,
        tenders=(tender(payable),) if tenders is None else tenders,
        splits=(),
        gross_amount=sum(each.gross_amount for each in lines),
        discount_amount=sum(each.discount_amount for each in lines),
        payable_amount=payable,
        sold_at=datetime.now(UTC),
        **more,
    )


def give_back(
    original: Original, lines: tuple[OrderLine, ...], store: str = "wulin", tenders: Any = None
) -> OrderReturn:
    amount = sum(each.net_amount for each in lines)
    return OrderReturn(
        original=original,
        order_no="P1",
        refund_no="R1",
        site=site(store),
        lines=lines,
        tenders=(tender(amount),) if tenders is None else tenders,
        amount=amount,
        whole=False,
        returned_at=datetime.now(UTC),
    )


#: Twelve yuan split over two channels.
ZFB_AND_WX = (tender(700), tender(500, channel="wechat", ref="420000"))


@dataclass
class Shop:
    """The simulator, its panel's levers, and the adapter, with what tests do again and again."""

    simulator: ConvenienceSimulator
    adapter: ConvenienceAdapter
    sent: dict[str, tuple[Any, Mapping[str, Any], datetime]] = field(default_factory=dict)

    def fault(self, name: str, match: str = "*", value: int = 0, times: int | None = 1) -> None:
        self.simulator.faults.set([*self.simulator.faults.list(), Fault(name, match, times, value)])

    def do(self, lever: str, **values: Any) -> dict[str, Any]:
        return self.simulator.control({"do": lever, **values})

    def rung(self, number: int) -> list[str]:
        """The bills that the tills rang up for this key."""
        orders: dict[str, list[str]] = self.simulator.books()["orders"]
        return orders.get(key(number), [])

    def post(self, number: int, request: OrderPost | OrderReturn | None = None, attempt: int = 1) -> Any:
        request = request or sale()
        hook = self.adapter.order_return if isinstance(request, OrderReturn) else self.adapter.order_post
        at = datetime.now(UTC)
        answer = hook(request=request, call=call(key(number), attempt=attempt))
        facts = answer.facts if isinstance(answer, Pending) else {}
        self.sent[key(number)] = (request, facts, at)
        return answer

    def query(self, number: int, **changed: Any) -> Answer:
        request, facts, at = self.sent[key(number)]
        hook = "order_return" if isinstance(request, OrderReturn) else "order_post"
        asked = {"hook": hook, "key": key(number), "request": request, "sent_at": at, "facts": facts, **changed}
        return self.adapter.order_query(request=Query(**asked))

    def answered(self, number: int, store: str = "wulin") -> Path:
        """Wait for the till's answer to this key and for its claim to be gone, which it takes away last; its file."""
        folder = self.simulator.drop / BRANCHES[store]
        found: list[Path] = []

        def there() -> bool:
            found[:] = [path for path in folder.glob(f"{key(number)}.*") if path.suffix in (".OK", ".ERR")]
            return bool(found) and not (folder / f"{key(number)}.ING").exists()

        wait_for(there)
        return found[0]


def wait_for(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so; fail if it is not in time."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.01)


def connect(simulator: ConvenienceSimulator, folder: Path, **more: Any) -> ConvenienceAdapter:
    settings = {"database": str(simulator.head_office.path), "drop_folder": str(simulator.drop), "branches": BRANCHES}
    return build(ConvenienceAdapter, {**settings, **more}, folder)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A chain whose tills upload only when a test tells them to."""
    simulator = ConvenienceSimulator(tmp_path / "legacy", {"upload_delay_s": "off", "poll_ms": "5"})
    simulator.start()
    try:
        yield Shop(simulator, connect(simulator, tmp_path))
    finally:
        simulator.stop()


def upload(shop: Shop) -> None:
    shop.do("upload")


def done(shop: Shop, number: int, amount: int = 1200) -> Done:
    """Wait for the till, upload, and ask: it must be done, once."""
    shop.answered(number)
    upload(shop)
    answer = shop.query(number)
    assert isinstance(answer, Done) and answer.amount == amount
    assert [answer.ref] == shop.rung(number)
    return answer
