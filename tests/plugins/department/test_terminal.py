"""The bank terminal: one send at most, the reprint as the only query, and no card charged twice."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.sdk import (
    Authorize,
    Capture,
    Charge,
    Declined,
    DeclineReason,
    Done,
    Method,
    NotFound,
    NotSent,
    NotSupported,
    Original,
    OutcomeUnknown,
    PaymentRefund,
    Pending,
    Query,
    Release,
    Reverse,
    Settle,
    Site,
    StatementRequest,
    Step,
)
from plugins.department import terminal_adapter
from plugins.department.protocol_bankall import (
    BankRequest,
    Kind,
    decode_response,
    encode_request,
    read_frame,
    write_frame,
)


@pytest.fixture
def charge(site: Site) -> Charge:
    return Charge(
        amount=145700, currency="CNY", method=Method.BANK_CARD, order_no="PF0308", subject="银座百货", site=site
    )


@pytest.fixture
def adapter(terminal: Any) -> Any:
    return terminal.adapter()


def asked(desk: Any, name: str, request: Any, hook: str = "payment_charge", steps: tuple[Step, ...] = ()) -> Query:
    return Query(hook=hook, key=desk.key(name), request=request, sent_at=datetime.now(UTC), steps=steps)


def reverse_of(charge: Charge, key: str, done: Done | None = None) -> Reverse:
    facts = done.facts if done else {}
    original = Original(key=key, ref=done.ref if done else "", facts=facts)
    return Reverse(original=original, amount=charge.amount, currency="CNY", site=charge.site)


def refund_of(charge: Charge, key: str, done: Done, amount: int) -> PaymentRefund:
    original = Original(key=key, ref=done.ref, facts=done.facts)
    return PaymentRefund(
        original=original, amount=amount, charged_amount=charge.amount, currency="CNY", reason="size", site=charge.site
    )


def test_a_card_is_charged_voided_and_the_books_agree(terminal: Any, adapter: Any, desk: Any, charge: Charge) -> None:
    steps: list[Step] = []
    done = adapter.payment_charge(request=charge, call=desk.call("c", journal=steps))
    assert isinstance(done, Done)
    assert (done.amount, done.facts["card"], done.facts["voucher"]) == (145700, "621700******1688", 1)
    assert [(step.name, step.ref, step.done) for step in steps] == [("sale", "000000", False), ("sale", "000000", True)]
    undone = adapter.payment_reverse(request=reverse_of(charge, desk.key("c"), done), call=desk.call("v"))
    assert isinstance(undone, Done)
    assert undone.facts["action"] == "refund"
    assert terminal.kinds() == [("00", 145700), ("01", 145700)]
    assert terminal.books["net"] == 0
    after = adapter.payment_query(request=asked(desk, "c", charge))
    assert isinstance(after, Declined)
    assert after.reason is DeclineReason.CLOSED


def test_part_of_a_sale_is_returned_by_its_date_and_reference(
    terminal: Any, adapter: Any, desk: Any, charge: Charge
) -> None:
    done = adapter.payment_charge(request=charge, call=desk.call("c"))
    for name, amount in (("r1", 16502), ("r2", 145700 - 16502)):
        request = refund_of(charge, desk.key("c"), done, amount)
        assert adapter.payment_refund(request=request, call=desk.call(name)).amount == amount
        assert adapter.payment_refund(request=request, call=desk.call(name, attempt=2)).replayed
    declined = adapter.payment_refund(request=refund_of(charge, desk.key("c"), done, 1), call=desk.call("r3"))
    assert declined.reason is DeclineReason.NOT_REFUNDABLE
    assert terminal.books["net"] == 0


@pytest.mark.parametrize(
    ("lever", "reason"),
    [
        (("present_card", {"card": "622202******0312"}), DeclineReason.INSUFFICIENT_FUNDS),
        (("customer", {"does": "cancels"}), DeclineReason.DECLINED),
        (("customer", {"does": "wrong_pin"}), DeclineReason.DECLINED),
    ],
)
def test_listed_codes_are_declines_and_stay_so(
    terminal: Any, adapter: Any, desk: Any, charge: Charge, lever: Any, reason: DeclineReason
) -> None:
    name, fields = lever
    terminal.do(name, **fields)
    assert adapter.payment_charge(request=charge, call=desk.call("c")).reason is reason
    assert adapter.payment_query(request=asked(desk, "c", charge)).reason is reason
    assert terminal.kinds() == []


# --- answers lost after the card was charged ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", ["drop_after", "garbage", "half_body", "wrong_amount", "wrong_id", "bad_signature", "host_timeout"]
)
def test_a_charge_whose_answer_is_lost_is_found_by_reprint_and_never_made_twice(
    terminal: Any, adapter: Any, desk: Any, charge: Charge, fault: str
) -> None:
    terminal.fault(fault, "sale")
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c"))
    again = adapter.payment_charge(request=charge, call=desk.call("c", attempt=2))
    assert isinstance(again, Done)
    assert again.replayed
    found = adapter.payment_query(request=asked(desk, "c", charge))
    assert isinstance(found, Done)
    assert (found.amount, found.ref) == (145700, again.ref)
    assert terminal.kinds() == [("00", 145700)]


def test_text_in_another_character_set_does_not_hide_the_charge(
    terminal: Any, adapter: Any, desk: Any, charge: Charge
) -> None:
    terminal.fault("wrong_encoding", "sale")
    try:
        adapter.payment_charge(request=charge, call=desk.call("c"))
    except OutcomeUnknown:
        assert isinstance(adapter.payment_query(request=asked(desk, "c", charge)), Done)
    assert terminal.kinds() == [("00", 145700)]


@pytest.mark.parametrize("fault", ["drop_before", "error", "dll_hang_before"])
def test_a_charge_that_was_not_made_is_not_found(
    terminal: Any, adapter: Any, desk: Any, charge: Charge, fault: str
) -> None:
    terminal.fault(fault, "sale", value=50)
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c"))
    found = adapter.payment_query(request=asked(desk, "c", charge))
    # The DLL came back from the call in two of the cases, so nothing of it is under way: final.
    assert found == NotFound(final=fault != "drop_before")
    assert terminal.kinds() == []


def test_not_found_is_final_once_no_call_can_be_under_way(terminal: Any, desk: Any, charge: Charge) -> None:
    late = timedelta(0)
    adapter = terminal.make(clock=lambda: datetime.now(UTC) + late)
    terminal.fault("drop_before", "sale")
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c"))
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c", attempt=2))
    late = timedelta(seconds=101)
    assert adapter.payment_query(request=asked(desk, "c", charge)) == NotFound(final=True)


def test_a_hanging_dll_outlives_the_call_and_its_late_answer_is_taken(
    terminal: Any, adapter: Any, desk: Any, charge: Charge
) -> None:
    """The helper goes on: the query is pending, nothing else is sent, and the answer is used when it comes."""
    terminal.fault("dll_hang", "sale", value=900)
    with pytest.raises(OutcomeUnknown, match="goes on"):
        adapter.payment_charge(request=charge, call=desk.call("c", seconds=0.5))
    assert isinstance(adapter.payment_query(request=asked(desk, "c", charge)), Pending)
    other = replace(charge, order_no="PF0309")
    with pytest.raises(NotSent, match="under way"):
        adapter.payment_charge(request=other, call=desk.call("d", seconds=0.2))
    with pytest.raises(NotSent, match="busy"):
        adapter.payment_reverse(request=reverse_of(charge, desk.key("c")), call=desk.call("v"))
    time.sleep(1.0)
    found = adapter.payment_query(request=asked(desk, "c", charge))
    assert isinstance(found, Done)
    assert isinstance(adapter.payment_charge(request=other, call=desk.call("d")), Done)
    assert terminal.kinds() == [("00", 145700), ("00", 145700)]


def test_a_late_decline_settles_an_unknown_charge(terminal: Any, adapter: Any, desk: Any, charge: Charge) -> None:
    adapter.check()
    terminal.do("customer", does="wrong_pin")
    terminal.fault("dll_hang", "sale", value=500)
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c", seconds=0.2))
    time.sleep(0.7)
    assert isinstance(adapter.payment_query(request=asked(desk, "c", charge)), Declined)


def test_another_worker_finds_the_charge_by_the_journalled_step(terminal: Any, desk: Any, charge: Charge) -> None:
    """A process that died left the step's reference: the last voucher before the charge."""
    adapter, other = terminal.adapter(), terminal.make()
    earlier = adapter.payment_charge(request=charge, call=desk.call("a"))
    steps: list[Step] = []
    terminal.fault("drop_after", "sale")
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c", journal=steps))
    found = other.payment_query(request=asked(desk, "c", charge, steps=tuple(steps)))
    assert isinstance(found, Done)
    assert found.facts["voucher"] == earlier.facts["voucher"] + 1


def test_two_charges_that_both_fit_are_a_question_for_the_cashier(terminal: Any, desk: Any, charge: Charge) -> None:
    adapter, other = terminal.adapter(), terminal.make()
    terminal.fault("drop_after", "sale")
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c"))
    other.payment_charge(request=charge, call=desk.call("x"))  # the same amount, rung up by somebody else
    found = adapter.payment_query(request=asked(desk, "c", charge))
    assert isinstance(found, Pending)
    assert found.next_action is not None
    assert found.next_action.fields == {"slip_no": "000001, 000002"}


def test_one_terminal_serves_one_program_at_a_time(terminal: Any, desk: Any, charge: Charge) -> None:
    adapter, other = terminal.adapter(), terminal.make()
    other.check()
    terminal.fault("dll_hang", "sale", value=800)
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c", seconds=0.4))
    with pytest.raises(NotSent, match="busy"):
        other.payment_charge(request=charge, call=desk.call("x"))
    time.sleep(0.6)
    assert terminal.kinds() == [("00", 145700)]


def test_a_terminal_that_acted_twice_is_told(terminal: Any, adapter: Any, desk: Any, charge: Charge) -> None:
    terminal.fault("duplicate", "sale")
    done = adapter.payment_charge(request=charge, call=desk.call("c"))
    assert done.facts["voucher"] == 2
    assert done.facts["vouchers_to_check"] == [1]


def test_a_dll_that_never_comes_back_is_ended_and_the_charge_is_found(
    terminal: Any, desk: Any, charge: Charge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal_adapter, "_STUCK_MARGIN_S", 0.1)
    adapter = terminal.make(timeout_s=0.8)
    adapter.check()
    terminal.fault("dll_hang", "sale", value=60_000)
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c"))
    assert isinstance(adapter.payment_query(request=asked(desk, "c", charge)), Pending)
    time.sleep(0.3)
    found = adapter.payment_query(request=asked(desk, "c", charge))
    assert isinstance(found, Done)
    assert terminal.kinds() == [("00", 145700)]


# --- undoing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "host_timeout"])
def test_a_void_whose_answer_is_lost_is_made_once(
    terminal: Any, adapter: Any, desk: Any, charge: Charge, fault: str
) -> None:
    done = adapter.payment_charge(request=charge, call=desk.call("c"))
    request = reverse_of(charge, desk.key("c"), done)
    terminal.fault(fault, "void")
    with pytest.raises(OutcomeUnknown):
        adapter.payment_reverse(request=request, call=desk.call("v"))
    found = adapter.payment_query(request=asked(desk, "v", request, "payment_reverse"))
    assert isinstance(found, Done)
    assert isinstance(adapter.payment_query(request=asked(desk, "c", charge)), Declined)
    assert adapter.payment_reverse(request=request, call=desk.call("v2")).facts["action"] == "refund"
    assert terminal.kinds() == [("00", 145700), ("01", 145700)]


def test_an_unknown_charge_is_found_and_voided_by_the_reversal(
    terminal: Any, adapter: Any, desk: Any, charge: Charge
) -> None:
    terminal.fault("drop_after", "sale")
    with pytest.raises(OutcomeUnknown):
        adapter.payment_charge(request=charge, call=desk.call("c"))
    done = adapter.payment_reverse(request=reverse_of(charge, desk.key("c")), call=desk.call("v"))
    assert done.facts["action"] == "refund"
    assert terminal.books["net"] == 0


def test_reversing_a_charge_that_never_was_keeps_it_from_being_sent(
    terminal: Any, adapter: Any, desk: Any, charge: Charge
) -> None:
    done = adapter.payment_reverse(request=reverse_of(charge, desk.key("c")), call=desk.call("v"))
    assert done.facts["action"] == "close"
    late = adapter.payment_charge(request=charge, call=desk.call("c"))
    assert isinstance(late, Declined)
    assert adapter.payment_query(request=asked(desk, "c", charge)) == NotFound(final=True)
    assert terminal.kinds() == []


def test_a_settled_batch_is_reversed_by_a_return(terminal: Any, adapter: Any, desk: Any, charge: Charge) -> None:
    done = adapter.payment_charge(request=charge, call=desk.call("c"))
    settle = Settle(site=charge.site, sale_count=1, sale_amount=145700, refund_count=0, refund_amount=0)
    closed = adapter.payment_settle(request=settle, call=desk.call("s"))
    assert (closed.amount, closed.facts["batch"], closed.facts["text"]) == (145700, 1, "消费1笔 退0笔")
    undone = adapter.payment_reverse(request=reverse_of(charge, desk.key("c"), done), call=desk.call("v"))
    assert undone.facts["action"] == "refund"
    assert terminal.kinds() == [("00", 145700), ("02", 145700)]


def test_a_terminal_that_must_sign_on_first_does_so(terminal: Any, adapter: Any, desk: Any, charge: Charge) -> None:
    terminal.do("sign_off")
    assert isinstance(adapter.payment_charge(request=charge, call=desk.call("c")), Done)
    assert terminal.kinds() == [("00", 145700)]


# --- deposits -------------------------------------------------------------------------------------------------------


def test_a_deposit_is_held_taken_in_part_and_the_rest_let_go(
    terminal: Any, adapter: Any, desk: Any, site: Site
) -> None:
    authorize = Authorize(
        amount=50000, currency="CNY", method=Method.BANK_CARD, order_no="PF1", subject="押金", site=site
    )
    held = adapter.payment_authorize(request=authorize, call=desk.call("a"))
    original = Original(key=desk.key("a"), ref=held.ref, facts=held.facts)
    capture = Capture(original=original, amount=30000, held_amount=50000, currency="CNY", site=site)
    assert adapter.payment_capture(request=capture, call=desk.call("k")).amount == 30000
    release = Release(original=original, amount=20000, currency="CNY", site=site)
    assert adapter.payment_release(request=release, call=desk.call("l")).replayed
    assert terminal.books["net"] == 30000
    assert {card["frozen"] for card in terminal.books["cards"]} == {0}
    whole = adapter.payment_authorize(request=authorize, call=desk.call("a2"))
    original = Original(key=desk.key("a2"), ref=whole.ref, facts=whole.facts)
    release = Release(original=original, amount=50000, currency="CNY", site=site)
    assert adapter.payment_release(request=release, call=desk.call("l2")).amount == 50000
    assert (
        adapter.payment_query(request=asked(desk, "a2", authorize, "payment_authorize")).reason is DeclineReason.CLOSED
    )
    assert {card["frozen"] for card in terminal.books["cards"]} == {0}


# --- the rest -------------------------------------------------------------------------------------------------------


def test_the_statement_is_the_dlls_own_detail_file(
    terminal: Any, adapter: Any, desk: Any, charge: Charge, today: date
) -> None:
    done = adapter.payment_charge(request=charge, call=desk.call("c"))
    adapter.payment_refund(request=refund_of(charge, desk.key("c"), done, 16502), call=desk.call("r"))
    page = adapter.payment_statement(request=StatementRequest(business_date=today))
    assert [(row.kind, row.amount, row.original_ref) for row in page.items] == [
        ("charge", 145700, ""),
        ("refund", -16502, done.ref),
    ]
    assert page.items[0].ref == done.ref
    assert sum(row.amount for row in page.items) == terminal.books["net"]
    empty = adapter.payment_statement(request=StatementRequest(business_date=today - timedelta(days=400)))
    assert empty.items == ()


def test_only_cards_and_only_a_helper_that_starts(terminal: Any, desk: Any, charge: Charge) -> None:
    with pytest.raises(NotSupported):
        terminal.make().payment_charge(request=replace(charge, method=Method.PAYMENT_CODE), call=desk.call("c"))
    with pytest.raises(NotSent, match="cannot be started"):
        terminal.make(helper=["/nonexistent/helper"]).check()
    with pytest.raises(NotSent, match="left at once"):
        terminal.make(helper=[sys.executable, "-c", "raise SystemExit(3)"]).check()
    terminal.fault("refuse", "start")
    with pytest.raises(NotSent, match="left at once"):
        terminal.make().payment_charge(request=charge, call=desk.call("c"))
    assert terminal.kinds() == []


def test_a_helper_that_starts_slowly_is_waited_for_by_call_after_call(
    terminal: Any, desk: Any, charge: Charge, tmp_path: Path
) -> None:
    """A machine that is busy would otherwise end each helper just before it is ready, and never take a card again."""
    starts = tmp_path / "starts"
    begin = (
        f"echo x >> {starts}; sleep 3; exec {sys.executable} -m plugins.department.terminal_helper {terminal.folder}"
    )
    slow = terminal.make(helper=["sh", "-c", begin])
    with pytest.raises(NotSent, match="it is starting"):
        slow.payment_charge(request=charge, call=desk.call("early", seconds=0.5))
    assert isinstance(slow.payment_charge(request=charge, call=desk.call("c", seconds=9.0)), Done)
    assert starts.read_text().split() == ["x"]


def test_the_helper_survives_garbage_and_unknown_types(terminal: Any) -> None:
    command = [sys.executable, "-m", "plugins.department.terminal_helper", str(terminal.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as helper:
        assert helper.stdin is not None
        assert helper.stdout is not None
        assert read_frame(helper.stdout) == b""
        write_frame(helper.stdin, b"\x00\xff garbage")
        assert read_frame(helper.stdout) == b""
        for kind, code in (("99", "X6"), (Kind.BALANCE, "00"), (Kind.VOID, "25")):
            write_frame(helper.stdin, encode_request(BankRequest("T901", "C1", kind, 1, "007")))
            response = decode_response(read_frame(helper.stdout) or b"")
            assert (response.code, response.lrc) == (code, "007")
        helper.stdin.close()
        assert helper.wait(5) == 0


def test_no_card_number_is_kept_in_clear(terminal: Any, adapter: Any, desk: Any, charge: Charge) -> None:
    done = adapter.payment_charge(request=charge, call=desk.call("c"))
    assert "******" in done.facts["card"]
