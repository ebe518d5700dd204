"""A client of the group-buy platform: keeps the access token, sends one call, gives one parsed reply."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode, urlsplit

from gateway.sdk import (
    AdapterError,
    Http,
    HttpReply,
    InvalidReply,
    Misconfigured,
    NotSent,
    NotSupported,
    OutcomeUnknown,
    Secret,
)
from plugins.groupbuy.protocol import (
    BUSY,
    NO_PERMISSION,
    OK,
    TOKEN_EXPIRED,
    TOKEN_INVALID,
    ParseError,
    Reply,
    read_object_id,
    read_reply,
    read_token,
)

T = TypeVar("T")
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_EARLY = timedelta(seconds=60)


def parsed(read: Callable[..., T], *arguments: Any) -> T:
    """What a parser of the protocol gives; what it can't read is an ``InvalidReply``."""
    try:
        return read(*arguments)
    except ParseError as error:
        raise InvalidReply(str(error)) from None


@contextmanager
def after_sending() -> Iterator[None]:
    """A look after a change was sent: whatever goes wrong now, the change is no longer 'not sent'."""
    try:
        yield
    except NotSent as error:
        raise OutcomeUnknown(f"the change was sent, and can't be asked about now: {error}") from None


class PlatformClient:
    """One merchant's access. Thread-safe. The token lives in memory alone."""

    def __init__(
        self, http: Http, base_url: str, client_key: str, client_secret: Secret, clock: Callable[[], datetime]
    ) -> None:
        self._http, self._base, self._clock = http, base_url.rstrip("/"), clock
        self._client_key, self._client_secret = client_key, client_secret
        self._token, self._until = "", clock()
        self._lock = threading.Lock()

    def get(self, path: str, fields: Mapping[str, Any], *, timeout: float) -> Reply:
        """Ask; see :meth:`post`."""
        return self._call("GET", f"{path}?{urlencode(fields)}", b"", timeout)

    def post(self, path: str, fields: Mapping[str, Any], *, timeout: float) -> Reply:
        """Send; the reply's ``code`` may be any refusal but 'system busy'. ``timeout`` in seconds.

        A call that is refused for its token is sent once more with a new one: it did nothing. Raises ``NotSent`` if
        nothing left us but perhaps the request for a token, ``Misconfigured`` for refused credentials, ``InvalidReply``
        for an answer that does not parse, ``OutcomeUnknown`` for all else.
        """
        return self._call("POST", path, json.dumps(fields, ensure_ascii=False).encode(), timeout)

    def object_id(self, link: str, hosts: list[str], *, timeout: float) -> str:
        """What a QR code's short link leads to: its first hop alone is asked, at a host that the settings allow."""
        parts = urlsplit(link)
        if parts.netloc not in hosts and parts.hostname not in hosts:
            raise NotSupported("the short link's host is not among short_link_hosts")
        try:
            answer = self._http.send("GET", link, timeout=timeout)
        except OutcomeUnknown as error:
            raise NotSent(f"the short link does not answer: {error}") from None
        location = answer.headers.get("location", "")
        if answer.status not in (301, 302, 303, 307, 308) or not location:
            raise NotSent("the short link leads nowhere")
        return parsed(read_object_id, location)

    def _call(self, method: str, path: str, body: bytes, timeout: float) -> Reply:
        if timeout <= 0:
            raise NotSent("the deadline has passed")
        token = self._access_token("", timeout)
        reply = self._send(method, path, body, token, timeout)
        if reply.code in (TOKEN_EXPIRED, TOKEN_INVALID):
            token = self._access_token(token, timeout)
            reply = self._send(method, path, body, token, timeout)
        if reply.code in (TOKEN_EXPIRED, TOKEN_INVALID, NO_PERMISSION):
            raise Misconfigured(f"the platform refuses our token: {reply.code} {reply.message}")
        if reply.code == BUSY:
            raise OutcomeUnknown(f"the platform is busy: {reply.code} {reply.message} (logid {reply.logid})")
        return reply

    def _send(self, method: str, path: str, body: bytes, token: str, timeout: float) -> Reply:
        headers = _JSON | {"access-token": token}
        return self._parsed(self._http.send(method, self._base + path, data=body, headers=headers, timeout=timeout))

    def _parsed(self, answer: HttpReply) -> Reply:
        if answer.status != 200:
            raise OutcomeUnknown(f"HTTP status {answer.status}")
        return parsed(read_reply, answer.body)

    def _access_token(self, stale: str, timeout: float) -> str:
        """A token that should be good; ``stale`` is one that was just refused. Nothing but this request is sent."""
        with self._lock:
            if self._token and self._token != stale and self._clock() < self._until:
                return self._token
            try:
                self._token, lifetime = self._fetch_token(timeout)
            except Misconfigured:
                raise
            except AdapterError as error:
                raise NotSent(f"no access token: {error}") from None
            self._until = self._clock() + max(timedelta(seconds=lifetime) - _EARLY, timedelta(seconds=1))
            return self._token

    def _fetch_token(self, timeout: float) -> tuple[str, int]:
        who = {"client_key": self._client_key, "client_secret": self._client_secret.reveal()}
        body = json.dumps(who | {"grant_type": "client_credential"}).encode()
        answer = self._http.send("POST", self._base + "/oauth/client_token", data=body, headers=_JSON, timeout=timeout)
        reply = self._parsed(answer)
        if reply.code == BUSY:
            raise OutcomeUnknown("the platform is busy")
        if reply.code != OK:
            raise Misconfigured(f"client_key or client_secret is refused: {reply.code} {reply.message}")
        return parsed(read_token, reply)
