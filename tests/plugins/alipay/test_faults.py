"""Every fault of the channel against every change: the right outcome class, and never a double effect in its books."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.sdk import Answer, Change, Declined, Done, InvalidReply, NotFound, NotSent, OutcomeUnknown, Pending
from gateway.sdk.simulator import Fault
from gateway.testing.context import build
from plugins.alipay.adapter import AlipayAdapter
from tests.plugins.alipay.support import Shop, key, settings

PAY, CANCEL, REFUND = "alipay.trade.pay", "alipay.trade.cancel", "alipay.trade.refund"
QUERY, REFUND_QUERY = "alipay.trade.query", "alipay.trade.fastpay.refund.query"

#: The channel acted, and its answer is lost or can't be trusted.
ACTED = ["drop_after", "garbage", "half_body", "bad_signature", "wrong_encoding", "wrong_id", "unknown"]

#: The channel did not act, and nothing proves that.
NOT_ACTED = ["refuse", "drop_before", "error"]


def charge(shop: Shop) -> Change:
    return shop.charge(1)


def reverse(shop: Shop) -> Change:
    return shop.reverse(2, original=1)


def refund(shop: Shop) -> Change:
    return shop.refund(3, 1, 500)


def ask_refund(shop: Shop) -> Answer:
    return shop.ask(3, "payment_refund", shop.refund_request(1, 500))


@pytest.mark.parametrize("fault", [*ACTED, "wrong_amount"])
def test_a_charge_whose_answer_is_lost_is_found_and_taken_once(shop: Shop, fault: str) -> None:
    shop.once(fault, PAY)
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    found = shop.ask(1)
    assert isinstance(found, Done) and found.amount == 1200
    assert shop.money() == {"received": 1200, "refunded": 0, "net": 1200, "fees": 7}


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_a_charge_that_was_swallowed_is_unknown_then_not_found(shop: Shop, fault: str) -> None:
    shop.once(fault, PAY)
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    assert shop.ask(1) == NotFound(final=False)
    assert shop.money()["received"] == 0


def test_a_charge_doubled_on_the_way_takes_the_money_once(shop: Shop) -> None:
    shop.once("duplicate", PAY)
    done = charge(shop)
    assert isinstance(done, Done) and done.replayed
    assert shop.money()["received"] == 1200 and shop.sim.books()["codes_used"] == 1


def test_a_slow_answer_is_unknown_at_the_deadline(shop: Shop) -> None:
    shop.once("slow", PAY, value=700)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        shop.charge(1, seconds=0.3)
    assert time.monotonic() - began < 0.6
    assert isinstance(shop.ask(1), Done)


def test_a_late_success_is_seen_when_it_comes(shop: Shop) -> None:
    """Not found is not final: no tombstone, so the money may still come."""
    shop.once("late_success", PAY, value=150)
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    assert shop.ask(1) == NotFound(final=False)
    settle(lambda: isinstance(shop.ask(1), Done))
    assert shop.money()["received"] == 1200


def test_late_money_after_a_cancel_is_given_back_by_the_next(shop: Shop) -> None:
    shop.once("late_success", PAY, value=200)
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    first = reverse(shop)
    assert isinstance(first, Done) and first.facts["existed"] is False
    settle(lambda: isinstance(shop.ask(1), Done))
    again = shop.reverse(4, original=1)
    assert isinstance(again, Done) and again.facts["action"] == "refund"
    assert shop.money()["net"] == 0


@pytest.mark.parametrize("fault", ACTED)
def test_a_cancel_whose_answer_is_lost_gives_back_once(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, CANCEL)
    with pytest.raises(OutcomeUnknown):
        reverse(shop)
    again = shop.reverse(2, original=1, attempt=2)
    assert isinstance(again, Done) and again.facts["action"] == "refund"
    assert shop.money() == {"received": 1200, "refunded": 1200, "net": 0, "fees": 0}


@pytest.mark.parametrize("fault", [*NOT_ACTED, "cancel_retry"])
def test_a_cancel_that_was_swallowed_is_unknown_and_may_be_repeated(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, CANCEL)
    with pytest.raises(OutcomeUnknown):
        reverse(shop)
    assert isinstance(shop.ask(1), Done)
    assert isinstance(shop.reverse(2, original=1, attempt=2), Done)
    assert shop.money()["net"] == 0


@pytest.mark.parametrize("fault", ["garbage", "bad_signature", "wrong_id", "drop_after"])
def test_a_cancel_is_not_believed_without_the_query_after_it(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, QUERY)
    with pytest.raises(OutcomeUnknown):
        reverse(shop)
    assert isinstance(shop.reverse(2, original=1, attempt=2), Done)
    assert shop.money()["refunded"] == 1200


@pytest.mark.parametrize("fault", ACTED)
def test_a_refund_whose_answer_is_lost_is_found_and_given_once(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, REFUND)
    with pytest.raises(OutcomeUnknown):
        refund(shop)
    found = ask_refund(shop)
    assert isinstance(found, Done) and found.amount == 500
    again = shop.refund(3, 1, 500, attempt=2)
    assert isinstance(again, Done) and again.replayed
    assert shop.money()["refunded"] == 500


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_a_refund_that_was_swallowed_is_repeated_under_its_number(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, REFUND)
    with pytest.raises(OutcomeUnknown):
        refund(shop)
    assert ask_refund(shop) == NotFound(final=False)
    assert isinstance(shop.refund(3, 1, 500, attempt=2), Done)
    assert shop.money()["refunded"] == 500


def test_a_refund_doubled_on_the_way_is_given_once(shop: Shop) -> None:
    charge(shop)
    shop.once("duplicate", REFUND)
    done = refund(shop)
    assert isinstance(done, Done) and done.amount == 500
    assert shop.money()["refunded"] == 500


def test_a_late_refund_and_its_repetition_are_one(shop: Shop) -> None:
    charge(shop)
    shop.once("late_success", REFUND, value=150)
    with pytest.raises(OutcomeUnknown):
        refund(shop)
    assert isinstance(shop.refund(3, 1, 500, attempt=2), Done)
    time.sleep(0.3)
    assert shop.money()["refunded"] == 500


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_id", "garbage", "bad_signature", "half_body", "error"])
@pytest.mark.parametrize("operation", [QUERY, REFUND_QUERY])
def test_an_answer_that_cannot_be_trusted_says_nothing(shop: Shop, fault: str, operation: str) -> None:
    charge(shop)
    refund(shop)
    shop.once(fault, operation)
    with pytest.raises(OutcomeUnknown):
        ask_refund(shop) if operation == REFUND_QUERY else shop.ask(1)


@pytest.mark.parametrize("ending", ["9001", "9011"])
@pytest.mark.parametrize("fault", ACTED)
def test_a_lost_wait_or_decline_ends_closed(shop: Shop, fault: str, ending: str) -> None:
    """The answer was 'type the password' or 'declined': the trade waits, and the reverse closes it."""
    shop.once(fault, PAY)
    with pytest.raises(OutcomeUnknown):
        shop.charge(1, ending)
    assert isinstance(shop.ask(1), Pending)
    closed = reverse(shop)
    assert isinstance(closed, Done) and closed.facts["action"] == "close"
    assert isinstance(shop.ask(1), Declined) and shop.money()["received"] == 0


@pytest.mark.parametrize("skew", [-480, 480])
def test_a_clock_that_is_off_changes_no_outcome(shop: Shop, skew: int) -> None:
    shop.faults(Fault("clock_skew", value=skew))
    assert isinstance(charge(shop), Done) and isinstance(refund(shop), Done)
    assert isinstance(shop.show(5), Pending)


@pytest.mark.parametrize("act", [charge, reverse, refund, ask_refund])
def test_a_channel_that_is_down_was_not_reached(shop: Shop, act: Callable[[Shop], object]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shop.adapter = shop.build(endpoint=f"http://127.0.0.1:{port}/gateway.do")
    with pytest.raises(NotSent):
        act(shop)


def test_two_faults_at_once(shop: Shop) -> None:
    """The charge's answer is lost, and the first question about it is answered about another order."""
    shop.faults(Fault("drop_after", match=PAY, times=1), Fault("wrong_id", match=QUERY, times=1))
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    with pytest.raises(InvalidReply):
        shop.ask(1)
    assert isinstance(shop.ask(1), Done)
    assert list(shop.sim.books()["trades"]) == [key(1)]


def settle(true: Callable[[], bool], seconds: float = 3.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.parametrize(("act", "operation"), [(reverse, CANCEL), (refund, REFUND), (charge, PAY)])
def test_once_something_was_sent_it_is_never_not_sent(
    shop: Shop, data: Path, act: Callable[[Shop], object], operation: str
) -> None:
    """The deadline passes between a change and the question after it: the change may have happened, and has."""
    charge(shop)
    sent = shop.sim.books()["requests"].get(operation, 0)

    def clock() -> datetime:
        late = shop.sim.books()["requests"].get(operation, 0) > sent
        return datetime.now(UTC) + timedelta(hours=late)

    address = settings(shop.sim.main.who, shop.address)
    shop.adapter = build(AlipayAdapter, address, data, clock=clock)
    with pytest.raises(OutcomeUnknown, match="was sent"):
        act(shop)
