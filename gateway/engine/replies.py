"""How a saga's state becomes an HTTP reply, and how a reply is kept for the same key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.model import Json, Kind, Op, OpState, Phase, Saga, State
from gateway.engine.problems import Problem
from gateway.engine.views import checkout_view, deposit_view, refund_view, release_view, task_view
from gateway.store import journal as sql
from gateway.store.port import Row, Tx

#: The reason of a failure that held nothing and charged nothing, as a problem of its own.
_SLUGS = {
    "out_of_stock": "out-of-stock",
    "slot_taken": "slot-taken",
    "coupon_exhausted": "coupon-exhausted",
    "coupon_unknown": "coupon-exhausted",
    "coupon_expired": "coupon-exhausted",
    "insufficient_points": "insufficient-points",
    "insufficient_value": "insufficient-stored-value",
    "insufficient_funds": "insufficient-stored-value",
    "bill_changed": "bill-changed",
    "bill_closed": "bill-changed",
}

#: Under which name a problem says what it is about.
_ID_NAMES = {
    Kind.CHECKOUT: "checkout_id",
    Kind.REFUND: "refund_id",
    Kind.DEPOSIT: "deposit_id",
    Kind.RELEASE: "deposit_id",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """What is answered: status, body as it is sent, and where the truth is."""

    status: int
    body: str
    location: str = ""
    replayed: bool = False
    headers: dict[str, str] = field(default_factory=dict)


def location_of(saga: Saga) -> str:
    """The resource's address."""
    collection = {Kind.CHECKOUT: "checkouts", Kind.REFUND: "refunds", Kind.DEPOSIT: "deposits"}
    if saga.kind is Kind.RELEASE:
        return f"/v1/merchants/{saga.merchant}/deposits/{saga.parent}"
    return f"/v1/merchants/{saga.merchant}/{collection[saga.kind]}/{saga.id}"


def task_reply(task: Row, status: int = 200) -> Reply:
    """The reply to a request that said something of a task: the task, as it stands now."""
    location = f"/v1/merchants/{task['merchant']}/tasks/{task['id']}"
    return Reply(status, sql.dump(task_view(task)), location)


def view_of(saga: Saga, ops: Sequence[Op]) -> Json:
    """The resource of a saga of any kind."""
    if saga.kind is Kind.CHECKOUT:
        return checkout_view(saga, ops)
    if saga.kind is Kind.DEPOSIT:
        return deposit_view(saga, ops, 0)
    return release_view(saga, ops) if saga.kind is Kind.RELEASE else refund_view(saga, ops)


def refusal(saga: Saga, *, kept: bool) -> Problem:
    """A failed saga as the problem that the platform is told. ``kept``: there is a checkout to look at."""
    failure = saga.failure() or {}
    leg, reason = str(failure.get("leg", "")), str(failure.get("reason", ""))
    extra: dict[str, Any] = {"leg": leg, "reason": reason}
    if kept:
        extra[_ID_NAMES[saga.kind]] = saga.parent if saga.kind is Kind.RELEASE else saga.id
        if "request_id" in saga.doc:
            extra["request_id"] = saga.doc["request_id"]
    if reason == "unavailable" and not kept:
        return Problem("adapter-unavailable", f"{leg}: nothing was sent anywhere; try again", retry_after=5)
    paying = leg.startswith("tender:") and any(item.hook(Phase.PAY) for item in saga.legs() if item.name == leg)
    if paying and reason not in ("unavailable", "undecided"):
        return Problem("payment-declined", _words(failure) or "the payment was declined", extra=extra)
    if leg.startswith("campaign:") and reason == "limit_exceeded":
        return Problem("price-changed", str(failure.get("message", "")), extra=extra)
    if (slug := _SLUGS.get(reason)) is not None:
        return Problem(slug, _words(failure), extra=extra)
    return Problem("checkout-failed", f"{leg or 'the checkout'}: {reason}; all was undone", extra=extra)


def _words(failure: Json) -> str:
    return " ".join(str(failure[name]) for name in ("leg", "message") if failure.get(name))


def problem_body(problem: Problem) -> str:
    """The problem document, as it is kept and sent."""
    document = {
        "type": f"/problems/{problem.slug}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        **({"errors": problem.errors} if problem.errors else {}),
        **problem.extra,
    }
    return sql.dump(document)


def reply_of(saga: Saga, ops: Sequence[Op]) -> Reply:
    """The reply to the request that made this saga, as it stands now."""
    location = location_of(saga)
    if saga.state is State.COMPLETED:
        return Reply(201, sql.dump(view_of(saga, ops)), location)
    if saga.state in (State.FAILED, State.CANCELLED):
        problem = refusal(saga, kept=True)
        return Reply(problem.status, problem_body(problem), location)
    return Reply(202, sql.dump(view_of(saga, ops)), location)


def changed_reply(saga: Saga, ops: Sequence[Op]) -> Reply:
    """The reply to a request that changed a saga: one that was to be cancelled, and is, has done as it was told."""
    if saga.state is State.CANCELLED and saga.progress.get("cancel"):
        return Reply(200, sql.dump(view_of(saga, ops)), location_of(saga))
    return reply_of(saga, ops)


def never_left(ops: Sequence[Op], embedded: set[str]) -> bool:
    """Whether provably nothing of this saga was ever sent to a far system."""
    return all(
        op.state is OpState.NOT_SENT and not op.outcome.get("maybe") for op in ops if op.connection not in embedded
    )


class Keys:
    """Idempotency keys: one (merchant, key) is one request, its reply the same for ever."""

    @staticmethod
    def look(tx: Tx, merchant: str, key: str, fingerprint: str) -> Reply | None:
        """The stored reply; ``None`` if the key is new. Raises ``Problem`` for another body, or one still running."""
        row = sql.key(tx, merchant, key)
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            raise Problem("idempotency-key-reused", "this key was used with another body; take a new one")
        if row["status"] is None:
            detail = "the first request with this key is still being worked on; its resource has the truth"
            raise Problem("request-in-progress", detail, location=row["location"], retry_after=2)
        return Reply(row["status"], row["body"], row["location"], replayed=True)

    @staticmethod
    def take(
        tx: Tx,
        merchant: str,
        key: str,
        fingerprint: str,
        subject: str,
        location: str,
        now: int,
        reply: Reply | None = None,
    ) -> None:
        """Take the key for a subject, with the reply if it is final already. Raises ``KeyTaken``."""
        row = {
            "merchant": merchant,
            "key": key,
            "fingerprint": fingerprint,
            "subject": subject,
            "status": reply.status if reply else None,
            "body": reply.body if reply else None,
            "location": location,
            "created": now,
        }
        if not sql.insert_key(tx, row):
            raise KeyTaken(key)


class KeyTaken(Exception):
    """Another request took this key first."""
