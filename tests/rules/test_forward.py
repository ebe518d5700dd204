"""The way forward: holds side by side, then tenders in order, then what was held is used up; and when to give up."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gateway.domain.traits import Traits
from gateway.engine.model import Decision, Kind, OpState, State, Timing
from tests.rules.kit import (
    NOW,
    SLOWLY,
    ask,
    decided,
    far_of,
    gives_up,
    leg,
    op,
    sale,
    send,
    system,
    task,
)

CHARGE, QUERY, REVERSE = "payment_charge", "payment_query", "payment_reverse"
STOCK = leg("stock:1", connection="store", hold="stock_reserve", settle="stock_confirm")
POINTS = leg("points", connection="crm", hold="points_reserve", settle="points_confirm")
PAY = leg("pay:1", pay=CHARGE)
SECOND = leg("pay:2", pay=CHARGE)
BANK = system(CHARGE, QUERY, REVERSE)
STORE = system("stock_reserve", "stock_confirm", "stock_cancel", "stock_return", "stock_query")
CRM = system("points_reserve", "points_confirm", "points_cancel", "points_return", "member_query")
FAR = far_of(BANK, store=STORE, crm=CRM)
#: A bare terminal: nothing can be asked or taken back. And a store system without a query.
BLIND = far_of(system(CHARGE), store=system("stock_reserve", "stock_confirm"), crm=CRM)


def held(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("stock_reserve", state, "stock:1", connection="store", **more)


def frozen(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("points_reserve", state, "points", connection="crm", **more)


def paid(state: OpState = OpState.OK, name: str = "pay:1", **more: Any) -> Any:
    return op(CHARGE, state, name, **more)


def hold_stock(**more: Any) -> Any:
    return send("stock_reserve", "stock:1", connection="store", **more)


def freeze_points(**more: Any) -> Any:
    return send("points_reserve", "points", connection="crm", **more)


# --- holding ---------------------------------------------------------------------------------------------------------


def reserving(*legs: Any, **more: Any) -> Any:
    return sale(State.RESERVING, *(legs or (STOCK, POINTS, PAY)), **more)


def test_everything_is_held_side_by_side_and_nothing_is_paid_yet() -> None:
    """Holds one after the other would make the customer wait for their sum."""
    assert decided(reserving(), [], FAR) == Decision(State.RESERVING, [hold_stock(), freeze_points()])
    assert decided(reserving(), [held()], FAR) == Decision(State.RESERVING, [freeze_points()])


def test_only_when_all_is_held_is_money_taken() -> None:
    assert decided(reserving(), [held(), frozen()], FAR) == Decision(State.PAYING)
    assert decided(reserving(PAY), [], FAR) == Decision(State.PAYING)
    resting = frozen(OpState.NOT_SENT, attempts=1, first_sent=NOW - 100, next_at=NOW + 400)
    assert decided(reserving(), [held(), resting], FAR) == Decision(State.RESERVING, wake_at=NOW + 400)


def test_a_cancelled_checkout_holds_nothing_more() -> None:
    """The customer has left: goods held for him now would be missing for the next one."""
    for state in (State.RESERVING, State.PAYING, State.AWAITING_TENDER):
        cancelled = sale(state, STOCK, POINTS, PAY, progress={"cancel": True})
        assert decided(cancelled, [], FAR) == gives_up("", "cancelled")


def test_the_first_refusal_gives_everything_up_with_the_systems_own_words() -> None:
    no = held(OpState.DECLINED, outcome={"reason": "out_of_stock", "code": "E7", "message": "sold out"})
    assert decided(reserving(), [no], FAR) == gives_up("stock:1", "out_of_stock", no)
    mute = held(OpState.DECLINED)
    assert decided(reserving(), [frozen(), mute], FAR) == gives_up("stock:1", "declined", mute)


def test_the_first_failure_is_the_one_that_is_told() -> None:
    """What fails while the checkout is being undone must not hide why it was given up."""
    known = {"leg": "points", "reason": "insufficient_points"}
    saga = reserving(progress={"failure": known})
    progress = {"failure": known, "closing_since": NOW}
    assert decided(saga, [held(OpState.DECLINED)], FAR) == Decision(State.CLOSING, progress=progress)


def test_a_system_that_cannot_hold_is_unavailable() -> None:
    far = far_of(BANK, store=system("stock_query"), crm=CRM)
    assert decided(reserving(), [], far) == gives_up("stock:1", "unavailable")
    cannot = held(OpState.NOT_SENT, attempts=1, outcome={"unsupported": True})
    assert decided(reserving(), [cannot], FAR) == gives_up("stock:1", "unresolved", cannot)


def test_a_system_that_is_down_is_tried_twice() -> None:
    """Once more is worth it while the customer waits; more is not."""
    once = held(OpState.NOT_SENT, attempts=1, first_sent=NOW - 100, next_at=NOW)
    expected = Decision(State.RESERVING, [hold_stock(op=once), freeze_points()], wake_at=NOW + 7_900)
    assert decided(reserving(), [once], FAR) == expected
    twice = held(OpState.NOT_SENT, attempts=2, first_sent=NOW - 100, next_at=NOW)
    assert decided(reserving(), [twice], FAR) == gives_up("stock:1", "unavailable", twice)


def test_an_unknown_hold_is_asked_about_until_the_customer_has_waited_long_enough() -> None:
    asked = held(OpState.UNKNOWN, first_sent=NOW - 7_999, next_at=NOW)
    assert decided(reserving(), [asked, frozen()], FAR) == Decision(
        State.RESERVING, [ask(asked, "store")], wake_at=NOW + 1
    )
    resting = held(OpState.UNKNOWN, first_sent=NOW - 4_000, next_at=NOW + 9_000)
    assert decided(reserving(), [resting, frozen()], FAR) == Decision(State.RESERVING, wake_at=NOW + 4_000)
    soon = held(OpState.UNKNOWN, first_sent=NOW - 4_000, next_at=NOW + 10)
    assert decided(reserving(), [soon, frozen()], FAR) == Decision(State.RESERVING, wake_at=NOW + 10)
    late = held(OpState.UNKNOWN, first_sent=NOW - 8_000, next_at=NOW)
    assert decided(reserving(), [late, frozen()], FAR) == gives_up("stock:1", "unresolved", late)
    silent = held(OpState.UNKNOWN, first_sent=NOW)
    assert decided(reserving(), [silent], BLIND) == gives_up("stock:1", "unresolved", silent)


def test_an_unknown_hold_is_repeated_while_its_key_acts_once() -> None:
    short = Traits(idempotent=True, idempotent_for_s=2)
    far = far_of(BANK, store=system("stock_reserve", "stock_query", stock_reserve=short), crm=CRM)
    young, old = (held(OpState.UNKNOWN, first_sent=NOW - ago, next_at=NOW) for ago in (1_999, 2_000))
    assert decided(reserving(), [young, frozen()], far).todo == [hold_stock(op=young)]
    assert decided(reserving(), [old, frozen()], far).todo == [ask(old, "store")]


def test_two_holds_that_wait_are_looked_at_with_the_sooner_one() -> None:
    first = held(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 300)
    second = frozen(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 200)
    assert decided(reserving(), [first, second], FAR) == Decision(State.RESERVING, wake_at=NOW + 200)
    sooner = frozen(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 400)
    assert decided(reserving(), [first, sooner], FAR) == Decision(State.RESERVING, wake_at=NOW + 300)


LIGHT = leg("stock:1", {"when_down": "without"}, "store", hold="stock_reserve", settle="stock_confirm")


def test_what_the_merchant_can_do_without_is_left_out_while_its_system_is_down() -> None:
    """A points system that is down must not stop the shop from selling, if the merchant said so."""
    twice = held(OpState.NOT_SENT, attempts=2)
    saga = reserving(LIGHT, POINTS, PAY, progress={"without": ["zz", "aa"]})
    assert decided(saga, [twice], FAR) == Decision(State.RESERVING, progress={"without": ["aa", "stock:1", "zz"]})
    no = held(OpState.DECLINED)
    assert decided(saga, [no], FAR) == gives_up("stock:1", "declined", no), "a refusal is no system that is down"
    strict = leg("stock:1", {"when_down": "fail"}, "store", hold="stock_reserve")
    assert decided(reserving(strict, PAY), [twice], FAR) == gives_up("stock:1", "unavailable", twice)


def test_what_was_left_out_is_not_held_any_more_and_the_others_are() -> None:
    saga = reserving(LIGHT, POINTS, PAY, progress={"without": ["stock:1"]})
    assert decided(saga, [], FAR) == Decision(State.RESERVING, [freeze_points()])


def test_what_a_declined_tender_held_is_not_held_again() -> None:
    """A lock on a voucher stands for the voucher: locked again, it would be locked for nothing."""
    lock = leg("lock:1", {"lock_of": "voucher"}, "store", hold="stock_reserve")
    saga = reserving(lock, POINTS, PAY, progress={"declined": ["voucher"]})
    assert decided(saga, [], FAR) == Decision(State.RESERVING, [freeze_points()])


def test_a_tender_added_later_that_cannot_be_held_is_replaced_by_another() -> None:
    """The first payers have paid: a card without value must not send them all away."""
    added = leg("card", connection="crm", hold="value_reserve").to_json()
    far = far_of(BANK, store=STORE, crm=system("value_reserve"))
    saga = reserving(STOCK, PAY, progress={"legs": [added], "declined": ["zz"]})
    for no in (
        op("value_reserve", OpState.DECLINED, "card", connection="crm"),
        op("value_reserve", OpState.NOT_SENT, "card", connection="crm", attempts=2),
    ):
        another = Decision(State.AWAITING_TENDER, progress={"declined": ["card", "zz"]})
        assert decided(saga, [held(), no], far) == another
    unknown = op("value_reserve", OpState.UNKNOWN, "card", connection="crm")
    assert decided(saga, [held(), unknown], far) == gives_up("card", "unresolved", unknown)
    fresh = reserving(STOCK, PAY, progress={"legs": [added]})
    assert decided(fresh, [held(OpState.DECLINED)], far).state is State.CLOSING, "not so with what was there before"


# --- paying ----------------------------------------------------------------------------------------------------------


def paying(*legs: Any, **more: Any) -> Any:
    return sale(State.PAYING, *(legs or (STOCK, PAY)), **more)


def two(**more: Any) -> Any:
    """Two tenders of 600 and 400 fen."""
    return paying(PAY, SECOND, tenders=[{"leg": "pay:1", "amount": 600}, {"leg": "pay:2", "amount": 400}], **more)


def test_tenders_are_taken_one_after_the_other() -> None:
    """Side by side, one that is refused would leave another one charged."""
    assert decided(two(), [], FAR) == Decision(State.PAYING, [send(CHARGE, "pay:1")])
    assert decided(two(), [paid()], FAR) == Decision(State.PAYING, [send(CHARGE, "pay:2")])
    assert decided(two(), [paid(), paid(name="pay:2")], FAR) == Decision(State.SETTLING, progress={"pivot": NOW})


def test_nothing_is_settled_before_all_is_paid() -> None:
    short = paying(PAY, tenders=[{"leg": "pay:1", "amount": 999}])
    assert decided(short, [paid()], FAR) == Decision(State.AWAITING_TENDER)
    more = paying(PAY, tenders=[{"leg": "pay:1", "amount": 1001}])
    assert decided(more, [paid()], FAR) == Decision(State.SETTLING, progress={"pivot": NOW})
    added = {"legs": [SECOND.to_json()], "tenders": [{"leg": "pay:2", "amount": 1}]}
    filled = paying(PAY, tenders=[{"leg": "pay:1", "amount": 999}], progress=added)
    both = [paid(), paid(name="pay:2")]
    assert decided(filled, both, FAR) == Decision(State.SETTLING, progress={"pivot": NOW})


def test_a_declined_tender_pays_nothing_and_is_not_taken_again() -> None:
    saga = two(progress={"declined": ["pay:1"]})
    assert decided(saga, [paid(OpState.DECLINED)], FAR) == Decision(State.PAYING, [send(CHARGE, "pay:2")])
    rows = [paid(OpState.DECLINED), paid(name="pay:2")]
    assert decided(saga, rows, FAR) == Decision(State.AWAITING_TENDER)


def test_a_channel_that_cannot_charge_is_unavailable() -> None:
    assert decided(paying(), [], far_of(system(QUERY), store=STORE)) == gives_up("pay:1", "unavailable")


def test_a_declined_payment_ends_the_checkout_with_the_banks_own_words() -> None:
    no = paid(OpState.DECLINED, outcome={"reason": "insufficient_funds", "code": "51", "message": "no money"})
    assert decided(paying(), [no], FAR) == gives_up("pay:1", "insufficient_funds", no)


def test_a_charge_that_never_left_is_sent_once_more() -> None:
    once = paid(OpState.NOT_SENT, attempts=1, next_at=NOW)
    assert decided(paying(), [once], FAR) == Decision(State.PAYING, [send(CHARGE, "pay:1", op=once)])
    resting = paid(OpState.NOT_SENT, attempts=1, next_at=NOW + 5)
    assert decided(paying(), [resting], FAR) == Decision(State.PAYING, wake_at=NOW + 5)
    twice = paid(OpState.NOT_SENT, attempts=2, next_at=NOW)
    assert decided(paying(), [twice], FAR) == gives_up("pay:1", "unavailable", twice)
    lost = paid(OpState.NOT_SENT, attempts=1, next_at=NOW, outcome={"code_lost": True})
    assert decided(paying(), [lost], FAR) == gives_up("pay:1", "unavailable", lost), "its payment code is gone"


def test_a_charge_that_is_shown_never_to_have_happened_is_not_sent_again() -> None:
    """A payment code is good once, and the customer may have put his phone away."""
    gone = paid(OpState.GONE, attempts=1)
    assert decided(paying(), [gone], FAR) == gives_up("pay:1", "unavailable", gone)


def test_an_unknown_charge_is_asked_about_and_never_repeated() -> None:
    """Not even where the adapter says that the same key acts once: the code is single use."""
    far = far_of(system(CHARGE, QUERY, payment_charge=Traits(idempotent=True)), store=STORE)
    for state in (OpState.UNKNOWN, OpState.PENDING, OpState.INTENT, OpState.TASK):
        one = paid(state, first_sent=NOW - 1000, next_at=NOW)
        assert decided(paying(), [one], far) == Decision(State.PAYING, [ask(one)])
        asked = paid(state, first_sent=NOW - 1000, next_at=NOW, queries=1)
        assert decided(paying(), [asked], far) == Decision(State.PAYING, [ask(asked)], wake_at=NOW + 49_000)
        resting = paid(state, first_sent=NOW - 1000, next_at=NOW + 60_000, queries=1)
        assert decided(paying(), [resting], far) == Decision(State.PAYING, wake_at=NOW + 49_000)


CAPTURE = "payment_capture"


def test_what_is_drawn_on_held_money_is_sent_again_where_that_acts_once() -> None:
    """It needs no customer and no code of theirs; a system that cannot be asked would leave it to a person."""
    draw = leg("pay:1", pay=CAPTURE)
    once = system(CAPTURE, "payment_refund", payment_capture=Traits(idempotent=True, close_after_s=50))
    unknown = op(CAPTURE, OpState.UNKNOWN, "pay:1", first_sent=NOW - 49_999)
    again = Decision(State.PAYING, [send(CAPTURE, "pay:1", op=unknown)], wake_at=NOW + 1)
    assert decided(paying(draw), [unknown], far_of(once)) == again
    over = op(CAPTURE, OpState.UNKNOWN, "pay:1", first_sent=NOW - 50_000)
    assert decided(paying(draw), [over], far_of(once)) == gives_up("pay:1", "undecided", over)
    asked = far_of(system(CAPTURE, QUERY))
    assert decided(paying(draw), [unknown], asked) == Decision(State.PAYING, [ask(unknown)])
    short = system(CAPTURE, QUERY, payment_capture=Traits(idempotent=True, idempotent_for_s=10))
    young, old = (op(CAPTURE, OpState.UNKNOWN, "pay:1", first_sent=NOW - ago) for ago in (9_999, 10_000))
    assert decided(paying(draw), [young], far_of(short)).todo == [send(CAPTURE, "pay:1", op=young)]
    assert decided(paying(draw), [old], far_of(short)).todo == [ask(old)], "its key is no longer known to act once"
    both = far_of(system(CAPTURE, QUERY, payment_capture=Traits(idempotent=True)))
    late = op(CAPTURE, OpState.UNKNOWN, "pay:1", first_sent=NOW - 50_000)
    assert decided(paying(draw), [late], both) == Decision(State.PAYING, [ask(late)]), (
        "too late: it is only asked about"
    )


def test_a_charge_is_asked_about_once_however_late_it_is() -> None:
    """After an outage the customer may long have paid and gone: giving up unasked would reverse a good sale."""
    late = paid(OpState.UNKNOWN, first_sent=NOW - 10**6, next_at=NOW)
    assert decided(paying(), [late], FAR) == Decision(State.PAYING, [ask(late)])
    asked = paid(OpState.UNKNOWN, first_sent=NOW - 50_000, queries=1)
    assert decided(paying(), [asked], FAR) == gives_up("pay:1", "undecided", asked)
    not_yet = paid(OpState.UNKNOWN, first_sent=NOW - 49_999, queries=1)
    assert decided(paying(), [not_yet], FAR) == Decision(State.PAYING, [ask(not_yet)], wake_at=NOW + 1)


def test_how_long_an_undecided_payment_is_waited_for() -> None:
    """The channel's word, never more than the engine's; the merchant's word, never beyond the checkout's end."""
    patient = far_of(system(CHARGE, QUERY, payment_charge=Traits(close_after_s=90)), store=STORE)
    one = paid(OpState.PENDING, first_sent=NOW - 1000, next_at=NOW + 10**6, queries=1)
    assert decided(paying(), [one], patient).wake_at == NOW + 59_000
    assert decided(paying(), [one], patient, timing=Timing(pay=100_000)).wake_at == NOW + 89_000
    assert decided(paying(policy={"close_after": 20_000}), [one], patient).wake_at == NOW + 19_000
    assert decided(paying(policy={"close_after": "20000"}), [one], patient).wake_at == NOW + 19_000
    bounded = paying(policy={"close_after": 20_000}, expires_at=NOW + 7)
    assert decided(bounded, [one], patient).wake_at == NOW + 7
    slow = far_of(system(CHARGE, QUERY, payment_charge=Traits(close_after_s=90)), store=STORE)
    assert decided(paying(), [one], slow, timing=Timing(scale=0.1)).wake_at == NOW + 8_000


def test_a_shown_qr_code_lives_as_long_as_the_checkout() -> None:
    """Customers take their time with a code on a screen; the till's patience with a terminal is no measure for them."""
    shown = paid(
        OpState.PENDING, first_sent=NOW, queries=1, next_at=NOW + 10**6, outcome={"next_action": {"type": "show_qr"}}
    )
    assert decided(paying(), [shown], FAR) == Decision(State.PAYING, wake_at=NOW + 600_000)
    for said in ("soon", "1970-01-01T00:00:00"):
        shown.outcome["next_action"]["expires_at"] = said
        assert decided(paying(), [shown], FAR) == Decision(State.PAYING, wake_at=NOW + 600_000), said
    word = paid(
        OpState.PENDING,
        first_sent=NOW,
        queries=1,
        next_at=NOW + 10**6,
        outcome={"next_action": {"type": "await_password"}},
    )
    assert decided(paying(), [word], FAR) == Decision(State.PAYING, wake_at=NOW + 50_000)


@pytest.mark.parametrize(("life", "waited"), [(90_000, 90_000), (700_000, 600_000), (5_000, 60_000), (-9_000, 60_000)])
def test_a_code_that_ran_out_is_not_waited_for(life: int, waited: int) -> None:
    """Nobody can pay with it any more, and the goods it holds are wanted by others. A clock that is off ends no code
    before the time that any payment gets."""
    ends = datetime.fromtimestamp((NOW + life) / 1000, UTC).isoformat()
    action = {"type": "show_qr", "expires_at": ends}
    shown = paid(OpState.PENDING, first_sent=NOW, queries=1, next_at=NOW + 10**6, outcome={"next_action": action})
    assert decided(paying(), [shown], FAR) == Decision(State.PAYING, wake_at=NOW + waited)


def test_a_shown_code_that_runs_out_is_not_waited_for_longer() -> None:
    """Nobody can pay it any more: the checkout goes on, but not sooner than any payment would be given up."""

    def shown(ends: object) -> Any:
        action = {"type": "show_qr", "expires_at": ends}
        return paid(OpState.PENDING, first_sent=NOW, queries=1, next_at=NOW + 10**6, outcome={"next_action": action})

    def at(later: int) -> str:
        return datetime.fromtimestamp((NOW + later) / 1000, UTC).isoformat()

    for ends, looked_at in (
        (at(120_000), 120_000),
        (at(60_001), 60_001),
        (at(59_999), 60_000),
        (at(-1_000), 60_000),
        (at(10**9), 600_000),
        ("soon", 600_000),
        ("1970-04-26T17:48:40", 600_000),
        (None, 600_000),
    ):
        assert decided(paying(), [shown(ends)], FAR).wake_at == NOW + looked_at, ends


def test_a_payment_that_nobody_can_be_asked_about_waits_while_it_is_pending() -> None:
    reversible = far_of(system(CHARGE, REVERSE), store=STORE)
    pending = paid(OpState.PENDING, first_sent=NOW - 1000)
    assert decided(paying(), [pending], reversible) == Decision(State.PAYING, wake_at=NOW + 49_000)
    over = paid(OpState.PENDING, first_sent=NOW - 50_000)
    assert decided(paying(), [over], reversible) == gives_up("pay:1", "undecided", over)
    unknown = paid(OpState.UNKNOWN, first_sent=NOW)
    assert decided(paying(), [unknown], reversible) == gives_up("pay:1", "undecided", unknown)


def test_a_channel_that_can_be_asked_is_closed_although_it_cannot_reverse() -> None:
    """It is asked until it says that nothing was taken; the cashier need not know."""
    asked = paid(OpState.UNKNOWN, first_sent=NOW - 50_000, queries=1)
    assert decided(paying(), [asked], far_of(system(CHARGE, QUERY), store=STORE)) == gives_up(
        "pay:1", "undecided", asked
    )


def test_what_only_the_terminal_knows_the_cashier_is_asked() -> None:
    """Nothing can be asked or reversed there: guessing either way is somebody's money."""
    case = task("pay:1", "payment-unknown", "ask the customer or the terminal whether this was paid", "cashier", CHARGE)
    for one in (paid(OpState.UNKNOWN, first_sent=NOW), paid(OpState.PENDING, first_sent=NOW - 50_000)):
        assert decided(paying(), [one], BLIND) == Decision(State.PAYING, wake_at=SLOWLY, tasks=[case])


def test_a_tender_whose_reversal_has_begun_is_not_kept() -> None:
    """Even if it shows as paid again: half of it may be on its way back."""
    rows = [paid(), op(REVERSE, OpState.UNKNOWN, "pay:1")]
    assert decided(paying(), rows, FAR) == gives_up("pay:1", "declined", rows[0])


# --- another tender in its place -------------------------------------------------------------------------------------


def test_a_declined_tender_is_closed_before_another_one_is_asked_for() -> None:
    """A late duplicate of it may still be accepted: the customer would pay twice."""
    no = paid(OpState.DECLINED, first_sent=NOW - 20, finished=NOW - 10)
    saga = paying(on_decline="await_tender")
    assert decided(saga, [no], FAR) == Decision(State.PAYING, [send(REVERSE, "pay:1")])
    reversed_ = op(REVERSE, OpState.OK, "pay:1", finished=NOW - 5)
    shown = paid(OpState.DECLINED, finished=NOW - 4, outcome={"asked": NOW - 4})
    another = Decision(State.AWAITING_TENDER, progress={"declined": ["pay:1"]})
    assert decided(saga, [shown, reversed_], FAR) == another
    assert decided(paying(on_decline="fail"), [no], FAR) == gives_up("pay:1", "declined", no)


def test_what_a_declined_tender_still_holds_is_let_go_before_another_one_is_asked_for() -> None:
    """A card's value that stays blocked for a tender that another one has replaced is missing to its owner."""
    both = leg("pay:1", connection="crm", hold="value_reserve", pay=CHARGE)
    crm = system(CHARGE, QUERY, REVERSE, "value_reserve", "value_cancel")
    gone = paid(OpState.DECLINED, first_sent=NOW - 20, finished=NOW - 4, outcome={"asked": NOW - 4}, connection="crm")
    closed = op(REVERSE, OpState.OK, "pay:1", finished=NOW - 5, connection="crm")
    rows = [gone, closed, op("value_reserve", OpState.OK, "pay:1", connection="crm")]
    saga = paying(both, on_decline="await_tender")
    assert decided(saga, rows, far_of(crm=crm)) == Decision(State.PAYING, progress={"replaced": ["pay:1"]})
    marked = paying(both, on_decline="await_tender", progress={"replaced": ["pay:1"]})
    free = send("value_cancel", "pay:1", connection="crm")
    assert decided(marked, rows, far_of(crm=crm)) == Decision(State.PAYING, [free])


def test_nobody_is_asked_for_another_tender_after_the_checkouts_end() -> None:
    no = paid(OpState.DECLINED, first_sent=NOW)
    over, just = (paying(on_decline="await_tender", expires_at=at) for at in (NOW, NOW + 1))
    assert decided(over, [no], FAR) == gives_up("pay:1", "declined", no)
    assert decided(just, [no], FAR) == Decision(State.PAYING, [send(REVERSE, "pay:1")])


def test_a_tender_that_cannot_be_closed_is_a_persons_case() -> None:
    saga, far = paying(on_decline="await_tender"), far_of(system(CHARGE, REVERSE), store=STORE)
    refused = [paid(OpState.UNKNOWN, first_sent=NOW - 100), op(REVERSE, OpState.DECLINED, "pay:1")]
    detail = "give the money back by hand at the bank, or show that none was taken"
    case = task("pay:1", "payment-not-closed", detail)
    overdue = paid(OpState.DECLINED, first_sent=NOW - 480_000)
    assert decided(saga, [overdue], far) == Decision(State.PAYING, [send(REVERSE, "pay:1")], tasks=[case])
    assert decided(saga, refused, far) == Decision(State.PAYING, wake_at=SLOWLY, tasks=[case])


def test_the_checkout_waits_for_the_next_payer_until_it_expires() -> None:
    waiting = sale(State.AWAITING_TENDER, STOCK, PAY)
    assert decided(waiting, [held()], FAR) == Decision(State.AWAITING_TENDER, wake_at=NOW + 600_000)
    assert decided(waiting, [held()], FAR, now=NOW + 599_999).state is State.AWAITING_TENDER
    over = sale(State.AWAITING_TENDER, STOCK, PAY, expires_at=NOW)
    assert decided(over, [held()], FAR) == gives_up("", "expired")
    added = sale(State.AWAITING_TENDER, STOCK, PAY, expires_at=NOW, progress={"tender_added": True})
    assert decided(added, [held()], FAR) == Decision(State.RESERVING, progress={"tender_added": False})


# --- settling --------------------------------------------------------------------------------------------------------


def settling(*legs: Any, **more: Any) -> Any:
    return sale(State.SETTLING, *(legs or (STOCK, POINTS, PAY)), **more)


def sold(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("stock_confirm", state, "stock:1", connection="store", **more)


def redeemed(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("points_confirm", state, "points", connection="crm", **more)


def sell(**more: Any) -> Any:
    return send("stock_confirm", "stock:1", connection="store", **more)


def redeem(**more: Any) -> Any:
    return send("points_confirm", "points", connection="crm", **more)


def test_what_was_held_is_used_up_side_by_side_then_the_bill_is_posted() -> None:
    assert decided(settling(), [], FAR) == Decision(State.SETTLING, [sell(), redeem()])
    assert decided(settling(), [sold()], FAR) == Decision(State.SETTLING, [redeem()])
    done = Decision(State.POSTING, progress={"posting_since": NOW})
    assert decided(settling(), [sold(), redeemed()], FAR) == done
    assert decided(settling(PAY), [], FAR) == done


def test_what_was_declined_or_left_out_is_not_used_up() -> None:
    saga = settling(progress={"declined": ["points"], "without": ["stock:1"]})
    assert decided(saga, [], FAR) == Decision(State.POSTING, progress={"posting_since": NOW})


def test_after_the_money_an_unknown_use_is_resolved_and_never_given_up() -> None:
    """The customer has paid: he gets his goods, or a person sees to it."""
    unknown = sold(OpState.UNKNOWN, first_sent=NOW - 479_999)
    assert decided(settling(), [unknown, redeemed()], FAR) == Decision(State.SETTLING, [ask(unknown, "store")])
    case = task(
        "stock:1", "redemption-unknown", "find out whether stock_confirm happened at the store", hook="stock_confirm"
    )
    overdue = sold(OpState.UNKNOWN, first_sent=NOW - 480_000)
    expected = Decision(State.SETTLING, [ask(overdue, "store")], tasks=[case])
    assert decided(settling(), [overdue, redeemed()], FAR) == expected
    silent = sold(OpState.UNKNOWN, first_sent=NOW)
    assert decided(settling(), [silent, redeemed()], BLIND) == Decision(State.SETTLING, wake_at=SLOWLY, tasks=[case])
    old = [sold(first_sent=NOW - 10**6), redeemed(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 5)]
    assert decided(settling(), old, FAR) == Decision(State.SETTLING, wake_at=NOW + 5)


def test_a_use_that_was_refused_gives_all_back() -> None:
    no = sold(OpState.DECLINED, outcome={"reason": "out_of_stock", "code": "9", "message": "none left"})
    assert decided(settling(), [redeemed(), no], FAR) == gives_up("stock:1", "out_of_stock", no)
    assert decided(settling(), [no], FAR) == gives_up("stock:1", "out_of_stock", no), "nothing more is begun"


def test_before_all_is_given_back_it_is_known_what_the_others_came_to() -> None:
    """Only what is known can be undone: points taken by a call in flight would be lost to the member."""
    no = redeemed(OpState.DECLINED)
    open_ = sold(OpState.UNKNOWN, first_sent=NOW - 1000)
    assert decided(settling(), [open_, no], FAR) == Decision(State.SETTLING, [ask(open_, "store")])
    resting = sold(OpState.PENDING, first_sent=NOW - 1000, next_at=NOW + 5)
    assert decided(settling(), [resting, no], FAR) == Decision(State.SETTLING, wake_at=NOW + 5)
    silent = sold(OpState.UNKNOWN, first_sent=NOW - 1000)
    assert decided(settling(), [silent, no], BLIND) == gives_up("points", "declined", no), "nobody can tell"
    overdue = sold(OpState.UNKNOWN, first_sent=NOW - 480_000)
    assert decided(settling(), [overdue, no], FAR) == gives_up("points", "declined", no)
    unsent = sold(OpState.NOT_SENT, first_sent=NOW - 1000, next_at=NOW + 5)
    assert decided(settling(), [unsent, no], FAR) == gives_up("points", "declined", no)


# --- refunds and releases --------------------------------------------------------------------------------------------

BACK = leg("refund", pay="payment_refund")
AGAIN = leg("back", connection="store", settle="stock_return")
REFUNDING = far_of(system("payment_refund", QUERY), store=STORE)


@pytest.mark.parametrize("kind", [Kind.REFUND, Kind.RELEASE])
def test_a_refund_goes_forward_only_money_before_goods(kind: Kind) -> None:
    first = sale(State.PAYING, BACK, AGAIN, kind=kind)
    assert decided(first, [], REFUNDING) == Decision(State.PAYING, [send("payment_refund", "refund")])
    given = op("payment_refund", OpState.OK, "refund")
    on = Decision(State.SETTLING, progress={"posting_since": NOW})
    assert decided(first, [given], REFUNDING) == on
    goods = sale(State.SETTLING, BACK, AGAIN, kind=kind)
    assert decided(goods, [given], REFUNDING) == Decision(
        State.SETTLING, [send("stock_return", "back", connection="store")]
    )
    returned = op("stock_return", OpState.OK, "back", connection="store")
    posted = Decision(State.POSTING, progress={"posting_since": NOW})
    assert decided(goods, [given, returned], REFUNDING) == posted


def test_a_refund_that_is_refused_stops_and_is_a_persons_case() -> None:
    """The customer was promised his money: somebody has to give it to him another way."""
    no = op("payment_refund", OpState.DECLINED, "refund", outcome={"reason": "too_late", "code": "", "message": "past"})
    case = task("refund", "refund-refused", "the bank refused payment_refund: too_late past", hook="payment_refund")
    saga = sale(State.PAYING, BACK, AGAIN, kind=Kind.REFUND)
    assert decided(saga, [no], REFUNDING) == Decision(State.PAYING, wake_at=SLOWLY, tasks=[case])
    mute = op("payment_refund", OpState.DECLINED, "refund")
    case = task("refund", "refund-refused", "the bank refused payment_refund", hook="payment_refund")
    assert decided(saga, [mute], REFUNDING) == Decision(State.PAYING, wake_at=SLOWLY, tasks=[case])


def test_a_refund_whose_outcome_stays_unknown_is_a_persons_case() -> None:
    saga = sale(State.PAYING, BACK, AGAIN, kind=Kind.REFUND)
    unknown = op("payment_refund", OpState.UNKNOWN, "refund", first_sent=NOW - 479_999)
    assert decided(saga, [unknown], REFUNDING) == Decision(State.PAYING, [ask(unknown)])
    overdue = op("payment_refund", OpState.UNKNOWN, "refund", first_sent=NOW - 480_000)
    case = task(
        "refund", "refund-unknown", "find out whether payment_refund happened at the bank", hook="payment_refund"
    )
    assert decided(saga, [overdue], REFUNDING) == Decision(State.PAYING, [ask(overdue)], tasks=[case])
    blind = far_of(system("payment_refund"), store=STORE)
    assert decided(saga, [unknown], blind) == Decision(State.PAYING, wake_at=SLOWLY, tasks=[case])


def test_one_refund_that_hangs_does_not_hold_up_the_others() -> None:
    """Paid with two cards: the one that can be refunded is, while somebody sees to the other."""
    second = leg("refund:2", pay="payment_refund")
    saga = sale(State.PAYING, BACK, second, kind=Kind.REFUND)
    overdue = op("payment_refund", OpState.OK, "refund", first_sent=NOW - 480_000)
    assert decided(saga, [overdue], REFUNDING) == Decision(State.PAYING, [send("payment_refund", "refund:2")])
    unknown = op("payment_refund", OpState.UNKNOWN, "refund", first_sent=NOW, next_at=NOW + 5)
    done = op("payment_refund", OpState.OK, "refund:2")
    assert decided(saga, [unknown, done], REFUNDING) == Decision(State.PAYING, wake_at=NOW + 5)


def test_a_deposit_is_taken_like_a_sale() -> None:
    saga = sale(State.PAYING, PAY, kind=Kind.DEPOSIT)
    assert decided(saga, [paid()], FAR) == Decision(State.SETTLING, progress={"pivot": NOW})
