"""What must be read again and is nobody's business: sealed, so that who has only the database has nothing of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE, _KEY = 12, 32


class Box:
    """Seals texts (AES-GCM) under a key of 32 bytes, which is asked for at each use; without one, under a key of this
    process alone. Safe to share between threads. ``about`` binds a text to what it belongs to.
    """

    def __init__(self, key: Callable[[], bytes] | None = None) -> None:
        own = os.urandom(_KEY)
        self._key = key or (lambda: own)

    def seal(self, text: str, about: str) -> str:
        """The sealed text, in ASCII. Raises what the key raises."""
        nonce = os.urandom(_NONCE)
        return base64.b64encode(nonce + AESGCM(self._key()).encrypt(nonce, text.encode(), about.encode())).decode()

    def open(self, sealed: str, about: str) -> str | None:
        """The text again; ``None``: it was sealed under another key, or about something else. Raises what the key
        raises."""
        try:
            raw = base64.b64decode(sealed)
            return AESGCM(self._key()).decrypt(raw[:_NONCE], raw[_NONCE:], about.encode()).decode()
        except (InvalidTag, ValueError):
            return None
