"""The timeline of a checkout: every leg, every attempt with its masked messages, events, cases, and what people did.

It is made from the journal and the attempts noted beside it; the refunds of a checkout, and what else hangs on it, are
parts of their own. Nothing here is unmasked: secrets were never written down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.engine.model import Json, Kind, Leg, Op, OpState
from gateway.engine.problems import Problem
from gateway.engine.records import op_from, saga_from
from gateway.engine.sealing import Sealer
from gateway.engine.seams import Journal
from gateway.engine.views import moment, slots_view, status_of
from gateway.sdk.transports.masking import mask_numbers
from gateway.store import audit, frames, messages
from gateway.store import journal as sql
from gateway.store.encoding import load
from gateway.store.port import Row, Tx

#: How an operation's state reads as the outcome of an attempt that nobody noted by itself.
_OUTCOMES = {
    OpState.OK: "done",
    OpState.PENDING: "pending",
    OpState.DECLINED: "declined",
    OpState.NOT_SENT: "not_sent",
    OpState.GONE: "not_found",
    OpState.INTENT: "under_way",
}


def timeline(journal: Journal, sealer: Sealer | None, merchant: str, checkout_id: str) -> Json:
    """Everything that is known of a checkout, as plain values. Raises ``not-found``, also for another tenant's.

    With a sealer all that has been committed is sealed first; without one nothing is written.
    """
    if sealer is not None:
        sealer.seal()

    def unit(tx: Tx) -> Json | None:
        row = sql.saga(tx, checkout_id)
        if row is None or row["merchant"] != merchant or row["kind"] != Kind.CHECKOUT.value:
            return None
        children = tx.all(
            "SELECT * FROM sagas WHERE parent = :id AND parent <> '' AND merchant = :merchant ORDER BY created, id",
            {"id": checkout_id, "merchant": merchant},
        )
        return {
            "id": checkout_id,
            "merchant": merchant,
            "order_no": row["number"],
            "parts": [_part(tx, each) for each in (row, *children)],
            "audit_head": audit.shown(*audit.head(tx, merchant)),
        }

    found = journal.read(unit)
    if found is None:
        raise Problem("not-found", "no such checkout")
    return found


def _part(tx: Tx, row: Row) -> Json:
    saga, ops = saga_from(row), [op_from(op) for op in sql.ops(tx, row["id"])]
    attempts: dict[str, list[Row]] = {}
    for attempt in frames.of_saga(tx, saga.id):
        attempts.setdefault(attempt["op"], []).append(attempt)
    events = tx.all(
        "SELECT e.*, c.seq AS chain_seq, c.hash FROM events e LEFT JOIN chain c ON c.item = e.id"
        " WHERE e.subject = :id ORDER BY e.seq",
        {"id": saga.id},
    )
    return {
        "id": saga.id,
        "kind": saga.kind.value,
        "number": saga.number,
        "status": status_of(saga, ops),
        "amount": saga.amount,
        "created_at": moment(saga.created),
        "legs": [_leg(leg, ops, attempts) for leg in saga.legs()],
        "slots": slots_view(saga, ops),
        "events": [_event(event) for event in events],
        "tasks": [_task(task) for task in sql.tasks_of(tx, saga.id)],
        "acts": [_act(act) for act in audit.acts_of(tx, saga.id)],
        "messages": [_message(each, frames.of_saga(tx, each["key"])) for each in messages.of_subject(tx, saga.id)],
    }


def _leg(leg: Leg, ops: Sequence[Op], attempts: Mapping[str, Sequence[Row]]) -> Json:
    return {
        "name": leg.name,
        "adapter": leg.adapter,
        "connection": leg.connection,
        "operations": [_operation(op, attempts.get(op.key, ())) for op in ops if op.leg == leg.name],
    }


def _operation(op: Op, rows: Sequence[Row]) -> Json:
    noted = [_attempt(row) for row in rows]
    sends = sum(row["verb"] == "send" for row in rows)
    return {
        "key": op.key,
        "hook": op.hook,
        "turn": op.turn,
        "status": op.state.value,
        "by_hand": bool(op.outcome.get("by_hand")),
        "steps": [{"name": step["name"], "ref": step["ref"], "done": bool(step["done"])} for step in op.steps],
        # One inside the gateway's own database needs no note; one of a worker that died left none.
        "attempts": noted if noted or not op.attempts else [_from_operation(op)],
        "unrecorded": max(0, op.attempts - sends) if noted else max(0, op.attempts - 1),
    }


def _attempt(row: Row) -> Json:
    return {
        "verb": row["verb"],
        "number": row["number"],
        "began_at": moment(row["began"]),
        "took_ms": round(row["took_us"] / 1000, 3),
        "outcome": row["outcome"],
        "said": load(row["said"]),
        "frames": load(row["frames"]),
    }


def _from_operation(op: Op) -> Json:
    said = {
        name: op.outcome[name]
        for name in ("ref", "amount", "reason", "code", "message", "error")
        if op.outcome.get(name)
    }
    return {
        "verb": "send",
        "number": op.attempts,
        "began_at": moment(op.first_sent),
        "took_ms": max(0, op.finished - op.last_sent) if op.finished else None,
        "outcome": _OUTCOMES.get(op.state, "unknown"),
        "said": _masked(said),
        "frames": [],
    }


def _masked(value: Any) -> Any:
    """Texts without whole numbers of phones and cards."""
    if isinstance(value, str):
        return mask_numbers(value)
    if isinstance(value, dict):
        return {name: _masked(inner) for name, inner in value.items()}
    return [_masked(inner) for inner in value] if isinstance(value, list) else value


def _event(row: Row) -> Json:
    head = audit.shown(row["chain_seq"], row["hash"]) if row["hash"] else None
    return {
        "id": row["id"],
        "type": row["type"],
        "seq": row["seq"],
        "occurred_at": moment(row["occurred"]),
        "audit_head": head,
    }


def _message(row: Row, attempts: Sequence[Row]) -> Json:
    names = ("key", "event", "template", "connection", "status")
    return {**{name: row[name] for name in names}, "attempts": [_attempt(attempt) for attempt in attempts]}


def _task(row: Row) -> Json:
    return {
        "id": row["id"],
        "leg": row["leg"],
        "kind": row["kind"],
        "status": row["status"],
        "owner": row["owner"],
        "detail": mask_numbers(row["detail"]),
        "opened_at": moment(row["opened"]),
        "resolved_at": moment(row["resolved"]) if row["resolved"] else None,
    }


def _act(row: Row) -> Json:
    return {
        "kind": row["kind"],
        "who": row["who"],
        "at": moment(row["at"]),
        "said": _masked(load(row["data"])),
    }
