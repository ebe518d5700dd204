"""Where a member can be written to: kept with a checkout, sealed, and only where the merchant sends messages.

The address is the openid by which the platform named the member, or else ``facts["openid"]`` of the member that the
membership system knows. It is sealed under a key that is derived from the gateway's master key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from gateway.domain.common import Secret
from gateway.domain.errors import GatewayError
from gateway.domain.membership import IdentityType, Member
from gateway.engine.model import Json
from gateway.engine.sealed import Box
from gateway.runtime import Merchant
from gateway.runtime.messages import LANGUAGES

log = logging.getLogger("gateway.engine")


class Addresses:
    """Seals and opens addresses. Without a box nothing is kept. Safe to share between threads."""

    def __init__(self, box: Box | None = None) -> None:
        self._box = box

    def kept(self, merchant: Merchant, identity: Mapping[str, str] | None, member: Member | None) -> Json:
        """What is kept of it with a checkout, as ``{"to": …}``; nothing where nobody will be written to.

        Raises nothing: no sale waits for a message.
        """
        facts = member.facts if member is not None else {}
        given = identity["value"] if identity and identity["type"] == IdentityType.OPENID else facts.get("openid")
        if not merchant.messages.on or self._box is None or not isinstance(given, str) or not given:
            return {}
        try:
            sealed = self._box.seal(given, merchant.id)
        except GatewayError as error:
            log.error("a member's address cannot be kept", extra={"error": type(error).__name__})
            return {}
        language = facts.get("language")
        return {"to": {"sealed": sealed, **({"language": language} if language in LANGUAGES else {})}}

    def of(self, merchant_id: str, doc: Json) -> Secret | None:
        """The address kept in a saga's document; ``None``: there is none, or it was sealed under another key."""
        told = doc.get("to")
        if told is None or self._box is None:
            return None
        try:
            opened = self._box.open(told["sealed"], merchant_id)
        except GatewayError:
            return None
        return None if opened is None else Secret(opened)
