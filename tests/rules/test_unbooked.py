"""A sale that is given back before the till has booked it."""

from __future__ import annotations

from gateway.engine.model import Decision, Kind, Leg, OpState, Saga, State
from tests.rules.kit import NOW, decided, far_of, leg, op, sale, send, system

BACK = leg("order", {"after_sale": True}, "till", post="order_return")
BILL = leg("order", connection="till", post="order_post")
EARN = leg("earn", connection="crm", reward="points_earn")
FAR = far_of(till=system("order_post", "order_return", "order_query"), crm=system("points_earn", "member_query"))


def sold(refunded: int, *legs: Leg) -> Saga:
    saga = sale(State.COMPLETED, *(legs or (BILL, EARN)))
    saga.refunded = refunded
    return saga


def test_a_return_waits_for_its_sale_without_holding_up_the_refund() -> None:
    """The till would refuse the return of a sale that it does not know, and then book the sale."""
    waiting = sale(State.POSTING, BACK, kind=Kind.REFUND, progress={"posting_since": NOW})
    assert decided(waiting, [], FAR) == Decision(State.COMPLETED)
    booked = {"booked": {"key": "K", "ref": "R", "facts": {}, "at": NOW}}
    due = sale(State.COMPLETED, BACK, kind=Kind.REFUND, progress=booked)
    assert decided(due, [], FAR) == Decision(State.COMPLETED, [send("order_return", "order", connection="till")])


def test_what_was_given_back_whole_earns_nothing_any_more() -> None:
    """Points that come a day after the refund of all of it are the merchant's loss."""
    booked = op("order_post", OpState.OK, "order", connection="till")
    earn = send("points_earn", "earn", connection="crm")
    for state in (None, OpState.NOT_SENT, OpState.GONE):
        rows = (
            [booked] if state is None else [booked, op("points_earn", state, "earn", connection="crm", first_sent=NOW)]
        )
        todo = earn if state is None else earn._replace(op=rows[1])
        assert decided(sold(999), rows, FAR) == Decision(State.COMPLETED, [todo])
        assert decided(sold(1000), rows, FAR) == Decision(State.COMPLETED)


def test_a_sale_that_was_given_back_is_booked_all_the_same_unless_a_person_says_that_it_never_will_be() -> None:
    """The day's books of the till show both; but a room that was never opened has no bill to book on."""
    never = op("order_post", OpState.GONE, "order", connection="till", first_sent=NOW)
    again = send("order_post", "order", op=never, connection="till")
    assert decided(sold(1000, BILL), [never], FAR) == Decision(State.COMPLETED, [again])
    told = {"by_hand": True}
    said = op("order_post", OpState.GONE, "order", connection="till", first_sent=NOW, outcome=told)
    assert decided(sold(1000, BILL), [said], FAR) == Decision(State.COMPLETED)
    again = send("order_post", "order", op=said, connection="till")
    assert decided(sold(999, BILL), [said], FAR) == Decision(State.COMPLETED, [again])
