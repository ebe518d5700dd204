"""Undoing what is not money: holds are let go, what was used up is given back, and nothing is given back twice."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.traits import Traits
from gateway.engine.model import Leg, Op, OpState
from gateway.engine.pursue import Pursuer, Pursuit
from gateway.engine.undoing import late_hold, undo_ways
from gateway.engine.words import Ops
from tests.rules.kit import DONE, NOW, QUIET, STUCK, TIMING, System, ask, do, leg, op, send, system, wait

HOLD, USE, CANCEL, RESTORE = "coupon_reserve", "coupon_confirm", "coupon_cancel", "coupon_restore"
COUPON = leg("coupon:1", hold=HOLD, settle=USE)
BLIND = system(HOLD, USE, CANCEL, RESTORE)
ASKED = system(HOLD, USE, CANCEL, RESTORE, "coupon_query")


def row(hook: str, state: OpState, **more: Any) -> Op:
    return op(hook, state, "coupon:1", **more)


def to_undo(leg: Leg, far: System, *ops: Op) -> list[tuple[Pursuit, Op | None]]:
    return list(undo_ways(leg, Ops(ops), far, Pursuer(TIMING, NOW)))


def test_what_never_happened_needs_no_undo() -> None:
    assert to_undo(COUPON, BLIND) == []
    assert to_undo(leg("coupon:1", pay="payment_charge"), BLIND, row(HOLD, OpState.OK)) == []
    for state in (OpState.DECLINED, OpState.GONE, OpState.NOT_SENT):
        assert to_undo(COUPON, BLIND, row(HOLD, state)) == []


@pytest.mark.parametrize("state", [OpState.INTENT, OpState.OK, OpState.PENDING, OpState.UNKNOWN, OpState.TASK])
def test_a_hold_that_may_be_there_is_cancelled_at_once(state: OpState) -> None:
    """A coupon that stays locked for a sale that failed cannot be used by its owner."""
    assert to_undo(COUPON, ASKED, row(HOLD, state)) == [(do(send(CANCEL, "coupon:1")), None)]


def test_a_cancel_is_pursued_to_its_end() -> None:
    hold, unknown = row(HOLD, OpState.OK), row(CANCEL, OpState.UNKNOWN)
    assert to_undo(COUPON, ASKED, hold, unknown) == [(do(ask(unknown)), unknown)]
    assert to_undo(COUPON, BLIND, hold, unknown) == [(STUCK, unknown)]
    done = row(CANCEL, OpState.OK)
    assert to_undo(COUPON, BLIND, hold, done) == [(DONE, done)]


def test_a_system_that_cannot_cancel_leaves_it_to_a_person() -> None:
    assert to_undo(COUPON, system(HOLD, USE), row(HOLD, OpState.OK)) == [(STUCK, None)]
    without_inverse = leg("coupon:1", hold="coupon_cancel")
    assert to_undo(without_inverse, BLIND, row(CANCEL, OpState.OK)) == [(STUCK, None)]


def test_what_was_used_up_is_given_back_by_its_own_inverse_alone() -> None:
    """Restoring lets go of the hold too: cancelling it as well would fail, and call somebody for nothing."""
    rows = (row(HOLD, OpState.OK), row(USE, OpState.OK))
    assert to_undo(COUPON, ASKED, *rows) == [(do(send(RESTORE, "coupon:1")), None)]
    restored = row(RESTORE, OpState.OK)
    assert to_undo(COUPON, ASKED, *rows, restored) == [(DONE, restored)]
    assert to_undo(COUPON, system(HOLD, USE, CANCEL), *rows) == [(STUCK, None)]


def test_an_unknown_use_is_found_out_about_first() -> None:
    """Giving back a coupon that was never used would give the customer a second one."""
    hold, used = row(HOLD, OpState.OK), row(USE, OpState.UNKNOWN)
    assert to_undo(COUPON, ASKED, hold, used) == [(do(ask(used)), used)]
    assert to_undo(COUPON, BLIND, hold, used) == [(STUCK, used)]


@pytest.mark.parametrize("state", [OpState.DECLINED, OpState.GONE, OpState.NOT_SENT])
def test_a_use_that_did_not_happen_leaves_the_hold_to_be_cancelled(state: OpState) -> None:
    rows = (row(HOLD, OpState.OK), row(USE, state))
    assert to_undo(COUPON, ASKED, *rows) == [(do(send(CANCEL, "coupon:1")), None)]


def test_a_use_without_a_hold_is_undone() -> None:
    redeem = leg("coupon:1", settle="coupon_redeem")
    far = system("coupon_redeem", RESTORE)
    assert to_undo(redeem, far, row("coupon_redeem", OpState.OK)) == [(do(send(RESTORE, "coupon:1")), None)]
    assert to_undo(redeem, far) == []


# --- holds that arrive after their cancel ---------------------------------------------------------------------------


SENT = NOW - QUIET
#: A hold whose answer never came, sent so long ago that it can just no longer be on its way.
LOST = {"first_sent": SENT, "last_sent": SENT}


def late(far: System, *ops: Op, now: int = NOW, leg: Leg = COUPON) -> Pursuit:
    return late_hold(leg, Ops(ops), far, Pursuer(TIMING, now), TIMING)


@pytest.mark.parametrize("state", [OpState.INTENT, OpState.PENDING, OpState.UNKNOWN, OpState.TASK])
def test_a_hold_that_may_have_come_after_its_cancel_is_cancelled_once_more(state: OpState) -> None:
    """The far system saw the cancel first and the hold second: the item would stay held for nobody."""
    rows = (row(HOLD, state, **LOST), row(CANCEL, OpState.OK, first_sent=SENT + 1, turn=2))
    assert late(BLIND, *rows) == do(send(CANCEL, "coupon:1", turn=3))
    assert late(BLIND, *rows, now=NOW - 1) == wait(NOW)


def test_a_cancel_that_came_late_enough_settles_it() -> None:
    hold = row(HOLD, OpState.UNKNOWN, **LOST)
    assert late(BLIND, hold, row(CANCEL, OpState.OK, first_sent=NOW)) == DONE
    assert late(BLIND, hold, row(CANCEL, OpState.OK, first_sent=NOW - 1)) == do(send(CANCEL, "coupon:1", turn=1))


def test_a_declared_flight_time_is_waited_for() -> None:
    far = system(HOLD, CANCEL, coupon_reserve=Traits(max_in_flight_s=120))
    hold, cancel = row(HOLD, OpState.UNKNOWN, **LOST), row(CANCEL, OpState.OK, first_sent=SENT)
    assert late(far, hold, cancel) == wait(NOW + 63_000)


def test_where_a_cancel_blocks_an_unseen_number_nothing_can_come_late() -> None:
    far = system(HOLD, CANCEL, coupon_cancel=Traits(tombstone=True))
    assert late(far, row(HOLD, OpState.UNKNOWN, **LOST), row(CANCEL, OpState.OK, first_sent=SENT)) == DONE


@pytest.mark.parametrize("state", [OpState.OK, OpState.DECLINED, OpState.GONE, OpState.NOT_SENT])
def test_a_hold_whose_end_is_known_comes_no_more(state: OpState) -> None:
    assert late(BLIND, row(HOLD, state, **LOST), row(CANCEL, OpState.OK, first_sent=SENT)) == DONE


def test_only_a_cancelled_hold_is_watched() -> None:
    assert late(BLIND) == DONE
    assert late(BLIND, row(HOLD, OpState.UNKNOWN, **LOST)) == DONE
    assert late(BLIND, row(CANCEL, OpState.OK, first_sent=SENT)) == DONE
    payment = leg("coupon:1", pay="payment_charge")
    assert (
        late(BLIND, row(HOLD, OpState.UNKNOWN, **LOST), row(CANCEL, OpState.OK, first_sent=SENT), leg=payment) == DONE
    )
    alone = leg("coupon:1", hold=CANCEL)
    assert late(BLIND, row(CANCEL, OpState.UNKNOWN, **LOST), leg=alone) == DONE


def test_what_runs_in_our_own_transaction_cannot_come_late() -> None:
    own = System(BLIND.hooks, {}, embedded=True)
    assert late(own, row(HOLD, OpState.UNKNOWN, **LOST), row(CANCEL, OpState.OK, first_sent=SENT)) == DONE


def test_the_second_cancel_is_pursued_until_it_ends() -> None:
    hold = row(HOLD, OpState.UNKNOWN, **LOST)
    asked = row(CANCEL, OpState.UNKNOWN, first_sent=NOW, next_at=NOW)
    assert late(ASKED, hold, asked) == do(ask(asked))
    assert late(BLIND, hold, asked) == STUCK
    unsent = row(CANCEL, OpState.NOT_SENT, turn=1, first_sent=NOW, next_at=NOW)
    assert late(BLIND, hold, unsent) == do(send(CANCEL, "coupon:1", turn=1, op=unsent))
    assert late(BLIND, hold, row(CANCEL, OpState.DECLINED, first_sent=SENT)) == DONE, "there was nothing left to cancel"
