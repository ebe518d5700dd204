"""The department store and its bank terminal, started for each test, and their adapters connected to them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.sdk import (
    Bill,
    BillRef,
    Call,
    Method,
    OrderLine,
    OrderPost,
    Site,
    Split,
    TenderLine,
)
from gateway.sdk.simulator import Fault, Running, start
from gateway.testing.context import build, call
from plugins.department.adapter import DepartmentAdapter
from plugins.department.simulator import DepartmentSimulator
from plugins.department.terminal_adapter import BankTerminalAdapter
from plugins.department.terminal_simulator import BankTerminalSimulator

SHOES, DRESS, SCARF = "6901000000018", "6901000000117", "6901000000216"
TODAY = datetime.now(ZoneInfo("Asia/Shanghai")).date()
SITE = Site(store_id="lakeside", business_date=TODAY)


@dataclass
class Store:
    """The running store, with short ways to its levers, faults and books."""

    running: Running
    simulator: DepartmentSimulator

    def do(self, name: str, **fields: Any) -> dict[str, Any]:
        return self.simulator.control({"do": name, **fields})

    def slip(self, counter: str, item: str, **fields: Any) -> str:
        return str(self.do("issue_slip", counter=counter, lines=[{"item": item, **fields}])["slip_no"])

    def three_slips(self) -> list[str]:
        """Example E30: shoes 899.00, a dress 659.00 and a scarf 199.00 at three concession counters."""
        return [self.slip("K1", SHOES), self.slip("K2", DRESS), self.slip("K3", SCARF)]

    def fault(self, name: str, match: str = "*", times: int | None = 1, value: int = 0) -> None:
        self.simulator.faults.set([Fault(name, match, times, value)])

    def heal(self) -> None:
        self.simulator.faults.set([])

    @property
    def books(self) -> dict[str, Any]:
        return self.simulator.books()

    def stock(self, counter: str, item: str) -> tuple[str, str]:
        row = next(r for r in self.books["stock"] if r["counter"] == counter and r["item"] == item)
        return row["on_hand"], row["held"]


@pytest.fixture(scope="session")
def first_day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a store that has just opened; made once, because that takes a while."""
    return Path(DepartmentSimulator(tmp_path_factory.mktemp("mis") / "first").database.path)


@pytest.fixture
def store(tmp_path: Path, first_day: Path) -> Iterator[Store]:
    """A running store of the test's own: what another test left on its way arrives in that test's store."""
    data = tmp_path / "the-store"
    data.mkdir()
    shutil.copyfile(first_day, data / first_day.name)
    simulator = DepartmentSimulator(data)
    running = start(simulator)
    yield Store(running, simulator)
    running.stop()


@pytest.fixture
def make_adapter(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DepartmentAdapter]:
    monkeypatch.setenv("MIS_PASSWORD", "password")
    monkeypatch.setenv("MIS_LICENSE", "license")

    def make(**changes: Any) -> DepartmentAdapter:
        settings = {
            "soap_url": f"http://{store.running.addresses['soap']}/sales.asmx",
            "user": "user",
            "password": "env:MIS_PASSWORD",
            "license": "env:MIS_LICENSE",
            "database": store.running.addresses["database"],
            "stores": {"lakeside": "S001", "eastgate": "S002"},
            "till": "T901",
            "timeout_s": 2.0,
        }
        return build(DepartmentAdapter, {**settings, **changes}, tmp_path)

    return make


@pytest.fixture
def adapter(make_adapter: Callable[..., DepartmentAdapter]) -> DepartmentAdapter:
    return make_adapter()


@dataclass
class Desk:
    """Builds the requests that the engine would send."""

    def key(self, name: str) -> str:
        return name.upper().ljust(26, "0")

    def call(self, name: str, seconds: float = 3.0, **fields: Any) -> Call:
        return call(self.key(name), seconds=seconds, **fields)

    def refs(self, bills: tuple[Bill, ...]) -> tuple[BillRef, ...]:
        return tuple(BillRef(bill_id=bill.bill_id, version=bill.version) for bill in bills)

    def order(self, bills: tuple[Bill, ...], nets: list[int], order_no: str = "PF0308") -> OrderPost:
        """A paid order over these slips, half by card and half by wallet, with its line × tender matrix."""
        flat = [(bill.bill_id, line) for bill in bills for line in bill.lines]
        lines = tuple(
            OrderLine(
                line_id=f"{bill_id}-{line.line_id}",
                sku=line.sku,
                name=line.name,
                quantity=line.quantity,
                unit_amount=line.unit_amount,
                gross_amount=line.gross_amount,
                discount_amount=line.gross_amount - net,
                net_amount=net,
                counter_id=line.counter_id,
                bill_id=bill_id,
                facts=line.facts,
                discounts=({"kind": "campaign", "id": "CX0308", "amount": line.gross_amount - net},),
            )
            for (bill_id, line), net in zip(flat, nets, strict=True)
        )
        payable = sum(nets)
        halves = [net // 2 for net in nets]
        splits = [
            Split(line_id=line.line_id, tender_id="t1", amount=half) for line, half in zip(lines, halves, strict=True)
        ]
        splits += [
            Split(line_id=line.line_id, tender_id="t2", amount=line.net_amount - half)
            for line, half in zip(lines, halves, strict=True)
        ]
        card, wallet = sum(halves), payable - sum(halves)
        return OrderPost(
            order_no=order_no,
            site=SITE,
            currency="CNY",
            lines=lines,
            tenders=(
                TenderLine(tender_id="t1", method=Method.BANK_CARD, amount=card, ref="112300000001"),
                TenderLine(tender_id="t2", method=Method.PAYMENT_CODE, channel="alipay", amount=wallet, ref="2026"),
            ),
            splits=tuple(splits),
            gross_amount=sum(line.gross_amount for line in lines),
            discount_amount=sum(line.discount_amount for line in lines),
            payable_amount=payable,
            sold_at=datetime.now(UTC),
            bills=self.refs(bills),
        )


@pytest.fixture
def desk() -> Desk:
    return Desk()


@dataclass
class Terminal:
    """The bank terminal's simulator; ``adapter()`` is one that is shared by the tests, ``make()`` a new one."""

    simulator: BankTerminalSimulator
    folder: Path
    shared: BankTerminalAdapter
    make: Callable[..., BankTerminalAdapter]

    def adapter(self) -> BankTerminalAdapter:
        return self.shared

    def fault(self, name: str, match: str = "*", times: int | None = 1, value: int = 0) -> None:
        self.simulator.faults.set([Fault(name, match, times, value)])

    def do(self, name: str, **fields: Any) -> None:
        self.simulator.control({"do": name, **fields})

    @property
    def books(self) -> dict[str, Any]:
        return self.simulator.books()

    def kinds(self) -> list[tuple[str, int]]:
        return [(row["kind"], row["amount"]) for row in self.books["transactions"]]


@pytest.fixture(scope="module")
def shared_terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, BankTerminalAdapter]]:
    """One helper process for all tests of a module: it takes a third of a second to start."""
    where = tmp_path_factory.mktemp("terminal")
    folder = where / "terminal"
    adapter = build(BankTerminalAdapter, {"folder": str(folder), "pos": "T901", "timeout_s": 5.0}, where)
    yield folder, adapter
    adapter.close()


@pytest.fixture
def terminal(shared_terminal: tuple[Path, BankTerminalAdapter], tmp_path: Path) -> Iterator[Terminal]:
    folder, shared = shared_terminal
    simulator = BankTerminalSimulator(folder)
    simulator.reset()
    for key in shared.context.store.keys():  # noqa: SIM118 - not a dict
        shared.context.store.delete(key)
    built: list[BankTerminalAdapter] = []

    def make(**changes: Any) -> BankTerminalAdapter:
        clock = changes.pop("clock", None)
        where = tmp_path / f"gateway{len(built)}"
        where.mkdir()
        settings = {"folder": str(folder), "pos": "T901", "timeout_s": 5.0, **changes}
        adapter = build(BankTerminalAdapter, settings, where, **({"clock": clock} if clock else {}))
        built.append(adapter)
        return adapter

    yield Terminal(simulator, folder, shared, make)
    for adapter in built:
        adapter.close()


@pytest.fixture
def today() -> date:
    return TODAY


@pytest.fixture
def site() -> Site:
    return SITE


@pytest.fixture
def one() -> Decimal:
    return Decimal(1)
