"""A shop whose wallet gives its bill at once, and the words of the tests about it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.backoffice.reconcile import reconcile_day
from gateway.backoffice.result import Class, Result
from gateway.domain.call import Call
from gateway.domain.common import Secret, Site
from gateway.domain.payments import Charge, Method
from gateway.engine.basket import business_date
from plugins.alipay.simulator import AlipaySimulator
from plugins.alipay.simulator_ledger import Ledger
from tests.engine.conftest import seed, shop_file
from tests.engine.kit import House, build

#: A key in the form of ours that no journal knows.
FOREIGN_KEY = "01JBEH1ND0URBACK0000000001"


def today(house: House) -> date:
    return business_date(house.engine.merchant("m1"), house.engine.now())


def calendar_day(house: House) -> date:
    return house.engine.now().astimezone(house.engine.merchant("m1").timezone).date()


def reconciled(house: House, day: date | None = None) -> dict[str, Result]:
    """Reconcile; the results by connection and hook."""
    results = reconcile_day(house.engine, "m1", day or today(house))
    return {f"{result.connection}/{result.hook}": result for result in results}


def wallet_result(house: House) -> Result:
    return reconciled(house)["alipay/payment_statement"]


def wallet_result_when_up(house: House) -> Result:
    """The same, once the wallet, taken for down after so many faults, is asked again."""
    for _ in range(40):
        result = wallet_result(house)
        if not result.unavailable:
            return result
        time.sleep(0.05)
    raise AssertionError(result.unavailable)


def classes(result: Result) -> dict[Class, int]:
    """The classes that occur."""
    return {cls: count for cls, count in result.counts.items() if count}


def ledger(house: House) -> Ledger:
    """The wallet's own ledger, to spoil what it says afterwards."""
    simulator = house.running["alipay"].simulator
    assert isinstance(simulator, AlipaySimulator)
    return next(iter(simulator.merchants.values())).ledger


def charge_behind_our_back(house: House, amount: int, key: str = FOREIGN_KEY) -> None:
    """Money taken with the shop's own credentials, and not by the engine."""
    connection = house.runtime.connection("m1", "alipay")
    request = Charge(
        amount=amount,
        currency="CNY",
        method=Method.PAYMENT_CODE,
        order_no="MANUAL",
        subject="manual",
        site=Site(store_id="s1", business_date=today(house)),
        auth_code=Secret("281234567890120000"),
    )
    connection.change("payment_charge", request, Call(key=key, deadline=datetime.now(UTC) + timedelta(seconds=5)))


@pytest.fixture
def make_shop(tmp_path: Path) -> Iterator[Callable[..., House]]:
    """Make the shop with options of the wallet; its fee is agreed at 0.60 %."""
    made: list[House] = []

    def make(url: str = "", more: str = "", **options: Any) -> House:
        wallet = AlipaySimulator(tmp_path / "alipay", {"latency_ms": "0", "bill_ready": "at_once", **options})
        file = shop_file(wallet).replace('name = "便民超市"', f'name = "便民超市"\nacquirer_fee_bp = 60\n{more}', 1)
        file = file.replace('adapter = "alipay"', 'adapter = "alipay"\nbreaker_open_s = 0.05', 1)
        house = build(tmp_path, file, {"alipay": wallet}, url=url)
        house.database.tx(seed)
        made.append(house)
        return house

    yield make
    for house in made:
        house.stop()


@pytest.fixture
def shop(make_shop: Callable[..., House]) -> House:
    return make_shop()
