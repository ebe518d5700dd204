"""Each coupon hook of the e-voucher adapter on real sockets: what it answers, and what the platform's books say."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from marshmallow import ValidationError

import plugins.evoucher
from gateway.runtime.hookcheck import DOMAIN_SPECS, hook_problems, implemented_hooks
from gateway.sdk import (
    Change,
    Counts,
    CouponKind,
    Declined,
    DeclineReason,
    Done,
    Misconfigured,
    NotFound,
    NotSent,
    NotSupported,
    OutcomeUnknown,
)
from gateway.sdk.simulator import Fault
from plugins.evoucher.adapter import EVoucherAdapter
from tests.plugins.evoucher.support import Shop, done, key

RESTORE = "coupon_restore"


def reason(change: object) -> DeclineReason:
    assert isinstance(change, Declined), change
    return change.reason


def test_the_plugin_offers_its_adapter() -> None:
    assert list(plugins.evoucher.o2o_adapters()) == [EVoucherAdapter]
    assert list(hook_problems(EVoucherAdapter, DOMAIN_SPECS, "evoucher")) == []
    coupons = {"coupon_find", "coupon_redeem", "coupon_restore", "coupon_query", "coupon_statement"}
    assert implemented_hooks(EVoucherAdapter) == coupons | {"notice_read", "notice_follow"}


def test_a_code_shows_its_four_numbers(shop: Shop) -> None:
    order_id, [code] = shop.bought(5)
    done(shop.redeem(1, code, 1))
    shop.pull("ask_refund", order_id=order_id, num=2)
    found = shop.find(f" {code} ")
    assert found is not None and found.kind is CouponKind.CASH and found.usable
    assert found.counts == Counts(initial=5, available=2, held=2, used=1)
    assert (found.terms["face_amount"], found.terms["sold_amount"]) == (5000, 4500)
    shop.pull("withdraw_refund", order_id=order_id)
    again = shop.find(code)
    assert again is not None and again.counts == Counts(initial=5, available=4, held=0, used=1)
    [room] = shop.bought(1, "EV-KTV3")[1]
    package = shop.find(room)
    assert package is not None and package.facts["package_sku"] == "PKG-3H"


def test_codes_that_may_not_be_shown_or_used(shop: Shop) -> None:
    order_id, [code] = shop.bought(1)
    assert [shop.find(text) for text in ("999999999999", "hello", "")] == [None] * 3
    shop.adapter = shop.build(items={"OTHER": {"face_amount": 1}})
    assert shop.find(code) is None  # the shop has no worth for it
    shop.adapter = shop.build()
    shop.pull("expire", order_id=order_id)
    late = shop.find(code)
    assert late is not None and not late.usable


def test_uses_by_count_and_reversal_by_number_and_count(shop: Shop) -> None:
    """Five uses bought; two, two; the first two back; the others are not taken back in part."""
    order_id, [code] = shop.bought(5)
    first, second = done(shop.redeem(1, code)), done(shop.redeem(2, code))
    assert (first.ref, second.ref, shop.left(code)) == (key(1), key(2), 1)
    assert done(shop.restore(3, shop.restoring(1, code))).ref == key(1) and shop.left(code) == 3
    assert reason(shop.restore(4, shop.restoring(2, code, count=1))) is DeclineReason.AMOUNT_MISMATCH
    assert shop.left(code) == 3
    rows = {(row.kind, row.key): (row.amount, row.original_ref) for row in shop.rows()}
    expected = {("redeem", key(1)): (2, ""), ("redeem", key(2)): (2, ""), ("reverse", key(3)): (-2, key(1))}
    assert rows == expected
    assert shop.sim.books()["log"][0]["posid"] == "S1_T2" and shop.sim.books()["log"][0]["order_id"] == order_id


def test_the_same_key_acts_once(shop: Shop) -> None:
    _, [code] = shop.bought(5)
    done(shop.redeem(1, code))
    for attempt in (1, 2):
        assert done(shop.redeem(1, code, attempt=attempt)).replayed
    request = shop.restoring(1, code)
    assert isinstance(shop.ask(2, request, RESTORE), NotFound)
    done(shop.restore(2, request))
    for attempt in (1, 2):
        assert done(shop.restore(2, request, attempt)).replayed
    assert done(shop.ask(2, request, RESTORE)).ref == key(1)
    assert reason(shop.restore(3, request)) is DeclineReason.CLOSED  # by another reversal
    assert reason(shop.redeem(1, code, attempt=2)) is DeclineReason.CLOSED  # a number acts once for ever
    assert shop.left(code) == 5 and len(shop.sim.books()["log"]) == 2


def test_refusals_are_values(shop: Shop) -> None:
    (locked, [one]), (back, [two]), (old, [three]) = (shop.bought(3) for _ in range(3))
    shop.pull("ask_refund", order_id=locked, num=2)
    shop.pull("refund", order_id=back, num=3)
    shop.pull("expire", order_id=old)
    said = [reason(shop.redeem(number, code)) for number, code in enumerate((one, two, three, "999999999999", "no"))]
    assert said == ["coupon_exhausted", "coupon_exhausted", "coupon_expired", "coupon_unknown", "coupon_unknown"]
    assert reason(shop.redeem(9, one, 4)) is DeclineReason.COUPON_EXHAUSTED
    assert reason(shop.restore(10, shop.restoring(77, one))) is DeclineReason.NOT_FOUND
    assert reason(shop.restore(11, shop.restoring(77, "no"))) is DeclineReason.NOT_FOUND
    assert shop.sim.books()["used"] == 0


ACTED = ("drop_after", "garbage", "half_body", "wrong_encoding", "wrong_id", "wrong_amount", "busy_acted")


@pytest.mark.parametrize("fault", ACTED)
def test_a_use_whose_answer_is_lost_is_found_and_not_doubled(shop: Shop, fault: str) -> None:
    _, [code] = shop.bought(5)
    shop.once(fault, "consume", 1)
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    assert done(shop.ask(1, shop.use(code))).ref == key(1)
    assert done(shop.redeem(1, code, attempt=2)).replayed and shop.left(code) == 3
    shop.once(fault, "reverse", 1)
    request = shop.restoring(1, code)
    with pytest.raises(OutcomeUnknown):
        shop.restore(2, request)
    assert done(shop.restore(2, request, attempt=2)).replayed and shop.left(code) == 5


@pytest.mark.parametrize("fault", ["error", "drop_before"])
def test_a_use_that_never_arrived_is_made_by_the_next_attempt(shop: Shop, fault: str) -> None:
    _, [code] = shop.bought(5)
    shop.once(fault, "consume")
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    assert shop.ask(1, shop.use(code)) == NotFound(final=False)
    assert not done(shop.redeem(1, code, attempt=2)).replayed and shop.left(code) == 3


def test_a_doubled_message_acts_once(shop: Shop) -> None:
    _, [code] = shop.bought(5)
    shop.once("duplicate", "consume")
    assert done(shop.redeem(1, code)).replayed and shop.left(code) == 3
    shop.once("duplicate", "reverse")
    assert done(shop.restore(2, shop.restoring(1, code))).replayed and shop.left(code) == 5


def test_a_log_that_runs_behind_is_not_taken_for_nothing(shop: Shop) -> None:
    """The number was used, says the platform, and its log does not show it: neither done nor refused."""
    _, [code] = shop.bought(5)
    done(shop.redeem(1, code))
    shop.always("log_lag", value=60_000)
    with pytest.raises(OutcomeUnknown, match="does not show it yet"):
        shop.redeem(1, code)
    shop.healed()
    assert done(shop.redeem(1, code)).replayed


def test_once_a_use_was_sent_it_is_never_not_sent(shop: Shop) -> None:
    """A doubled message has to be looked at; that look can't be made: the use may have happened, and has."""
    _, [code] = shop.bought(5)
    shop.sim.faults.set([Fault("duplicate", match="consume", times=1), Fault("drop_after", match="oplogs.get")])
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    assert shop.left(code) == 3


def test_eight_tills_race_for_five_uses(shop: Shop) -> None:
    _, [code] = shop.bought(5)
    answers: list[Change] = []

    def redeem(number: int) -> None:
        answers.append(shop.redeem(number, code))

    threads = [threading.Thread(target=redeem, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([answer for answer in answers if isinstance(answer, Done)]) == 2 and len(answers) == 8
    assert shop.left(code) == 1


def test_a_log_of_many_pages_is_read_to_its_end(shop: Shop) -> None:
    _, [code] = shop.bought(90)
    for number in range(43):
        done(shop.redeem(number, code))
    assert [row.amount for row in shop.rows()] == [2] * 43
    assert done(shop.ask(42, shop.use(code))).ref == key(42) and shop.requests("oplogs.get") == 4


def test_the_check_says_what_to_do(shop: Shop) -> None:
    shop.adapter.check()
    for wrong, word in (({"app_key": "nobody"}, "app_key"), ({"seller_nick": "别人"}, "seller_nick")):
        with pytest.raises(Misconfigured, match=word):
            shop.build(**wrong).check()
    with pytest.raises(NotSent):
        shop.build(base_url="http://127.0.0.1:9").check()
    with pytest.raises(NotSupported):
        shop.ask(1, None, "coupon_issue")


def test_settings_are_refused_with_their_path(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "short").touch(mode=0o600)
    (tmp_path / "short").write_text("abc")
    for wrong, path in (
        ({"code_key": "file:short"}, "code_key"),
        ({"base_url": "http://platform.example"}, "base_url"),
        ({"items": {}}, "items"),
        ({"items": {"A": {"face_amount": 1.5}}}, "items"),
        ({"items": {"A": {"face_amount": 1, "kind": "gift_card"}}}, "items"),
        ({"colour": "red"}, "colour"),
    ):
        with pytest.raises(ValidationError) as refused:
            shop.build(**wrong)
        assert path in refused.value.normalized_messages()  # type: ignore[no-untyped-call]


def test_a_restarted_platform_keeps_its_books(shop: Shop) -> None:
    _, [code] = shop.bought(5)
    done(shop.redeem(1, code))
    shop.sim.stop()
    shop.sim = type(shop.sim)(shop.sim.data)
    shop.address = shop.sim.start()["platform"]
    shop.adapter = shop.build()
    assert done(shop.redeem(1, code)).replayed and shop.left(code) == 3
