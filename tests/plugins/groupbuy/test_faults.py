"""Every fault of the platform against every change: the right outcome, and each voucher redeemed once or not at all."""

from __future__ import annotations

import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.sdk import Declined, Done, InvalidReply, NotFound, NotSent, OutcomeUnknown, Step
from gateway.sdk.simulator import Fault
from gateway.testing.context import build
from plugins.groupbuy.adapter import GroupBuyAdapter
from tests.plugins.groupbuy.support import Shop, key, settings

#: The platform acted, and its answer is lost or can't be trusted.
ACTED = ["drop_after", "garbage", "half_body", "wrong_encoding", "verify_error_acted"]

#: The platform did not act, and nothing proves that.
NOT_ACTED = ["refuse", "drop_before", "error", "extra_error"]


@pytest.mark.parametrize("fault", ACTED)
def test_a_verify_whose_answer_is_lost_is_sent_again_and_acts_once(shop: Shop, fault: str) -> None:
    """First call an error, second call 1208 or result 2: that is success."""
    codes = shop.buy(2)
    shop.once(fault, "verify")
    done = shop.redeem(1, codes[0], 2)
    assert isinstance(done, Done) and done.replayed
    assert shop.statuses(codes) == ["used", "used"] and len(shop.records()) == 2
    assert {record["verify_id"] for record in shop.records()} == {done.ref}


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_a_verify_that_was_swallowed_is_sent_again(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    shop.once(fault, "verify")
    done = shop.redeem(1, code)
    assert isinstance(done, Done) and not done.replayed and len(shop.records()) == 1


@pytest.mark.parametrize("fault", [*ACTED, "wrong_id"])
def test_while_the_answers_stay_away_it_is_unknown_and_then_found(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    shop.always(fault, "verify")
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    shop.faults()
    found = shop.ask(1, shop.use(code), steps=(Step(name="verify"),))
    assert isinstance(found, Done)
    again = shop.redeem(1, code, attempt=2)
    assert isinstance(again, Done) and again.replayed and again.ref == found.ref
    assert len(shop.records()) == 1


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_while_nothing_arrives_it_is_unknown_and_not_found(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    shop.always(fault, "verify")
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    shop.faults()
    assert shop.ask(1, shop.use(code), steps=(Step(name="verify"),)) == NotFound(final=False)
    assert isinstance(shop.redeem(1, code, attempt=2), Done) and len(shop.records()) == 1


def test_a_verify_doubled_on_the_way_redeems_once(shop: Shop) -> None:
    codes = shop.buy(2)
    shop.once("duplicate", "verify")
    done = shop.redeem(1, codes[0])
    assert isinstance(done, Done) and done.replayed
    assert sorted(shop.statuses(codes)) == ["unused", "used"] and len(shop.records()) == 1


def test_a_late_verify_and_its_repetition_are_one(shop: Shop) -> None:
    """The same token: whichever comes first redeems, the other is told 1208."""
    codes = shop.buy(2)
    shop.once("late_success", "verify", value=150)
    done = shop.redeem(1, codes[0])
    assert isinstance(done, Done)
    time.sleep(0.3)
    assert sorted(shop.statuses(codes)) == ["unused", "used"] and len(shop.records()) == 1


def test_a_slow_answer_is_unknown_at_the_deadline(shop: Shop) -> None:
    code = shop.buy()[0]
    shop.find(code)
    shop.always("slow", "verify", value=600)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code, seconds=0.4)
    assert time.monotonic() - began < 0.7
    shop.faults()
    assert isinstance(shop.ask(1, shop.use(code)), Done)


def test_looks_that_run_behind_do_not_redeem_twice(shop: Shop) -> None:
    """The certificate still shows unused; the history knows which redemption carries our key."""
    codes = shop.buy(2)
    shop.faults(Fault("result_lag", value=60_000), Fault("drop_after", match="verify", times=3))
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, codes[0])
    assert shop.ask(1, shop.use(codes[0])) == NotFound(final=False)
    again = shop.redeem(1, codes[0], attempt=2)
    assert isinstance(again, Done) and again.replayed
    assert sorted(shop.statuses(codes)) == ["unused", "used"] and len(shop.records()) == 1


def test_used_by_somebody_else_between_prepare_and_verify(shop: Shop) -> None:
    code = shop.buy()[0]
    shop.always("drop_before", "verify")
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    shop.faults()
    shop.pull("use_elsewhere", code=code)
    declined = shop.ask(1, shop.use(code), steps=(Step(name="verify"),))
    assert isinstance(declined, Declined) and "somebody else" in declined.message
    again = shop.redeem(1, code, attempt=2)
    assert isinstance(again, Declined) and len(shop.records()) == 1


def test_a_prepare_that_has_run_out_is_made_again(shop: Shop) -> None:
    code = shop.buy()[0]
    shop.always("drop_before", "verify")
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, code)
    shop.faults()
    shop.sim.methods.token_s = -1
    with pytest.raises(OutcomeUnknown, match="prepare"):
        shop.redeem(1, code, attempt=2)
    shop.sim.methods.token_s = 1800
    assert isinstance(shop.redeem(1, code, attempt=3), Done) and len(shop.records()) == 1


def test_a_part_whose_undo_is_lost_is_undone_later(shop: Shop) -> None:
    codes = shop.buy(2)
    shop.faults(Fault("partial_results", match="verify", times=1), Fault("error", match="cancel"))
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, codes[0], 2)
    assert sorted(shop.statuses(codes)) == ["refunded", "used"]
    shop.faults()
    with pytest.raises(OutcomeUnknown, match="only some"):
        shop.ask(1, shop.use(codes[0], 2))
    declined = shop.redeem(1, codes[0], 2, attempt=2)
    assert isinstance(declined, Declined)
    assert sorted(shop.statuses(codes)) == ["refunded", "unused"]


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "half_body", "wrong_encoding", "wrong_id", "duplicate"])
def test_a_cancel_whose_answer_is_lost_takes_back_once(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    done = shop.redeem(1, code)
    assert isinstance(done, Done)
    request = shop.restore_request(done, 1)
    shop.always(fault, "cancel")
    try:
        shop.restore(2, request)
        assert fault == "duplicate"
    except OutcomeUnknown:
        shop.faults()
        assert isinstance(shop.ask(2, request, "coupon_restore"), Done)
        assert isinstance(shop.restore(2, request, attempt=2), Done)
    assert shop.status(code) == "unused"
    assert [row.amount for row in shop.rows()] == [1, -1]


@pytest.mark.parametrize("fault", NOT_ACTED)
def test_a_cancel_that_was_swallowed_is_repeated(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    done = shop.redeem(1, code)
    assert isinstance(done, Done)
    request = shop.restore_request(done, 1)
    shop.always(fault, "cancel")
    with pytest.raises(OutcomeUnknown):
        shop.restore(2, request)
    shop.faults()
    assert shop.ask(2, request, "coupon_restore") == NotFound(final=False)
    assert isinstance(shop.restore(2, request, attempt=2), Done) and shop.status(code) == "unused"


@pytest.mark.parametrize("fault", ["drop_after", "garbage", "half_body", "error", "wrong_encoding", "extra_error"])
def test_a_prepare_that_fails_was_not_a_send(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    shop.once(fault, "prepare")
    with pytest.raises(NotSent):
        shop.redeem(1, code)
    assert shop.requests("verify") == 0 and shop.adapter.context.store.get(f"redeem/{key(1)}") is None
    shop.once(fault, "prepare")
    with pytest.raises(OutcomeUnknown):
        shop.find(code)


@pytest.mark.parametrize("fault", ["wrong_id", "garbage", "error", "half_body"])
def test_a_look_that_cannot_be_trusted_says_nothing(shop: Shop, fault: str) -> None:
    code = shop.buy()[0]
    shop.redeem(1, code)
    shop.once(fault, "query")
    with pytest.raises(OutcomeUnknown):
        shop.ask(1, shop.use(code))
    assert isinstance(shop.ask(1, shop.use(code)), Done)


def test_results_about_other_certificates_are_not_ours(shop: Shop) -> None:
    code = shop.buy()[0]
    shop.once("wrong_id", "verify")
    with pytest.raises(InvalidReply):
        shop.redeem(1, code)
    assert isinstance(shop.ask(1, shop.use(code)), Done)


@pytest.mark.parametrize("skew", [-480, 480])
def test_a_clock_that_is_off_changes_no_outcome(shop: Shop, skew: int) -> None:
    shop.faults(Fault("clock_skew", value=skew))
    done = shop.redeem(1, shop.buy()[0])
    assert isinstance(done, Done)
    request = shop.restore_request(done, 1)
    assert isinstance(shop.restore(2, request), Done) and isinstance(shop.ask(2, request, "coupon_restore"), Done)


def test_a_platform_that_is_down_was_not_reached(shop: Shop) -> None:
    done = shop.redeem(1, shop.buy()[0])
    assert isinstance(done, Done)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        shop.adapter = shop.build(base_url=f"http://127.0.0.1:{free.getsockname()[1]}")
    with pytest.raises(NotSent):
        shop.redeem(2, shop.buy()[0])
    with pytest.raises(NotSent):
        shop.restore(3, shop.restore_request(done, 1))


def test_once_a_verify_was_sent_it_is_never_not_sent(shop: Shop, tmp_path: Path) -> None:
    """The deadline passes after a verify that has to be looked at: it may have redeemed, and has."""
    code = shop.buy()[0]

    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(hours=shop.requests("verify") > 0)

    shop.once("duplicate", "verify")  # answered by 1208, so the adapter looks
    shop.adapter = build(GroupBuyAdapter, settings(shop.address), tmp_path, clock=clock)
    with pytest.raises(OutcomeUnknown, match="was sent"):
        shop.redeem(1, code)
    assert shop.status(code) == "used"


def test_a_prepare_whose_answer_was_wrong_is_made_again(shop: Shop) -> None:
    """It told certificates that are not the order's: the verify is refused, and the next attempt prepares anew."""
    code = shop.buy()[0]
    shop.once("wrong_id", "prepare")
    with pytest.raises(OutcomeUnknown, match="not of this prepare"):
        shop.redeem(1, code)
    assert isinstance(shop.redeem(1, code, attempt=2), Done) and len(shop.records()) == 1


def test_an_order_looked_at_wrongly_does_not_lead_to_a_second_redemption(shop: Shop) -> None:
    codes = shop.buy(2)
    shop.always("drop_after", "verify")
    with pytest.raises(OutcomeUnknown):
        shop.redeem(1, codes[0])
    shop.once("wrong_id", "query")
    again = shop.redeem(1, codes[0], attempt=2)
    assert isinstance(again, Done) and again.replayed
    assert sorted(shop.statuses(codes)) == ["unused", "used"]
