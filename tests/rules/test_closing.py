"""Closing a tender: money goes back, is shown to be back, and is looked for again; else a person is asked."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.traits import Traits
from gateway.engine.closing import REVERSALS_MOST, Closer
from gateway.engine.model import Op, OpState, Timing
from gateway.engine.pursue import Pursuer, Pursuit
from gateway.engine.words import Ops
from tests.rules.kit import DONE, NOW, QUIET, STUCK, TIMING, System, ask, do, far_of, leg, op, send, system, wait

CHARGE, QUERY, REVERSE, REFUND = "payment_charge", "payment_query", "payment_reverse", "payment_refund"
AUTHORIZE, RELEASE = "payment_authorize", "payment_release"
LEG = leg(pay=CHARGE)
#: Channels by what they can do besides charging.
FULL = system(CHARGE, QUERY, REVERSE, REFUND)
REVERSING = system(CHARGE, QUERY, REVERSE)
REFUNDING = system(CHARGE, QUERY, REFUND)
ASKED = system(CHARGE, QUERY)
UNASKED = system(CHARGE, REVERSE)
NOTHING = system(CHARGE)

MAYBE = [OpState.INTENT, OpState.OK, OpState.PENDING, OpState.UNKNOWN, OpState.TASK]


def closer(far: System, *ops: Op, now: int = NOW, **more: Any) -> Closer:
    return Closer(Ops(ops), far_of(far), Pursuer(TIMING, now), TIMING, now, **more)


def closed(far: System, *ops: Op, now: int = NOW, **more: Any) -> Pursuit:
    return closer(far, *ops, now=now, **more).close(LEG)


def charge(state: OpState, hook: str = CHARGE, **more: Any) -> Op:
    return op(hook, state, **more)


# --- what needs no closing -------------------------------------------------------------------------------------------


def test_where_nothing_was_charged_nothing_is_closed() -> None:
    assert closed(FULL) == DONE
    assert closed(FULL, charge(OpState.NOT_SENT)) == DONE
    assert closer(FULL).close(leg("points", hold="points_reserve")) == DONE


def test_what_a_person_has_closed_stays_closed() -> None:
    """He has given the money back by hand; giving it back again would be the merchant's loss."""
    assert closed(FULL, charge(OpState.OK), by_hand=["pay"]) == DONE
    assert closed(FULL, charge(OpState.OK), by_hand=["another"]) == do(send(REVERSE))


# --- reversing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [*MAYBE, OpState.DECLINED, OpState.GONE])
@pytest.mark.parametrize("far", [FULL, REVERSING, UNASKED])
def test_whatever_the_charge_came_to_it_is_reversed(far: System, state: OpState) -> None:
    """A declined or unknown charge too: a late duplicate of it may still be accepted, and nobody would know."""
    assert closed(far, charge(state)) == do(send(REVERSE))


def test_a_payment_under_way_is_not_reversed_before_the_channel_allows() -> None:
    """WeChat Pay refuses a reversal in the first 15 seconds; what was declined need not wait, the cashier is."""
    far = system(CHARGE, QUERY, REVERSE, payment_reverse=Traits(reverse_not_before_s=15))
    for state in MAYBE:
        assert closed(far, charge(state, first_sent=NOW - 14_999)) == wait(NOW + 1)
        assert closed(far, charge(state, first_sent=NOW - 15_000)) == do(send(REVERSE))
    for state in (OpState.DECLINED, OpState.GONE):
        assert closed(far, charge(state, first_sent=NOW)) == do(send(REVERSE))


def test_a_reversal_is_pursued_to_its_end() -> None:
    unknown, resting = op(REVERSE, OpState.UNKNOWN, turn=1), op(REVERSE, OpState.NOT_SENT, turn=1, next_at=NOW + 5)
    assert closed(REVERSING, charge(OpState.OK), unknown) == do(ask(unknown))
    assert closed(UNASKED, charge(OpState.OK), unknown) == STUCK
    assert closed(REVERSING, charge(OpState.OK), resting) == wait(NOW + 5)
    rested = op(REVERSE, OpState.NOT_SENT, turn=1, next_at=NOW)
    assert closed(REVERSING, charge(OpState.OK), rested) == do(send(REVERSE, turn=1, op=rested))
    repeated = system(CHARGE, QUERY, REVERSE, payment_reverse=Traits(idempotent=True))
    assert closed(repeated, charge(OpState.OK), unknown) == do(send(REVERSE, turn=1, op=unknown))


# --- a cancel is no proof --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [*MAYBE, OpState.DECLINED, OpState.GONE])
def test_after_a_reversal_the_channel_is_asked_what_became_of_the_charge(state: OpState) -> None:
    """ "Cancel ok" was said of payments that stood all the same: the customer would have paid for nothing."""
    reverse, asked = op(REVERSE, OpState.OK, finished=NOW - 10), charge(state, outcome={"asked": NOW - 11})
    assert closed(REVERSING, asked, reverse) == do(ask(asked))
    never = charge(state)
    assert closed(REVERSING, never, reverse) == do(ask(never))


@pytest.mark.parametrize("state", [OpState.DECLINED, OpState.GONE])
def test_a_charge_shown_to_hold_nothing_is_closed(state: OpState) -> None:
    asked = charge(state, outcome={"asked": NOW - 10})
    assert closed(REVERSING, asked, op(REVERSE, OpState.OK, finished=NOW - 10)) == DONE
    assert closed(REVERSING, asked, op(REVERSE, OpState.DECLINED, finished=NOW - 10)) == DONE


@pytest.mark.parametrize("state", [OpState.UNKNOWN, OpState.PENDING])
def test_an_answer_that_settles_nothing_is_asked_for_again(state: OpState) -> None:
    asked = charge(state, outcome={"asked": NOW - 10}, next_at=NOW + 3)
    assert closed(REVERSING, asked, op(REVERSE, OpState.OK, finished=NOW - 10)) == wait(NOW + 3)
    asked = charge(state, outcome={"asked": NOW - 10}, next_at=NOW)
    assert closed(REVERSING, asked, op(REVERSE, OpState.OK, finished=NOW - 10)) == do(ask(asked))


def test_a_question_without_an_answer_is_repeated_after_its_pause() -> None:
    reverse = op(REVERSE, OpState.OK, finished=NOW - 10)
    silent = charge(OpState.OK, outcome={"unanswered": NOW - 10}, next_at=NOW + 3)
    assert closed(REVERSING, silent, reverse) == wait(NOW + 3)
    earlier = charge(OpState.OK, outcome={"unanswered": NOW - 11}, next_at=NOW + 3)
    assert closed(REVERSING, earlier, reverse) == do(ask(earlier)), "silence from before the reversal does not count"
    rested = charge(OpState.OK, outcome={"unanswered": NOW - 10}, next_at=NOW)
    assert closed(REVERSING, rested, reverse) == do(ask(rested))
    never = charge(OpState.OK, next_at=NOW + 3)
    assert closed(REVERSING, never, op(REVERSE, OpState.OK, finished=1)) == do(ask(never))


PAID: dict[str, Any] = {"state": OpState.OK, "outcome": {"asked": NOW}}


@pytest.mark.parametrize(("turn", "pause"), [(0, 500), (1, 1000), (2, 2000), (7, 60_000)])
def test_money_that_is_still_there_is_reversed_again_under_a_new_key(turn: int, pause: int) -> None:
    """The same key again would only be told "ok" again, and the customer's money would stay where it is."""
    reverse = op(REVERSE, OpState.OK, turn=turn, finished=NOW - pause)
    assert closed(REVERSING, charge(**PAID), reverse) == do(send(REVERSE, turn=turn + 1))
    assert closed(REVERSING, charge(**PAID), reverse, now=NOW - 1) == wait(NOW)


def test_reversals_that_never_help_end_with_a_person() -> None:
    assert REVERSALS_MOST == 8
    reverse = op(REVERSE, OpState.OK, turn=REVERSALS_MOST, finished=NOW - 10**6)
    assert closed(REVERSING, charge(**PAID), reverse) == STUCK


def test_a_refused_reversal_of_money_that_is_there_is_a_persons_case() -> None:
    assert closed(REVERSING, charge(**PAID), op(REVERSE, OpState.DECLINED, finished=NOW - 10)) == STUCK


# --- where a refund takes the reversal's place -----------------------------------------------------------------------


def test_a_refused_reversal_is_followed_by_a_refund_of_what_is_shown_to_be_paid() -> None:
    refused = op(REVERSE, OpState.DECLINED, finished=NOW - 10)
    assert closed(FULL, charge(OpState.OK, outcome={"asked": NOW - 10}), refused) == do(send(REFUND))
    stale = charge(OpState.OK, outcome={"asked": NOW - 11})
    assert closed(FULL, stale, refused) == do(ask(stale))
    never = charge(OpState.OK)
    assert closed(FULL, never, op(REVERSE, OpState.DECLINED, finished=1)) == do(ask(never))
    for state in (OpState.UNKNOWN, OpState.PENDING):
        open_ = charge(state, outcome={"asked": NOW - 10})
        assert closed(FULL, open_, refused) == do(ask(open_))
    held = op(REVERSE, OpState.OK, finished=NOW - 10_000)
    assert closed(FULL, charge(**PAID), held) == do(send(REVERSE, turn=1)), "what was not refused is repeated"


def test_too_late_for_a_reversal_it_is_a_refund() -> None:
    """After its window a channel answers a reversal with a refusal, or worse, with nothing."""
    far = system(CHARGE, QUERY, REVERSE, REFUND, payment_reverse=Traits(reverse_window_s=60))
    assert closed(far, charge(OpState.OK, first_sent=NOW - 60_000)) == do(send(REVERSE))
    assert closed(far, charge(OpState.OK, first_sent=NOW - 60_001)) == do(send(REFUND))
    begun = op(REVERSE, OpState.UNKNOWN, next_at=NOW + 5)
    assert closed(far, charge(OpState.OK, first_sent=NOW - 60_001), begun) == wait(NOW + 5), "one begun is ended"


def test_a_refund_that_has_begun_is_not_mixed_with_a_reversal() -> None:
    """Both could succeed: the customer would get his money twice."""
    begun = op(REFUND, OpState.UNKNOWN, next_at=NOW + 5)
    assert closed(FULL, charge(OpState.OK), begun) == wait(NOW + 5)


@pytest.mark.parametrize("state", [OpState.UNKNOWN, OpState.PENDING, OpState.INTENT, OpState.TASK])
def test_only_money_that_is_known_to_be_there_is_refunded(state: OpState) -> None:
    open_, resting = charge(state), charge(state, next_at=NOW + 3)
    assert closed(REFUNDING, open_) == do(ask(open_))
    assert closed(REFUNDING, resting) == wait(NOW + 3)
    assert closed(REFUNDING, charge(OpState.OK)) == do(send(REFUND))


def test_a_refund_is_asked_about_like_a_reversal() -> None:
    refund = op(REFUND, OpState.OK, finished=NOW - 10)
    stale = charge(OpState.OK, outcome={"asked": NOW - 11})
    assert closed(REFUNDING, stale, refund) == do(ask(stale))
    assert closed(REFUNDING, charge(OpState.DECLINED, outcome={"asked": NOW}), refund) == DONE


# --- where nothing can be taken back ---------------------------------------------------------------------------------


def test_money_that_cannot_be_taken_back_is_a_persons_case() -> None:
    assert closed(ASKED, charge(OpState.OK)) == STUCK
    assert closed(NOTHING, charge(OpState.OK)) == STUCK
    assert closed(NOTHING, charge(OpState.UNKNOWN)) == STUCK


@pytest.mark.parametrize("far", [ASKED, REFUNDING])
@pytest.mark.parametrize("state", [OpState.DECLINED, OpState.GONE])
def test_a_decline_of_long_ago_is_asked_about_again(far: System, state: OpState) -> None:
    """Since it was told, a late duplicate may have been accepted: believing the old word would keep that money."""
    begun = NOW - 100
    old = charge(state, finished=NOW - 500, outcome={"asked": begun - 1})
    assert closed(far, old, since=begun) == do(ask(old))
    assert closed(far, charge(state, finished=NOW - 500, outcome={"asked": begun}), since=begun) == DONE
    never = charge(state)
    assert closed(far, never, since=1) == do(ask(never))
    silent = charge(state, finished=NOW - 500, outcome={"unanswered": begun}, next_at=NOW + 3)
    assert closed(far, silent, since=begun) == wait(NOW + 3)
    earlier = charge(state, finished=NOW - 500, outcome={"unanswered": begun - 1}, next_at=NOW + 3)
    assert closed(far, earlier, since=begun) == do(ask(earlier))


def test_without_an_end_of_the_checkout_a_decline_is_asked_about_from_when_it_was_told() -> None:
    """A tender that another one replaces is closed while the checkout goes on."""
    told = charge(OpState.DECLINED, finished=NOW - 100, outcome={"asked": NOW - 101})
    assert closed(ASKED, told) == do(ask(told))
    assert closed(ASKED, charge(OpState.DECLINED, finished=NOW - 100, outcome={"asked": NOW - 100})) == DONE
    later = charge(OpState.DECLINED, finished=NOW - 100, outcome={"asked": NOW - 101})
    assert closed(ASKED, later, since=NOW - 200) == do(ask(later)), "the later of the two counts"
    open_ = charge(OpState.UNKNOWN, finished=NOW - 100, next_at=NOW + 3)
    assert closed(ASKED, open_) == wait(NOW + 3), "what is open is looked at in its own time"
    assert closed(ASKED, charge(OpState.GONE, finished=NOW - 100)) == DONE
    assert closed(NOTHING, charge(OpState.DECLINED, finished=NOW - 100)) == DONE, "nobody can be asked"


# --- where nobody can be asked ---------------------------------------------------------------------------------------


def test_an_unasked_reversal_of_a_known_charge_holds() -> None:
    for state in (OpState.OK, OpState.DECLINED):
        assert closed(UNASKED, charge(state), op(REVERSE, OpState.OK, finished=NOW)) == DONE
    assert closed(UNASKED, charge(OpState.DECLINED), op(REVERSE, OpState.DECLINED, finished=NOW)) == DONE


@pytest.mark.parametrize("state", [OpState.OK, OpState.UNKNOWN, OpState.GONE])
def test_an_unasked_reversal_that_was_refused_is_a_persons_case(state: OpState) -> None:
    assert closed(UNASKED, charge(state), op(REVERSE, OpState.DECLINED, finished=NOW)) == STUCK


def test_an_unknown_charge_may_arrive_after_its_unasked_reversal() -> None:
    """It is reversed once more when it can no longer be on its way: else its money would stay taken."""
    sent = NOW - QUIET
    lost = charge(OpState.UNKNOWN, first_sent=sent, last_sent=sent)
    early = op(REVERSE, OpState.OK, turn=1, first_sent=NOW - 1)
    assert closed(UNASKED, lost, early) == do(send(REVERSE, turn=2))
    assert closed(UNASKED, lost, early, now=NOW - 1) == wait(NOW)
    assert closed(UNASKED, lost, op(REVERSE, OpState.OK, first_sent=NOW)) == DONE
    slow = system(CHARGE, REVERSE, payment_charge=Traits(max_in_flight_s=120))
    assert closed(slow, lost, early) == wait(NOW + 63_000)
    blocking = system(CHARGE, REVERSE, payment_reverse=Traits(tombstone=True))
    assert closed(blocking, lost, early) == DONE, "the number is blocked: nothing can come"


# --- money that is only held -----------------------------------------------------------------------------------------


def test_held_money_is_released_not_reversed() -> None:
    held, authorized = leg(pay=AUTHORIZE), charge(OpState.OK, AUTHORIZE)
    far = system(AUTHORIZE, QUERY, RELEASE, REVERSE, REFUND)
    assert closer(far, authorized).close(held) == do(send(RELEASE))
    unreleasable = system(AUTHORIZE, QUERY, REVERSE, REFUND)
    assert closer(unreleasable, authorized).close(held) == STUCK
    assert closer(far, authorized).can_undo(held, authorized)
    assert not closer(unreleasable, authorized).can_undo(held, authorized)


def test_held_money_that_was_taken_is_refunded() -> None:
    """It is no longer held: a release or a reversal of it would be refused, or take back what was never asked."""
    capture = "payment_capture"
    taken, captured = leg(pay=capture), charge(OpState.OK, capture)
    far = system(capture, QUERY, RELEASE, REVERSE, REFUND)
    assert closer(far, captured).close(taken) == do(send(REFUND))
    assert closer(system(capture, QUERY, RELEASE, REVERSE), captured).close(taken) == STUCK
    assert not closer(system(capture, QUERY, RELEASE, REVERSE), captured).can_undo(taken, captured)


def test_whether_a_charge_can_be_taken_back_at_all() -> None:
    one = charge(OpState.OK)
    for far in (FULL, REVERSING, REFUNDING, UNASKED):
        assert closer(far, one).can_undo(LEG, one)
    for far in (ASKED, NOTHING, system(CHARGE, RELEASE)):
        assert not closer(far, one).can_undo(LEG, one)


@pytest.mark.parametrize("undo", [REVERSE, REFUND, RELEASE])
def test_a_tender_whose_money_has_begun_to_go_back_is_being_closed(undo: str) -> None:
    """It may not be kept any more, whatever the charge then shows: half of it may be gone."""
    assert closer(FULL, charge(OpState.OK), op(undo, OpState.NOT_SENT)).being_closed(LEG)
    assert not closer(FULL, charge(OpState.OK), op(undo, OpState.OK, "another")).being_closed(LEG)
    assert not closer(FULL, charge(OpState.OK)).being_closed(LEG)


# --- the watch -------------------------------------------------------------------------------------------------------

WATCH = 1_800_000
#: When a closed payment is looked at again: at an eighth, a quarter, half and the whole of the watch.
LOOKS = (225_000, 450_000, 900_000, 1_800_000)


def watched(far: System, *ops: Op, now: int = NOW, **more: Any) -> Pursuit:
    return closer(far, *ops, now=now, **more).watch(LEG, ops[0])


@pytest.mark.parametrize("number", range(4))
def test_a_closed_payment_is_looked_at_four_times(number: int) -> None:
    """A wallet that lost its link takes the money minutes later: it must come back without anybody asking."""
    sent = NOW - LOOKS[number]
    before = {} if number == 0 else {"asked": sent + LOOKS[number - 1]}
    one = charge(OpState.DECLINED, first_sent=sent, outcome=before)
    assert watched(FULL, one) == do(ask(one))
    assert watched(FULL, one, now=NOW - 1) == wait(NOW)
    looked = charge(OpState.DECLINED, first_sent=sent, outcome={"asked": NOW})
    after = wait(sent + LOOKS[number + 1]) if number < 3 else DONE
    assert watched(FULL, looked, now=NOW + 1) == after


def test_the_looks_are_at_whole_milliseconds() -> None:
    """The journal holds whole numbers: a fraction would be refused by the database, and the watch with it."""
    one = charge(OpState.DECLINED, first_sent=NOW)
    odd = Closer(Ops([one]), far_of(FULL), Pursuer(TIMING, NOW), Timing(watch=1001), NOW)
    assert odd.watch(LEG, one) == wait(NOW + 125)


def test_a_look_without_an_answer_is_repeated_after_its_pause() -> None:
    sent = NOW - LOOKS[0]
    silent = charge(OpState.DECLINED, first_sent=sent, outcome={"unanswered": NOW}, next_at=NOW + 500)
    assert watched(FULL, silent) == wait(NOW + 500)
    earlier = charge(OpState.DECLINED, first_sent=sent, outcome={"unanswered": NOW - 1}, next_at=NOW + 500)
    assert watched(FULL, earlier) == do(ask(earlier))


def test_the_watch_ends_and_the_days_bill_takes_over() -> None:
    one = charge(OpState.DECLINED, first_sent=NOW - 4 * WATCH)
    assert watched(FULL, one) == do(ask(one)), "a gateway that was down for hours still looks once"
    assert watched(FULL, one, now=NOW + 1) == DONE
    assert watched(FULL, charge(OpState.DECLINED, first_sent=NOW), by_hand=["pay"]) == DONE
    assert watched(FULL, charge(OpState.DECLINED, first_sent=-1, outcome={}), now=0) == wait(LOOKS[0] - 1)


def test_a_decline_that_nobody_can_be_asked_about_is_reversed_once_more_when_it_cannot_come_any_more() -> None:
    sent = NOW - QUIET
    declined = charge(OpState.DECLINED, first_sent=sent, last_sent=sent)
    early = op(REVERSE, OpState.OK, first_sent=sent + 100)
    assert watched(UNASKED, declined, early) == do(send(REVERSE, turn=1))
    assert watched(UNASKED, declined, early, now=NOW - 1) == wait(NOW)
    assert watched(UNASKED, declined, op(REVERSE, OpState.OK, first_sent=NOW)) == DONE
    assert watched(UNASKED, declined, op(REVERSE, OpState.DECLINED)) == DONE
    assert watched(UNASKED, declined, op(REVERSE, OpState.UNKNOWN)) == STUCK
    assert watched(UNASKED, declined, op(REVERSE, OpState.NOT_SENT, next_at=NOW + 5)) == wait(NOW + 5)
    rested = op(REVERSE, OpState.NOT_SENT, turn=2, next_at=NOW)
    assert watched(UNASKED, declined, rested) == do(send(REVERSE, turn=2, op=rested))
    both = system(CHARGE, REVERSE, REFUND)
    assert watched(both, declined, early) == do(send(REVERSE, turn=1))
    assert watched(UNASKED, declined) == DONE, "never reversed: there was nothing to close"
    assert watched(NOTHING, declined, early) == DONE
    assert watched(UNASKED, charge(OpState.OK, first_sent=sent, last_sent=sent), early) == DONE
    blocking = system(CHARGE, REVERSE, payment_reverse=Traits(tombstone=True))
    assert watched(blocking, declined, early) == DONE


def test_a_connection_is_asked_for_by_the_legs_own_name() -> None:
    """Another connection's abilities would make the gateway reverse what its own bank cannot."""
    wallet = leg("pay", connection="wallet", pay=CHARGE)
    one = charge(OpState.OK, first_sent=NOW)
    several = Closer(Ops([one]), far_of(NOTHING, wallet=FULL), Pursuer(TIMING, NOW), TIMING, NOW)
    assert several.close(wallet) == do(send(REVERSE, connection="wallet"))
    assert several.can_undo(wallet, one)
    assert not several.can_undo(LEG, one)
    assert several.watch(wallet, one) == wait(NOW + LOOKS[0])
