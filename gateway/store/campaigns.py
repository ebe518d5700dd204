"""Imported campaigns: every version of every definition, which one is in force, and a counter that tells of changes."""

from __future__ import annotations

from typing import Any

from gateway.store.port import Row, Tx

ACTIVE = "active"
STATES = ("draft", ACTIVE, "paused", "ended")

_INSERT = """
INSERT INTO campaigns (merchant, id, version, doc, state, imported_at)
VALUES (:merchant, :id, :version, :doc, :state, :now)
"""
_TOUCH = """
INSERT INTO campaign_changes (merchant, changes) VALUES (:merchant, 1)
ON CONFLICT (merchant) DO UPDATE SET changes = campaign_changes.changes + 1
"""


def changes(tx: Tx) -> dict[str, int]:
    """By merchant, a number that rises with every change of its campaigns."""
    return {row["merchant"]: int(row["changes"]) for row in tx.all("SELECT merchant, changes FROM campaign_changes")}


def active(tx: Tx, merchant: str) -> list[str]:
    """The definitions in force, by id, as JSON texts."""
    sql = "SELECT doc FROM campaigns WHERE merchant = :merchant AND state = 'active' ORDER BY id"
    return [row["doc"] for row in tx.all(sql, {"merchant": merchant})]


def listed(tx: Tx, merchant: str) -> list[Row]:
    """All versions of a merchant's campaigns, by id, the newest last."""
    sql = "SELECT * FROM campaigns WHERE merchant = :merchant ORDER BY id, imported_at, version"
    return tx.all(sql, {"merchant": merchant})


def find(tx: Tx, merchant: str, campaign: str, version: str) -> Row | None:
    """One version of one campaign."""
    sql = "SELECT * FROM campaigns WHERE merchant = :merchant AND id = :id AND version = :version"
    return tx.one(sql, {"merchant": merchant, "id": campaign, "version": version})


def insert(tx: Tx, row: dict[str, Any]) -> None:
    """Add a version, under the ``lock``; one that is active ends the one that was."""
    if row["state"] == ACTIVE:
        _end_others(tx, row["merchant"], row["id"])
    tx.execute(_INSERT, row)
    touch(tx, row["merchant"])


def set_state(tx: Tx, merchant: str, campaign: str, version: str, state: str) -> bool:
    """Move a version to another state; False if there is no such version."""
    lock(tx, merchant)
    if find(tx, merchant, campaign, version) is None:
        return False
    if state == ACTIVE:
        _end_others(tx, merchant, campaign)
    row = {"merchant": merchant, "id": campaign, "version": version, "state": state}
    sql = "UPDATE campaigns SET state = :state WHERE merchant = :merchant AND id = :id AND version = :version"
    tx.execute(sql, row)
    touch(tx, merchant)
    return True


def lock(tx: Tx, merchant: str) -> None:
    """One change of a merchant's campaigns at a time."""
    tx.lock(f"campaigns:{merchant}")


def touch(tx: Tx, merchant: str) -> None:
    """Tell every process that the merchant's campaigns have changed."""
    tx.execute(_TOUCH, {"merchant": merchant})


def pinned(tx: Tx, merchant: str, campaign: str, version: str) -> str | None:
    """The text that a version of the merchant's own file had when it was first seen; ``None`` if it never was."""
    sql = "SELECT doc FROM campaign_pins WHERE merchant = :merchant AND id = :id AND version = :version"
    found = tx.one(sql, {"merchant": merchant, "id": campaign, "version": version})
    return None if found is None else str(found["doc"])


def pin(tx: Tx, merchant: str, campaign: str, version: str, doc: str, now: int) -> str:
    """Remember the text of a version that the merchant's file has; the text as it was first seen."""
    row = {"merchant": merchant, "id": campaign, "version": version, "doc": doc, "now": now}
    tx.execute(
        "INSERT INTO campaign_pins (merchant, id, version, doc, seen_at) VALUES (:merchant, :id, :version, :doc, :now)"
        " ON CONFLICT DO NOTHING",
        row,
    )
    return pinned(tx, merchant, campaign, version) or doc


def _end_others(tx: Tx, merchant: str, campaign: str) -> None:
    sql = (
        "UPDATE campaigns SET state = 'ended' WHERE merchant = :merchant AND id = :id AND state IN ('active','paused')"
    )
    tx.execute(sql, {"merchant": merchant, "id": campaign})
