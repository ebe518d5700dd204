"""API keys: made and shown once, stored as a hash, bound to merchants, stores and scopes, revocable.

A key is 256 random bits, so that its plain SHA-256 cannot be turned round; nothing slower is needed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.domain.errors import GatewayError
from gateway.engine.seams import TimeOrderedIds
from gateway.runtime.master_key import MasterKey
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
#: How a key may be marked signed: what its requests must be signed with.
SIGNED = ("hmac-sha256", "ed25519")
KEY = re.compile(r"gwk_[0-9A-Za-z_-]{43}\Z")


class KeyRefused(GatewayError, ValueError):
    """A key cannot be made or revoked as asked; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a key is bound to; ``None`` for merchants or stores: all of them. Times are with offset.

    ``signed`` is the algorithm that its requests must be signed with, or ``""``; ``verifier`` tells what verifies them.
    """

    id: str
    name: str
    merchants: frozenset[str] | None
    stores: frozenset[str] | None
    scopes: frozenset[str]
    created: datetime
    revoked: datetime | None = None
    signed: str = ""
    verifier: str = field(default="", repr=False)

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
    signed: str = "",
    verifier: str = "",
    by: str = "operator",
) -> tuple[str, ApiKey]:
    """Make a key; the key itself is returned here and never again. Raises ``ValueError`` for an unknown scope.

    For one that is to be ``signed``, ``verifier`` is what ``ed25519_verifier`` read, or the master key's fingerprint;
    its HMAC secret is then ``signing_secret``. ``by`` is who makes it, for the evidence.
    """
    if signed not in ("", *SIGNED) or bool(signed) != bool(verifier):
        raise KeyRefused(f"a key is signed with one of {', '.join(SIGNED)}, and needs what verifies it")
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
        "signed": signed,
        "verifier": verifier,
    }
    database.tx(lambda tx: sql.insert(tx, {name: value for name, value in row.items() if name != "revoked"}, by))
    return key, _key_of(row)


def signing_secret(master: MasterKey, key_id: str) -> bytes:
    """The secret of a key that signs with HMAC; derived, so that the database holds none."""
    return master.derive(f"signing {key_id}")


def ed25519_verifier(pem: bytes) -> str:
    """A public key as it is stored. Raises ``ValueError`` for what is no Ed25519 public key in PEM."""
    try:
        public = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm):
        raise KeyRefused("this is no public key in PEM (BEGIN PUBLIC KEY)") from None
    if not isinstance(public, Ed25519PublicKey):
        raise KeyRefused("this is no Ed25519 key; make one with: openssl genpkey -algorithm ed25519")
    return base64.b64encode(public.public_bytes_raw()).decode()


def revoke_key(database: Database, key_id: str, by: str = "operator") -> None:
    """Revoke a key: requests with it are refused within five seconds. Raises ``ValueError`` if there is no such key.

    ``by`` is who revokes it, for the evidence.
    """
    now = int(datetime.now(UTC).timestamp() * 1000)
    if not database.tx(lambda tx: sql.revoke(tx, key_id, now, by)):
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
        signed=row["signed"],
        verifier=row["verifier"],
    )


def _bound(text: str) -> frozenset[str] | None:
    names = json.loads(text)
    return None if ALL in names else frozenset(names)
