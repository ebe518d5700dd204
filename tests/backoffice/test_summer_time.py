"""A shop whose clocks change and whose day ends at four in the morning: each sale on the right date."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from gateway.backoffice.settle import settlement_of
from gateway.engine.basket import business_date
from gateway.sdk.convert.dates import business_date as date_in_business
from tests.backoffice.conftest import reconciled
from tests.engine.kit import House

BERLIN = ZoneInfo("Europe/Berlin")
ABROAD = 'timezone = "Europe/Berlin"\nbusiness_day_ends = "04:00"'
#: The Sunday of a change → the hours of the business date that it falls into, which begins on Saturday at four.
CHANGES = {date(2026, 3, 29): 23, date(2026, 10, 25): 25}


def moments(sunday: date) -> dict[datetime, date]:
    """When sales are made, and on which business date each belongs."""
    saturday, monday = sunday - timedelta(days=1), sunday + timedelta(days=1)

    def at(day: date, clock: str, fold: int = 0) -> datetime:
        return datetime.combine(day, time.fromisoformat(clock), BERLIN).replace(fold=fold).astimezone(UTC)

    return {
        at(saturday, "03:59:20"): saturday - timedelta(days=1),
        at(saturday, "04:00"): saturday,
        at(sunday, "02:30"): saturday,
        at(sunday, "02:40", fold=1): saturday,
        at(sunday, "03:59:20"): saturday,
        at(sunday, "04:00"): sunday,
        at(monday, "03:59:20"): sunday,
        at(monday, "04:00"): monday,
    }


@pytest.mark.parametrize(("sunday", "hours"), CHANGES.items())
def test_a_day_of_23_or_25_hours_has_every_moment_once(sunday: date, hours: int) -> None:
    """From one end of the day to the next, minute by minute: no date comes back, and none is cut short."""
    begins = datetime.combine(sunday - timedelta(days=2), time(4), BERLIN).astimezone(UTC)
    for ends in ("04:00", "02:30", "01:45", "23:00", "00:00"):
        found = [date_in_business(begins + timedelta(minutes=n), time.fromisoformat(ends), BERLIN) for n in range(5760)]
        assert found == sorted(found), f"{ends}: a date that was over came back"
    saturday = sunday - timedelta(days=1)
    found = [date_in_business(begins + timedelta(minutes=n), time(4), BERLIN) for n in range(5760)]
    assert found.count(saturday) == hours * 60


def sell(shop: House, number: int) -> str:
    """One article, paid by the wallet; the checkout's id."""
    lines = [{"line_id": "A", "sku": "A", "quantity": "0.001"}]
    code = f"28123456789012{number:04d}"
    tenders = [{"method": "payment_code", "auth_code": code}]
    reply, body = shop.checkout({"store_id": "s1", "order_no": f"D{number}", "lines": lines, "tenders": tenders})
    assert reply.status == 201, body
    return str(body["id"])


@pytest.mark.parametrize("sunday", CHANGES)
def test_sales_refunds_settlement_and_reconciliation(make_shop: Callable[..., House], sunday: date) -> None:
    """Each is counted on its own business date and on no other, and the wallet's bill agrees on every one."""
    wanted: dict[date, int] = {}
    with time_machine.travel(next(iter(moments(sunday))), tick=True) as traveller:
        shop = make_shop(more=ABROAD)
        for number, (moment, day) in enumerate(moments(sunday).items()):
            traveller.move_to(moment)
            assert business_date(shop.engine.merchant("m1"), shop.engine.now()) == day
            sold = sell(shop, number)
            wanted[day] = wanted.get(day, 0) + 1
        reply = shop.refunds.create(
            shop.asked(), sold, {"refund_no": "R1", "lines": [{"line_id": "A", "quantity": "0.001"}]}
        )
        assert reply.status == 201, reply.body
        traveller.shift(timedelta(days=1))
        counted = {day: settlement_of(shop.engine, "m1", day) for day in wanted}
        assert {day: found.checkouts for day, found in counted.items()} == wanted
        refunds = {day: found.refunds for day, found in counted.items()}
        assert refunds == {day: int(day == sunday + timedelta(days=1)) for day in wanted}
        for day in wanted:
            result = reconciled(shop, day)["alipay/payment_statement"]
            assert not result.unavailable and not result.differences, (day, result)
