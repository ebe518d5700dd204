"""The gateway's own holds, where a legacy system has none: goods, time slots, coupon codes, deposits.

A hold is ``held``, then ``used`` or gone. Goods are counted against a level read from the legacy system at ``as_of``:
what we hold, and what we sold since, is no longer available. A slot has at most one hold over any moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.store.port import Tx

_TAKEN = """
SELECT COALESCE(SUM(quantity), 0) AS taken FROM holds
WHERE merchant = :merchant AND kind = :kind AND store_id = :store_id AND item = :item
  AND (state = 'held' OR (state = 'used' AND updated >= :as_of))
"""
_OVERLAPPING = """
SELECT COUNT(*) AS taken FROM holds
WHERE merchant = :merchant AND kind = 'slot' AND store_id = :store_id AND item = :item AND saga_id <> :saga_id
  AND state IN ('held', 'used') AND starts < :ends AND ends > :starts
"""
_INSERT = """
INSERT INTO holds (merchant, saga_id, kind, store_id, item, quantity, starts, ends, state, expires, updated)
VALUES (:merchant, :saga_id, :kind, :store_id, :item, :quantity, :starts, :ends, 'held', :expires, :now)
ON CONFLICT (merchant, saga_id, kind, store_id, item, starts) DO UPDATE SET state = 'held', updated = :now,
  quantity = CASE holds.state WHEN 'released' THEN excluded.quantity ELSE holds.quantity + excluded.quantity END
"""
_MOVE = """
UPDATE holds SET state = :state, updated = :now
WHERE merchant = :merchant AND saga_id = :saga_id AND kind = :kind AND state IN ('held', 'used')
"""
_MOVE_ITEM = _MOVE + " AND item = :item"
_FREE_SLOT = _MOVE_ITEM + " AND starts = :starts"
_GIVE_BACK = """
UPDATE holds SET quantity = quantity - :quantity, updated = :now
WHERE merchant = :merchant AND saga_id = :saga_id AND kind = :kind AND item = :item AND quantity > :quantity
"""
_DELETE = """
DELETE FROM holds
WHERE merchant = :merchant AND saga_id = :saga_id AND kind = :kind AND item = :item AND quantity <= :quantity
"""


def lock_name(row: Mapping[str, Any]) -> str:
    """What units lock that decide upon an item: the same for all who hold it."""
    return f"hold:{row['merchant']}:{row['kind']}:{row['store_id']}:{row['item']}"


def take_count(tx: Tx, row: Mapping[str, Any], available: int, as_of: int) -> bool:
    """Hold ``quantity`` of an item if ``available`` (as the far system said at ``as_of``) still covers it."""
    tx.lock(lock_name(row))
    asked = {name: row[name] for name in ("merchant", "kind", "store_id", "item")}
    found = tx.one(_TAKEN, {**asked, "as_of": as_of})
    if found is None or found["taken"] + row["quantity"] > available:
        return False
    tx.execute(_INSERT, row)
    return True


def take_slot(tx: Tx, row: Mapping[str, Any]) -> bool:
    """Hold a resource over a window if nobody else holds any part of it."""
    tx.lock(f"hold:{row['merchant']}:slot:{row['store_id']}:{row['item']}")
    asked = {name: row[name] for name in ("merchant", "store_id", "item", "saga_id", "starts", "ends")}
    found = tx.one(_OVERLAPPING, asked)
    if found is None or found["taken"]:
        return False
    tx.execute(_INSERT, row)
    return True


def move(tx: Tx, merchant: str, saga_id: str, kind: str, state: str, now: int) -> int:
    """Mark all of a saga's holds of a kind as ``used`` or ``released``; how many there were."""
    row = {"merchant": merchant, "saga_id": saga_id, "kind": kind, "state": state, "now": now}
    return tx.execute(_MOVE, row)


def use(tx: Tx, merchant: str, saga_id: str, kind: str, item: str, now: int) -> int:
    """Mark what a saga holds of one item as ``used``; other items of the kind may stand for other tenders."""
    row = {"merchant": merchant, "saga_id": saga_id, "kind": kind, "item": item, "state": "used", "now": now}
    return tx.execute(_MOVE_ITEM, row)


def give_back(tx: Tx, merchant: str, saga_id: str, kind: str, item: str, quantity: int, now: int) -> None:
    """Give part of a hold back, used or not: returned goods are available again, a deposit is whole again."""
    row = {"merchant": merchant, "saga_id": saga_id, "kind": kind, "item": item, "quantity": quantity}
    if tx.execute(_GIVE_BACK, {**row, "now": now}) == 0:
        tx.execute(_DELETE, row)


def free_slot(tx: Tx, merchant: str, saga_id: str, item: str, starts: int, now: int) -> None:
    """Let one slot of a saga go, held or used: others can have that time again."""
    row = {"merchant": merchant, "saga_id": saga_id, "kind": "slot", "item": item, "starts": starts}
    tx.execute(_FREE_SLOT, {**row, "state": "released", "now": now})


def taken(tx: Tx, merchant: str, kind: str, store_id: str, item: str, as_of: int) -> int:
    """How much of an item is held or was used since ``as_of``."""
    row = {"merchant": merchant, "kind": kind, "store_id": store_id, "item": item, "as_of": as_of}
    found = tx.one(_TAKEN, row)
    return int(found["taken"]) if found else 0


def slots_taken(tx: Tx, merchant: str, store_id: str, starts: int, ends: int) -> set[str]:
    """The resources of a store that the gateway holds over some part of a window."""
    rows = tx.all(
        "SELECT DISTINCT item FROM holds WHERE merchant = :merchant AND kind = 'slot' AND store_id = :store_id"
        " AND state IN ('held', 'used') AND starts < :ends AND ends > :starts",
        {"merchant": merchant, "store_id": store_id, "starts": starts, "ends": ends},
    )
    return {row["item"] for row in rows}
