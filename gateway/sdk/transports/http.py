"""HTTP to legacy systems: one pooled client a connection, no retries, no proxies of the environment, deadlines.

Of the errors of ``requests`` only a connection that provably never was made is ``NotSent``: refused, unknown host,
connect time-out, TLS before the first byte. Everything else is ``OutcomeUnknown``.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    SSLError,
)

from gateway.domain.errors import InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire

#: Failures of urllib3 that happen while the connection is made, before a byte of the request.
NEVER_CONNECTED = (NewConnectionError, NameResolutionError, ConnectTimeoutError)

#: No legacy system's answer is larger than this; a longer one is cut off and treated as garbage.
MAX_REPLY_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply: header names in lower case, the body as raw bytes (never decoded by a declared charset)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _root(error: BaseException) -> BaseException:
    """The reason under the wrappers of requests and urllib3."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
    if isinstance(inner, MaxRetryError):
        return inner.reason or inner
    return inner or error


def classify(error: BaseException) -> NotSent | OutcomeUnknown:
    """The outcome class of a failure of ``requests`` or ``urllib3``."""
    root = _root(error)
    if isinstance(root, NEVER_CONNECTED) or isinstance(error, requests.exceptions.InvalidURL):
        return NotSent(f"no connection: {type(root).__name__}")
    # A handshake error comes before the request; an error in a record of a running exchange has no such proof.
    if isinstance(root, SSLError) and any(sign in str(root).lower() for sign in ("handshake", "certificate verify")):
        return NotSent("TLS could not be set up: check the certificate and the address")
    return OutcomeUnknown(f"no trustworthy answer: {type(root).__name__}")


class Http:
    """A pooled client. ``verify`` is a CA bundle's path or ``True``; ``pool`` the connections kept to one host."""

    def __init__(self, *, verify: bool | str = True, pool: int = 8) -> None:
        self._verify = verify
        self._adapter = HTTPAdapter(pool_connections=4, pool_maxsize=pool, max_retries=0)
        self._lock = threading.Lock()

    def send(
        self, method: str, url: str, *, data: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float
    ) -> HttpReply:
        """Send one request and read the whole reply; redirects are not followed.

        ``timeout`` is in seconds, for the connection and for each read. Raises ``NotSent`` or ``OutcomeUnknown``;
        any HTTP status is returned as it is. Nothing is ever sent twice.
        """
        request = requests.Request(method, url, headers=dict(headers or {}), data=data or None).prepare()
        try:
            reply = self._adapter.send(request, timeout=max(timeout, 0.001), verify=self._verify, stream=True)
            body = reply.raw.read(MAX_REPLY_BYTES + 1, decode_content=True)
            reply.raw.release_conn() if len(body) <= MAX_REPLY_BYTES else reply.close()
        except (requests.RequestException, HTTPError, OSError) as error:
            trouble = classify(error)
            if not isinstance(trouble, NotSent):
                wire.left()
            raise trouble from None
        wire.left()
        if len(body) > MAX_REPLY_BYTES:
            raise InvalidReply(f"reply of over {MAX_REPLY_BYTES} bytes")
        return HttpReply(reply.status_code, {k.lower(): v for k, v in reply.headers.items()}, body)

    def close(self) -> None:
        """Close the pooled connections."""
        self._adapter.close()
