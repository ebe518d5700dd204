"""Receivers of events (webhook endpoints, plugins, the messages to members), and what is still to be delivered to each.

All of them are rows of ``webhook_endpoints``, told apart by their ids: ``whe_…`` is a platform's endpoint,
``plugin:NAME`` a plugin that has ``o2o_event``, and others are the gateway's own, which take their events at once.

An endpoint has a position in the feed. What comes after it is turned into deliveries, one an event: the first of each
subject *waits* to be sent, the others stand *behind* it. A delivery that has been made is deleted and the next of its
subject waits; one that has failed for good is *dead*, and what stands behind it stays there. Every change of an
endpoint's deliveries holds its lock, because the first of a subject is decided by reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.store.port import Row, Tx

Json = Mapping[str, Any]

SCHEMA = """
CREATE TABLE webhook_endpoints (
  id TEXT PRIMARY KEY, url TEXT NOT NULL, description TEXT NOT NULL, merchants TEXT NOT NULL, stores TEXT NOT NULL,
  event_types TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('enabled', 'disabled')), reason TEXT NOT NULL,
  generation INTEGER NOT NULL, previous_until INTEGER NOT NULL, master TEXT NOT NULL,
  position INTEGER NOT NULL, failures INTEGER NOT NULL, created INTEGER NOT NULL
) STRICT;
CREATE TABLE webhook_deliveries (
  endpoint TEXT NOT NULL REFERENCES webhook_endpoints (id), position INTEGER NOT NULL, merchant TEXT NOT NULL,
  subject TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('waiting', 'behind', 'dead')),
  attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, lease_until INTEGER NOT NULL, fence INTEGER NOT NULL,
  trouble TEXT NOT NULL,
  PRIMARY KEY (endpoint, position)
) STRICT;
CREATE INDEX webhook_subject ON webhook_deliveries (endpoint, subject, position);
CREATE INDEX webhook_waiting ON webhook_deliveries (endpoint, next_at) WHERE state = 'waiting';
CREATE INDEX webhook_leased ON webhook_deliveries (endpoint, lease_until) WHERE lease_until > 0;
CREATE INDEX webhook_dead ON webhook_deliveries (endpoint) WHERE state = 'dead';
"""

_INSERT_ENDPOINT = """
INSERT INTO webhook_endpoints (id, url, description, merchants, stores, event_types, state, reason, generation,
  previous_until, master, position, failures, created)
VALUES (:id, :url, :description, :merchants, :stores, :event_types, 'enabled', '', 1, 0, :master,
  (SELECT coalesce(max(position), 0) FROM chain), 0, :created)
"""
_ENDPOINTS = """
SELECT e.*,
  (SELECT count(*) FROM webhook_deliveries d WHERE d.endpoint = e.id AND d.state <> 'dead') AS pending,
  (SELECT count(*) FROM webhook_deliveries d WHERE d.endpoint = e.id AND d.state = 'dead') AS dead
FROM webhook_endpoints e
"""
_INSERT_DELIVERY = """
INSERT INTO webhook_deliveries (endpoint, position, merchant, subject, state, attempts, next_at, lease_until, fence,
  trouble)
VALUES (:endpoint, :position, :merchant, :subject, CASE WHEN EXISTS (
  SELECT 1 FROM webhook_deliveries b WHERE b.endpoint = :endpoint AND b.subject = :subject
) THEN 'behind' ELSE 'waiting' END, 0, :now, 0, 0, '')
"""
_INSERT_RECEIVER = """
INSERT INTO webhook_endpoints (id, url, description, merchants, stores, event_types, state, reason, generation,
  previous_until, master, position, failures, created)
VALUES (:id, '', '', '["*"]', '["*"]', '[]', 'enabled', '', 1, 0, '',
  (SELECT coalesce(max(position), 0) FROM chain), 0, :created)
ON CONFLICT (id) DO NOTHING
"""
_DUE = """
SELECT e.id FROM webhook_endpoints e
WHERE e.state = 'enabled' AND e.master = :master AND EXISTS (SELECT 1 FROM webhook_deliveries d
  WHERE d.endpoint = e.id AND d.state = 'waiting' AND d.next_at <= :now AND d.lease_until < :now)
"""
_BEHIND = """
SELECT e.id FROM webhook_endpoints e
WHERE e.state = 'enabled' AND e.position < (SELECT coalesce(max(position), 0) FROM chain WHERE kind = 'event')
"""
_CLAIM = """
UPDATE webhook_deliveries SET lease_until = :lease_until, fence = fence + 1, attempts = attempts + 1
WHERE endpoint = :endpoint AND position IN (
  SELECT position FROM webhook_deliveries
  WHERE endpoint = :endpoint AND state = 'waiting' AND next_at <= :now AND lease_until < :now
  ORDER BY next_at, position LIMIT :most)
RETURNING *
"""
_DONE = "DELETE FROM webhook_deliveries WHERE endpoint = :endpoint AND position = :position AND fence = :fence"
_PROMOTE = """
UPDATE webhook_deliveries SET state = 'waiting', next_at = :now
WHERE endpoint = :endpoint AND state = 'behind' AND position = (
  SELECT min(position) FROM webhook_deliveries WHERE endpoint = :endpoint AND subject = :subject)
"""
_LATER = """
UPDATE webhook_deliveries SET state = :state, next_at = :next_at, lease_until = 0, trouble = :trouble
WHERE endpoint = :endpoint AND position = :position AND fence = :fence
"""
_RELEASE = """
UPDATE webhook_deliveries SET lease_until = 0, attempts = attempts - 1
WHERE endpoint = :endpoint AND position = :position AND fence = :fence
"""
_REVIVE = """
UPDATE webhook_deliveries SET state = 'waiting', attempts = 0, next_at = :now, lease_until = 0
WHERE endpoint = :endpoint AND (state = 'dead' OR (state = 'waiting' AND lease_until < :now))
"""


def lock(tx: Tx, endpoint: str) -> None:
    """Let nobody else change this endpoint's deliveries until the unit has ended."""
    tx.lock(f"webhook {endpoint}")


# --- endpoints -------------------------------------------------------------------------------------------------------


def insert_endpoint(tx: Tx, row: Json) -> None:
    """Add an endpoint, which hears of what happens from now on."""
    tx.execute(_INSERT_ENDPOINT, row)


def insert_receiver(tx: Tx, receiver_id: str, now: int) -> None:
    """Add a receiver inside the gateway, unless it is there; it hears of what happens from now on."""
    tx.execute(_INSERT_RECEIVER, {"id": receiver_id, "created": now})


def endpoint(tx: Tx, endpoint_id: str) -> Row | None:
    """One endpoint, with how many deliveries are ``pending`` and ``dead``."""
    return tx.one(f"{_ENDPOINTS} WHERE e.id = :id", {"id": endpoint_id})


def endpoints(tx: Tx, after: str, limit: int) -> list[Row]:
    """Endpoints, newest first, of all merchants."""
    sql = f"{_ENDPOINTS} WHERE (:after = '' OR e.id < :after) ORDER BY e.id DESC LIMIT :limit"
    return tx.all(sql, {"after": after, "limit": limit})


def delete_endpoint(tx: Tx, endpoint_id: str) -> bool:
    """Forget an endpoint and all that was to be delivered to it; False if there is none."""
    lock(tx, endpoint_id)
    tx.execute("DELETE FROM webhook_deliveries WHERE endpoint = :id", {"id": endpoint_id})
    return tx.execute("DELETE FROM webhook_endpoints WHERE id = :id", {"id": endpoint_id}) == 1


def rotate(tx: Tx, endpoint_id: str, previous_until: int, master: str) -> int | None:
    """Begin a new generation of an endpoint's secret; its number, or ``None`` if there is no such endpoint."""
    row = tx.one(
        "UPDATE webhook_endpoints SET generation = generation + 1, previous_until = :previous_until, master = :master"
        " WHERE id = :id RETURNING generation",
        {"id": endpoint_id, "previous_until": previous_until, "master": master},
    )
    return None if row is None else int(row["generation"])


def disable(tx: Tx, endpoint_id: str, reason: str) -> bool:
    """Send nothing more to an endpoint; False if that was so before."""
    sql = "UPDATE webhook_endpoints SET state = 'disabled', reason = :reason WHERE id = :id AND state = 'enabled'"
    return tx.execute(sql, {"id": endpoint_id, "reason": reason}) == 1


def enable(tx: Tx, endpoint_id: str) -> None:
    """Send to an endpoint again."""
    sql = "UPDATE webhook_endpoints SET state = 'enabled', reason = '', failures = 0 WHERE id = :id"
    tx.execute(sql, {"id": endpoint_id})


# --- deliveries ------------------------------------------------------------------------------------------------------


def behind_the_feed(tx: Tx) -> list[str]:
    """Endpoints for which there may be new events."""
    return [row["id"] for row in tx.all(_BEHIND)]


def add_deliveries(tx: Tx, endpoint_id: str, events: Sequence[Row], was: int, position: int, now: int) -> None:
    """Turn events into deliveries and move the endpoint's position on; hold its lock, read ``was`` under it."""
    sql = "UPDATE webhook_endpoints SET position = :position WHERE id = :id AND position = :was"
    if tx.execute(sql, {"id": endpoint_id, "position": position, "was": was}) != 1:
        return
    for event in events:
        named = {name: event[name] for name in ("position", "merchant", "subject")}
        tx.execute(_INSERT_DELIVERY, {**named, "endpoint": endpoint_id, "now": now})


def move_on(tx: Tx, receiver_id: str, was: int, position: int) -> None:
    """Note that a receiver has taken the events up to a position; hold its lock, read ``was`` under it."""
    sql = "UPDATE webhook_endpoints SET position = :position WHERE id = :id AND position = :was"
    tx.execute(sql, {"id": receiver_id, "position": position, "was": was})


def due(tx: Tx, now: int, master: str) -> list[str]:
    """Enabled endpoints to which something can be sent now, by who has this master key (``""``: plugins)."""
    return [row["id"] for row in tx.all(_DUE, {"now": now, "master": master})]


def under_way(tx: Tx, endpoint_id: str, now: int) -> int:
    """How many deliveries to an endpoint somebody is making."""
    sql = (
        "SELECT count(*) AS n FROM webhook_deliveries WHERE endpoint = :id AND lease_until > 0 AND lease_until >= :now"
    )
    row = tx.one(sql, {"id": endpoint_id, "now": now})
    return int(row["n"]) if row is not None else 0


def claim(tx: Tx, endpoint_id: str, now: int, lease_until: int, most: int) -> list[Row]:
    """Take deliveries that are due, each one try more; hold the endpoint's lock."""
    return tx.all(_CLAIM, {"endpoint": endpoint_id, "now": now, "lease_until": lease_until, "most": most})


def event_at(tx: Tx, position: int) -> Row | None:
    """The event at a position; ``None`` if it was taken back because nothing of its subject was ever sent."""
    return tx.one("SELECT * FROM feed WHERE position = :position", {"position": position})


def release(tx: Tx, delivery: Json) -> None:
    """Give a claimed delivery back that was not tried."""
    tx.execute(_RELEASE, delivery)


def delivered(tx: Tx, delivery: Json, now: int) -> bool:
    """Forget a delivery that was made, let the next of its subject go; False if another worker has it by now."""
    lock(tx, delivery["endpoint"])
    if tx.execute(_DONE, delivery) != 1:
        return False
    tx.execute(_PROMOTE, {"endpoint": delivery["endpoint"], "subject": delivery["subject"], "now": now})
    sql = "UPDATE webhook_endpoints SET failures = 0 WHERE id = :endpoint AND failures > 0"
    tx.execute(sql, {"endpoint": delivery["endpoint"]})
    return True


def failed(tx: Tx, delivery: Json, state: str, next_at: int, trouble: str) -> bool:
    """Note a try that failed: ``waiting`` for the next one, or ``dead``; False if another worker has it by now."""
    if tx.execute(_LATER, {**delivery, "state": state, "next_at": next_at, "trouble": trouble}) != 1:
        return False
    sql = "UPDATE webhook_endpoints SET failures = failures + 1 WHERE id = :endpoint"
    tx.execute(sql, {"endpoint": delivery["endpoint"]})
    return True


def dead_letters(tx: Tx, endpoint_id: str) -> list[Row]:
    """Dead deliveries of an endpoint, oldest first, each with its event's id and type."""
    return tx.all(
        "SELECT d.*, v.id AS event_id, v.type FROM webhook_deliveries d JOIN feed v ON v.position = d.position"
        " WHERE d.endpoint = :id AND d.state = 'dead' ORDER BY d.position LIMIT 1000",
        {"id": endpoint_id},
    )


def revive(tx: Tx, endpoint_id: str, now: int) -> int:
    """Try everything again that is dead or waits for its next try, at once; how many there are."""
    lock(tx, endpoint_id)
    enable(tx, endpoint_id)
    return tx.execute(_REVIVE, {"endpoint": endpoint_id, "now": now})


def skip(tx: Tx, endpoint_id: str, now: int) -> int:
    """Give up the dead deliveries of an endpoint and let go what stands behind them; how many were dead."""
    lock(tx, endpoint_id)
    dead = dead_letters(tx, endpoint_id)
    for row in dead:
        tx.execute(_DONE, dict(row))
        tx.execute(_PROMOTE, {"endpoint": endpoint_id, "subject": row["subject"], "now": now})
    return len(dead)


def open_tasks(tx: Tx, endpoint_id: str) -> list[Row]:
    """The open cases about an endpoint."""
    return tx.all("SELECT * FROM tasks WHERE subject = :id AND status = 'open' ORDER BY id", {"id": endpoint_id})
