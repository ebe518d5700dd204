"""Posting into tills that ring up later: done once, found again, refused cleanly, never guessed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.sdk import (
    Declined,
    DeclineReason,
    Done,
    Fee,
    Method,
    Misconfigured,
    NotFound,
    NotSent,
    Original,
    OutcomeUnknown,
    Pending,
)
from gateway.testing.context import call
from tests.plugins.convenience.conftest import (
    ZFB_AND_WX,
    Shop,
    connect,
    done,
    give_back,
    key,
    line,
    sale,
    tender,
    upload,
    wait_for,
)

# --- the happy path -------------------------------------------------------------------------------------------------


def test_a_sale_is_pending_until_its_row_is_uploaded_and_done_after(shop: Shop) -> None:
    assert isinstance(shop.post(1), Pending)
    shop.answered(1)
    waiting = shop.query(1)
    assert isinstance(waiting, Pending) and waiting.ref == shop.rung(1)[0]
    assert done(shop, 1).facts["flow_no"] == shop.rung(1)[0]
    assert shop.simulator.books()["money"] == {"ZFB": 1200}


def test_split_tenders_and_two_tenders_of_one_kind_all_arrive(shop: Shop) -> None:
    """The uploader this profile was learnt from dropped tenders of a kind it had seen: split payments vanished."""
    shop.post(1, sale(tenders=(tender(600), tender(600), *ZFB_AND_WX)[:2]))
    done(shop, 1)
    shop.post(2, sale(tenders=ZFB_AND_WX))
    done(shop, 2)
    assert shop.simulator.books()["money"] == {"ZFB": 1900, "WX": 500}


def test_discounts_points_fees_and_rounding_add_up_at_the_till(tmp_path: Path, shop: Shop) -> None:
    adapter = connect(shop.simulator, tmp_path, fee_item="040006")
    lines = (line("010003", "2", 350, net=633), line("050002", "0.75", 2580))
    request = sale(lines, fees=(Fee(fee_id="bag", kind="bag", amount=30),), points_amount=100, rounding_amount=8)
    adapter.order_post(request=request, call=call(key(3)))
    shop.answered(3)
    bill = shop.simulator.books()["bills"][-1]
    assert bill["amount"] == 633 + 1935 + 30 - 8 == request.payable_amount + 100
    assert {row["pay_way"]: row["amount"] for row in bill["tenders"]} == {"ZFB": request.payable_amount, "COU": 100}
    assert [row["quantity"] for row in bill["lines"]] == ["2.000", "0.750", "1.000"]


def test_a_line_that_came_with_a_scale_label_is_rung_up_by_its_weight(shop: Shop) -> None:
    """A label that says only an amount is priced as one piece; the till's stock is in kilograms."""
    priced = replace(line("050001", "1", 4008), facts={"scale_label": "2106013040083"})
    shop.post(1, sale((priced,)))
    done(shop, 1, amount=4008)
    assert shop.simulator.books()["bills"][-1]["lines"][0]["quantity"] == "0.400"
    assert shop.simulator.books()["stock"]["0101"]["050001"] == "199.600"
    unknown = replace(priced, facts={"scale_label": "2106013040084"})
    with pytest.raises(Misconfigured, match="label_rules"):
        shop.post(2, sale((unknown,)))


def test_a_sale_that_cost_nothing_is_still_rung_up_under_our_reference(shop: Shop) -> None:
    shop.post(1, sale((line("980001", "1", 300, net=0),), tenders=()))
    done(shop, 1, amount=0)


def test_a_member_of_the_chain_is_named_on_the_bill_and_others_are_not(shop: Shop) -> None:
    shop.post(1, sale(member_ref="8800000003"))
    shop.post(2, sale(member_ref="mem_01K7ABC"))
    shop.answered(2)
    shop.answered(1)
    assert {bill["memo"]: bill["card"] for bill in shop.simulator.books()["bills"]} == {
        key(1): "8800000003",
        key(2): "",
    }


def test_a_return_names_the_sale_by_our_reference_and_goes_through_before_the_sale_is_uploaded(shop: Shop) -> None:
    shop.post(1, sale(tenders=ZFB_AND_WX))
    shop.answered(1)
    shop.post(2, give_back(Original(key=key(1)), (line("980001", "1", 300),)))
    done(shop, 2, amount=300)
    bill = shop.simulator.books()["bills"][-1]
    assert (bill["kind"], bill["original"]) == ("return", shop.rung(1)[0])
    assert shop.simulator.books()["money"] == {"ZFB": 400, "WX": 500}


def test_a_return_after_a_till_reset_finds_the_right_one_of_two_bills_with_one_number(shop: Shop) -> None:
    shop.post(1)
    shop.answered(1)
    shop.fault("till_reset")
    shop.post(2, sale((line("010003", "1", 350),)))
    shop.answered(2)
    assert shop.rung(1) == shop.rung(2)
    shop.post(3, give_back(Original(key=key(1), ref=shop.rung(1)[0]), (line("980001", "2", 300),)))
    assert shop.answered(3).suffix == ".OK"


# --- refusals -------------------------------------------------------------------------------------------------------


def test_another_branchs_bill_is_declined_before_anything_is_sent(shop: Shop) -> None:
    original = Original(key=key(1), ref="0101012611220001")
    answer = shop.post(2, give_back(original, (line("980001", "1", 300),), store="wensan"))
    assert isinstance(answer, Declined) and answer.reason is DeclineReason.NOT_REFUNDABLE
    assert list((shop.simulator.drop / "0102").iterdir()) == []


@pytest.mark.parametrize(
    ("request_", "reason", "code"),
    [
        (sale((line("999999", "1", 300),)), DeclineReason.NOT_FOUND, "21"),
        (sale((line("040007", "1", 200),)), DeclineReason.NOT_FOUND, "21"),
        (sale(tenders=(tender(1100),)), DeclineReason.AMOUNT_MISMATCH, "22"),
        (give_back(Original(key=key(99)), (line("980001", "1", 300),)), DeclineReason.NOT_FOUND, "31"),
    ],
)
def test_what_the_till_refuses_is_declined_and_not_in_the_books(
    shop: Shop, request_: object, reason: DeclineReason, code: str
) -> None:
    shop.post(1, request_)  # type: ignore[arg-type]
    assert shop.answered(1).suffix == ".ERR"
    answer = shop.query(1)
    assert isinstance(answer, Declined) and (answer.reason, answer.code) == (reason, code)
    assert shop.simulator.books()["bills"] == []


def test_more_than_was_sold_is_not_taken_back(shop: Shop) -> None:
    shop.post(1)
    shop.answered(1)
    for number, suffix in ((2, ".OK"), (3, ".ERR")):
        shop.post(number, give_back(Original(key=key(1)), (line("980001", "2", 300),)))
        assert shop.answered(number).suffix == suffix
    answer = shop.query(3)
    assert isinstance(answer, Declined) and answer.code == "33"


def test_settings_that_cannot_work_are_said_before_anything_is_sent(shop: Shop) -> None:
    for request, text in (
        (sale(store="nowhere"), "branches"),
        (sale(tenders=(tender(1200, Method.ON_ACCOUNT, ""),)), "pay_ways"),
        (sale(fees=(Fee(fee_id="f", kind="bag", amount=30),)), "fee_item"),
    ):
        with pytest.raises(Misconfigured, match=text):
            shop.post(1, request)
    shutil.rmtree(shop.simulator.drop / "0202")
    with pytest.raises(Misconfigured, match="drop_folder"):
        shop.post(1, sale(store="century"))
    assert list(shop.simulator.drop.glob("*/*")) == []


def test_nothing_leaves_after_the_deadline(shop: Shop) -> None:
    with pytest.raises(NotSent):
        shop.adapter.order_post(request=sale(), call=call(key(1), seconds=-1))
    assert list(shop.simulator.drop.glob("*/*")) == []


# --- looking before sending -----------------------------------------------------------------------------------------


def test_a_second_attempt_finds_the_first_at_each_stage(shop: Shop) -> None:
    """The answer to the first attempt was lost: whatever the till has made of it, it is rung up once."""
    shop.fault("refuse", times=None)
    shop.post(1)
    assert isinstance(shop.post(1, attempt=2), Pending)
    shop.simulator.faults.set([])
    shop.answered(1)
    assert isinstance(shop.post(1, attempt=2), Pending)
    upload(shop)
    answer = shop.post(1, attempt=2)
    assert isinstance(answer, Done) and answer.replayed
    shop.do("clean")
    answer = shop.post(1, attempt=3)
    assert isinstance(answer, Done) and answer.replayed
    assert len(shop.rung(1)) == 1


def test_a_second_attempt_sends_when_the_first_never_got_there(shop: Shop) -> None:
    assert isinstance(shop.post(1, attempt=2), Pending)
    done(shop, 1)


def test_a_second_attempt_that_cannot_look_does_not_send(shop: Shop, tmp_path: Path) -> None:
    blind = connect(shop.simulator, tmp_path, database=str(tmp_path / "missing.db"))
    with pytest.raises(OutcomeUnknown):
        blind.order_post(request=sale(), call=call(key(1), attempt=2))
    assert shop.rung(1) == [] and list(shop.simulator.drop.glob("*/*")) == []


def test_a_first_attempt_needs_no_database(shop: Shop, tmp_path: Path) -> None:
    """The head office being down must not keep a paid sale from its till."""
    blind = connect(shop.simulator, tmp_path, database=str(tmp_path / "missing.db"))
    assert isinstance(blind.order_post(request=sale(), call=call(key(1))), Pending)
    shop.answered(1)
    shop.sent[key(1)] = (sale(), {}, datetime.now(UTC))
    done(shop, 1)


@pytest.mark.parametrize(("fault", "code"), [("error", b"99"), ("disk_full", b"98")])
def test_when_the_till_says_it_booked_nothing_it_is_asked_again(shop: Shop, fault: str, code: bytes) -> None:
    shop.fault(fault)
    shop.post(1)
    assert code in shop.answered(1).read_bytes()
    assert shop.query(1) == NotFound(final=True)
    assert isinstance(shop.post(1, attempt=2), Pending)
    wait_for(lambda: len(shop.rung(1)) == 1)
    done(shop, 1)


def test_not_found_is_final_only_when_nothing_can_arrive_any_more(shop: Shop) -> None:
    """Nothing was dropped that we know of: final after the time in flight; open once answers may be tidied away."""
    now = datetime.now(UTC)
    for age, expected in ((5, NotFound()), (60, NotFound(final=True))):
        shop.sent[key(1)] = (sale(), {}, now - timedelta(seconds=age))
        assert shop.query(1) == expected
    shop.sent[key(1)] = (sale(), {}, now - timedelta(hours=20))
    assert isinstance(shop.query(1), Pending)


def test_once_dropped_it_stays_pending_after_the_nightly_clean_up(shop: Shop) -> None:
    shop.post(1)
    shop.answered(1)
    shop.do("clean")
    assert isinstance(shop.query(1), Pending)
    upload(shop)
    assert isinstance(shop.query(1), Done)
