"""How one change is brought to an end: what is sent again, what is asked about, and what only a person can tell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gateway.domain.traits import Traits
from gateway.engine.model import Op, OpState, Timing
from gateway.engine.pursue import Pursuer, Pursuit, queryable, repeatable
from tests.rules.kit import DONE, NOW, REFUSED, STUCK, TIMING, System, ask, do, leg, op, send, system, wait

CHARGE = "payment_charge"
LEG = leg(pay=CHARGE)
BLIND = system(CHARGE)
ASKED = system(CHARGE, "payment_query")
REPEATED = system(CHARGE, payment_charge=Traits(idempotent=True))
PURSUER = Pursuer(TIMING, NOW)


def test_a_system_is_asked_by_its_own_familys_query() -> None:
    """A coupon system that can be asked says nothing about a payment: else an unknown charge would wait for ever."""
    assert queryable(ASKED, CHARGE)
    assert not queryable(BLIND, CHARGE)
    assert not queryable(system(CHARGE, "coupon_query", "stock_query"), CHARGE)
    assert queryable(system("coupon_query"), "coupon_reserve")
    assert not queryable(system("notice_send"), "no_such_hook")


def test_a_key_is_repeated_only_while_it_is_known_to_act_once() -> None:
    """A gateway that repeats a charge after the provider forgot its key charges the customer twice."""
    sent = op(CHARGE, OpState.UNKNOWN, first_sent=NOW)
    for_a_minute = system(CHARGE, payment_charge=Traits(idempotent=True, idempotent_for_s=60))
    assert repeatable(REPEATED, CHARGE, sent, TIMING, NOW + 10**9)
    assert repeatable(for_a_minute, CHARGE, sent, TIMING, NOW + 59_999)
    assert not repeatable(for_a_minute, CHARGE, sent, TIMING, NOW + 60_000)
    assert repeatable(for_a_minute, CHARGE, sent, Timing(scale=2.0), NOW + 60_000)
    assert not repeatable(BLIND, CHARGE, sent, TIMING, NOW)
    assert not repeatable(system(CHARGE, payment_charge=Traits(idempotent_for_s=60)), CHARGE, sent, TIMING, NOW)


def test_what_was_never_sent_is_sent_under_the_turn_asked_for() -> None:
    """The turn is part of the key: a wrong one would be taken for a repeat of another change."""
    assert PURSUER.pursue(LEG, CHARGE, None, BLIND) == do(send(CHARGE))
    assert PURSUER.pursue(LEG, CHARGE, None, BLIND, 3) == do(send(CHARGE, turn=3))
    assert PURSUER.send(LEG, CHARGE, None) == do(send(CHARGE))
    assert PURSUER.send(LEG, CHARGE, None, 2) == do(send(CHARGE, turn=2))
    again = op(CHARGE, OpState.NOT_SENT, turn=5)
    assert PURSUER.send(LEG, CHARGE, again) == do(send(CHARGE, turn=5, op=again))
    assert PURSUER.send(LEG, CHARGE, again, 9) == do(send(CHARGE, turn=5, op=again))


def test_what_an_adapter_cannot_do_is_a_persons_case() -> None:
    assert PURSUER.pursue(LEG, "payment_reverse", None, BLIND) == STUCK
    unsupported = op(CHARGE, OpState.NOT_SENT, outcome={"unsupported": True})
    assert PURSUER.pursue(LEG, CHARGE, unsupported, BLIND) == STUCK


def test_what_ended_stays_ended() -> None:
    assert PURSUER.pursue(LEG, CHARGE, op(CHARGE, OpState.OK), REPEATED) == DONE
    assert PURSUER.pursue(LEG, CHARGE, op(CHARGE, OpState.DECLINED), REPEATED) == REFUSED


@pytest.mark.parametrize("state", [OpState.NOT_SENT, OpState.GONE])
def test_what_provably_did_not_happen_is_sent_again_after_its_pause(state: OpState) -> None:
    resting = op(CHARGE, state, turn=1, next_at=NOW + 1, outcome={"unsupported": False})
    assert PURSUER.pursue(LEG, CHARGE, resting, BLIND) == wait(NOW + 1)
    rested = op(CHARGE, state, turn=1, next_at=NOW)
    assert PURSUER.pursue(LEG, CHARGE, rested, BLIND) == do(send(CHARGE, turn=1, op=rested))


@pytest.mark.parametrize("state", [OpState.INTENT, OpState.UNKNOWN])
def test_an_unknown_change_is_repeated_asked_about_or_a_persons_case(state: OpState) -> None:
    """Never a second send where it might act twice; never nothing where somebody could know."""
    unknown, resting = op(CHARGE, state, turn=1, next_at=NOW), op(CHARGE, state, turn=1, next_at=NOW + 7)
    both = system(CHARGE, "payment_query", payment_charge=Traits(idempotent=True))
    ways: tuple[Callable[[Op, System], Pursuit], ...] = (
        lambda each, far: PURSUER.pursue(LEG, CHARGE, each, far),
        lambda each, far: PURSUER.settle_unknown(LEG, each, far),
    )
    for pursue in ways:
        assert pursue(unknown, REPEATED) == do(send(CHARGE, turn=1, op=unknown))
        assert pursue(unknown, both) == do(send(CHARGE, turn=1, op=unknown))
        assert pursue(resting, REPEATED) == wait(NOW + 7)
        assert pursue(unknown, ASKED) == do(ask(unknown))
        assert pursue(resting, ASKED) == wait(NOW + 7)
        assert pursue(unknown, BLIND) == STUCK
        assert pursue(resting, BLIND) == STUCK


def test_a_key_that_is_no_longer_safe_is_asked_about_instead() -> None:
    pursuer = Pursuer(TIMING, NOW)
    old = op(CHARGE, OpState.UNKNOWN, first_sent=NOW - 60_000)
    for_a_minute = system(CHARGE, "payment_query", payment_charge=Traits(idempotent=True, idempotent_for_s=60))
    assert pursuer.pursue(LEG, CHARGE, old, for_a_minute) == do(ask(old))
    young = op(CHARGE, OpState.UNKNOWN, first_sent=NOW - 59_999)
    assert pursuer.pursue(LEG, CHARGE, young, for_a_minute) == do(send(CHARGE, op=young))


@pytest.mark.parametrize("state", [OpState.PENDING, OpState.TASK])
def test_what_the_far_system_still_decides_is_only_asked_about(state: OpState) -> None:
    """Repeating a payment that waits for the customer's password would show him a second one."""
    both = system(CHARGE, "payment_query", payment_charge=Traits(idempotent=True))
    open_, resting = op(CHARGE, state, next_at=NOW), op(CHARGE, state, next_at=NOW + 1)
    assert PURSUER.pursue(LEG, CHARGE, open_, both) == do(ask(open_))
    assert PURSUER.pursue(LEG, CHARGE, resting, both) == wait(NOW + 1)
    assert PURSUER.pursue(LEG, CHARGE, open_, REPEATED) == STUCK


def test_finding_out_makes_nothing_happen() -> None:
    """While a checkout is undone, nothing of it may be sent forward, not even a safe repeat."""
    both = system(CHARGE, "payment_query", payment_charge=Traits(idempotent=True))
    assert PURSUER.find_out(LEG, op(CHARGE, OpState.OK), both) == DONE
    for state in (OpState.DECLINED, OpState.GONE, OpState.NOT_SENT):
        assert PURSUER.find_out(LEG, op(CHARGE, state), both) == REFUSED
    for state in (OpState.UNKNOWN, OpState.INTENT, OpState.PENDING, OpState.TASK):
        rested, resting = op(CHARGE, state, turn=2, next_at=NOW), op(CHARGE, state, next_at=NOW + 1)
        assert PURSUER.find_out(LEG, rested, both) == do(ask(rested))
        assert PURSUER.find_out(LEG, resting, both) == wait(NOW + 1)
        assert PURSUER.find_out(LEG, rested, REPEATED) == STUCK


def test_an_effect_names_the_leg_the_hook_and_the_connection() -> None:
    """The driver sends by these alone: a wrong connection would charge another merchant's bank."""
    points = leg("points", connection="crm", hold="points_reserve")
    unknown = op("points_reserve", OpState.UNKNOWN, "points", 4)
    assert PURSUER.send(points, "points_reserve", None) == do(send("points_reserve", "points", connection="crm"))
    assert PURSUER.ask(points, unknown) == do(ask(unknown, "crm"))
