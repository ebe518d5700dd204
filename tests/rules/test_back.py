"""The way back: money first, goods second, then a look for money that comes late; and who is called when it sticks."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.traits import Traits
from gateway.engine.model import Decision, Kind, OpState, State, Timing
from tests.rules.kit import NOW, QUIET, SLOWLY, ask, decided, far_of, leg, op, sale, send, system, task

CHARGE, QUERY, REVERSE, REFUND = "payment_charge", "payment_query", "payment_reverse", "payment_refund"
STOCK = leg("stock:1", connection="store", hold="stock_reserve", settle="stock_confirm")
POINTS = leg("points", connection="crm", hold="points_reserve", settle="points_confirm")
PAY = leg("pay:1", pay=CHARGE)
SECOND = leg("pay:2", pay=CHARGE)
BANK = system(CHARGE, QUERY, REVERSE)
STORE = system("stock_reserve", "stock_confirm", "stock_cancel", "stock_return", "stock_query")
CRM = system("points_reserve", "points_confirm", "points_cancel", "points_return", "member_query")
FAR = far_of(BANK, store=STORE, crm=CRM)
#: Here nobody can be asked.
BLIND = far_of(system(CHARGE, REVERSE), store=system("stock_reserve", "stock_cancel"), crm=CRM)


def paid(state: OpState = OpState.OK, name: str = "pay:1", **more: Any) -> Any:
    return op(CHARGE, state, name, **{"first_sent": NOW, **more})


def held(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("stock_reserve", state, "stock:1", connection="store", **{"first_sent": NOW, **more})


def frozen(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("points_reserve", state, "points", connection="crm", **{"first_sent": NOW, **more})


def let_go(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("stock_cancel", state, "stock:1", connection="store", **{"first_sent": NOW, **more})


CANCEL_STOCK = send("stock_cancel", "stock:1", connection="store")
CANCEL_POINTS = send("points_cancel", "points", connection="crm")

# --- money first -----------------------------------------------------------------------------------------------------


def closing(*legs: Any, **more: Any) -> Any:
    return sale(State.CLOSING, *(legs or (STOCK, PAY, SECOND)), **more)


def test_every_tender_is_reversed_the_last_one_first_and_no_goods_are_let_go() -> None:
    """Goods let go while the money is still taken could be sold to the next customer, paid twice."""
    rows = [held(), paid(), paid(name="pay:2")]
    expected = Decision(State.CLOSING, [send(REVERSE, "pay:2"), send(REVERSE, "pay:1")])
    assert decided(closing(), rows, FAR) == expected


def test_goods_come_after_all_money_is_shown_to_be_back() -> None:
    gone = [paid(OpState.GONE, each, outcome={"asked": NOW}) for each in ("pay:1", "pay:2")]
    first, second = (op(REVERSE, OpState.OK, each, finished=NOW) for each in ("pay:1", "pay:2"))
    assert decided(closing(), [held(), *gone, first, second], FAR) == Decision(State.UNDOING)
    assert decided(closing(), [held(), *gone, first], FAR) == Decision(State.CLOSING, [send(REVERSE, "pay:2")])
    assert decided(closing(STOCK), [held()], FAR) == Decision(State.UNDOING)


def test_a_decline_told_before_the_end_is_asked_about_after_it() -> None:
    """``closing_since`` is when the checkout was given up: an older word of the channel proves nothing now."""
    far = far_of(system(CHARGE, QUERY), store=STORE)
    old = paid(OpState.GONE, outcome={"asked": NOW - 11})
    saga = closing(PAY, progress={"closing_since": NOW - 10})
    assert decided(saga, [old], far) == Decision(State.CLOSING, [ask(old)])
    assert decided(saga, [paid(OpState.GONE, outcome={"asked": NOW - 10})], far) == Decision(State.UNDOING)
    assert decided(closing(PAY), [paid(OpState.GONE)], far) == Decision(State.UNDOING)


NOT_CLOSED = task("pay:1", "payment-not-closed", "give the money back by hand at the bank, or show that none was taken")


def test_money_that_does_not_come_back_is_a_persons_case() -> None:
    refused = op(REVERSE, OpState.DECLINED, "pay:1", finished=NOW)
    there = paid(outcome={"asked": NOW}, first_sent=NOW - 1000)
    stuck = Decision(State.CLOSING, wake_at=SLOWLY, tasks=[NOT_CLOSED])
    assert decided(closing(PAY), [there, refused], FAR) == stuck
    young, old = (paid(OpState.OK, first_sent=NOW - ago) for ago in (479_999, 480_000))
    assert decided(closing(PAY), [young], FAR) == Decision(State.CLOSING, [send(REVERSE, "pay:1")])
    assert decided(closing(PAY), [old], FAR) == Decision(State.CLOSING, [send(REVERSE, "pay:1")], tasks=[NOT_CLOSED])
    shown = [paid(OpState.GONE, first_sent=NOW - 480_000), op(REVERSE, OpState.OK, "pay:1")]
    assert decided(closing(PAY), shown, FAR) == Decision(State.UNDOING), "what is back is nobody's case, however late"


def test_a_case_is_looked_at_sooner_if_something_is_due_sooner() -> None:
    old = paid(OpState.OK, first_sent=NOW - 480_000)
    resting = op(REVERSE, OpState.NOT_SENT, "pay:1", next_at=NOW + 9)
    assert decided(closing(PAY), [old, resting], FAR) == Decision(State.CLOSING, wake_at=NOW + 9, tasks=[NOT_CLOSED])


def test_what_a_person_has_given_back_is_believed() -> None:
    saga = closing(PAY, progress={"by_hand": ["pay:1"]})
    assert decided(saga, [paid()], FAR) == Decision(State.UNDOING)


# --- goods second ----------------------------------------------------------------------------------------------------


def undoing(*legs: Any, **more: Any) -> Any:
    return sale(State.UNDOING, *(legs or (STOCK, POINTS, PAY)), **more)


def test_everything_held_is_let_go_side_by_side() -> None:
    rows = [held(), frozen()]
    assert decided(undoing(), rows, FAR) == Decision(State.UNDOING, [CANCEL_POINTS, CANCEL_STOCK])
    assert decided(undoing(), [held(), frozen(), let_go()], FAR) == Decision(State.UNDOING, [CANCEL_POINTS])


def test_when_nothing_is_held_any_more_the_checkout_has_failed_or_is_cancelled() -> None:
    """The platform shows its customer either word; a sale that he cancelled himself did not fail."""
    assert decided(undoing(), [held(), let_go()], FAR) == Decision(State.FAILED)
    assert decided(undoing(progress={"failure": {"reason": "cancelled"}}), [], FAR) == Decision(State.CANCELLED)
    assert decided(undoing(progress={"failure": {"reason": "declined"}}), [], FAR) == Decision(State.FAILED)
    resting = let_go(OpState.NOT_SENT, next_at=NOW + 5)
    assert decided(undoing(), [held(), resting], FAR) == Decision(State.UNDOING, wake_at=NOW + 5)


UNDO_FAILED = task("stock:1", "undo-failed", "give stock:1 back by hand at the store")


def test_what_cannot_be_let_go_is_a_persons_case() -> None:
    refused = [held(), let_go(OpState.DECLINED)]
    stuck = Decision(State.UNDOING, wake_at=SLOWLY, tasks=[UNDO_FAILED])
    assert decided(undoing(), refused, FAR) == stuck
    assert decided(undoing(), [held(), let_go(OpState.UNKNOWN)], BLIND) == stuck
    young = let_go(OpState.UNKNOWN, first_sent=NOW - 479_999)
    assert decided(undoing(), [held(), young], FAR) == Decision(State.UNDOING, [ask(young, "store")])
    old = let_go(OpState.UNKNOWN, first_sent=NOW - 480_000)
    assert decided(undoing(), [held(), old], FAR) == Decision(State.UNDOING, [ask(old, "store")], tasks=[UNDO_FAILED])
    done = let_go(first_sent=NOW - 480_000)
    assert decided(undoing(), [held(), done], FAR) == Decision(State.FAILED)


def test_one_that_sticks_does_not_hold_up_the_others() -> None:
    rows = [held(), frozen(), op("points_cancel", OpState.DECLINED, "points", connection="crm")]
    case = task("points", "undo-failed", "give points back by hand at the crm")
    assert decided(undoing(), rows, FAR) == Decision(State.UNDOING, [CANCEL_STOCK], tasks=[case])


def test_what_a_person_has_let_go_is_not_let_go_again() -> None:
    saga = undoing(progress={"by_hand": ["points"]})
    assert decided(saga, [held(), frozen()], FAR) == Decision(State.UNDOING, [CANCEL_STOCK])
    assert decided(saga, [frozen()], FAR) == Decision(State.FAILED)


# --- after the end ---------------------------------------------------------------------------------------------------

FIRST_LOOK = 225_000


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_a_failed_checkout_looks_for_late_money(state: State) -> None:
    """A wallet took the money minutes after we gave up: nobody would know but the customer."""
    saga = sale(state, PAY, SECOND)
    rows = [paid(OpState.DECLINED, first_sent=NOW), paid(OpState.GONE, "pay:2", first_sent=NOW - FIRST_LOOK)]
    assert decided(saga, rows, FAR) == Decision(state, [ask(rows[1])], wake_at=NOW + FIRST_LOOK)
    assert decided(saga, [], FAR) == Decision(state)
    unsent = [paid(OpState.NOT_SENT, first_sent=NOW), paid(OpState.GONE, "pay:2", first_sent=NOW - FIRST_LOOK)]
    assert decided(saga, unsent, FAR) == Decision(state, [ask(unsent[1])])
    assert decided(saga, [unsent[1]], FAR) == Decision(state, [ask(unsent[1])])


def test_late_money_is_given_back_and_told_once() -> None:
    there = paid(outcome={"asked": NOW - 5}, first_sent=NOW - 1000)
    once = Decision(
        State.FAILED,
        [send(REVERSE, "pay:1")],
        progress={"late": True},
        events=["checkout.late_payment_refunded"],
    )
    assert decided(sale(State.FAILED, PAY), [there], FAR) == once
    told = sale(State.FAILED, PAY, progress={"late": True})
    assert decided(told, [there], FAR) == Decision(State.FAILED, [send(REVERSE, "pay:1")])


def test_what_may_be_there_is_pursued_without_being_told_as_money() -> None:
    open_ = paid(OpState.UNKNOWN, outcome={"asked": NOW - 5}, first_sent=NOW - 1000)
    assert decided(sale(State.FAILED, PAY), [open_], FAR) == Decision(State.FAILED, [send(REVERSE, "pay:1")])
    resting = op(REVERSE, OpState.NOT_SENT, "pay:1", first_sent=NOW, next_at=NOW + 5)
    there = paid(outcome={"asked": NOW - 5}, first_sent=NOW - 1000)
    assert decided(sale(State.FAILED, PAY), [there, resting], FAR) == Decision(State.FAILED, wake_at=NOW + 5)
    unasked = paid(OpState.OK, first_sent=NOW)
    assert decided(sale(State.FAILED, PAY), [unasked], FAR) == Decision(State.FAILED, wake_at=NOW + FIRST_LOOK)
    by_hand = sale(State.FAILED, PAY, progress={"by_hand": ["pay:1"]})
    assert decided(by_hand, [there], FAR) == Decision(State.FAILED)


LATE = task("pay:1", "late-payment", "give late money back by hand at the bank")


def test_late_money_that_does_not_go_back_is_a_persons_case() -> None:
    there = paid(outcome={"asked": NOW}, first_sent=NOW - 10**6)
    refused = op(REVERSE, OpState.DECLINED, "pay:1", finished=NOW)
    assert decided(sale(State.FAILED, PAY), [there, refused], FAR) == Decision(
        State.FAILED, wake_at=SLOWLY, tasks=[LATE]
    )
    young = op(REVERSE, OpState.UNKNOWN, "pay:1", first_sent=NOW - 479_999)
    known = sale(State.FAILED, PAY, progress={"late": True})
    assert decided(known, [there, young], FAR) == Decision(State.FAILED, [ask(young)])
    old = op(REVERSE, OpState.UNKNOWN, "pay:1", first_sent=NOW - 480_000)
    assert decided(known, [there, old], FAR) == Decision(State.FAILED, [ask(old)], tasks=[LATE])
    assert decided(known, [there], FAR) == Decision(State.FAILED, [send(REVERSE, "pay:1")]), "the charge's age is none"
    closed = sale(State.FAILED, PAY, progress={"late": True, "by_hand": ["pay:1"]})
    assert decided(closed, [there, old], FAR).tasks == [], "a case that a person has closed is not opened again"


@pytest.mark.parametrize("undo", [REFUND, "payment_release"])
def test_every_way_of_giving_back_can_be_overdue(undo: str) -> None:
    charge, pay = (
        ("payment_authorize", leg("pay:1", pay="payment_authorize")) if undo == "payment_release" else (CHARGE, PAY)
    )
    there = op(charge, OpState.OK, "pay:1", outcome={"asked": NOW})
    old = op(undo, OpState.UNKNOWN, "pay:1", first_sent=NOW - 480_000)
    saga = sale(State.FAILED, pay, progress={"late": True})
    far = far_of(system(charge, QUERY, undo))
    assert decided(saga, [there, old], far) == Decision(State.FAILED, [ask(old)], tasks=[LATE])
    done = op(undo, OpState.OK, "pay:1", first_sent=NOW - 480_000, finished=NOW - 10_000)
    assert decided(saga, [there, done], far) == Decision(State.FAILED, [send(undo, "pay:1", 1)])


def test_money_that_came_late_and_is_back_is_done_with() -> None:
    back = [
        paid(OpState.DECLINED, outcome={"asked": NOW}, first_sent=NOW - 2_000_000),
        op(REVERSE, OpState.OK, "pay:1"),
    ]
    assert decided(sale(State.FAILED, PAY), back, FAR) == Decision(State.FAILED)


def test_a_hold_that_may_have_come_late_is_let_go_once_more() -> None:
    sent = NOW - QUIET
    lost = held(OpState.UNKNOWN, first_sent=sent, last_sent=sent)
    rows = [lost, let_go(first_sent=sent + 1)]
    again = Decision(State.FAILED, [send("stock_cancel", "stock:1", 1, connection="store")])
    assert decided(sale(State.FAILED, POINTS, STOCK, PAY), rows, FAR) == again
    assert decided(sale(State.FAILED, POINTS, STOCK, PAY), rows, FAR, now=NOW - 1) == Decision(
        State.FAILED, wake_at=NOW
    )
    by_hand = sale(State.FAILED, STOCK, progress={"by_hand": ["stock:1"]})
    assert decided(by_hand, rows, FAR) == Decision(State.FAILED)
    other = [*rows, frozen(OpState.UNKNOWN, first_sent=sent, last_sent=sent)]
    freed = op("points_cancel", OpState.OK, "points", connection="crm", first_sent=sent)
    one = sale(State.FAILED, STOCK, POINTS, progress={"by_hand": ["stock:1"]})
    assert decided(one, [*other, freed], FAR) == Decision(
        State.FAILED, [send("points_cancel", "points", 1, connection="crm")]
    )
    unknown = [lost, let_go(OpState.UNKNOWN, first_sent=NOW)]
    case = Decision(State.FAILED, wake_at=SLOWLY, tasks=[UNDO_FAILED])
    assert decided(sale(State.FAILED, STOCK), unknown, BLIND) == case


def test_a_second_cancel_that_does_not_end_is_a_persons_case() -> None:
    """The item stays held for nobody until somebody looks."""
    sent = NOW - 10**6
    lost, saga = held(OpState.UNKNOWN, first_sent=sent, last_sent=sent), sale(State.FAILED, STOCK)
    young, old = (let_go(OpState.UNKNOWN, first_sent=NOW - ago) for ago in (479_999, 480_000))
    assert decided(saga, [lost, young], FAR) == Decision(State.FAILED, [ask(young, "store")])
    assert decided(saga, [lost, old], FAR) == Decision(State.FAILED, [ask(old, "store")], tasks=[UNDO_FAILED])
    done = let_go(first_sent=sent)
    again = Decision(State.FAILED, [send("stock_cancel", "stock:1", 1, connection="store")])
    assert decided(saga, [lost, done], FAR) == again, "the first one ended, however long ago"


def test_a_reversal_during_the_watch_that_does_not_end_is_a_persons_case() -> None:
    watching = sale(State.FAILED, PAY)
    declined = paid(OpState.DECLINED, first_sent=NOW)
    looks = NOW + FIRST_LOOK
    for state in (OpState.OK, OpState.DECLINED, OpState.GONE):
        ended = op(REVERSE, state, "pay:1", first_sent=NOW - 480_000)
        assert decided(watching, [declined, ended], FAR) == Decision(State.FAILED, wake_at=looks)
    for state in (OpState.UNKNOWN, OpState.NOT_SENT):
        young, old = (op(REVERSE, state, "pay:1", first_sent=NOW - ago) for ago in (479_999, 480_000))
        assert decided(watching, [declined, young], FAR) == Decision(State.FAILED, wake_at=looks)
        assert decided(watching, [declined, old], FAR) == Decision(State.FAILED, wake_at=looks, tasks=[LATE])


# --- not for ever ----------------------------------------------------------------------------------------------------

TAIL = 604_800_000


def test_what_an_ended_checkout_still_tries_ends_after_a_week() -> None:
    """A system that was taken out of service would be asked for years; the open case is a person's alone."""
    saga = sale(State.FAILED, PAY, progress={"late": True})
    there = paid(outcome={"asked": NOW}, first_sent=NOW - TAIL)
    young, old = (op(REVERSE, OpState.UNKNOWN, "pay:1", first_sent=NOW - TAIL + more) for more in (1, 0))
    assert decided(saga, [there, young], FAR) == Decision(State.FAILED, [ask(young)], tasks=[LATE])
    assert decided(saga, [there, old], FAR) == Decision(State.FAILED, wake_at=SLOWLY, tasks=[LATE])
    assert decided(saga, [there], FAR) == Decision(State.FAILED, [send(REVERSE, "pay:1")]), "what is new is begun"


def test_one_that_is_too_old_does_not_stop_the_others() -> None:
    saga = sale(State.FAILED, PAY, SECOND, progress={"late": True})
    rows = [
        paid(outcome={"asked": NOW}, first_sent=NOW - TAIL),
        op(REVERSE, OpState.UNKNOWN, "pay:1", first_sent=NOW - TAIL),
        paid(OpState.GONE, "pay:2", first_sent=NOW - FIRST_LOOK),
    ]
    assert decided(saga, rows, FAR) == Decision(State.FAILED, [ask(rows[2])], tasks=[LATE])


def test_a_case_that_is_too_old_does_not_put_off_the_watch_of_another_tender() -> None:
    saga = sale(State.FAILED, PAY, SECOND, progress={"late": True})
    rows = [
        paid(outcome={"asked": NOW}, first_sent=NOW - TAIL),
        op(REVERSE, OpState.UNKNOWN, "pay:1", first_sent=NOW - TAIL),
        paid(OpState.GONE, "pay:2", first_sent=NOW),
    ]
    assert decided(saga, rows, FAR) == Decision(State.FAILED, wake_at=NOW + FIRST_LOOK, tasks=[LATE])


def test_without_a_case_what_is_too_old_wakes_nobody() -> None:
    given = Timing(watch=10 * TAIL)
    old = paid(OpState.GONE, first_sent=NOW - 5 * TAIL, outcome={"asked": NOW - 4 * TAIL})
    assert decided(sale(State.FAILED, PAY), [old], FAR, timing=given) == Decision(State.FAILED)


def test_a_checkout_under_way_is_never_too_old() -> None:
    old = op(REVERSE, OpState.UNKNOWN, "pay:1", first_sent=NOW - TAIL)
    rows = [paid(first_sent=NOW - TAIL), old]
    assert decided(closing(PAY), rows, FAR) == Decision(State.CLOSING, [ask(old)], tasks=[NOT_CLOSED])


def test_a_completed_checkout_looks_for_late_money_of_the_tenders_it_declined() -> None:
    """The customer paid with another card; the first one's late duplicate must not stay taken."""
    saga = sale(State.COMPLETED, PAY, SECOND, progress={"declined": ["pay:1"]})
    rows = [paid(OpState.DECLINED, first_sent=NOW - FIRST_LOOK), paid(name="pay:2", first_sent=NOW - FIRST_LOOK)]
    assert decided(saga, rows, FAR) == Decision(State.COMPLETED, [ask(rows[0])])
    late = [paid(outcome={"asked": NOW}, first_sent=NOW), paid(name="pay:2", outcome={"asked": NOW})]
    found = decided(saga, late, FAR)
    assert (found.todo, found.events) == ([send(REVERSE, "pay:1")], ["checkout.late_payment_refunded"])
    for kind in (Kind.REFUND, Kind.RELEASE):
        given = sale(State.COMPLETED, PAY, SECOND, kind=kind, progress={"declined": ["pay:1"]})
        assert decided(given, rows, FAR) == Decision(State.COMPLETED), "a refund takes nothing"
    deposit = sale(State.COMPLETED, PAY, SECOND, kind=Kind.DEPOSIT, progress={"declined": ["pay:1"]})
    assert decided(deposit, rows, FAR) == Decision(State.COMPLETED, [ask(rows[0])])


def test_a_late_look_at_a_tender_that_is_blocked_is_not_needed() -> None:
    far = far_of(system(CHARGE, REVERSE, payment_reverse=Traits(tombstone=True)))
    sent = NOW - QUIET
    rows = [paid(OpState.DECLINED, first_sent=sent, last_sent=sent), op(REVERSE, OpState.OK, "pay:1", first_sent=sent)]
    assert decided(sale(State.FAILED, PAY), rows, far) == Decision(State.FAILED)
