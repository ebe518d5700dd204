"""HMAC over raw bytes, comparison in constant time, and whether a timestamp is fresh."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime


def hmac_hex(secret: bytes, message: bytes, digest: str = "sha256") -> str:
    """The HMAC in lower-case hex. ``digest`` is a name that ``hashlib`` knows, as ``sha256`` or ``md5``."""
    return hmac.new(secret, message, _known(digest)).hexdigest()


def hmac_base64(secret: bytes, message: bytes, digest: str = "sha256") -> str:
    """The HMAC in base64."""
    return base64.b64encode(hmac.new(secret, message, _known(digest)).digest()).decode()


def same(expected: str, given: object) -> bool:
    """Whether two signatures are equal, in a time that does not tell where they differ; anything else is unequal."""
    return isinstance(given, str) and hmac.compare_digest(expected.encode(), given.encode("utf-8", "replace"))


def fresh(timestamp: str, now: datetime, tolerance_s: int = 300) -> bool:
    """Whether Unix seconds, as text, are within ``tolerance_s`` of ``now``; text that is no number is not."""
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    return abs(int(timestamp) - now.timestamp()) < tolerance_s


def _known(digest: str) -> str:
    if digest not in hashlib.algorithms_available:
        raise ValueError(f"no such digest: {digest}")
    return digest
