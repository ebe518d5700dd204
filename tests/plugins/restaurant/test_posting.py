"""Protects that a paid sale is in the till's books once, whatever happens to the messages."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.sdk import (
    Declined,
    DeclineReason,
    Done,
    Method,
    NotFound,
    NotSent,
    NotSupported,
    OrderPost,
    OrderVoid,
    OutcomeUnknown,
    Step,
)
from tests.plugins.restaurant.support import SITE, Chain, original, tender


def in_force(chain: Chain, bill_id: str) -> list[tuple[str, int]]:
    """The tender rows in force as the till's own books have them: code and fen."""
    rows = chain.books(bill_id)["tenders"]
    return [(row["code"], row["amount"]) for row in rows if row["state"] == 1]


def post(chain: Chain, request: OrderPost, key: str, **kwargs: Any) -> Any:
    return chain.adapter.order_post(request, chain.call(key, **kwargs))


def void_of(chain: Chain, key: str, done: Done, request: OrderPost) -> OrderVoid:
    return OrderVoid(
        original=original(key, ref=done.ref, facts=done.facts),
        order_no=request.order_no,
        site=SITE,
        amount=request.payable_amount,
    )


def test_a_sale_settles_the_bill_and_clears_the_table(chain: Chain) -> None:
    bill, key = chain.seat(table="A03"), chain.key()
    chain.hold(bill)
    done = post(chain, chain.sale(bill), key)
    assert isinstance(done, Done)
    assert (done.amount, done.replayed, done.facts["cleared"]) == (bill.due_amount, False, True)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]
    assert chain.till("open", table="A03").code == 0


def test_every_message_is_journalled_before_it_goes(chain: Chain) -> None:
    journal: list[Step] = []
    bill, key = chain.seat(), chain.key()
    post(chain, chain.sale(bill), key, journal=journal)
    assert [(step.name, step.ref, step.done) for step in journal] == [
        ("pay", f"GW{key}/1", False),
        ("pay", f"GW{key}/1", True),
        ("clear", bill.bill_id, False),
        ("clear", bill.bill_id, True),
    ]


def test_five_tenders_are_five_rows_with_their_income(chain: Chain) -> None:
    bill, key = chain.seat(items=[{"dish": "D0508"}]), chain.key()
    rows = (
        tender("t1", 5000, Method.VOUCHER, channel="", ref="MT-88", income_amount=3900),
        tender("t2", 2000, Method.STORED_VALUE, channel=""),
        tender("t3", 500, Method.RED_ENVELOPE, channel=""),
        tender("t4", 10_000, channel="alipay"),
        tender("t5", bill.due_amount - 17_500, Method.CASH, channel=""),
    )
    post(chain, chain.sale(bill, tenders=rows), key)
    expected = [("08", 5000), ("05", 2000), ("13", 500), ("04", 10_000), ("01", bill.due_amount - 17_500)]
    assert in_force(chain, bill.bill_id) == expected
    shown = chain.pull("bill", bill=bill.bill_id)
    assert round(shown["notIncomeMoney"] * 100) == 1100


def test_what_lowered_the_price_is_booked_as_no_income(chain: Chain) -> None:
    bill, key = chain.seat(items=[{"dish": "D0508"}]), chain.key()
    request = chain.sale(bill, tenders=(tender("t1", bill.due_amount - 3000),), points_used=100, points_amount=1000)
    post(chain, request, key)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount - 3000), ("06", 1000), ("12", 2000)]
    shown = chain.pull("bill", bill=bill.bill_id)
    assert round(shown["notIncomeMoney"] * 100) == 3000


def test_two_bills_are_settled_from_the_same_tenders(chain: Chain) -> None:
    one, two, key = chain.seat(), chain.seat(), chain.key()
    both = one.due_amount + two.due_amount
    rows = (tender("t1", one.due_amount + 1000), tender("t2", both - one.due_amount - 1500, channel="alipay"))
    done = post(chain, chain.sale(one, two, tenders=rows), key)
    assert isinstance(done, Done)
    assert in_force(chain, one.bill_id) == [("03", one.due_amount)]
    assert in_force(chain, two.bill_id) == [("03", 1000), ("04", two.due_amount - 1500), ("12", 500)]


def test_what_staff_have_taken_before_stays(chain: Chain) -> None:
    opened, key = chain.seat(), chain.key()
    chain.pull("pay", bill=opened.bill_id, amount=1000)
    bill = chain.find(opened.bill_id)
    assert isinstance(post(chain, chain.sale(bill), key), Done)
    assert in_force(chain, bill.bill_id) == [("01", 1000), ("03", bill.due_amount)]


def test_a_bill_that_needs_nothing_is_settled_by_a_row_of_nothing(chain: Chain) -> None:
    bill, key = chain.seat(items=[{"dish": "D0407", "price": "0"}]), chain.key()
    assert bill.due_amount == 0
    assert isinstance(post(chain, chain.sale(bill, tenders=(tender("t1", 0),)), key), Done)
    assert in_force(chain, bill.bill_id) == [("15", 0)]


def test_a_bill_that_has_grown_is_not_settled(chain: Chain) -> None:
    bill = chain.seat()
    chain.pull("order", bill=bill.bill_id, items=[{"dish": "D0504"}])
    refused = post(chain, chain.sale(bill), chain.key())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.BILL_CHANGED
    assert in_force(chain, bill.bill_id) == []


def test_a_bill_settled_by_somebody_else_is_refused(chain: Chain) -> None:
    bill = chain.seat()
    chain.pull("pay", bill=bill.bill_id, amount=bill.due_amount)
    refused = post(chain, chain.sale(bill), chain.key())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.BILL_CLOSED


def test_tenders_over_the_bill_are_refused(chain: Chain) -> None:
    bill = chain.seat()
    refused = post(chain, chain.sale(bill, tenders=(tender("t1", bill.due_amount + 1),)), chain.key())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.AMOUNT_MISMATCH


def test_a_sale_without_a_bill_is_not_supported(chain: Chain) -> None:
    with pytest.raises(NotSupported):
        post(chain, chain.sale(), chain.key())


def test_a_tender_code_that_the_till_does_not_know_is_a_setting_to_mend(chain: Chain, rebuild: Any) -> None:
    bill, key = chain.seat(), chain.key()
    adapter = rebuild(tender_codes={"wechat": "99"})
    with pytest.raises(NotSent, match="tender_codes"):
        adapter.order_post(chain.sale(bill), chain.call(key))


# ---- lost, doubled and late messages

LOST = ["drop_after", "garbage", "half_body", "wrong_encoding"]


@pytest.mark.parametrize("fault", LOST)
def test_a_pay_whose_answer_is_lost_is_seen_in_the_bill(chain: Chain, fault: str) -> None:
    bill, key = chain.seat(), chain.key()
    chain.fault(fault, "pay")
    done = post(chain, chain.sale(bill), key)
    assert isinstance(done, Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


@pytest.mark.parametrize("fault", ["power_cut", "slow"])
def test_a_pay_that_cannot_be_seen_is_unknown_and_booked_once(chain: Chain, fault: str) -> None:
    journal: list[Step] = []
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    chain.fault(fault, "pay", value=600)
    seconds = 0.5 if fault == "slow" else 5.0
    with pytest.raises(OutcomeUnknown):
        post(chain, request, key, journal=journal, seconds=seconds)
    chain.pull("restart")
    assert journal[-1] == Step(name="pay", ref=f"GW{key}/1", done=False)
    answer = chain.ask("order_post", key, request, tuple(journal))
    assert isinstance(answer, Done)
    assert answer.amount == request.payable_amount
    again = post(chain, request, key, attempt=2)
    assert isinstance(again, Done)
    assert again.replayed
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


@pytest.mark.parametrize("fault", ["drop_before", "error", "disk_full"])
def test_a_pay_that_never_acted_is_not_found_and_booked_by_the_next_attempt(chain: Chain, fault: str) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    chain.fault(fault, "pay")
    with pytest.raises(OutcomeUnknown):
        post(chain, request, key)
    assert chain.ask("order_post", key, request) == NotFound()
    assert isinstance(post(chain, request, key, attempt=2), Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


def test_a_half_booked_sale_is_completed_and_not_begun_again(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000, channel="alipay")))
    chain.fault("power_cut", "pay", value=60_000)
    with pytest.raises(OutcomeUnknown):
        post(chain, request, key)
    chain.pull("restart")
    assert in_force(chain, bill.bill_id) == [("03", 1000)]
    assert chain.ask("order_post", key, request) == NotFound()
    assert isinstance(post(chain, request, key, attempt=2), Done)
    assert in_force(chain, bill.bill_id) == [("03", 1000), ("04", bill.due_amount - 1000)]


def test_a_row_doubled_by_the_network_is_put_right(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000, channel="alipay")))
    chain.fault("duplicate", "pay")
    assert isinstance(post(chain, request, key), Done)
    assert in_force(chain, bill.bill_id) == [("03", 1000), ("04", bill.due_amount - 1000)]
    assert chain.books(bill.bill_id)["paid_amount"] == bill.due_amount


def test_a_doubled_row_is_left_to_a_person_where_others_have_paid_too(chain: Chain) -> None:
    opened, key = chain.seat(), chain.key()
    chain.pull("pay", bill=opened.bill_id, amount=500)
    bill = chain.find(opened.bill_id)
    request = chain.sale(bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000, channel="alipay")))
    chain.fault("duplicate", "pay")
    with pytest.raises(OutcomeUnknown, match="others paid too"):
        post(chain, request, key)


def test_a_doubled_last_row_is_refused_by_the_till_itself(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    chain.fault("duplicate", "pay")
    assert isinstance(post(chain, chain.sale(bill), key), Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


def test_a_pay_that_acts_late_is_found(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    chain.fault("late_success", "pay", value=150)
    with pytest.raises(OutcomeUnknown):
        post(chain, request, key)
    assert chain.ask("order_post", key, request) == NotFound()
    for timer in chain.simulator._timers:
        timer.join(5)
    assert isinstance(chain.ask("order_post", key, request), Done)


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_id"])
def test_a_wrong_answer_to_a_pay_does_not_matter_because_the_bill_is_read_again(chain: Chain, fault: str) -> None:
    bill, key = chain.seat(), chain.key()
    chain.fault(fault, "pay", value=100)
    assert isinstance(post(chain, chain.sale(bill), key), Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


@pytest.mark.parametrize("fault", ["wrong_amount", "wrong_id", "garbage", "drop_after", "error"])
def test_trouble_with_the_look_before_is_not_sent(chain: Chain, fault: str) -> None:
    bill, key = chain.seat(), chain.key()
    chain.fault(fault, "bill", value=1)
    with pytest.raises(NotSent, match="nothing was changed"):
        post(chain, chain.sale(bill), key)
    assert in_force(chain, bill.bill_id) == []


def test_trouble_with_the_look_after_is_unknown(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    done_once: list[int] = []

    def spoil_second_look(step: Step) -> None:
        if step.name == "pay" and step.done and not done_once:
            done_once.append(1)
            chain.fault("garbage", "bill")

    call = chain.call(key)
    with pytest.raises(OutcomeUnknown):
        chain.adapter.order_post(request, type(call)(key=key, deadline=call.deadline, journal=spoil_second_look))
    assert isinstance(chain.ask("order_post", key, request), Done)
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "error"])
def test_a_table_that_cannot_be_cleared_does_not_unbook_the_sale(chain: Chain, fault: str) -> None:
    bill, key = chain.seat(), chain.key()
    chain.fault(fault, "clear")
    done = post(chain, chain.sale(bill), key)
    assert isinstance(done, Done)
    assert done.facts["cleared"] is False


def test_a_bill_changed_between_two_attempts_is_left_to_a_person(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill, tenders=(tender("t1", 1000), tender("t2", bill.due_amount - 1000)))
    chain.fault("power_cut", "pay", value=60_000)
    with pytest.raises(OutcomeUnknown):
        post(chain, request, key)
    chain.pull("restart")
    chain.pull("order", bill=bill.bill_id, items=[{"dish": "D0504"}])
    with pytest.raises(OutcomeUnknown, match="changed after a part"):
        post(chain, request, key, attempt=2)
    assert in_force(chain, bill.bill_id) == [("03", 1000)]


def test_a_sale_that_staff_settled_anew_was_booked_all_the_same(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    chain.fault("settled_again", "clear")
    post(chain, request, key)
    assert in_force(chain, bill.bill_id) == [("01", bill.due_amount)]
    assert isinstance(chain.ask("order_post", key, request), Done)
    again = post(chain, request, key, attempt=2)
    assert isinstance(again, Done)
    assert again.replayed
    assert in_force(chain, bill.bill_id) == [("01", bill.due_amount)]


# ---- the undo


def test_a_voided_sale_is_out_of_the_books_and_the_bill_open_again(chain: Chain) -> None:
    bill, key, undo = chain.seat(), chain.key(), chain.key()
    request = chain.sale(bill)
    void = void_of(chain, key, post(chain, request, key), request)
    assert isinstance(chain.adapter.order_void(void, chain.call(undo)), Done)
    assert in_force(chain, bill.bill_id) == []
    assert chain.find(bill.bill_id).due_amount == bill.due_amount
    again = chain.adapter.order_void(void, chain.call(undo, attempt=2))
    assert isinstance(again, Done)


@pytest.mark.parametrize(("fault", "found"), [("drop_before", NotFound), ("power_cut", Done)])
def test_a_lost_answer_to_a_void_is_found_out(chain: Chain, fault: str, found: type) -> None:
    bill, key, undo = chain.seat(), chain.key(), chain.key()
    request = chain.sale(bill)
    void = void_of(chain, key, post(chain, request, key), request)
    chain.fault(fault, "reopen", value=60_000)
    with pytest.raises(OutcomeUnknown):
        chain.adapter.order_void(void, chain.call(undo))
    chain.pull("restart")
    assert isinstance(chain.ask("order_void", undo, void), found)
    assert isinstance(chain.adapter.order_void(void, chain.call(undo, attempt=2)), Done)
    assert in_force(chain, bill.bill_id) == []


@pytest.mark.parametrize("fault", ["drop_after", "garbage"])
def test_a_void_whose_answer_is_lost_is_seen_in_the_bill(chain: Chain, fault: str) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    void = void_of(chain, key, post(chain, request, key), request)
    chain.fault(fault, "reopen")
    assert isinstance(chain.adapter.order_void(void, chain.call()), Done)
    assert in_force(chain, bill.bill_id) == []


def test_a_doubled_void_takes_back_once(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    void = void_of(chain, key, post(chain, request, key), request)
    chain.fault("duplicate", "reopen")
    assert isinstance(chain.adapter.order_void(void, chain.call()), Done)
    assert chain.books(bill.bill_id)["state"] == 0


def test_after_the_day_is_closed_a_sale_stays(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    request = chain.sale(bill)
    void = void_of(chain, key, post(chain, request, key), request)
    chain.pull("close_day")
    refused = chain.adapter.order_void(void, chain.call())
    assert isinstance(refused, Declined)
    assert (refused.reason, refused.code) == (DeclineReason.TOO_LATE, "50021")
    assert in_force(chain, bill.bill_id) == [("03", bill.due_amount)]


def test_a_bill_that_others_paid_too_is_not_voided(chain: Chain) -> None:
    opened, key = chain.seat(), chain.key()
    chain.pull("pay", bill=opened.bill_id, amount=1000)
    request = chain.sale(chain.find(opened.bill_id))
    void = void_of(chain, key, post(chain, request, key), request)
    refused = chain.adapter.order_void(void, chain.call())
    assert isinstance(refused, Declined)
    assert refused.reason is DeclineReason.NOT_REFUNDABLE


def test_two_bills_rounded_down_by_themselves_may_need_less_than_their_sum(chain: Chain) -> None:
    # 128.55 and its service charge are 141.405: each bill is wiped to 141.40, their sum only once.
    bills, key = tuple(chain.seat(items=[{"dish": "D0102"}]) for _ in range(2)), chain.key()
    due = sum(bill.due_amount for bill in bills)
    done = post(chain, chain.sale(*bills, tenders=(tender("t1", due + 9),)), key)
    assert isinstance(done, Done)
    assert [in_force(chain, bill.bill_id) for bill in bills] == [
        [("03", bills[0].due_amount)],
        [("03", bills[1].due_amount + 9)],
    ]
    assert isinstance(chain.ask("order_post", key, chain.sale(*bills, tenders=(tender("t1", due + 9),))), Done)
