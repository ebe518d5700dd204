"""The end of a refund: sessions closed and slots freed beside the till's own booking; none of it keeps the money."""

from __future__ import annotations

from typing import Any

from gateway.domain.traits import Traits
from gateway.engine.model import Decision, Kind, OpState, State
from tests.rules.kit import NOW, SLOWLY, ask, decided, far_of, leg, op, sale, send, system, task

RETURN = "stock_return"
STORE = system(RETURN, "stock_query")
FAR = far_of(till=system("session_close", "order_query"), store=STORE)
DONE = Decision(State.COMPLETED)
PATIENCE = NOW + 5_000


def slot(**params: Any) -> Any:
    return leg("slot:1", {"slot": True, "asked": False, **params}, "store", post=RETURN)


def session(**params: Any) -> Any:
    return leg("session:1", {"slot": True, "asked": False, **params}, "till", post="session_close")


def freed(state: OpState, **more: Any) -> Any:
    return op(RETURN, state, "slot:1", connection="store", **{"first_sent": NOW, **more})


def closed(state: OpState, **more: Any) -> Any:
    return op("session_close", state, "session:1", connection="till", **{"first_sent": NOW, **more})


def refunding(*legs: Any, **more: Any) -> Any:
    progress = {"posting_since": NOW, **more.pop("progress", {})}
    return sale(more.pop("state", State.POSTING), *legs, kind=Kind.REFUND, progress=progress, **more)


def test_a_slot_is_freed_once_its_session_is_closed() -> None:
    """A room that is sold on while its session runs has two parties in it."""
    saga = refunding(session(), slot(after="session:1"))
    first = Decision(State.POSTING, [send("session_close", "session:1", connection="till")], wake_at=PATIENCE)
    assert decided(saga, [], FAR) == first
    then = Decision(State.POSTING, [send(RETURN, "slot:1", connection="store")], wake_at=PATIENCE)
    assert decided(saga, [closed(OpState.OK)], FAR) == then
    assert decided(saga, [closed(OpState.OK), freed(OpState.OK)], FAR) == DONE
    assert decided(saga, [closed(OpState.DECLINED)], FAR) == DONE, "guests are in it: it stays theirs"
    by_hand = refunding(session(), slot(after="session:1"), progress={"by_hand": ["session:1"]})
    assert decided(by_hand, [closed(OpState.DECLINED)], FAR) == then, "a person has closed it"


def test_what_its_system_will_not_or_cannot_free_is_a_persons_case_only_where_it_was_asked_for() -> None:
    """A task for each evening that is over would hide those that somebody has to see to."""
    no = freed(OpState.DECLINED, outcome={"reason": "too_late", "code": "9", "message": "begun"})
    cannot = freed(OpState.NOT_SENT, outcome={"unsupported": True})
    never = far_of(store=system("stock_query"))
    ended = {"state": State.COMPLETED}
    for said, rows, far in (("too_late 9 begun", [no], FAR), ("", [cannot], FAR), ("", [], never)):
        assert decided(refunding(slot()), rows, far) == DONE
        detail = "the slot stays booked at the store: free it there by hand" + (f": {said}" if said else "")
        case = task("slot:1", "slot-not-returned", detail, hook=RETURN)
        stands = Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])
        assert decided(refunding(slot(asked=True)), rows, far) == stands
        assert decided(refunding(slot(asked=True), **ended), rows, far) == stands
        settled = refunding(slot(asked=True), progress={"by_hand": ["slot:1"]}, **ended)
        assert decided(settled, rows, far) == DONE
    half = refunding(slot(asked=True, unable=True))
    assert decided(half, [], FAR).todo == [], "a session that cannot be closed keeps its room"


def test_an_unknown_return_of_a_slot_is_resolved_as_any_other_change() -> None:
    """Asked about, or repeated where that acts once; where neither can be, a person looks. The refund goes on."""
    unknown = freed(OpState.UNKNOWN)
    saga = refunding(slot())
    assert decided(saga, [unknown], FAR) == Decision(State.POSTING, [ask(unknown, "store")], wake_at=PATIENCE)
    once = far_of(store=system(RETURN, stock_return=Traits(idempotent=True)))
    again = send(RETURN, "slot:1", op=unknown, connection="store")
    assert decided(saga, [unknown], once) == Decision(State.POSTING, [again], wake_at=PATIENCE)
    detail = "see at the store whether stock_return happened, and do it by hand"
    case = task("slot:1", "post-unknown", detail, hook=RETURN)
    asked = Decision(State.COMPLETED, wake_at=SLOWLY, tasks=[case])
    assert decided(saga, [unknown], far_of(store=system(RETURN))) == asked
    late = refunding(slot(), progress={"posting_since": NOW - 5_000})
    assert decided(late, [unknown], FAR) == DONE
    tail = refunding(slot(), state=State.COMPLETED)
    assert decided(tail, [unknown], FAR) == Decision(State.COMPLETED, [ask(unknown, "store")])
