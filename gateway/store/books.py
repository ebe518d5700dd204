"""What the back office and the console read: operations, settlement entries, checkouts. Reconciliations are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.store.port import Row, Tx

_OPS = "SELECT o.* FROM ops o JOIN sagas s ON s.id = o.saga_id"
OPS_OF_DAY = f"""{_OPS}
WHERE s.merchant = :merchant AND s.kind IN ('checkout', 'refund', 'deposit', 'release')
  AND substr(s.id, 5) >= :first AND substr(s.id, 5) < :last AND o.connection = :connection AND s.updated >= :since
ORDER BY o.first_sent, o.key
"""
OPS_OF_SAGA = f"{_OPS} WHERE o.saga_id = :saga_id AND o.connection = :connection ORDER BY o.first_sent, o.key"
OWNER = "SELECT o.key, o.saga_id, o.connection, s.merchant FROM ops o JOIN sagas s ON s.id = o.saga_id"
HURRY_OPS = """
UPDATE ops SET next_at = :now WHERE saga_id = :saga_id AND next_at > :now
  AND EXISTS (SELECT 1 FROM sagas WHERE id = :saga_id AND lease_until < :now)
"""
HURRY = "UPDATE sagas SET due_at = :now WHERE id = :saga_id AND (due_at IS NULL OR due_at > :now)"
INSERT_RECONCILIATION = """
INSERT INTO reconciliations (id, merchant, business_date, connection, family, counts, differences, closed)
VALUES (:id, :merchant, :business_date, :connection, :family, :counts, :differences, :closed)
"""
ENTRIES = """
SELECT subject, party, kind, basis_amount, amount FROM settlement_entries
WHERE merchant = :merchant AND business_date = :business_date ORDER BY created, id
"""
SETTLED_SAGAS = """
SELECT * FROM sagas WHERE merchant = :merchant AND kind IN ('checkout', 'refund') AND state = 'completed'
  AND substr(id, 5) >= :first AND doc LIKE :pattern ORDER BY id
"""
_LIGHT = """
SELECT id, kind, merchant, store_id, number, parent, state, '{}' AS doc, progress, amount, refunded_amount, created,
  updated, expires_at, fence, lease_until, due_at, version FROM sagas
"""
CHECKOUTS = f"""{_LIGHT} WHERE merchant = :merchant AND kind = 'checkout' AND id >= :first AND id < :last
  AND doc LIKE :pattern ORDER BY id DESC LIMIT :limit
"""
#: What belongs to sagas: themselves with documents, their operations, their refunds, their open tasks.
OF_SUBJECTS = {
    "sagas": "SELECT * FROM sagas WHERE id IN (:ids)",
    "operations": "SELECT * FROM ops WHERE saga_id IN (:ids) ORDER BY key",
    "refunds": "SELECT * FROM sagas WHERE kind = 'refund' AND parent IN (:ids) ORDER BY id",
    "tasks": "SELECT * FROM tasks WHERE status = 'open' AND subject IN (:ids) ORDER BY id",
}
BATCH = 200
#: A checkout's last operation comes at most so long after its beginning, in milliseconds: 30 days.
OLDEST = 30 * 24 * 3600 * 1000
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def day_pattern(business_date: str) -> str:
    """A pattern for ``LIKE`` that every document of a business date fits."""
    return f'%"business_date":"{business_date}"%'


def first_id(milliseconds: int) -> str:
    """No id made at this time or later sorts before it: ids begin with 48 bits of time, in base 32.

    So a time is sought in the index of ids, and no row is read that is of another time.
    """
    value = max(0, milliseconds) << 80
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))


def ops_of_day(tx: Tx, merchant: str, connection: str, since: int, until: int) -> list[Row]:
    """Operations on a connection whose sagas were under way between two moments (milliseconds).

    A saga that was begun more than ``OLDEST`` before is not looked for.
    """
    asked = {"merchant": merchant, "connection": connection, "since": since}
    return tx.all(OPS_OF_DAY, {**asked, "first": first_id(since - OLDEST), "last": first_id(until)})


def ops_of_saga(tx: Tx, saga_id: str, connection: str) -> list[Row]:
    """A saga's operations on one connection."""
    return tx.all(OPS_OF_SAGA, {"saga_id": saga_id, "connection": connection})


def owner_of(tx: Tx, key: str) -> Row | None:
    """Whose operation a key is, or the end of a key where a far system keeps no more; of any merchant."""
    exact = tx.one(f"{OWNER} WHERE o.key = :key", {"key": key})
    return exact or tx.one(f"{OWNER} WHERE o.key LIKE :end", {"end": f"%{key}"})


def hurry(tx: Tx, saga_id: str, now: int) -> None:
    """Make a saga due: whoever recovers next looks at it. Nothing else of it is changed."""
    tx.execute(HURRY_OPS, {"saga_id": saga_id, "now": now})
    tx.execute(HURRY, {"saga_id": saga_id, "now": now})


def insert_reconciliation(tx: Tx, row: Mapping[str, Any]) -> None:
    """Keep what a reconciliation came to; every run is a row of its own."""
    tx.execute(INSERT_RECONCILIATION, row)


def entries(tx: Tx, merchant: str, business_date: str) -> list[Row]:
    """The settlement entries of a business date."""
    return tx.all(ENTRIES, {"merchant": merchant, "business_date": business_date})


def settled_sagas(tx: Tx, merchant: str, business_date: str, since: int) -> list[Row]:
    """Completed checkouts and refunds of a business date, created from ``since`` (milliseconds) on."""
    asked = {"merchant": merchant, "first": first_id(since), "pattern": day_pattern(business_date)}
    return tx.all(SETTLED_SAGAS, asked)


def checkouts(tx: Tx, merchant: str, business_date: str, since: int, until: int, limit: int) -> list[Row]:
    """Checkouts of a business date, created between two moments (milliseconds), newest first, without documents."""
    asked = {"merchant": merchant, "limit": limit, "pattern": day_pattern(business_date)}
    return tx.all(CHECKOUTS, {**asked, "first": f"chk_{first_id(since)}", "last": f"chk_{first_id(until)}"})


def of_subjects(tx: Tx, table: str, ids: Sequence[str]) -> list[Row]:
    """Rows that belong to some sagas; ``table`` is a key of ``OF_SUBJECTS``."""
    sql, found = OF_SUBJECTS[table], []
    for start in range(0, len(ids), BATCH):
        named = {f"id_{index}": value for index, value in enumerate(ids[start : start + BATCH])}
        found += tx.all(sql.replace(":ids", ", ".join(f":{name}" for name in named)), named)
    return found
