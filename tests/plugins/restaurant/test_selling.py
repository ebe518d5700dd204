"""Protects sales that are no table's bill: rung up once on a takeaway seat, whatever happens to the messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.sdk import (
    Declined,
    DeclineReason,
    Done,
    NotFound,
    NotSent,
    OrderLine,
    OrderPost,
    OrderVoid,
    OutcomeUnknown,
)
from gateway.sdk.simulator import Fault
from plugins.restaurant.adapter import RestaurantAdapter
from tests.plugins.restaurant.support import SITE, Chain, original, tender

SEATS = [f"W{number:02d}" for number in range(1, 10)]


@pytest.fixture
def shop(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> Chain:
    chain.adapter = rebuild(takeaway_seats=SEATS)
    return chain


def takeaway(*dishes: tuple[str, str, int], paid: int | None = None) -> OrderPost:
    """Dishes as (code, quantity, unit price in fen); paid in full by WeChat unless said otherwise."""
    lines = tuple(_line(number, *dish) for number, dish in enumerate(dishes, start=1))
    gross = sum(line.gross_amount for line in lines)
    amount = gross if paid is None else paid
    return OrderPost(
        order_no="ON7",
        site=SITE,
        currency="CNY",
        lines=lines,
        tenders=(tender("t1", amount),),
        splits=(),
        gross_amount=gross,
        discount_amount=max(0, gross - amount),
        payable_amount=amount,
        sold_at=datetime.now(UTC),
    )


def _line(number: int, sku: str, count: str, unit: int) -> OrderLine:
    gross = int(unit * Decimal(count))
    return OrderLine(
        line_id=str(number),
        sku=sku,
        name=sku,
        quantity=Decimal(count),
        unit_amount=unit,
        gross_amount=gross,
        discount_amount=0,
        net_amount=gross,
    )


NOODLES = takeaway(("D0402", "2", 2200), ("D0504", "1", 800))


def sales(chain: Chain) -> list[tuple[int, int, int, bool]]:
    """What the till's books have of bills with dishes: state, lines, fen paid, cleared."""
    bills = chain.simulator.books()["bills"].values()
    return [(b["state"], b["lines"], b["paid_amount"], b["cleared"]) for b in bills if b["lines"]]


ONCE = [(1, 2, 5200, True)]


def test_a_takeaway_is_rung_up_settled_and_cleared(shop: Chain) -> None:
    done = shop.adapter.order_post(NOODLES, shop.call())
    assert isinstance(done, Done)
    assert (done.amount, sales(shop)) == (5200, ONCE)


def test_the_price_that_was_paid_is_the_price_at_the_till(shop: Chain) -> None:
    shop.adapter.order_post(takeaway(("D0101", "1", 7990)), shop.call())
    assert sales(shop) == [(1, 1, 7990, True)]


def test_a_discount_is_booked_beside_the_money(shop: Chain) -> None:
    shop.adapter.order_post(takeaway(("D0101", "1", 8800), paid=8000), shop.call())
    assert shop.simulator.books()["money"] == {"03": 8000, "12": 800}


def test_a_fee_that_the_till_does_not_know_is_booked_as_taken(shop: Chain) -> None:
    shop.adapter.order_post(takeaway(("D0101", "1", 8800), paid=9000), shop.call())
    assert shop.simulator.books()["money"] == {"03": 9000}


@pytest.mark.parametrize("fault", ["drop_before", "power_cut"])
@pytest.mark.parametrize("command", ["open", "order", "pay"])
def test_a_lost_message_leaves_one_sale(shop: Chain, command: str, fault: str) -> None:
    key = shop.key()
    shop.simulator.faults.set([Fault(fault, command, 1, 60_000)])
    with pytest.raises(OutcomeUnknown):
        shop.adapter.order_post(NOODLES, shop.call(key))
    shop.pull("restart")
    booked = command == "pay" and fault != "drop_before"
    assert isinstance(shop.ask("order_post", key, NOODLES), Done if booked else NotFound)
    assert isinstance(shop.adapter.order_post(NOODLES, shop.call(key, attempt=2)), Done)
    assert sales(shop) == ONCE
    assert shop.simulator.books()["open_bills"] == 0


@pytest.mark.parametrize("command", ["order", "pay"])
def test_a_doubled_message_leaves_one_sale(shop: Chain, command: str) -> None:
    shop.fault("duplicate", command)
    assert isinstance(shop.adapter.order_post(NOODLES, shop.call()), Done)
    assert sales(shop) == ONCE


def test_a_doubled_opening_is_refused_by_the_till(shop: Chain) -> None:
    shop.fault("duplicate", "open")
    assert isinstance(shop.adapter.order_post(NOODLES, shop.call()), Done)
    assert sales(shop) == ONCE


def test_a_dish_that_sold_out_meanwhile_is_declined_and_leaves_nothing(shop: Chain) -> None:
    shop.pull("set_soldout", dish="D0402", left=1)
    refused = shop.adapter.order_post(NOODLES, shop.call())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.OUT_OF_STOCK
    assert (sales(shop), shop.simulator.books()["open_bills"]) == ([], 0)


def test_taken_seats_are_passed_over_and_a_full_shop_sends_nothing(shop: Chain) -> None:
    for seat in SEATS[:-1]:
        shop.pull("open_table", table=seat)
    assert isinstance(shop.adapter.order_post(NOODLES, shop.call()), Done)
    shop.pull("open_table", table=SEATS[-1])
    with pytest.raises(NotSent, match="every takeaway seat"):
        shop.adapter.order_post(NOODLES, shop.call())


def test_a_wrong_seat_is_a_setting_to_mend(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> None:
    adapter = rebuild(takeaway_seats=["Q1"])
    with pytest.raises(NotSent, match="takeaway_seats"):
        adapter.order_post(NOODLES, chain.call())


def test_two_sales_at_once_keep_apart(shop: Chain) -> None:
    one, two = shop.key(), shop.key()
    shop.fault("drop_after", "open")
    with pytest.raises(OutcomeUnknown):
        shop.adapter.order_post(NOODLES, shop.call(one))
    other = replace(NOODLES, order_no="ON8")
    assert isinstance(shop.adapter.order_post(other, shop.call(two)), Done)
    assert isinstance(shop.ask("order_post", one, NOODLES), NotFound)
    assert isinstance(shop.adapter.order_post(NOODLES, shop.call(one, attempt=2)), Done)
    assert sales(shop) == ONCE * 2


def test_a_takeaway_can_be_voided(shop: Chain) -> None:
    key = shop.key()
    done: Any = shop.adapter.order_post(NOODLES, shop.call(key))
    void = OrderVoid(original=original(key, ref=done.ref, facts=done.facts), order_no="ON7", site=SITE, amount=5200)
    assert isinstance(shop.adapter.order_void(void, shop.call()), Done)
    assert shop.simulator.books()["money"] == {}
