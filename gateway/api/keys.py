"""API keys: made and shown once, stored as a hash, bound to merchants, stores and scopes, revocable.

A key is 256 random bits, so that its plain SHA-256 cannot be turned round; nothing slower is needed.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.domain.errors import GatewayError
from gateway.engine.seams import TimeOrderedIds
from gateway.store import keys as sql
from gateway.store.port import Database, Row

#: Everything that a key may be allowed to do.
SCOPES = (
    "merchant:read",
    "checkout:read",
    "checkout:write",
    "payment:write",
    "refund:write",
    "member:read",
    "member:write",
    "coupon:read",
    "coupon:write",
    "stock:read",
    "stock:write",
    "price:write",
    "event:read",
    "webhook:write",
    "task:read",
    "task:write",
    "report:read",
)
ALL = "*"
KEY = re.compile(r"gwk_[0-9A-Za-z_-]{43}\Z")


class KeyRefused(GatewayError, ValueError):
    """A key cannot be made or revoked as asked; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a key is bound to; ``None`` for merchants or stores: all of them. Times are with offset."""

    id: str
    name: str
    merchants: frozenset[str] | None
    stores: frozenset[str] | None
    scopes: frozenset[str]
    created: datetime
    revoked: datetime | None = None

    def sees(self, merchant_id: str) -> bool:
        """Whether the key is bound to this merchant."""
        return self.merchants is None or merchant_id in self.merchants

    def sees_store(self, store_id: str) -> bool:
        """Whether the key is bound to this store."""
        return self.stores is None or store_id in self.stores


def digest_of(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_key(
    database: Database,
    *,
    name: str = "",
    merchants: Iterable[str] = (ALL,),
    stores: Iterable[str] = (ALL,),
    scopes: Iterable[str] = SCOPES,
) -> tuple[str, ApiKey]:
    """Make a key; the key itself is returned here and never again. Raises ``ValueError`` for an unknown scope."""
    asked = list(dict.fromkeys(scopes))
    unknown = [scope for scope in asked if scope not in SCOPES]
    if unknown or not asked:
        raise KeyRefused(f"unknown scope {', '.join(unknown) or '(none)'}; there are: {', '.join(SCOPES)}")
    key = f"gwk_{secrets.token_urlsafe(32)}"
    row = {
        "id": f"key_{TimeOrderedIds().new()}",
        "hash": digest_of(key),
        "name": name,
        "merchants": json.dumps(sorted(set(merchants))),
        "stores": json.dumps(sorted(set(stores))),
        "scopes": json.dumps(sorted(asked)),
        "created": int(datetime.now(UTC).timestamp() * 1000),
        "revoked": None,
    }
    database.tx(lambda tx: sql.insert(tx, {name: value for name, value in row.items() if name != "revoked"}))
    return key, _key_of(row)


def revoke_key(database: Database, key_id: str) -> None:
    """Revoke a key: requests with it are refused within five seconds. Raises ``ValueError`` if there is no such key."""
    now = int(datetime.now(UTC).timestamp() * 1000)
    if not database.tx(lambda tx: sql.revoke(tx, key_id, now)):
        raise KeyRefused(f"there is no key {key_id!r} in force")


def list_keys(database: Database) -> list[ApiKey]:
    """All keys, oldest first, revoked ones included."""
    return [_key_of(row) for row in database.read(sql.all_keys)]


def find_key(database: Database, key: str) -> ApiKey | None:
    """What this key is bound to, revoked or not; ``None`` if it never was."""
    digest = digest_of(key)
    row = database.read(lambda tx: sql.by_hash(tx, digest))
    return None if row is None else _key_of(row)


def _key_of(row: Row) -> ApiKey:
    return ApiKey(
        id=row["id"],
        name=row["name"],
        merchants=_bound(row["merchants"]),
        stores=_bound(row["stores"]),
        scopes=frozenset(json.loads(row["scopes"])),
        created=datetime.fromtimestamp(row["created"] / 1000, UTC),
        revoked=datetime.fromtimestamp(row["revoked"] / 1000, UTC) if row["revoked"] else None,
    )


def _bound(text: str) -> frozenset[str] | None:
    names = json.loads(text)
    return None if ALL in names else frozenset(names)
