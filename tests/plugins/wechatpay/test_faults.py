"""Every fault of the channel against every change: the right outcome class, and never a double effect in its books."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.sdk import Change, Declined, Done, NotFound, Original, OutcomeUnknown, Pending, Reverse
from gateway.testing.context import call
from tests.plugins.wechatpay.support import SITE, Shop, key

#: The channel acted, and its answer is lost or can't be trusted.
ACTED = ["drop_after", "garbage", "half_body", "bad_signature", "stale_signature", "wrong_encoding", "system_error"]
#: The channel did not act, and nothing proves that.
NOT_ACTED = ["refuse", "drop_before", "error"]


def charge(shop: Shop) -> Change:
    return shop.charge(1)


def reverse(shop: Shop) -> Change:
    return shop.reverse(2, original=1)


def refund(shop: Shop) -> Change:
    return shop.refund(3, 1, 500)


@pytest.mark.parametrize("fault", [*ACTED, "wrong_amount", "wrong_id"])
def test_a_charge_whose_answer_is_lost_is_found_and_taken_once(shop: Shop, fault: str) -> None:
    shop.once(fault, "codepay")
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    found = shop.ask(1)
    assert isinstance(found, Done) and found.amount == 1200
    assert shop.money() == {"received": 1200, "refunded": 0, "net": 1200, "fees": 7}


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_a_charge_that_was_swallowed_is_unknown_then_not_found(shop: Shop, fault: str) -> None:
    shop.once(fault, "codepay")
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    assert shop.ask(1) == NotFound(final=False) and shop.money()["received"] == 0


def test_a_charge_doubled_on_the_way_takes_the_money_once(shop: Shop) -> None:
    shop.once("duplicate", "codepay")
    done = charge(shop)
    assert isinstance(done, Done) and done.replayed
    assert shop.money()["received"] == 1200 and shop.sim.books()["codes_used"] == 1


def test_late_money_after_a_reverse_is_given_back_by_the_next(shop: Shop) -> None:
    """No tombstone: the charge may come after its reversal, and a second one gives it back."""
    shop.once("late_success", "codepay", value=150)
    with pytest.raises(OutcomeUnknown):
        charge(shop)
    first = reverse(shop)
    assert isinstance(first, Done) and first.facts["existed"] is False
    until = time.monotonic() + 3
    while not isinstance(shop.ask(1), Done):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
    again = shop.reverse(4, original=1)
    assert isinstance(again, Done) and again.facts["action"] == "refund" and shop.money()["net"] == 0


@pytest.mark.parametrize("fault", [*ACTED, "wrong_id"])
def test_a_reverse_whose_answer_is_lost_gives_back_once(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, "reverse")
    with pytest.raises(OutcomeUnknown):
        reverse(shop)
    again = shop.reverse(2, original=1, attempt=2)
    assert isinstance(again, Done) and again.facts["action"] == "refund"
    assert shop.money() == {"received": 1200, "refunded": 1200, "net": 0, "fees": 0}


@pytest.mark.parametrize("fault", ["garbage", "bad_signature", "wrong_id", "drop_after", "error"])
def test_a_reverse_is_not_believed_without_the_query_after_it(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, "query")
    with pytest.raises(OutcomeUnknown):
        reverse(shop)
    assert isinstance(shop.reverse(2, original=1, attempt=2), Done) and shop.money()["refunded"] == 1200


@pytest.mark.parametrize("fault", [*ACTED, "wrong_amount", "wrong_id"])
def test_a_refund_whose_answer_is_lost_is_found_and_given_once(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, "refund")
    with pytest.raises(OutcomeUnknown):
        refund(shop)
    found = shop.ask_refund(3, 1, 500)
    assert isinstance(found, Done) and found.amount == 500
    assert isinstance(shop.refund(3, 1, 500, attempt=2), Done) and shop.money()["refunded"] == 500


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_a_refund_that_was_swallowed_is_repeated_under_its_number(shop: Shop, fault: str) -> None:
    charge(shop)
    shop.once(fault, "refund")
    with pytest.raises(OutcomeUnknown):
        refund(shop)
    assert shop.ask_refund(3, 1, 500) == NotFound(final=False)
    assert isinstance(shop.refund(3, 1, 500, attempt=2), Done | Pending) and shop.money()["refunded"] == 500


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_id", "garbage", "bad_signature", "half_body", "error"])
@pytest.mark.parametrize("operation", ["query", "refund.query"])
def test_an_answer_that_cannot_be_trusted_says_nothing(shop: Shop, fault: str, operation: str) -> None:
    charge(shop)
    refund(shop)
    shop.once(fault, operation)
    with pytest.raises(OutcomeUnknown):
        shop.ask(1) if operation == "query" else shop.ask_refund(3, 1, 500)


@pytest.mark.parametrize("ending", ["9001", "9011"])
@pytest.mark.parametrize("fault", ["drop_after", "system_error", "bad_signature"])
def test_a_lost_wait_or_decline_ends_closed(shop: Shop, fault: str, ending: str) -> None:
    shop.once(fault, "codepay")
    with pytest.raises(OutcomeUnknown):
        shop.charge(1, ending)
    assert isinstance(shop.ask(1), Pending)
    closed = reverse(shop)
    assert isinstance(closed, Done) and closed.facts["action"] == "close"
    assert isinstance(shop.ask(1), Declined) and shop.money()["received"] == 0


@pytest.mark.parametrize("fault", ["drop_after", "error", "drop_before", "bad_signature"])
@pytest.mark.parametrize("operation", ["query", "refund", "close"])
def test_a_shown_code_under_faults_ends_without_money(shop: Shop, operation: str, fault: str) -> None:
    """Paid or not when it is taken down: whatever answer is lost, the next attempt ends it, once."""
    shop.show(1)
    if operation == "close":
        shop.pull("ripen", out_trade_no=key(1))
        shop.adapter.context.store.delete(f"qr/{key(1)}")
    else:
        shop.pull("scan", out_trade_no=key(1))
    shop.once(fault, operation)
    facts: dict[str, Any] = {"qr_code": "weixin://x"}
    with pytest.raises(OutcomeUnknown):
        shop.reverse(2, original=1, **facts)
    for attempt in (2, 3):
        assert isinstance(shop.reverse(2, original=1, attempt=attempt, **facts), Done)
    assert shop.money()["net"] == 0 and len(shop.sim.books()["refunds"]) == (operation != "close")


def test_once_something_was_sent_it_is_never_not_sent(shop: Shop) -> None:
    """The time is over between a change and the question after it: the change may have happened, and has."""
    charge(shop)
    shop.once("slow", "reverse", value=300)
    request = Reverse(original=Original(key=key(1)), amount=1200, currency="CNY", site=SITE)
    with pytest.raises(OutcomeUnknown):
        shop.adapter.payment_reverse(request, call(key(2), seconds=0.2))
    assert isinstance(shop.reverse(2, original=1, attempt=2), Done) and shop.money()["refunded"] == 1200
