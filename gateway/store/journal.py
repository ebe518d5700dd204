"""The journal's SQL: sagas with their operations, idempotency keys, events and tasks.

Every write of a saga checks its fence: a worker that has lost its claim changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.store import audit
from gateway.store.encoding import dump as dump
from gateway.store.port import Row, Tx

Json = dict[str, Any]

INSERT_SAGA = """
INSERT INTO sagas (id, kind, merchant, store_id, number, parent, state, doc, progress, amount, created, updated,
  expires_at, fence, lease_until, due_at, version)
VALUES (:id, :kind, :merchant, :store_id, :number, :parent, :state, :doc, :progress, :amount, :created, :updated,
  :expires_at, :fence, :lease_until, :due_at, 1)
ON CONFLICT DO NOTHING
"""
UPDATE_SAGA = """
UPDATE sagas SET state = :state, progress = :progress, updated = :updated, lease_until = :lease_until,
  due_at = :due_at, version = version + 1
WHERE id = :id AND fence = :fence
"""
CLAIM = """
UPDATE sagas SET fence = fence + 1, lease_until = :lease_until
WHERE id = :id AND lease_until < :now
"""
CLAIM_DUE = """
SELECT id FROM sagas WHERE due_at IS NOT NULL AND due_at <= :now AND lease_until < :now
ORDER BY due_at LIMIT :limit
"""
INSERT_OP = """
INSERT INTO ops (key, saga_id, leg, hook, turn, connection, state, attempts, queries, first_sent, last_sent, next_at,
  finished, steps, outcome, fence)
VALUES (:key, :saga_id, :leg, :hook, :turn, :connection, :state, :attempts, :queries, :first_sent, :last_sent, :next_at,
  :finished, :steps, :outcome, :fence)
"""
UPDATE_OP = """
UPDATE ops SET state = :state, attempts = :attempts, queries = :queries, first_sent = :first_sent,
  last_sent = :last_sent, next_at = :next_at, finished = :finished, steps = :steps, outcome = :outcome, fence = :fence
WHERE key = :key AND fence <= :fence
"""
UPDATE_STEPS = "UPDATE ops SET steps = :steps WHERE key = :key AND fence = :fence"
INSERT_EVENT = """
INSERT INTO events (id, merchant, subject, seq, type, occurred, data)
VALUES (:id, :merchant, :subject, :seq, :type, :occurred, :data)
"""
INSERT_TASK = """
INSERT INTO tasks (id, merchant, subject, leg, kind, status, owner, detail, opened, deadline, amount)
VALUES (:id, :merchant, :subject, :leg, :kind, 'open', :owner, :detail, :opened, :deadline, :amount)
ON CONFLICT (subject, leg, kind) DO UPDATE SET status = 'open', detail = excluded.detail, opened = excluded.opened,
  deadline = excluded.deadline, amount = excluded.amount, words = '[]', resolved = NULL, resolution = NULL
RETURNING id
"""
RESOLVE_TASK = """
UPDATE tasks SET status = 'resolved', resolved = :now, resolution = :resolution WHERE id = :id AND status = 'open'
"""
INSERT_KEY = """
INSERT INTO idempotency (merchant, key, fingerprint, subject, status, body, location, created)
VALUES (:merchant, :key, :fingerprint, :subject, :status, :body, :location, :created)
ON CONFLICT DO NOTHING
"""
FINISH_KEY = """
UPDATE idempotency SET status = :status, body = :body
WHERE subject = :subject AND merchant = :merchant AND location = :location AND status IS NULL
"""
FINISH_CHANGES = FINISH_KEY.replace("location = ", "location <> ")


def insert_saga(tx: Tx, row: Mapping[str, Any]) -> bool:
    """Insert a saga; False if the merchant has one of this kind and number already."""
    return tx.execute(INSERT_SAGA, row) == 1


def update_saga(tx: Tx, row: Mapping[str, Any]) -> bool:
    """Write a saga's changing columns; False if the fence is stale."""
    return tx.execute(UPDATE_SAGA, row) == 1


def claim(tx: Tx, saga_id: str, now: int, lease_until: int) -> Row | None:
    """Take the lease if nobody holds it; the row as claimed, with its new fence, or None."""
    if tx.execute(CLAIM, {"id": saga_id, "now": now, "lease_until": lease_until}) != 1:
        return None
    return tx.one("SELECT * FROM sagas WHERE id = :id", {"id": saga_id})


def due(tx: Tx, now: int, limit: int) -> list[str]:
    """Sagas whose time has come and that nobody works on."""
    return [row["id"] for row in tx.all(CLAIM_DUE, {"now": now, "limit": limit})]


def saga(tx: Tx, saga_id: str) -> Row | None:
    """One saga."""
    return tx.one("SELECT * FROM sagas WHERE id = :id", {"id": saga_id})


def saga_by_number(tx: Tx, merchant: str, kind: str, number: str) -> Row | None:
    """One saga by the platform's own number."""
    sql = "SELECT * FROM sagas WHERE merchant = :merchant AND kind = :kind AND number = :number"
    return tx.one(sql, {"merchant": merchant, "kind": str(kind), "number": number})


def children(tx: Tx, parent: str, kind: str) -> list[Row]:
    """The sagas that hang on another (the refunds of a checkout), oldest first."""
    # The index holds sagas with a parent only; SQLite takes it where the statement itself says that there is one.
    sql = "SELECT * FROM sagas WHERE parent = :parent AND parent <> '' AND kind = :kind ORDER BY id"
    return tx.all(sql, {"parent": parent, "kind": str(kind)})


def ops(tx: Tx, saga_id: str) -> list[Row]:
    """The operations of a saga, in the order they were begun."""
    return tx.all("SELECT * FROM ops WHERE saga_id = :id ORDER BY key", {"id": saga_id})


def write_ops(tx: Tx, new: Sequence[Mapping[str, Any]], changed: Iterable[Mapping[str, Any]]) -> bool:
    """Insert new operations and write changed ones; False if one of them belongs to a later fence."""
    if new:
        tx.execute_many(INSERT_OP, new)
    return all(tx.execute(UPDATE_OP, row) == 1 for row in changed)


def write_steps(tx: Tx, key: str, steps: str, fence: int) -> bool:
    """Journal the messages of an operation; False if the fence is stale."""
    return tx.execute(UPDATE_STEPS, {"key": key, "steps": steps, "fence": fence}) == 1


def insert_events(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append events, in the transaction of the state that they report; they are told once they are sealed.

    A row may carry what is to be sealed with it: ``state`` and ``marks``, see ``gateway.store.audit``.
    """
    if rows:
        tx.execute_many(INSERT_EVENT, rows)
        audit.enter_events(tx, rows)


def open_task(tx: Tx, row: Mapping[str, Any]) -> str:
    """Open a task, or open the same one again; its id."""
    found = tx.one(INSERT_TASK, row)
    assert found is not None
    return str(found["id"])


def resolve_task(tx: Tx, task_id: str, now: int, resolution: str) -> bool:
    """Close an open task; False if it is closed."""
    return tx.execute(RESOLVE_TASK, {"id": task_id, "now": now, "resolution": resolution}) == 1


def tasks_of(tx: Tx, subject: str) -> list[Row]:
    """All tasks about a subject."""
    return tx.all("SELECT * FROM tasks WHERE subject = :subject ORDER BY id", {"subject": subject})


def task(tx: Tx, task_id: str) -> Row | None:
    """One task."""
    return tx.one("SELECT * FROM tasks WHERE id = :id", {"id": task_id})


def say_of_task(tx: Tx, task_id: str, before: str, words: str) -> bool:
    """Note what persons have said of a task, over what they had said before; False if that has changed."""
    statement = "UPDATE tasks SET words = :words WHERE id = :id AND words = :before"
    return tx.execute(statement, {"id": task_id, "before": before, "words": words}) == 1


def insert_key(tx: Tx, row: Mapping[str, Any]) -> bool:
    """Take an idempotency key; False if it is taken."""
    return tx.execute(INSERT_KEY, row) == 1


def key(tx: Tx, merchant: str, key: str) -> Row | None:
    """What is stored under an idempotency key."""
    return tx.one(
        "SELECT * FROM idempotency WHERE merchant = :merchant AND key = :key", {"merchant": merchant, "key": key}
    )


def store_reply(tx: Tx, merchant: str, key: str, status: int, body: str) -> None:
    """Keep the reply of a request so that it can be given again byte for byte; the first one stays."""
    tx.execute(
        "UPDATE idempotency SET status = :status, body = :body"
        " WHERE merchant = :merchant AND key = :key AND status IS NULL",
        {"merchant": merchant, "key": key, "status": status, "body": body},
    )


def finish_keys(tx: Tx, reply: Mapping[str, Any], changed: Mapping[str, Any]) -> None:
    """Keep the final reply for the request that made a subject, and for those that changed it; the first one stays.

    Requests that changed a subject, and whose workers died, have locations of their own.
    """
    tx.execute(FINISH_KEY, reply)
    tx.execute(FINISH_CHANGES, changed)


def forget(tx: Tx, saga_id: str) -> None:
    """Remove a saga of which nothing was ever sent: its order number and its key are free again."""
    for sql in (
        # What was sealed of it stays in the chain, which says that the rest was taken back.
        "INSERT INTO unsealed (merchant, kind, item, subject, digest, state, marks)"
        " SELECT merchant, 'forgotten', id, id, 'forgotten', '', '' FROM sagas WHERE id = :id",
        "DELETE FROM attempts WHERE saga_id = :id",
        "DELETE FROM ops WHERE saga_id = :id",
        "DELETE FROM idempotency WHERE subject = :id AND status IS NULL",
        "DELETE FROM events WHERE subject = :id",
        "DELETE FROM tasks WHERE subject = :id",
        "DELETE FROM sagas WHERE id = :id",
    ):
        tx.execute(sql, {"id": saga_id})
