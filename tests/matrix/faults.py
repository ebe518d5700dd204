"""The twelve faults, each as what it does to one message and its reply, on a wire of signed JSON.

A reply goes through bytes and is read as an adapter reads it (``read``), inside the guard's own classification, so that
what a fault comes to is what the gateway makes of it and not what this file says.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from enum import StrEnum
from typing import Any

from gateway.domain.errors import AdapterError, InvalidReply, NotSent, OutcomeUnknown
from gateway.domain.outcomes import Change, Declined, DeclineReason, Done, Pending
from gateway.runtime.guard import outcome

SECRET = b"the far system's key"
#: How late a slow reply is: within every deadline. And a late effect: after every deadline (milliseconds).
SLOW, LATE = 3_000, 15_000


class Fault(StrEnum):
    """What happens to the first message of a leg."""

    ERROR = "error"
    REFUSED = "refused"
    TIMEOUT_BEFORE = "timeout before"
    TIMEOUT_AFTER = "timeout after"
    SLOW = "slow"
    DUPLICATE = "duplicate"
    WRONG_AMOUNT = "wrong amount"
    WRONG_ID = "wrong id"
    BAD_SIGNATURE = "bad signature"
    GARBAGE = "garbage"
    HALF_BODY = "half body"
    LATE_SUCCESS = "late success"


Told = Callable[[Change | AdapterError], None]
Act = Callable[[], Change]
At = Callable[[int, Callable[[], None]], None]


def carry(fault: Fault, key: str, act: Act, left: int, at: At, told: Told) -> None:
    """Carry one message under a fault. ``left`` is how long somebody waits for its answer, in milliseconds."""
    silence = OutcomeUnknown("no answer in time")
    match fault:
        case Fault.REFUSED:
            at(1, lambda: told(NotSent("connection refused")))
        case Fault.ERROR:
            at(20, lambda: told(received(key, b"HTTP 500: try again later")))
        case Fault.TIMEOUT_BEFORE:
            at(left, lambda: told(silence))
        case Fault.TIMEOUT_AFTER:
            at(20, lambda: _forget(act()))
            at(left, lambda: told(silence))
        case Fault.LATE_SUCCESS:
            at(LATE, lambda: _forget(act()))
            at(left, lambda: told(silence))
        case Fault.DUPLICATE:
            at(20, lambda: told(received(key, reply(key, act()))))
            at(40, lambda: _forget(act()))
        case Fault.SLOW:
            at(SLOW, lambda: told(received(key, reply(key, act()))))
        case _:
            at(20, lambda: told(received(key, SPOILT[fault](key, act()))))


def reply(key: str, result: Change) -> bytes:
    """What the far system writes: the result, about this key, signed."""
    words: dict[str, Any] = {"id": key, "kind": type(result).__name__}
    if isinstance(result, Declined):
        words |= {"reason": result.reason.value, "code": result.code}
    else:
        words |= {"ref": result.ref, "amount": getattr(result, "amount", None)}
    return _signed(json.dumps(words).encode())


def received(key: str, body: bytes) -> Change | AdapterError:
    """What the gateway makes of these bytes: the guard's own classes around the adapter's reading."""
    try:
        answer: Change = outcome("matrix", "payment_charge", lambda: read(key, body))
    except AdapterError as error:
        return error
    return answer


def read(key: str, body: bytes) -> Change:
    """An adapter's reading of a reply: signature first, then what it is about. Raises ``InvalidReply``."""
    text, _, mark = body.rpartition(b"\n")
    if not hmac.compare_digest(mark, _mark(text)):
        raise InvalidReply("the signature does not verify")
    words = json.loads(text)
    if words["id"] != key:
        raise InvalidReply("a reply about something else")
    if words["kind"] == "Declined":
        return Declined(reason=DeclineReason(words["reason"]), code=words["code"])
    if words["kind"] == "Pending":
        return Pending(ref=words["ref"])
    return Done(ref=words["ref"], amount=words["amount"])


def _mark(text: bytes) -> bytes:
    return hmac.new(SECRET, text, hashlib.sha256).hexdigest().encode()


def _signed(text: bytes) -> bytes:
    return text + b"\n" + _mark(text)


def _wrong_amount(key: str, result: Change) -> bytes:
    words = json.loads(reply(key, result).rpartition(b"\n")[0])
    words["amount"] = (words.get("amount") or 0) + 100
    return _signed(json.dumps(words).encode())


SPOILT: dict[Fault, Callable[[str, Change], bytes]] = {
    Fault.WRONG_AMOUNT: _wrong_amount,
    Fault.WRONG_ID: lambda key, result: reply(key + "0", result),
    Fault.BAD_SIGNATURE: lambda key, result: reply(key, result)[:-1] + b"?",
    Fault.GARBAGE: lambda key, result: _signed(b"<html>\xff</html>"),
    Fault.HALF_BODY: lambda key, result: reply(key, result)[:40],
}


def _forget(_: Change) -> None:
    """An answer that nobody waits for."""
