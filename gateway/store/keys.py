"""API keys: their hashes, what they may see and do, what they have been used for. The key itself is nowhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.store import audit
from gateway.store.encoding import dump, load
from gateway.store.port import Row, Tx

#: ``verifier`` is the public key of one that signs with ed25519, and tells the master key of one that signs with HMAC.
SIGNED = """
ALTER TABLE api_keys ADD COLUMN signed TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN verifier TEXT NOT NULL DEFAULT '';
CREATE TABLE request_nonces (
  key_id TEXT NOT NULL, nonce TEXT NOT NULL, expires INTEGER NOT NULL,
  PRIMARY KEY (key_id, nonce)
) STRICT;
CREATE INDEX request_nonces_expired ON request_nonces (expires);
CREATE TABLE key_misses (
  key_id TEXT NOT NULL, kind TEXT NOT NULL, hour INTEGER NOT NULL, misses INTEGER NOT NULL,
  PRIMARY KEY (key_id, kind, hour)
) STRICT;
"""

_INSERT = """
INSERT INTO api_keys (id, hash, name, merchants, stores, scopes, created, signed, verifier)
VALUES (:id, :hash, :name, :merchants, :stores, :scopes, :created, :signed, :verifier)
"""
_NONCE = """
INSERT INTO request_nonces (key_id, nonce, expires) VALUES (:key_id, :nonce, :expires) ON CONFLICT DO NOTHING
"""
_MISS = """
INSERT INTO key_misses (key_id, kind, hour, misses) VALUES (:key_id, :kind, :hour, 1)
ON CONFLICT (key_id, kind, hour) DO UPDATE SET misses = key_misses.misses + 1
RETURNING misses
"""


def insert(tx: Tx, row: Mapping[str, Any], by: str) -> None:
    """Add a key, and note that it was made and by whom."""
    tx.execute(_INSERT, row)
    _note(tx, row, "key.made", row["created"], by)


def by_hash(tx: Tx, digest: str) -> Row | None:
    """The key with this hash, revoked or not."""
    return tx.one("SELECT * FROM api_keys WHERE hash = :hash", {"hash": digest})


def revoke(tx: Tx, key_id: str, now: int, by: str) -> bool:
    """Revoke a key for ever; False if there is none, or it is revoked already."""
    sql = "UPDATE api_keys SET revoked = :now WHERE id = :id AND revoked IS NULL"
    if tx.execute(sql, {"id": key_id, "now": now}) != 1:
        return False
    row = tx.one("SELECT * FROM api_keys WHERE id = :id", {"id": key_id})
    if row is not None:
        _note(tx, row, "key.revoked", now, by)
    return True


def _note(tx: Tx, row: Mapping[str, Any] | Row, kind: str, now: int, by: str) -> None:
    """Evidence for every merchant that a key is bound to, or for all of them."""
    data = dump({name: row[name] for name in ("hash", "name", "merchants", "stores", "scopes")})
    for merchant in load(row["merchants"]):
        act = {"id": f"act_{row['id']}_{kind}_{merchant}", "merchant": merchant, "subject": row["id"], "kind": kind}
        audit.act(tx, {**act, "who": by, "at": now, "data": data})


def all_keys(tx: Tx) -> list[Row]:
    """All keys, oldest first."""
    return tx.all("SELECT * FROM api_keys ORDER BY created, id")


def use_nonce(tx: Tx, key_id: str, nonce: str, expires: int) -> bool:
    """Use a nonce of a key's until a time (seconds); False if it was used before."""
    return tx.execute(_NONCE, {"key_id": key_id, "nonce": nonce, "expires": expires}) == 1


def forget_nonces(tx: Tx, now: int) -> int:
    """Forget nonces of requests that are too old by now to be believed anyway."""
    return tx.execute("DELETE FROM request_nonces WHERE expires < :now", {"now": now})


def misses(tx: Tx, key_id: str, kind: str, hour: int) -> int:
    """How often a key has missed in an hour (counted from the epoch)."""
    sql = "SELECT misses FROM key_misses WHERE key_id = :key_id AND kind = :kind AND hour = :hour"
    row = tx.one(sql, {"key_id": key_id, "kind": kind, "hour": hour})
    return 0 if row is None else int(row["misses"])


def count_miss(tx: Tx, key_id: str, kind: str, hour: int) -> int:
    """Count a miss, forget those of other hours with the first one; how many there are."""
    row = tx.one(_MISS, {"key_id": key_id, "kind": kind, "hour": hour})
    assert row is not None
    if row["misses"] == 1:
        tx.execute("DELETE FROM key_misses WHERE hour < :hour", {"hour": hour})
    return int(row["misses"])
