"""What a round leaves as evidence: a row for each attempt, and entries for the chain."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.domain.errors import AdapterError, Misconfigured, NotSent, NotSupported, PluginError
from gateway.domain.outcomes import Answer, Change, Declined, Done, NotFound, Pending
from gateway.engine.model import TERMINAL, Json, Op, Saga, Verb
from gateway.engine.seams import Outcome
from gateway.sdk.transports.masking import mask_numbers
from gateway.store import audit
from gateway.store.encoding import dump
from gateway.store.port import Row

_NAMES: Mapping[type, str] = {
    Done: "done",
    Declined: "declined",
    Pending: "pending",
    NotFound: "not_found",
    NotSent: "not_sent",
    Misconfigured: "misconfigured",
    NotSupported: "not_supported",
    PluginError: "plugin_error",
}
#: Marks the digest of what never changes of a saga.
BIRTH = "birth"
#: What looking again changes in an operation's outcome, long after its saga has ended.
_LOOKS = frozenset({"asked", "unanswered"})


def outcome_name(result: Change | Answer | AdapterError) -> str:
    """The class of an outcome; any other trouble is unknown."""
    return _NAMES.get(type(result), "unknown")


def attempt_row(op: Op, verb: Verb, outcome: Outcome, now: int) -> dict[str, Any]:
    """The row of one attempt; ``op`` is as the outcome leaves it."""
    return {
        "saga_id": op.saga_id,
        "op": op.key,
        "verb": verb.value,
        "number": op.attempts if verb is Verb.SEND else op.queries,
        "began": outcome.began or now,
        "took_us": outcome.took_us,
        "outcome": outcome_name(outcome.result),
        "said": dump(_said(outcome.result)),
        "frames": dump(outcome.frames) if outcome.frames else "[]",
    }


def _said(result: Change | Answer | AdapterError) -> Json:
    """The far system's own words, or what went wrong, without whole numbers of phones and cards."""
    match result:
        case Done():
            said: Json = {"ref": result.ref} if result.amount is None else {"ref": result.ref, "amount": result.amount}
            if result.replayed:
                said["replayed"] = True
        case Declined():
            said = {"reason": result.reason.value, "code": result.code, "message": mask_numbers(result.message)}
        case Pending():
            said = {"ref": result.ref}
        case NotFound():
            said = {"final": result.final}
        case _:
            said = {"error": mask_numbers(f"{type(result).__name__}: {result}")[:1000]}
    return said


def bind_attempts(saga: Saga, rows: Sequence[Mapping[str, Any]]) -> None:
    """Bind new attempts to those before them in what is sealed of a saga when it ends: how many, and their digest.

    Later ones (a payment that is watched, an answer that came late) are not bound.
    """
    if rows:
        count, digest = saga.progress.get("attempts", (0, ""))
        saga.progress["attempts"] = [count + len(rows), attempts_digest(digest, rows)]


def attempts_digest(before: str, rows: Sequence[Mapping[str, Any] | Row]) -> str:
    """The digest of attempts that came after those with the digest ``before``."""
    for row in rows:
        named = f"{row['op']} {row['verb']} {row['number']} {row['began']} {row['took_us']} {row['outcome']}"
        before = audit.digest_of(before, named, row["said"], row["frames"])
    return before


# --- the chain -------------------------------------------------------------------------------------------------------


def birth(row: Mapping[str, Any]) -> str:
    """The digest of what never changes of a saga, from its row."""
    names = ("id", "kind", "merchant", "store_id", "number", "parent", "amount", "created")
    return audit.digest_of(dump([row[name] for name in names]), row["doc"])


def state(saga: Saga, ops: Sequence[Op]) -> tuple[str, str]:
    """The digest of a saga and its operations as they stand, and the marks by which one that differs is named.

    What looking again changes (counts and times of queries, the lease) is not in it.
    """
    own, texts = state_texts(saga, ops)
    marks = {"saga": zlib.crc32(own.encode()), "ops": {key: zlib.crc32(text.encode()) for key, text in texts.items()}}
    return audit.digest_of(own, *texts.values()), dump(marks)


def state_texts(saga: Saga, ops: Sequence[Op]) -> tuple[str, dict[str, str]]:
    """What is sealed of a saga's own row, and of its operations by the ends of their keys."""
    own = dump([saga.id, str(saga.state), saga.progress])
    return own, {op.key[-8:]: dump(_stable(op)) for op in sorted(ops, key=_key)}


def _key(op: Op) -> str:
    return op.key


def _stable(op: Op) -> list[Any]:
    outcome = op.outcome
    if not _LOOKS.isdisjoint(outcome):
        outcome = {name: value for name, value in outcome.items() if name not in _LOOKS}
    return [
        op.key,
        op.saga_id,
        op.leg,
        op.hook,
        op.turn,
        op.connection,
        str(op.state),
        op.attempts,
        op.first_sent,
        op.last_sent,
        op.steps,
        outcome,
    ]


def mark_events(
    saga: Saga, events: Sequence[dict[str, Any]], born: Mapping[str, Any] | None, stands: tuple[str, str] | None
) -> list[dict[str, str]]:
    """Give the events of a commit what else is to be sealed with them; what no event can carry is returned as entries.

    ``born`` is the saga's row where it begins, and goes with the first event; ``stands``, what :func:`state` says where
    it has ended, with the last.
    """
    if born is not None:
        events[0] |= {"state": birth(born), "marks": BIRTH}
    if stands is None:
        return []
    if events and "state" not in events[-1]:
        events[-1] |= {"state": stands[0], "marks": stands[1]}
        return []
    return [audit.entry(saga.merchant, "state", saga.id, saga.id, audit.digest([saga.id]), *stands)]


def standing(
    before: tuple[Saga, Sequence[Op]], after: tuple[Saga, Sequence[Op]], *, ended: bool
) -> tuple[str, str] | None:
    """How a saga stands that has ended in this commit, or that has changed since; else ``None``."""
    if after[0].state not in TERMINAL:
        return None
    now = state(*after)
    return now if ended or state(*before) != now else None
