"""The end of a sale: the bill into the till, then the rewards; neither holds up or fails what is paid."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.traits import Traits
from gateway.engine.model import Decision, OpState, State, Timing
from tests.rules.kit import NOW, SLOWLY, ask, decided, far_of, gives_up, leg, op, sale, send, system, task

BILL = leg("till", connection="till", post="order_post")
SECOND = leg("till:2", connection="till", post="order_post")
EARN = leg("earn", connection="crm", reward="points_earn")
TILL = system("order_post", "order_query", "order_void")
CRM = system("points_earn", "member_query")
FAR = far_of(till=TILL, crm=CRM)
BLIND = far_of(till=system("order_post"), crm=system("points_earn"))
#: The till has until then while somebody waits.
PATIENCE = 5_000


def posted(state: OpState = OpState.OK, name: str = "till", **more: Any) -> Any:
    return op("order_post", state, name, connection="till", **{"first_sent": NOW, **more})


def earned(state: OpState = OpState.OK, **more: Any) -> Any:
    return op("points_earn", state, "earn", connection="crm", **{"first_sent": NOW, **more})


def post(name: str = "till", **more: Any) -> Any:
    return send("order_post", name, connection="till", **more)


def earn(**more: Any) -> Any:
    return send("points_earn", "earn", connection="crm", **more)


def posting(*legs: Any, since: int = NOW, **more: Any) -> Any:
    progress = {"posting_since": since, **more.pop("progress", {})}
    return sale(State.POSTING, *(legs or (BILL, EARN)), progress=progress, **more)


def test_the_bill_is_posted_before_the_rewards_are_given() -> None:
    """Points for a bill that the till has not got could not be explained to the member."""
    assert decided(posting(), [], FAR) == Decision(State.POSTING, [post()], wake_at=NOW + PATIENCE)
    assert decided(posting(), [posted()], FAR) == Decision(State.POSTING, [earn()], wake_at=NOW + PATIENCE)
    assert decided(posting(), [posted(), earned()], FAR) == Decision(State.COMPLETED)
    assert decided(posting(since=NOW - 4_999), [], FAR) == Decision(State.POSTING, [post()], wake_at=NOW + 1)


def test_a_slow_till_does_not_hold_up_the_customer() -> None:
    """He has paid: after five seconds he is told so, and the bill is posted without him."""
    assert decided(posting(since=NOW - PATIENCE), [], FAR) == Decision(State.COMPLETED)
    unknown = posted(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 700)
    waiting = Decision(State.POSTING, wake_at=NOW + 700)
    assert decided(posting(), [unknown], FAR) == waiting
    long = posted(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 9_000)
    assert decided(posting(), [long], FAR) == Decision(State.POSTING, wake_at=NOW + PATIENCE)
    fresh = sale(State.POSTING, BILL)
    assert decided(fresh, [], FAR) == Decision(State.POSTING, [post()], wake_at=NOW + PATIENCE)
    assert decided(fresh, [], FAR, timing=Timing(post_patience=10)).wake_at == NOW + 10


def test_what_cannot_come_soon_is_not_waited_for() -> None:
    """A file drop is read at night, and a till that is down twice is down: the customer goes home now."""
    deferred = far_of(till=system("order_post", "order_query", order_post=Traits(deferred=True)), crm=CRM)
    pending = posted(OpState.PENDING, first_sent=NOW, next_at=NOW + 9)
    rest = posting(BILL)
    assert decided(rest, [pending], deferred) == Decision(State.COMPLETED)
    assert decided(rest, [pending], FAR) == Decision(State.POSTING, wake_at=NOW + 9)
    unknown = posted(OpState.UNKNOWN, first_sent=NOW, next_at=NOW + 9)
    assert decided(rest, [unknown], deferred).state is State.POSTING
    assert decided(rest, [], deferred) == Decision(State.POSTING, [post()], wake_at=NOW + PATIENCE)
    down = posted(OpState.NOT_SENT, attempts=2, first_sent=NOW, next_at=NOW + 9)
    assert decided(rest, [down], FAR) == Decision(State.COMPLETED)
    once = posted(OpState.NOT_SENT, attempts=1, first_sent=NOW, next_at=NOW + 9)
    assert decided(rest, [once], FAR) == Decision(State.POSTING, wake_at=NOW + 9)
    maybe = posted(OpState.NOT_SENT, attempts=2, first_sent=NOW, next_at=NOW + 9, outcome={"maybe": True})
    assert decided(rest, [maybe], FAR) == Decision(State.POSTING, wake_at=NOW + 9)


def test_one_bill_worth_waiting_for_is_enough() -> None:
    down = posted(OpState.NOT_SENT, attempts=2, first_sent=NOW, next_at=NOW + 9)
    both = posting(BILL, SECOND)
    assert decided(both, [down], FAR) == Decision(State.POSTING, [post("till:2")], wake_at=NOW + 9)
    second = posted(OpState.NOT_SENT, "till:2", attempts=2, first_sent=NOW, next_at=NOW + 9)
    assert decided(both, [second], FAR) == Decision(State.POSTING, [post()], wake_at=NOW + 9)


# --- after completion ------------------------------------------------------------------------------------------------


def completed(*legs: Any, **more: Any) -> Any:
    return sale(State.COMPLETED, *(legs or (BILL, EARN)), **more)


def test_what_the_customer_did_not_wait_for_is_done_after_him() -> None:
    unknown = posted(OpState.UNKNOWN, first_sent=NOW, next_at=NOW)
    expected = Decision(State.COMPLETED, [ask(unknown, "till"), earn()])
    assert decided(completed(), [unknown], FAR) == expected
    assert decided(completed(), [posted(), earned()], FAR) == Decision(State.COMPLETED)
    assert decided(completed(), [], FAR) == Decision(State.COMPLETED, [post()]), "the bill's own number comes first"


def test_a_till_that_refuses_the_bill_is_a_persons_case() -> None:
    no = posted(OpState.DECLINED, outcome={"reason": "bill_closed", "code": "7", "message": "day ended"})
    case = task("till", "post-refused", "the till refused order_post: bill_closed 7 day ended", hook="order_post")
    assert decided(completed(), [no, earned()], FAR) == Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])
    assert decided(posting(BILL), [no], FAR) == Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])


def test_rewards_that_are_refused_are_a_persons_case() -> None:
    no = earned(OpState.DECLINED, outcome={"message": "no such member"})
    case = task("earn", "reward-refused", "the crm refused points_earn: no such member", hook="points_earn")
    assert decided(completed(), [posted(), no], FAR) == Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])


def test_what_nobody_can_tell_of_is_a_persons_case() -> None:
    unknown = posted(OpState.UNKNOWN, first_sent=NOW)
    case = task(
        "till", "post-unknown", "see at the till whether order_post happened, and do it by hand", hook="order_post"
    )
    assert decided(completed(BILL), [unknown], BLIND) == Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])
    assert decided(posting(BILL), [unknown], BLIND) == Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])


@pytest.mark.parametrize(("flight", "overdue"), [(60.0, 480_000), (600.0, 600_000)])
def test_what_does_not_come_to_an_end_is_a_persons_case(flight: float, overdue: int) -> None:
    """Not before the system itself would be through: a till that uploads at night is not overdue at noon."""
    far = far_of(till=system("order_post", "order_query", order_post=Traits(max_in_flight_s=flight)), crm=CRM)
    young = posted(OpState.UNKNOWN, first_sent=NOW - overdue + 1, next_at=NOW)
    assert decided(completed(BILL), [young], far) == Decision(State.COMPLETED, [ask(young, "till")])
    old = posted(OpState.UNKNOWN, first_sent=NOW - overdue, next_at=NOW)
    case = task("till", "post-overdue", "order_post has not come to an end at the till", hook="order_post")
    assert decided(completed(BILL), [old], far) == Decision(State.COMPLETED, [ask(old, "till")], tasks=[case])
    done = posted(first_sent=NOW - overdue)
    assert decided(completed(BILL), [done], far) == Decision(State.COMPLETED)


def test_one_bill_that_sticks_does_not_hold_up_the_others() -> None:
    no = posted(OpState.DECLINED)
    case = task("till", "post-refused", "the till refused order_post", hook="order_post")
    assert decided(completed(BILL, SECOND), [no], FAR) == Decision(State.COMPLETED, [post("till:2")], tasks=[case])


# --- without ---------------------------------------------------------------------------------------------------------

LIGHT = leg("earn", {"when_down": "without"}, "crm", reward="points_earn")


def test_rewards_that_the_merchant_can_do_without_are_left_out_while_their_system_is_down() -> None:
    """Given later, they would surprise a member who was told at the till that there are none today."""
    down = earned(OpState.NOT_SENT, attempts=2, next_at=NOW + 9)
    found = decided(posting(BILL, LIGHT, progress={"without": ["zz", "aa"]}), [posted(), down], FAR)
    assert found == Decision(State.COMPLETED, progress={"without": ["aa", "earn", "zz"]})
    up = earned(OpState.NOT_SENT, attempts=1, first_sent=NOW, next_at=NOW + 9)
    assert decided(posting(BILL, LIGHT), [posted(), up], FAR) == Decision(State.POSTING, wake_at=NOW + 9)
    strict = leg("earn", {"when_down": "fail"}, "crm", reward="points_earn")
    assert decided(completed(BILL, strict), [posted(), down], FAR).wake_at == NOW + 9
    fresh = earned(OpState.UNKNOWN, attempts=2, first_sent=NOW, next_at=NOW + 9)
    assert decided(completed(BILL, LIGHT), [posted(), fresh], FAR) == Decision(State.COMPLETED, wake_at=NOW + 9)


def test_several_are_left_out_together_and_the_rest_goes_on() -> None:
    other = leg("coupon", {"when_down": "without"}, "crm", reward="reward_send")
    third = leg("more", connection="crm", reward="reward_send")
    far = far_of(till=TILL, crm=system("points_earn", "reward_send", "member_query"))
    gone = op("reward_send", OpState.NOT_SENT, "coupon", connection="crm", attempts=2)
    rows = [posted(), earned(OpState.NOT_SENT, attempts=2), gone]
    found = decided(completed(BILL, LIGHT, other, third), rows, far)
    more = send("reward_send", "more", connection="crm")
    assert found == Decision(State.COMPLETED, [more], progress={"without": ["coupon", "earn"]})


def test_what_was_left_out_is_not_given_later() -> None:
    saga = completed(BILL, EARN, SECOND, progress={"without": ["till", "earn"]})
    assert decided(saga, [], FAR) == Decision(State.COMPLETED, [post("till:2")])


# --- a till that refuses while the customer still waits --------------------------------------------------------------


def test_a_merchant_may_give_the_money_back_when_the_till_refuses() -> None:
    """A shop whose kitchen prints from the till cannot serve what the till has not got."""
    no = posted(OpState.DECLINED, outcome={"reason": "bill_changed", "code": "3", "message": "changed"})
    back = posting(policy={"post_failure": "refund"})
    assert decided(back, [no], FAR) == gives_up("till", "bill_changed", no)
    assert decided(posting(policy={"post_failure": "task"}), [no], FAR).state is State.POSTING
    for state in (OpState.OK, OpState.UNKNOWN, OpState.GONE):
        assert decided(back, [posted(state, first_sent=NOW, next_at=NOW + 9)], FAR).state is State.POSTING
    assert decided(back, [], FAR) == Decision(State.POSTING, [post()], wake_at=NOW + PATIENCE)
    second = posted(OpState.DECLINED, "till:2")
    both = posting(BILL, SECOND, policy={"post_failure": "refund"})
    assert decided(both, [posted(), second], FAR) == gives_up("till:2", "declined", second)
