"""A bank whose day ends at 23:00: what was paid at half past eleven is in its file of tomorrow, and not missing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import pytest
import time_machine

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    Change,
    Charge,
    Done,
    NotSent,
    Page,
    Settings,
    StatementRequest,
    StatementRow,
    Traits,
    convert,
    hookimpl,
)
from tests.backoffice.conftest import reconciled
from tests.engine.conftest import seed
from tests.engine.kit import House, build
from tests.runtime.kit import plugin

CHINA = ZoneInfo("Asia/Shanghai")
SHOP = """
[merchant]
id = "m1"
name = "Night shop"
[[stores]]
id = "s1"
name = "One"
[connections.bank]
adapter = "nightbank"
[connections.house]
adapter = "house"
[[routes]]
family = "payments"
connection = "bank"
"""
SHOP += "".join(f'[[routes]]\nfamily = "{name}"\nconnection = "house"\n' for name in ("orders", "stock", "membership"))


class NightBank(Adapter):
    """A bank in the connection's store; its file of a day is there once the day has ended."""

    name = "nightbank"
    Settings = Settings
    about = AdapterTraits(business_day_ends="23:00")
    traits: ClassVar[Mapping[str, Traits]] = {"payment_charge": Traits(idempotent=True)}

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        self.context.store.put(call.key, {"amount": request.amount, "at": self.context.clock().isoformat()})
        return Done(ref=call.key, amount=request.amount)

    @hookimpl
    def payment_statement(self, request: StatementRequest) -> Page[StatementRow]:
        if convert.business_date(self.context.clock(), time(23), CHINA) <= request.business_date:
            raise NotSent("no file before the day has ended")
        rows = [(key, self.context.store.get(key)) for key in sorted(self.context.store.keys())]
        return Page(items=tuple(_row(key, row) for key, row in rows if _day(row) == request.business_date))


def _day(row: Mapping[str, Any]) -> Any:
    return convert.business_date(datetime.fromisoformat(row["at"]), time(23), CHINA)


def _row(key: str, row: Mapping[str, Any]) -> StatementRow:
    return StatementRow(kind="sale", ref=key, key=key, amount=row["amount"])


@pytest.fixture
def shop(tmp_path: Path) -> Any:
    with time_machine.travel(datetime(2026, 3, 8, 10, tzinfo=UTC), tick=True) as traveller:
        house = build(tmp_path, SHOP, {}, plugins=[plugin("nightbank", NightBank)])
        house.database.tx(seed)
        yield house, traveller
        house.stop()


def sell(house: House, number: int) -> None:
    line = {"line_id": "A", "sku": "A", "quantity": "1"}
    tender = {"method": "payment_code", "auth_code": f"28123456789012{number:04d}"}
    reply, body = house.checkout({"store_id": "s1", "order_no": f"N{number}", "lines": [line], "tenders": [tender]})
    assert reply.status == 201, body


def test_each_payment_is_looked_for_under_the_banks_own_date(shop: tuple[House, Any]) -> None:
    house, traveller = shop
    for number, at in enumerate((datetime(2026, 3, 8, 20, tzinfo=CHINA), datetime(2026, 3, 8, 23, 30, tzinfo=CHINA))):
        traveller.move_to(at)
        sell(house, number)
    evening, tomorrow = datetime(2026, 3, 8).date(), datetime(2026, 3, 9).date()
    open_ = reconciled(house, evening)["bank/payment_statement"]
    assert [str(each.cls) for each in open_.differences] == [], open_.to_json()
    assert len(open_.pending) == 1, "tomorrow's file, in which it must be, is not there yet"
    traveller.move_to(datetime(2026, 3, 9, 23, 30, tzinfo=CHINA))
    results = [reconciled(house, day)["bank/payment_statement"] for day in (evening, tomorrow)]
    assert [result.reconciled for result in results] == [True, True], [result.to_json() for result in results]
    assert [result.their_amount for result in results] == [12_800, 12_800]
