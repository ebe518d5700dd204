"""Protects that a return is in the till's books once: dishes off the bill, what is kept booked anew."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from gateway.sdk import (
    Bill,
    Declined,
    DeclineReason,
    Done,
    Method,
    NotFound,
    OrderPost,
    OrderReturn,
    OutcomeUnknown,
    TenderLine,
)
from gateway.sdk.simulator import Fault
from tests.plugins.restaurant.support import SITE, Chain, order_line, original, tender

STEAK = ({"dish": "D0101", "qty": "2"}, {"dish": "D0106"}, {"dish": "P0001"})


def in_force(chain: Chain, bill_id: str) -> list[tuple[str, int]]:
    rows = chain.books(bill_id)["tenders"]
    return [(row["code"], row["amount"]) for row in rows if row["state"] == 1]


def sold(
    chain: Chain, *tenders: TenderLine, shop_items: Any = STEAK, **fields: Any
) -> tuple[Bill, OrderPost, Done, str]:
    """A sale in a shop of SH01; its bill, request, outcome and key."""
    bill, key = chain.seat(items=list(shop_items)), chain.key()
    request = chain.sale(bill, tenders=tenders, **fields)
    done = chain.adapter.order_post(request, chain.call(key))
    assert isinstance(done, Done)
    return bill, request, done, key


def back(
    bill: Bill, done: Done, key: str, amount: int, quantities: dict[int, str], *tenders: TenderLine, whole: bool = False
) -> OrderReturn:
    """Give ``quantities`` of the lines (by index) back for ``amount``."""
    lines = [bill.lines[index] for index in quantities]
    returned = zip(lines, quantities.values(), strict=True)
    return OrderReturn(
        original=original(key, ref=done.ref, facts=done.facts),
        order_no="ON1",
        refund_no="RN1",
        site=SITE,
        lines=tuple(_with_quantity(line, bill.bill_id, count) for line, count in returned),
        tenders=tenders or (tender("t1", amount),),
        amount=amount,
        whole=whole,
        returned_at=datetime.now(UTC),
    )


def _with_quantity(line: Any, bill_id: str, count: str) -> Any:
    from dataclasses import replace

    return replace(order_line(line, bill_id), quantity=Decimal(count))


def test_a_dish_given_back_is_off_the_bill_and_the_rest_is_booked_anew(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    # 88.00 and its service charge of 10 %.
    request = back(bill, done, key, 9680, {0: "1"})
    outcome = chain.adapter.order_return(request, chain.call())
    assert isinstance(outcome, Done)
    assert outcome.amount == 9680
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount - 9680)]
    books = chain.books(bill.bill_id)
    assert (books["total_amount"], books["settle_state"], books["cleared"]) == (bill.due_amount - 9680, -1, True)


def test_discounts_stay_in_proportion_to_what_the_till_still_needs(chain: Chain) -> None:
    bill = chain.seat(items=list(STEAK))
    key = chain.key()
    request = chain.sale(bill, tenders=(tender("t1", bill.due_amount - 3000),), points_used=100, points_amount=1000)
    done = chain.adapter.order_post(request, chain.call(key))
    assert isinstance(done, Done)
    chain.adapter.order_return(back(bill, done, key, 8000, {0: "1"}), chain.call())
    left = bill.due_amount - 9680
    assert in_force(chain, bill.bill_id) == [
        ("03", bill.due_amount - 11_000),
        ("06", 1000),
        ("12", left - (bill.due_amount - 11_000) - 1000),
    ]


def test_tenders_are_lowered_by_their_own_kind_first(chain: Chain) -> None:
    bill = chain.seat(items=list(STEAK))
    key = chain.key()
    tenders = (
        tender("t1", 10_000, Method.STORED_VALUE, channel=""),
        tender("t2", bill.due_amount - 10_000, channel="alipay"),
    )
    done = chain.adapter.order_post(chain.sale(bill, tenders=tenders), chain.call(key))
    assert isinstance(done, Done)
    given = (tender("t1", 680, Method.STORED_VALUE, channel=""), tender("t2", 9000, channel="alipay"))
    chain.adapter.order_return(back(bill, done, key, 9680, {0: "1"}, *given), chain.call())
    assert in_force(chain, bill.bill_id) == [("05", 9320), ("04", bill.due_amount - 19_000)]


def test_a_package_goes_back_with_its_components(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    chain.adapter.order_return(back(bill, done, key, 21_780, {2: "1"}), chain.call())
    assert chain.books(bill.bill_id)["lines"] == 2


def test_everything_given_back_leaves_an_empty_bill_and_a_free_table(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    request = back(bill, done, key, bill.due_amount, {}, whole=True)
    assert isinstance(chain.adapter.order_return(request, chain.call()), Done)
    books = chain.books(bill.bill_id)
    assert (books["state"], books["lines"], books["paid_amount"], books["cleared"]) == (2, 0, 0, True)
    assert chain.till("open", table=bill.resource_id).code == 0


def test_a_second_return_of_the_same_sale_follows_the_first(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    for _ in range(2):
        assert isinstance(chain.adapter.order_return(back(bill, done, key, 9680, {0: "1"}), chain.call()), Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount - 2 * 9680)]
    refused = chain.adapter.order_return(back(bill, done, key, 9680, {0: "1"}), chain.call())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.NOT_REFUNDABLE


def test_money_given_back_without_a_dish_is_a_discount(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    chain.adapter.order_return(back(bill, done, key, 500, {}), chain.call())
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount - 500), ("12", 500)]


def test_what_is_kept_over_the_tills_new_total_is_booked_as_it_is(chain: Chain) -> None:
    # Only the dish's own 88.00 is given back: the service charge on it is kept.
    bill, _, done, key = sold(chain)
    assert isinstance(chain.adapter.order_return(back(bill, done, key, 8800, {0: "1"}), chain.call()), Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount - 8800)]


def test_after_the_day_is_closed_nothing_can_be_given_back(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    chain.pull("close_day")
    refused = chain.adapter.order_return(back(bill, done, key, 9680, {0: "1"}), chain.call())
    assert isinstance(refused, Declined)
    assert (refused.reason, refused.code) == (DeclineReason.TOO_LATE, "50021")
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


@pytest.mark.parametrize("fault", ["drop_before", "power_cut"])
@pytest.mark.parametrize("command", ["reopen", "return", "pay"])
@pytest.mark.parametrize("whole", [False, True])
def test_a_return_interrupted_at_any_message_is_completed_once(
    chain: Chain, command: str, fault: str, whole: bool
) -> None:
    bill, _, done, key = sold(chain)
    amount = bill.due_amount if whole else 9680
    request = back(bill, done, key, amount, {} if whole else {0: "1"}, whole=whole)
    if whole and command == "pay":
        command = "clear"
    refund = chain.key()
    chain.simulator.faults.set([Fault(fault, command, 1, 60_000)])
    with pytest.raises(OutcomeUnknown):
        chain.adapter.order_return(request, chain.call(refund))
    chain.pull("restart")
    answer = chain.ask("order_return", refund, request)
    lost_the_last_answer = fault != "drop_before" and command in ("pay", "clear")
    assert isinstance(answer, Done if lost_the_last_answer else NotFound)
    again = chain.adapter.order_return(request, chain.call(refund, attempt=2))
    assert isinstance(again, Done)
    assert isinstance(chain.ask("order_return", refund, request), Done)
    expected = [] if whole else [("03", bill.due_amount - 9680)]
    assert in_force(chain, bill.bill_id) == expected
    assert chain.books(bill.bill_id)["lines"] == (0 if whole else 8)


def test_a_doubled_return_of_a_dish_is_noticed(chain: Chain) -> None:
    bill, _, done, key = sold(chain)
    chain.fault("duplicate", "return")
    with pytest.raises(OutcomeUnknown, match="not off the bill"):
        chain.adapter.order_return(back(bill, done, key, 9680, {0: "1"}), chain.call())
