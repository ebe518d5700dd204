"""A card processor abroad: what is paid, refused, lost and given back; currencies; webhooks."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import (
    Declined,
    DeclineReason,
    Done,
    NotFound,
    NoticeRequest,
    NotSupported,
    OutcomeUnknown,
    ParseError,
    Pending,
    StatementRequest,
)
from plugins.stripe.protocol import form, from_units, read_webhook, signature, to_units
from plugins.stripe.simulator import WEBHOOK_SECRET
from tests.plugins.stripe.conftest import Merchant, key


def test_a_payment_and_what_the_query_says(merchant: Merchant) -> None:
    """The engine asks after every restart: the answer must be the one that was given."""
    paid = merchant.paid(1)
    asked = merchant.ask(1)
    assert isinstance(asked, Done) and (asked.ref, asked.amount) == (paid.ref, 1200)
    assert merchant.net() == 1200 and isinstance(merchant.ask(2), NotFound)


def test_a_card_number_never_leaves(merchant: Merchant) -> None:
    """One card number on the wire puts the whole merchant under the cards' rules."""
    for given_ in ("4242424242424242", "4242424242424242=2512", "tok_visa", "pm_"):
        with pytest.raises(NotSupported):
            merchant.charge(1, merchant.request(card=given_))
    assert merchant.sim.books()["requests"] == {}


@pytest.mark.parametrize("operation", ["create", "confirm"])
@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "error", "garbage", "wrong_amount", "wrong_id"])
def test_a_lost_answer_is_unknown_and_nothing_is_taken_twice(merchant: Merchant, operation: str, fault: str) -> None:
    """A customer who pays twice for one dinner does not come back."""
    merchant.once(fault, operation)
    with pytest.raises(OutcomeUnknown):
        merchant.charge(1)
    taken = merchant.net()
    asked = merchant.ask(1)
    assert isinstance(asked, Done if taken else NotFound)
    assert isinstance(merchant.reverse(2, 1), Done)
    assert merchant.net() == 0
    late = merchant.charge(1, attempt=2)
    assert isinstance(late, Declined) and merchant.net() == 0


def test_refusals_are_told_and_can_be_asked_for(merchant: Merchant) -> None:
    """Another card helps against one, and not against the other."""
    for number, (does, reason) in enumerate(
        (("insufficient_funds", DeclineReason.INSUFFICIENT_FUNDS), ("expired_card", DeclineReason.CODE_EXPIRED)), 1
    ):
        came = merchant.charge(number, merchant.request(card=merchant.card(does)))
        assert isinstance(came, Declined) and came.reason is reason
        asked = merchant.ask(number)
        assert isinstance(asked, Declined) and asked.reason is reason


def test_a_customer_who_is_asked_by_the_bank(merchant: Merchant) -> None:
    """Pending until the customer has answered; cancelled, the answer comes too late."""
    came = merchant.charge(1, merchant.request(card=merchant.card("action")))
    assert isinstance(came, Pending) and came.next_action is not None
    merchant.sim.control({"do": "authenticate", "intent": came.ref})
    assert isinstance(merchant.ask(1), Done)
    second = merchant.charge(2, merchant.request(card=merchant.card("action")))
    assert isinstance(merchant.reverse(3, 2), Done)
    with pytest.raises(ValueError, match="canceled"):
        merchant.sim.control({"do": "authenticate", "intent": getattr(second, "ref", "")})
    assert merchant.net() == 1200


def test_parts_go_back_once_each_and_never_more_than_the_whole(merchant: Merchant) -> None:
    """A refund whose answer was lost must not be made twice, even by a processor that forgot its key."""
    paid = merchant.paid(1)
    merchant.once("drop_after", "refund")
    with pytest.raises(OutcomeUnknown):
        merchant.refund(2, 1, 500, paid.ref)
    merchant.once("forgets_key", "refund")
    assert isinstance(merchant.refund(2, 1, 500, paid.ref, attempt=2), Done)
    merchant.sim.faults.set([])
    assert isinstance(merchant.refund(3, 1, 700, paid.ref), Done)
    assert isinstance(merchant.refund(4, 1, 1, paid.ref), Declined)
    assert merchant.net() == 0


@pytest.mark.parametrize(
    ("currency", "amount", "units"),
    [("JPY", 500, 500), ("USD", 1999, 1999), ("ISK", 500, 50_000), ("UGX", 7, 700), ("KWD", 1230, 1230)],
)
def test_an_amount_means_the_same_on_both_sides(merchant: Merchant, currency: str, amount: int, units: int) -> None:
    """A factor of a hundred in a currency without decimals is the dearest mistake of all."""
    merchant.currency = currency
    paid = merchant.paid(1, amount)
    assert paid.amount == amount and merchant.net() == units
    assert isinstance(merchant.reverse(2, 1, paid.ref, amount), Done) and merchant.net() == 0


def test_what_the_processor_cannot_take_is_not_rounded(merchant: Merchant) -> None:
    """A fils too much or too little is found by nobody before the audit."""
    merchant.currency = "KWD"
    with pytest.raises(NotSupported, match="digits"):
        merchant.charge(1, merchant.request(1235))


@given(st.integers(1, 10**9), st.sampled_from(("CNY", "JPY", "ISK", "UGX", "USD")))
def test_amounts_round_trip(amount: int, currency: str) -> None:
    assert from_units(to_units(amount, currency), currency) == amount


def test_forms_have_brackets() -> None:
    """The processor reads nested values so, and nothing else."""
    assert form({"a": 1, "metadata": {"key": "x y"}, "expand": ["s"], "confirm": True}) == (
        b"a=1&metadata%5Bkey%5D=x+y&expand%5B0%5D=s&confirm=true"
    )


def test_the_days_movements_have_our_keys(merchant: Merchant) -> None:
    """Without them nobody finds out which refund the processor lost."""
    paid = merchant.paid(1)
    merchant.refund(2, 1, 200, paid.ref)
    day = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    rows = merchant.adapter.payment_statement(StatementRequest(business_date=day)).items
    assert [(row.kind, row.amount, row.key) for row in rows] == [("refund", -200, key(2)), ("charge", 1200, key(1))]
    assert rows[0].original_ref == rows[1].ref == paid.ref and rows[1].fee_amount == 35
    before = merchant.adapter.payment_statement(StatementRequest(business_date=date(2020, 1, 1)))
    assert before.items == () and before.next_cursor is None


def _notice(header: str, body: bytes) -> NoticeRequest:
    return NoticeRequest(method="POST", query="", headers={"stripe-signature": header}, body=body)


def test_a_webhook_is_believed_only_with_its_signature(merchant: Merchant) -> None:
    """Anybody can post to a public address; a forged 'paid' must not even start a question."""
    body = b'{"type": "payment_intent.succeeded", "data": {"object": {"id": "pi_1", "metadata": {"key": "K1"}}}}'
    now = int(datetime.now().timestamp())
    good = signature(WEBHOOK_SECRET, now, body)
    told = merchant.adapter.notice_read(_notice(good, body))
    assert told is not None and told.key == "K1"
    wrong = (
        signature("another", now, body),
        signature(WEBHOOK_SECRET, now - 301, body),
        signature(WEBHOOK_SECRET, now + 400, body),
        good.replace("v1=", "v0="),
        "",
        "t=1,t=2,v1=x",
        f"t={now},v1=é",
    )
    assert [merchant.adapter.notice_read(_notice(header, body)) for header in wrong] == [None] * len(wrong)
    assert merchant.adapter.notice_read(_notice(good, body + b" ")) is None


def test_the_signature_is_the_one_that_the_processor_documents() -> None:
    """A golden vector: HMAC-SHA256 of ``1492774577.{"a":1}`` under ``whsec_test``."""
    expected = "t=1492774577,v1="
    header = signature("whsec_test", 1492774577, b'{"a":1}')
    assert header.startswith(expected) and len(header) == len(expected) + 64
    both = header + ",v1=" + "0" * 64
    assert read_webhook(both, b'{"a":1}', ["old", "whsec_test"], 1492774577 + timedelta(minutes=4).seconds) == {"a": 1}


@given(st.text(max_size=60), st.binary(max_size=60))
def test_garbage_raises_parse_errors_only(header: str, body: bytes) -> None:
    with pytest.raises(ParseError):
        read_webhook(header, body, ["s"], 0)


def test_a_charge_keeps_its_request(merchant: Merchant) -> None:
    """Asked about another amount, the adapter must not say 'done'."""
    merchant.paid(1)
    with pytest.raises(OutcomeUnknown):
        merchant.ask(1, amount=1300)
