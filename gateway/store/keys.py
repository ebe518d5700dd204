"""API keys: their hashes, what they may see and do. The key itself is nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.store.port import Row, Tx

_INSERT = """
INSERT INTO api_keys (id, hash, name, merchants, stores, scopes, created)
VALUES (:id, :hash, :name, :merchants, :stores, :scopes, :created)
"""


def insert(tx: Tx, row: Mapping[str, Any]) -> None:
    """Add a key."""
    tx.execute(_INSERT, row)


def by_hash(tx: Tx, digest: str) -> Row | None:
    """The key with this hash, revoked or not."""
    return tx.one("SELECT * FROM api_keys WHERE hash = :hash", {"hash": digest})


def revoke(tx: Tx, key_id: str, now: int) -> bool:
    """Revoke a key for ever; False if there is none, or it is revoked already."""
    sql = "UPDATE api_keys SET revoked = :now WHERE id = :id AND revoked IS NULL"
    return tx.execute(sql, {"id": key_id, "now": now}) == 1


def all_keys(tx: Tx) -> list[Row]:
    """All keys, oldest first."""
    return tx.all("SELECT * FROM api_keys ORDER BY created, id")
