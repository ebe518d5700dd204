"""What cannot be used up after the money was taken: honoured, paid another way, a person's case, or all given back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engine.model import Decision, OpState, State
from gateway.engine.redeeming import honoured
from gateway.engine.words import Ops, told
from tests.rules.kit import NOW, SLOWLY, ask, decided, far_of, gives_up, leg, op, sale, send, system, task

COUPON = leg("coupon:1", connection="crm", hold="coupon_reserve", settle="coupon_confirm")
CARD = leg("card", connection="crm", hold="value_reserve", settle="value_confirm")
PAY = leg("pay:1", pay="payment_charge")
CRM = system(
    *("coupon_reserve", "coupon_confirm", "coupon_cancel", "coupon_query", "coupon_redeem", "coupon_restore"),
    *("value_reserve", "value_confirm", "value_cancel", "value_return", "member_query"),
)
FAR = far_of(system("payment_charge", "payment_query", "payment_reverse"), crm=CRM)
SPENT = {"reason": "coupon_exhausted", "code": "E1", "message": "used up"}


def used(state: OpState, hook: str = "coupon_confirm", name: str = "coupon:1", **more: Any) -> Any:
    return op(hook, state, name, connection="crm", **{"first_sent": NOW, **more})


def settling(*legs: Any, **policy: Any) -> Any:
    progress, more = policy.pop("progress", {}), {}
    for name in ("expires_at", "tenders"):
        if name in policy:
            more[name] = policy.pop(name)
    return sale(State.SETTLING, *legs, policy=policy, progress=progress, **more)


# --- honoured --------------------------------------------------------------------------------------------------------


def test_a_coupon_that_was_spent_elsewhere_is_borne_by_a_merchant_who_says_so() -> None:
    """The customer paid the lower price in good faith; sending him away would cost more than the coupon."""
    spent = used(OpState.DECLINED, outcome=SPENT)
    posting = Decision(State.POSTING, progress={"posting_since": NOW})
    assert decided(settling(COUPON, PAY, spent_elsewhere="honour"), [spent], FAR) == posting
    assert decided(settling(COUPON, PAY), [spent], FAR) == gives_up("coupon:1", "coupon_exhausted", spent)


@pytest.mark.parametrize(
    ("name", "state", "reason", "policy"),
    [
        ("voucher:1", OpState.DECLINED, "coupon_exhausted", "honour"),
        ("coupon:1", OpState.DECLINED, "coupon_expired", "honour"),
        ("coupon:1", OpState.DECLINED, "coupon_exhausted", "refund"),
        ("coupon:1", OpState.OK, "coupon_exhausted", "honour"),
    ],
)
def test_nothing_else_is_honoured(name: str, state: OpState, reason: str, policy: str) -> None:
    """A voucher pays: honouring one would book money that nobody owes."""
    one = leg(name, connection="crm", settle="coupon_confirm")
    row = used(state, name=name, outcome={"reason": reason})
    assert not honoured(settling(one, spent_elsewhere=policy), one, row)
    assert not honoured(settling(one, spent_elsewhere=policy), one, None)


# --- what a person has said ------------------------------------------------------------------------------------------


def test_what_a_person_says_will_not_be_done_has_everything_given_back() -> None:
    no = used(OpState.GONE, outcome={"by_hand": True, **SPENT}, next_at=NOW)
    assert decided(settling(COUPON, PAY, redemption_failure="task"), [no], FAR) == gives_up(
        "coupon:1", "coupon_exhausted", no
    )
    honest = settling(COUPON, PAY, spent_elsewhere="honour")
    assert decided(honest, [no], FAR) == gives_up("coupon:1", "coupon_exhausted", no)


def test_what_is_only_shown_not_to_have_happened_is_done_again() -> None:
    """A query that found nothing is no refusal: the customer has paid for it."""
    for outcome in ({"by_hand": True}, SPENT, {}):
        gone = used(OpState.GONE, outcome=outcome, next_at=NOW)
        again = send("coupon_confirm", "coupon:1", op=gone, connection="crm")
        assert decided(settling(COUPON, PAY), [gone], FAR) == Decision(State.SETTLING, [again])
    other = used(OpState.DECLINED, outcome={"by_hand": True, **SPENT})
    posting = Decision(State.POSTING, progress={"posting_since": NOW})
    assert decided(settling(COUPON, PAY, spent_elsewhere="honour"), [other], FAR) == posting


# --- a person's case -------------------------------------------------------------------------------------------------


def test_a_merchant_may_settle_a_refused_redemption_by_hand() -> None:
    no = used(OpState.DECLINED, outcome=SPENT)
    detail = (
        "the crm refused coupon_confirm after the money was taken: coupon_exhausted E1 used up: settle it by hand"
        " (done), or have everything given back (not_done)"
    )
    case = task("coupon:1", "redemption-refused", detail, hook="coupon_confirm")
    saga = settling(COUPON, PAY, redemption_failure="task")
    assert decided(saga, [no], FAR) == Decision(State.SETTLING, wake_at=SLOWLY, tasks=[case])
    assert decided(settling(COUPON, PAY, redemption_failure="refund"), [no], FAR).state is State.CLOSING


# --- another tender in its place -------------------------------------------------------------------------------------

TENDERS = [{"leg": "card", "amount": 400}, {"leg": "pay:1", "amount": 600}]


def awaiting(**more: Any) -> Any:
    return settling(CARD, PAY, tenders=TENDERS, redemption_failure="await_tender", **more)


def no_value(**more: Any) -> Any:
    return used(OpState.DECLINED, "value_confirm", "card", **more)


def blocked() -> Any:
    return used(OpState.OK, "value_reserve", "card")


FREE_CARD = send("value_cancel", "card", connection="crm")


def test_a_tender_that_cannot_be_used_up_is_first_marked_then_let_go_then_replaced() -> None:
    """Only what is let go may be paid another way: else the customer's card and his cash both pay."""
    known = awaiting(progress={"replaced": ["zz", "aa"]})
    marked = Decision(State.SETTLING, progress={"replaced": ["aa", "card", "zz"]})
    assert decided(known, [blocked(), no_value()], FAR) == marked
    assert decided(awaiting(), [blocked(), no_value()], FAR) == Decision(
        State.SETTLING, progress={"replaced": ["card"]}
    )
    saga = awaiting(progress={"replaced": ["card"], "declined": ["zz"]})
    assert decided(saga, [blocked(), no_value()], FAR) == Decision(State.SETTLING, [FREE_CARD])
    freed = used(OpState.OK, "value_cancel", "card")
    another = Decision(State.AWAITING_TENDER, progress={"declined": ["card", "zz"]})
    assert decided(saga, [blocked(), no_value(), freed], FAR) == another
    resting = used(OpState.NOT_SENT, "value_cancel", "card", next_at=NOW + 5)
    assert decided(saga, [blocked(), no_value(), resting], FAR) == Decision(State.SETTLING, wake_at=NOW + 5)


def test_a_tender_that_cannot_be_let_go_is_a_persons_case() -> None:
    saga = awaiting(progress={"replaced": ["card"]})
    case = task("card", "undo-failed", "give card back by hand at the crm")
    refused = used(OpState.DECLINED, "value_cancel", "card")
    assert decided(saga, [blocked(), no_value(), refused], FAR) == Decision(
        State.SETTLING, wake_at=SLOWLY, tasks=[case]
    )
    blind = far_of(system("payment_charge"), crm=system("value_reserve", "value_confirm", "value_cancel"))
    unknown = used(OpState.UNKNOWN, "value_cancel", "card", first_sent=NOW)
    assert decided(saga, [blocked(), no_value(), unknown], blind) == Decision(
        State.SETTLING, wake_at=SLOWLY, tasks=[case]
    )
    young = used(OpState.UNKNOWN, "value_cancel", "card", first_sent=NOW - 479_999)
    assert decided(saga, [blocked(), no_value(), young], FAR) == Decision(State.SETTLING, [ask(young, "crm")])
    old = used(OpState.UNKNOWN, "value_cancel", "card", first_sent=NOW - 480_000)
    expected = Decision(State.SETTLING, [ask(old, "crm")], tasks=[case])
    assert decided(saga, [blocked(), no_value(), old], FAR) == expected
    done = used(OpState.OK, "value_cancel", "card", first_sent=NOW - 480_000)
    assert decided(saga, [blocked(), no_value(), done], FAR).tasks == []


def test_a_lock_is_let_go_with_the_tender_that_it_stands_for_and_nothing_else_is() -> None:
    """Other holds of the checkout are still needed: it goes on."""
    lock = leg("lock", {"lock_of": "voucher"}, "crm", hold="coupon_reserve")
    voucher = leg("voucher", connection="crm", settle="coupon_redeem")
    other = leg("coupon:2", connection="crm", hold="coupon_reserve", settle="coupon_confirm")
    tenders = [{"leg": "voucher", "amount": 400}, {"leg": "pay:1", "amount": 600}]
    saga = settling(
        other,
        lock,
        voucher,
        PAY,
        tenders=tenders,
        redemption_failure="await_tender",
        progress={"replaced": ["voucher"]},
    )
    rows = [
        used(OpState.OK, "coupon_reserve", "coupon:2"),
        used(OpState.OK, name="coupon:2"),
        used(OpState.OK, "coupon_reserve", "lock"),
        used(OpState.DECLINED, "coupon_redeem", "voucher"),
    ]
    assert decided(saga, rows, FAR) == Decision(State.SETTLING, [send("coupon_cancel", "lock", connection="crm")])
    freed = used(OpState.OK, "coupon_cancel", "lock")
    assert decided(saga, [*rows, freed], FAR) == Decision(State.AWAITING_TENDER, progress={"declined": ["voucher"]})


def test_a_voucher_without_a_lock_is_marked_before_it_is_replaced() -> None:
    """The mark keeps the same voucher from being tried again while the next payer is asked."""
    voucher = leg("voucher", connection="crm", settle="coupon_redeem")
    tenders = [{"leg": "voucher", "amount": 400}, {"leg": "pay:1", "amount": 600}]
    saga = settling(voucher, PAY, tenders=tenders, redemption_failure="await_tender")
    no = used(OpState.DECLINED, "coupon_redeem", "voucher")
    assert decided(saga, [no], FAR) == Decision(State.SETTLING, progress={"replaced": ["voucher"]})


def test_only_a_tender_can_be_replaced_and_only_before_the_end() -> None:
    """A coupon pays nothing: there is no difference that another tender could pay."""
    spent = used(OpState.DECLINED, outcome=SPENT)
    coupon = settling(COUPON, PAY, redemption_failure="await_tender")
    assert decided(coupon, [spent], FAR) == gives_up("coupon:1", "coupon_exhausted", spent)
    no = no_value()
    assert decided(awaiting(expires_at=NOW), [blocked(), no], FAR) == gives_up("card", "declined", no)
    assert decided(awaiting(expires_at=NOW + 1), [blocked(), no], FAR).state is State.SETTLING


# --- small words -----------------------------------------------------------------------------------------------------


def test_the_last_turn_of_a_change_is_the_one_that_counts() -> None:
    """A reversal's first turn said "ok" and did not help; only its last one says where the money is."""
    first, last = used(OpState.OK, turn=0), used(OpState.UNKNOWN, turn=1)
    for rows in ([first, last], [last, first]):
        assert Ops(rows).last("coupon:1", "coupon_confirm") is last
    later = used(OpState.OK, turn=1)
    assert Ops([last, later]).last("coupon:1", "coupon_confirm") is later
    assert Ops([last]).last("coupon:1", "coupon_reserve") is None
    assert Ops([last]).last("coupon:2", "coupon_confirm") is None


def test_a_task_repeats_what_the_far_system_said() -> None:
    assert told(None) == ""
    assert told(used(OpState.DECLINED)) == ""
    assert told(used(OpState.DECLINED, outcome=SPENT)) == ": coupon_exhausted E1 used up"
    assert told(used(OpState.DECLINED, outcome={"reason": "", "code": 51})) == ": 51"
