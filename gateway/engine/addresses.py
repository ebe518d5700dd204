"""Where a member can be written to: kept with a checkout, sealed, and only where the merchant sends messages.

The address is the openid by which the platform named the member, or else ``facts["openid"]`` of the member that the
membership system knows. It is sealed (AES-GCM) under a key that is derived from the gateway's master key, so that who
has only the database has no addresses.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.domain.common import Secret
from gateway.domain.errors import GatewayError
from gateway.domain.membership import IdentityType, Member
from gateway.engine.model import Json
from gateway.runtime import Merchant
from gateway.runtime.messages import LANGUAGES

log = logging.getLogger("gateway.engine")

_NONCE = 12


class Addresses:
    """Seals and opens addresses. Without a key nothing is kept. Safe to share between threads."""

    def __init__(self, key: Callable[[], bytes] | None = None) -> None:
        self._key = key

    def kept(self, merchant: Merchant, identity: Mapping[str, str] | None, member: Member | None) -> Json:
        """What is kept of it with a checkout, as ``{"to": …}``; nothing where nobody will be written to.

        Raises nothing: no sale waits for a message.
        """
        facts = member.facts if member is not None else {}
        given = identity["value"] if identity and identity["type"] == IdentityType.OPENID else facts.get("openid")
        if not merchant.messages.on or self._key is None or not isinstance(given, str) or not given:
            return {}
        try:
            sealed = self._seal(merchant.id, given)
        except GatewayError as error:
            log.error("a member's address cannot be kept", extra={"error": type(error).__name__})
            return {}
        language = facts.get("language")
        return {"to": {"sealed": sealed, **({"language": language} if language in LANGUAGES else {})}}

    def of(self, merchant_id: str, doc: Json) -> Secret | None:
        """The address kept in a saga's document; ``None``: there is none, or it was sealed under another key."""
        told = doc.get("to")
        if told is None or self._key is None:
            return None
        try:
            raw = base64.b64decode(told["sealed"])
            opened = AESGCM(self._key()).decrypt(raw[:_NONCE], raw[_NONCE:], merchant_id.encode())
            return Secret(opened.decode())
        except (InvalidTag, GatewayError, ValueError):
            return None

    def _seal(self, merchant_id: str, address: str) -> str:
        assert self._key is not None
        nonce = os.urandom(_NONCE)
        return base64.b64encode(
            nonce + AESGCM(self._key()).encrypt(nonce, address.encode(), merchant_id.encode())
        ).decode()
