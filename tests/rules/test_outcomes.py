"""What an outcome makes of an operation, where a hook sent several messages or was asked about a refusal again."""

from __future__ import annotations

from gateway.domain.errors import NotSent, NotSupported, OutcomeUnknown
from gateway.domain.outcomes import Declined, DeclineReason, NotFound
from gateway.domain.traits import Traits
from gateway.engine.model import Json, Op, OpState
from gateway.engine.outcomes import apply_answer, apply_sent
from tests.rules.kit import NOW, QUIET, TIMING, op

CHARGE = "payment_charge"


def sent(charge: Op, result: Declined | NotSent | OutcomeUnknown) -> OpState:
    apply_sent(charge, result, 100, Traits(), TIMING, NOW)
    return charge.state


def step(name: str, done: bool) -> Json:
    return {"name": name, "ref": name, "done": done}


def test_what_was_not_sent_after_an_answered_message_is_unknown() -> None:
    """Begun anew, the first of the two messages would be carried out twice: a second card is opened, a room booked."""
    for trouble in (NotSent("refused"), NotSupported("no such command")):
        half = op(CHARGE, OpState.INTENT, steps=[step("open", True), step("pay", False)])
        assert sent(half, trouble) is OpState.UNKNOWN and half.outcome["maybe"]
        whole = op(CHARGE, OpState.INTENT, steps=[step("open", False)])
        assert sent(whole, trouble) is OpState.NOT_SENT, "the first message itself never left"
        assert sent(op(CHARGE, OpState.INTENT), trouble) is OpState.NOT_SENT


def test_what_was_said_of_a_refusal_stands_when_the_system_is_asked_again() -> None:
    """A wallet asked after the close only knows that the number is closed: nobody would ever hear of the limit."""
    no = op(CHARGE, OpState.INTENT)
    sent(no, Declined(reason=DeclineReason.LIMIT_EXCEEDED, code="61", message="over the day's limit"))
    apply_answer(no, Declined(reason=DeclineReason.CLOSED, code="closed"), 100, Traits(), TIMING, NOW, asked=NOW)
    apply_answer(no, NotFound(final=True), 100, Traits(), TIMING, NOW, asked=NOW)
    words = {name: no.outcome[name] for name in ("reason", "code", "message")}
    assert words == {"reason": "limit_exceeded", "code": "61", "message": "over the day's limit"}


def test_a_refusal_that_only_a_question_brought_out_is_told_as_it_was_answered() -> None:
    silent = op(CHARGE, OpState.INTENT)
    sent(silent, OutcomeUnknown("no answer"))
    apply_answer(silent, Declined(reason=DeclineReason.CODE_EXPIRED, code="7"), 100, Traits(), TIMING, NOW, asked=NOW)
    assert (silent.outcome["reason"], silent.outcome["code"]) == ("code_expired", "7")
    sent(silent, Declined(reason=DeclineReason.DECLINED, code="05"))
    assert silent.outcome["code"] == "05", "one that was tried again was refused for a reason of its own"


def test_not_found_holds_for_the_moment_at_which_it_was_asked() -> None:
    """Its worker was stopped between the answer and the commit; the bill that was still on its way came meanwhile, and
    would be posted a second time."""
    for asked, state in ((NOW + QUIET - 1, OpState.UNKNOWN), (NOW + QUIET, OpState.GONE)):
        bill = op("order_post", OpState.UNKNOWN, first_sent=NOW, last_sent=NOW, outcome={"maybe": True})
        heard = NOW + QUIET + 60_000
        apply_answer(bill, NotFound(), None, Traits(), TIMING, heard, asked=asked)
        assert bill.state is state and bill.outcome["asked"] == asked
        assert bill.next_at <= heard + TIMING.backoff(1), "it is asked again soon"
