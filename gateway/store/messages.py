"""Messages to members: one row a message, from the event that it is about to the end of its sending.

The row holds neither an address nor a word of the message: both are made again from the journal when it is sent.
``status`` is ``open`` until it has ended as ``sent``, ``refused``, ``unknown`` (it may have been sent, and nothing more
can be done), ``expired`` (it was not sent in time) or ``skipped`` (there is nobody to send it to any more). ``due_at``
is when to look at an open one again; ``state`` and the columns after it are those of an operation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.store.port import Row, Tx

Json = Mapping[str, Any]

SCHEMA = """
CREATE TABLE messages (
  key TEXT PRIMARY KEY, merchant TEXT NOT NULL, event TEXT NOT NULL, type TEXT NOT NULL, subject TEXT NOT NULL,
  template TEXT NOT NULL, connection TEXT NOT NULL, occurred INTEGER NOT NULL, expires INTEGER NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open', 'sent', 'refused', 'unknown', 'expired', 'skipped')),
  due_at INTEGER, lease_until INTEGER NOT NULL, fence INTEGER NOT NULL, ended INTEGER NOT NULL,
  state TEXT NOT NULL, attempts INTEGER NOT NULL, first_sent INTEGER NOT NULL, last_sent INTEGER NOT NULL,
  next_at INTEGER NOT NULL, finished INTEGER NOT NULL, outcome TEXT NOT NULL,
  UNIQUE (event, template)
) STRICT;
CREATE INDEX messages_due ON messages (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_subject ON messages (subject);
CREATE INDEX messages_ended ON messages (ended) WHERE ended > 0;
"""

_INSERT = """
INSERT INTO messages (key, merchant, event, type, subject, template, connection, occurred, expires, status, due_at,
  lease_until, fence, ended, state, attempts, first_sent, last_sent, next_at, finished, outcome)
VALUES (:key, :merchant, :event, :type, :subject, :template, :connection, :occurred, :expires, 'open', :now,
  0, 0, 0, 'not_sent', 0, 0, 0, 0, 0, '{}')
ON CONFLICT (event, template) DO NOTHING
"""
_DUE = """
SELECT key, merchant, connection FROM (
  SELECT key, merchant, connection, due_at,
    row_number() OVER (PARTITION BY merchant, connection ORDER BY due_at, key) AS place
  FROM messages WHERE due_at IS NOT NULL AND due_at <= :now AND lease_until < :now) waiting
WHERE place <= :each ORDER BY due_at, key
"""
_CLAIM = """
UPDATE messages SET fence = fence + 1, lease_until = :lease_until
WHERE key = :key AND due_at IS NOT NULL AND lease_until < :now
"""
_WRITE = """
UPDATE messages SET status = :status, due_at = :due_at, lease_until = :lease_until, ended = :ended, state = :state,
  attempts = :attempts, first_sent = :first_sent, last_sent = :last_sent, next_at = :next_at, finished = :finished,
  outcome = :outcome
WHERE key = :key AND fence = :fence
"""
_COUNTS = """
SELECT merchant, connection, template, status, count(*) AS n, max(ended) AS last FROM messages
WHERE (:merchant = '' OR merchant = :merchant) GROUP BY merchant, connection, template, status
ORDER BY merchant, connection, template, status
"""
_PRUNE = """
DELETE FROM messages WHERE key IN (
  SELECT key FROM messages WHERE ended > 0 AND ended < :before ORDER BY ended LIMIT :most)
"""


def insert(tx: Tx, row: Json) -> None:
    """Add a message that is to be sent, unless the event has it already."""
    tx.execute(_INSERT, row)


def due(tx: Tx, now: int, each: int) -> list[Row]:
    """Messages that may be looked at now and that nobody works on, the first few of each connection: their keys."""
    return tx.all(_DUE, {"now": now, "each": each})


def claim(tx: Tx, key: str, now: int, lease_until: int) -> Row | None:
    """Take a message; its row with the new fence, or ``None`` if somebody has it."""
    if tx.execute(_CLAIM, {"key": key, "now": now, "lease_until": lease_until}) != 1:
        return None
    return tx.one("SELECT * FROM messages WHERE key = :key", {"key": key})


def write(tx: Tx, row: Json) -> bool:
    """Write how a message stands; False if another worker has it by now."""
    return tx.execute(_WRITE, row) == 1


def put_off(tx: Tx, key: str, due_at: int) -> None:
    """Look at an open message again at this time (milliseconds)."""
    tx.execute("UPDATE messages SET due_at = :at WHERE key = :key AND due_at IS NOT NULL", {"key": key, "at": due_at})


def of_subject(tx: Tx, subject: str) -> list[Row]:
    """The messages about a checkout, a refund or a deposit."""
    return tx.all("SELECT * FROM messages WHERE subject = :subject ORDER BY key", {"subject": subject})


def counts(tx: Tx, merchant: str) -> list[Row]:
    """How many messages stand how, by merchant, connection and template; ``""``: of all merchants."""
    return tx.all(_COUNTS, {"merchant": merchant})


def unfinished(tx: Tx, merchant: str, limit: int) -> list[Row]:
    """Messages that were not sent, or are not yet, newest first."""
    return tx.all(
        "SELECT * FROM messages WHERE (:merchant = '' OR merchant = :merchant) AND status <> 'sent'"
        " ORDER BY key DESC LIMIT :limit",
        {"merchant": merchant, "limit": limit},
    )


def prune(tx: Tx, before: int, most: int) -> int:
    """Delete the oldest messages that ended before a time (milliseconds), ``most`` at a time; how many."""
    return tx.execute(_PRUNE, {"before": before, "most": most})
