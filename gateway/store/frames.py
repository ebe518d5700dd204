"""The attempts at far systems: when, how long, what came of it, and the masked messages that went over the wire.

Rows are only ever added, in the commit of the outcome that they tell of, and deleted when they are old.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.store.port import Row, Tx

SCHEMA = """
CREATE TABLE attempts (
  position INTEGER PRIMARY KEY, saga_id TEXT NOT NULL, op TEXT NOT NULL, verb TEXT NOT NULL, number INTEGER NOT NULL,
  began INTEGER NOT NULL, took_us INTEGER NOT NULL, outcome TEXT NOT NULL, said TEXT NOT NULL, frames TEXT NOT NULL
) STRICT;
CREATE INDEX attempts_saga ON attempts (saga_id);
"""

_INSERT = """
INSERT INTO attempts (saga_id, op, verb, number, began, took_us, outcome, said, frames)
VALUES (:saga_id, :op, :verb, :number, :began, :took_us, :outcome, :said, :frames)
"""
# The oldest rows stand first, so that no index on the time is needed.
_PRUNE = """
DELETE FROM attempts WHERE began < :before
  AND position IN (SELECT position FROM attempts ORDER BY position LIMIT :most)
"""


def insert(tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add attempts."""
    if rows:
        tx.execute_many(_INSERT, rows)


def of_saga(tx: Tx, saga_id: str) -> list[Row]:
    """A saga's attempts, as they were noted."""
    return tx.all("SELECT * FROM attempts WHERE saga_id = :id ORDER BY position", {"id": saga_id})


def bound(tx: Tx, saga_id: str, most: int) -> list[Row]:
    """The first attempts of a saga, without what came late."""
    sql = "SELECT * FROM attempts WHERE saga_id = :id AND outcome <> 'late' ORDER BY position LIMIT :most"
    return tx.all(sql, {"id": saga_id, "most": most})


def any_before(tx: Tx, time: int) -> bool:
    """Whether there are attempts that began before a time: older ones than that were not deleted for their age."""
    return (
        tx.one(
            "SELECT 1 AS found FROM (SELECT began FROM attempts ORDER BY position LIMIT 1) a WHERE began < :time",
            {"time": time},
        )
        is not None
    )


def prune(tx: Tx, before: int, most: int) -> int:
    """Delete the oldest attempts that began before a time (milliseconds), ``most`` at a time; how many."""
    return tx.execute(_PRUNE, {"before": before, "most": most})
