"""Posting into tills that ring up later: done once, found again, refused cleanly, never guessed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.sdk import (
    Declined,
    DeclineReason,
    Done,
    Fee,
    InvalidReply,
    Method,
    Misconfigured,
    NotFound,
    NotSent,
    Original,
    OutcomeUnknown,
    Pending,
)
from gateway.testing.context import call
from plugins.convenience.simulator import ConvenienceSimulator
from tests.plugins.convenience.conftest import BRANCHES, Shop, connect, give_back, key, line, sale, tender, wait_for

ZFB_AND_WX = (tender(700), tender(500, channel="wechat", ref="420000"))


def upload(shop: Shop) -> None:
    shop.do("upload")


def done(shop: Shop, number: int, amount: int = 1200) -> Done:
    """Wait for the till, upload, and ask: it must be done, once."""
    shop.answered(number)
    upload(shop)
    answer = shop.query(number)
    assert isinstance(answer, Done) and answer.amount == amount
    assert [answer.ref] == shop.rung(number)
    return answer


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


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "latency", "slow", "late_success", "clock_skew"])
def test_a_till_that_acts_and_does_not_answer_is_found_in_the_table(shop: Shop, fault: str) -> None:
    shop.fault(fault, value=3600 if fault == "clock_skew" else 30)
    shop.post(1)
    assert isinstance(shop.query(1), Pending)
    wait_for(lambda: len(shop.rung(1)) == 1)
    upload(shop)
    assert isinstance(shop.query(1), Done)
    assert isinstance(shop.post(1, attempt=2), Done)
    assert len(shop.rung(1)) == 1


def test_a_till_that_claims_and_dies_stays_pending_and_is_not_sent_again(shop: Shop) -> None:
    """Nobody can tell from outside: a person restarts the till program, and then it is rung up once."""
    shop.fault("drop_before")
    shop.post(1)
    wait_for(lambda: bool(list(shop.simulator.drop.glob("*/*.ING"))))
    assert isinstance(shop.query(1), Pending)
    assert isinstance(shop.post(1, attempt=2), Pending)
    shop.do("unstick")
    done(shop, 1)


@pytest.mark.parametrize(
    "fault", ["garbage", "half_body", "bad_signature", "wrong_encoding", "wrong_id", "wrong_amount"]
)
def test_an_answer_that_does_not_fit_is_unknown_never_a_refusal(shop: Shop, fault: str) -> None:
    shop.fault(fault, value=100)
    shop.post(1)
    shop.answered(1)
    with pytest.raises(InvalidReply):
        shop.query(1)
    with pytest.raises(InvalidReply):
        shop.post(1, attempt=2)
    assert len(shop.simulator.books()["bills"]) == 1


@pytest.mark.parametrize("fault", ["garbage", "half_body", "bad_signature", "wrong_encoding"])
def test_the_uploaded_row_settles_what_a_broken_answer_left_open(shop: Shop, fault: str) -> None:
    shop.fault(fault)
    shop.post(1)
    done(shop, 1)


def test_a_bill_of_another_amount_is_never_taken_for_ours(shop: Shop) -> None:
    shop.fault("wrong_amount", value=-50)
    shop.post(1)
    shop.answered(1)
    upload(shop)
    with pytest.raises(InvalidReply, match=r"told 12\.00, rung up 11\.50"):
        shop.query(1)


def test_a_sale_under_somebody_elses_reference_is_not_ours(shop: Shop) -> None:
    shop.fault("wrong_id")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    with pytest.raises(InvalidReply, match="about"):
        shop.query(1)
    shop.do("clean")
    assert isinstance(shop.query(1), Pending)


def test_a_till_that_rings_up_twice_is_done_and_says_so(shop: Shop) -> None:
    shop.fault("duplicate", "order")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    answer = shop.query(1)
    assert isinstance(answer, Done)
    assert [answer.ref, *answer.facts["also_rung_up_as"]] == shop.rung(1)


def test_a_torn_upload_is_pending_until_the_rest_is_there(shop: Shop) -> None:
    shop.fault("torn_upload")
    shop.post(1, sale(tenders=ZFB_AND_WX))
    shop.answered(1)
    upload(shop)
    assert isinstance(shop.query(1), Pending)
    upload(shop)
    assert isinstance(shop.query(1), Done)


def test_the_same_rows_uploaded_twice_count_once(shop: Shop) -> None:
    shop.fault("duplicate", "upload")
    shop.post(1, sale(tenders=ZFB_AND_WX))
    done(shop, 1)


def test_a_bill_uploaded_again_with_one_more_tender_is_noticed(shop: Shop) -> None:
    shop.fault("extra_tender", "upload", value=300)
    shop.post(1)
    shop.answered(1)
    upload(shop)
    with pytest.raises(InvalidReply, match=r"tenders 15\.00"):
        shop.query(1)


def test_a_till_that_loses_its_memory_leaves_it_open_for_a_person(shop: Shop) -> None:
    shop.fault("lose_memory")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    assert isinstance(shop.query(1), Pending)
    assert isinstance(shop.post(1, attempt=2), Pending)
    assert shop.simulator.books()["lost"] and not shop.rung(1)


def test_a_bill_that_head_office_deleted_is_open_again_and_not_sent_again(shop: Shop) -> None:
    shop.fault("deleted", "upload")
    shop.post(1)
    shop.answered(1)
    upload(shop)
    assert isinstance(shop.query(1), Pending)
    assert isinstance(shop.post(1, attempt=2), Pending)
    assert list(shop.simulator.drop.glob("*/*.ORD")) == []


def test_a_late_upload_is_waited_for(tmp_path: Path) -> None:
    simulator = ConvenienceSimulator(tmp_path / "legacy", {"upload_delay_s": "0.05", "poll_ms": "5"})
    simulator.start()
    try:
        late = Shop(simulator, connect(simulator, tmp_path))
        late.fault("late_upload", value=3600, times=None)
        late.post(1)
        late.answered(1)
        time.sleep(0.2)
        assert isinstance(late.query(1), Pending)
        simulator.faults.set([])
        wait_for(lambda: isinstance(late.query(1), Done))
    finally:
        simulator.stop()


def test_a_locked_database_is_not_waited_for_for_ever(shop: Shop, tmp_path: Path) -> None:
    """One try with a bounded wait, never a retry of a retry: the known uploader recursed until its stack was gone."""
    import threading

    hurried = connect(shop.simulator, tmp_path, lock_wait_s=0.05)
    shop.post(1)
    shop.answered(1)
    shop.fault("locked", "upload", value=600)
    thread = threading.Thread(target=upload, args=(shop,))
    thread.start()
    wait_for(lambda: not shop.simulator.faults.list())
    began = datetime.now(UTC)
    with pytest.raises(NotSent, match="locked"):
        hurried.check()
    assert datetime.now(UTC) - began < timedelta(seconds=0.5)
    thread.join(5)
    assert isinstance(shop.query(1), Done)


def test_a_full_disk_at_our_side_is_not_sent(shop: Shop, tmp_path: Path) -> None:
    settings = {"database": "none.db", "drop_folder": str(shop.simulator.drop), "branches": BRANCHES}
    code = f"""
import resource, signal
from pathlib import Path
from gateway.sdk import NotSent
from gateway.testing.context import build, call
from plugins.convenience.adapter import ConvenienceAdapter
from tests.plugins.convenience.conftest import key, sale
adapter = build(ConvenienceAdapter, {settings!r}, Path({str(tmp_path)!r}))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
try:
    adapter.order_post(request=sale(), call=call(key(1)))
except NotSent as error:
    print("not sent:", error)
"""
    root = Path(__file__).parents[3]
    run = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=30)
    assert "not sent: order file not written" in run.stdout, run.stderr
    assert list(shop.simulator.drop.glob("*/*")) == []


def test_references_with_quotes_cannot_break_a_search(shop: Shop) -> None:
    """The known uploader pasted values into its SQL: everything here is a bound parameter."""
    for nasty in ("' OR 1=1 --", "O'Neil", "%", "\x00"):
        assert shop.adapter._head_office.payments_by_memo(nasty, 0) == []


@pytest.mark.parametrize("delay_ms", [0, 1, 2, 4, 8, 16])
def test_a_sender_killed_at_any_moment_leaves_one_bill_or_none(shop: Shop, tmp_path: Path, delay_ms: int) -> None:
    """kill -9 around the drop: the folder holds a whole file or nothing, and a second attempt makes it exactly one."""
    settings = {
        "database": str(shop.simulator.head_office.path),
        "drop_folder": str(shop.simulator.drop),
        "branches": BRANCHES,
    }
    code = f"""
import sys
import time
from pathlib import Path
from gateway.testing.context import build, call
from plugins.convenience.adapter import ConvenienceAdapter
from tests.plugins.convenience.conftest import key, sale
adapter = build(ConvenienceAdapter, {settings!r}, Path({str(tmp_path)!r}))
sys.stdout.write("ready\\n"); sys.stdout.flush(); sys.stdin.readline()
adapter.order_post(request=sale(), call=call(key(1)))
sys.stdin.readline()
"""
    sender = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with sender:
        assert sender.stdout and sender.stdout.readline() == b"ready\n" and sender.stdin
        sender.stdin.write(b"go\n")
        sender.stdin.flush()
        time.sleep(delay_ms / 1000)
        sender.kill()
    shop.post(1, attempt=2)
    shop.answered(1)
    assert len(shop.rung(1)) == 1
    assert not list(shop.simulator.drop.glob("*/*.ERR"))
