"""Rows of the journal ↔ the engine's own records."""

from __future__ import annotations

from typing import Any

from gateway.engine.model import Kind, Op, OpState, Saga, State
from gateway.store.encoding import dump, load
from gateway.store.port import Row


def saga_from(row: Row) -> Saga:
    return Saga(
        id=row["id"],
        kind=Kind(row["kind"]),
        merchant=row["merchant"],
        store_id=row["store_id"],
        number=row["number"],
        parent=row["parent"],
        state=State(row["state"]),
        doc=load(row["doc"]),
        progress=load(row["progress"]),
        amount=row["amount"],
        created=row["created"],
        updated=row["updated"],
        fence=row["fence"],
        lease_until=row["lease_until"],
        due_at=row["due_at"],
        expires_at=row["expires_at"],
        version=row["version"],
        refunded=row["refunded_amount"],
    )


def saga_row(saga: Saga) -> dict[str, Any]:
    """All columns, for the insert."""
    return {
        "id": saga.id,
        "kind": saga.kind.value,
        "merchant": saga.merchant,
        "store_id": saga.store_id,
        "number": saga.number,
        "parent": saga.parent,
        "doc": dump(saga.doc),
        "amount": saga.amount,
        "created": saga.created,
        "expires_at": saga.expires_at,
        **saga_change(saga),
    }


def saga_change(saga: Saga) -> dict[str, Any]:
    """The changing columns, for the update."""
    return {
        "id": saga.id,
        "state": str(saga.state),
        "progress": dump(saga.progress),
        "updated": saga.updated,
        "lease_until": saga.lease_until,
        "due_at": saga.due_at,
        "fence": saga.fence,
    }


def op_from(row: Row) -> Op:
    """An operation as read. An intent found at rest is unknown: whoever committed it is gone."""
    state = OpState(row["state"])
    return Op(
        key=row["key"],
        saga_id=row["saga_id"],
        leg=row["leg"],
        hook=row["hook"],
        turn=row["turn"],
        connection=row["connection"],
        state=state,
        attempts=row["attempts"],
        queries=row["queries"],
        first_sent=row["first_sent"],
        last_sent=row["last_sent"],
        next_at=row["next_at"],
        finished=row["finished"],
        steps=load(row["steps"]),
        outcome=load(row["outcome"]),
    )


def op_row(op: Op, fence: int) -> dict[str, Any]:
    return {
        "key": op.key,
        "saga_id": op.saga_id,
        "leg": op.leg,
        "hook": op.hook,
        "turn": op.turn,
        "connection": op.connection,
        "state": str(op.state),
        "attempts": op.attempts,
        "queries": op.queries,
        "first_sent": op.first_sent,
        "last_sent": op.last_sent,
        "next_at": op.next_at,
        "finished": op.finished,
        "steps": dump(op.steps) if op.steps else "[]",
        "outcome": dump(op.outcome) if op.outcome else "{}",
        "fence": fence,
    }


def original_of(op: Op) -> dict[str, Any]:
    """An operation as a later saga refers to it."""
    return {"key": op.key, "ref": op.ref, "facts": op.facts, "at": op.first_sent}
