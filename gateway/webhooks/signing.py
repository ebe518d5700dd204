"""Standard Webhooks: the headers of a message and its signatures (HMAC-SHA256 over id, time and body)."""

from __future__ import annotations

import base64
import hashlib
import hmac

from gateway.runtime.master_key import MasterKey

PREFIX = "whsec_"
#: For how long a message carries the old secret's signature too, in milliseconds.
OVERLAP = 24 * 3600 * 1000


def secret_of(master: MasterKey, endpoint_id: str, generation: int) -> bytes:
    """The secret of an endpoint: derived, so that the database holds none."""
    return master.derive(f"webhook {endpoint_id} {generation}")


def shown(secret: bytes) -> str:
    """A secret as a platform is given it."""
    return PREFIX + base64.b64encode(secret).decode()


def sign(secret: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature, ``v1,…``; ``timestamp`` in seconds."""
    signed = b".".join([message_id.encode(), str(timestamp).encode(), body])
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()


def headers(secrets: list[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of a message, with a signature for each secret that is in force."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(secret, message_id, timestamp, body) for secret in secrets),
    }
