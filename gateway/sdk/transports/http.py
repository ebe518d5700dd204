"""HTTP to legacy systems: one pooled client a connection, no retries, no proxies of the environment, deadlines.

A failure is ``NotSent`` if no byte of the request had been given to a socket (the connection was refused, the host is
unknown, TLS failed, the address is no address), ``Misconfigured`` where only other settings can help, and
``OutcomeUnknown`` from the first byte on, whatever the libraries call it. The proof is taken at the socket, not from
the exception: a TLS alert or a time-out looks the same before and after.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from threading import Lock, local
from typing import Any
from urllib.parse import urlsplit

import certifi
import requests
from requests.utils import check_header_validity
from urllib3 import BaseHTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError
from urllib3.util import Timeout

from gateway.domain.errors import InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire
from gateway.sdk.transports.waits import EVERY_S, Waits

#: No legacy system's answer is larger than this; a longer one is cut off and treated as garbage.
MAX_REPLY_BYTES = 8 * 1024 * 1024

# At DEBUG urllib3 writes down whole addresses, and some systems want their tokens there.
logging.getLogger("urllib3").setLevel(logging.INFO)

#: How many addresses a client remembers how to reach.
_TARGETS_MOST = 256

#: All that requests, urllib3 and the standard library raise for a request that fails. Before a byte has left a
#: ``ValueError`` is about the address or a header, which only other settings can mend.
FAILURES = (requests.RequestException, HTTPError, HTTPException, OSError, ValueError)


#: The sockets on which replies are awaited, a little longer than their own time limits: those tell more.
_WAITS = Waits()


class _Turn(local):
    """The request that this thread is sending: how long its reply is awaited, where, and which wait that is."""

    seconds: float = 0.0
    sock: Any = None
    wait: int = 0


_turn = _Turn()


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole reply: header names in lower case, the body as raw bytes (never decoded by a declared charset)."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Marked(HTTPConnection):
    """Notes that a byte of the request leaves; connecting, and TLS, come before."""

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        wire.left()
        if _turn.sock is None:
            _turn.sock = self.sock
            _turn.wait = _WAITS.begin(self.sock, _turn.seconds + EVERY_S)
        super().send(data)


class _MarkedTls(_Marked, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Marked


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _MarkedTls


@dataclass(frozen=True, slots=True)
class _Target:
    """Where an address leads: the pool of its host, and the path with the query."""

    pool: HTTPConnectionPool
    path: str


def classify(error: BaseException, *, sent: bool, where: str = "the host") -> NotSent | OutcomeUnknown:
    """The outcome class of a failure, ``sent`` telling whether a byte of the request had left."""
    inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else error
    reason = getattr(inner, "reason", None) if isinstance(inner, MaxRetryError) else inner
    name = type(reason or inner).__name__
    if sent:
        return OutcomeUnknown(f"no trustworthy answer from {where}: {name}")
    if isinstance(error, ValueError):
        return Misconfigured(f"the address of {where} cannot be used: {name}")
    if isinstance(error, requests.exceptions.SSLError | SSLError):
        return NotSent(f"no TLS with {where}, check the certificate and the address: {reason}")
    return NotSent(f"no connection to {where}: {name}")


class Http:
    """A pooled client. ``verify`` is a CA bundle's path or ``True``; ``pool`` the connections kept to one host.

    Without ``plain_text`` an ``http://`` address is refused, unless it is this machine's own.
    """

    def __init__(self, *, verify: bool | str = True, pool: int = 8, plain_text: bool = False) -> None:
        if isinstance(verify, str) and not Path(verify).exists():
            raise Misconfigured(f"the CA bundle {verify} is not there")
        self._authorities = verify if isinstance(verify, str) else certifi.where()
        self._plain_text = plain_text
        self._size = pool
        self._lock = Lock()
        self._pools: dict[tuple[str, str, int | None], HTTPConnectionPool] = {}
        self._targets: dict[str, _Target] = {}

    def send(
        self, method: str, url: str, *, data: bytes = b"", headers: Mapping[str, str] | None = None, timeout: float
    ) -> HttpReply:
        """Send one request and read the whole reply; redirects are not followed.

        ``timeout`` is in seconds, for the connection, for the head of the reply and for its body, each as a whole.
        Raises ``NotSent`` or ``OutcomeUnknown``; any HTTP status is returned as it is. Nothing is ever sent twice.
        """
        before = wire.sends()
        seconds = max(timeout, 0.001)
        _turn.seconds, _turn.sock, _turn.wait = seconds, None, 0
        try:
            target = self._targets.get(url) or self._target(url)
            for header in headers.items() if headers else ():
                check_header_validity(header)
            wire.announce(data, f"{method} {target.path}")
            # The pool itself, below the session and the adapter of requests, which add nothing here but time.
            reply = target.pool.urlopen(
                method,
                target.path,
                data or None,
                dict(headers or {}),
                retries=False,
                redirect=False,
                assert_same_host=False,
                timeout=Timeout(connect=seconds, read=seconds),
                preload_content=False,
                decode_content=False,
            )
            _in_time()
            _turn.wait = _WAITS.begin(_turn.sock, seconds + EVERY_S)
            body = _read(reply, time.monotonic() + seconds)
            _in_time()  # a body without a length ends with the connection, also when it is we who have ended that
        except FAILURES as error:
            raise classify(error, sent=wire.sends() > before, where=_where(url)) from None
        finally:
            _WAITS.done(_turn.wait)
        return HttpReply(reply.status, {name.lower(): reply.headers[name] for name in reply.headers}, body)

    def _target(self, url: str) -> _Target:
        """Look at an address as requests does; one without a query is remembered."""
        if not self._plain_text and url[:5].lower() == "http:" and not _is_own(urlsplit(url).hostname or ""):
            raise Misconfigured("plain http to another machine: use https, or protect the link and allow it")
        request = requests.PreparedRequest()
        request.prepare_url(url, None)
        parts = urlsplit(request.url or "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise requests.exceptions.InvalidSchema("http or https")
        target = _Target(self._pool(parts.scheme, parts.hostname, parts.port), request.path_url)
        if "?" not in url and len(self._targets) < _TARGETS_MOST:
            self._targets[url] = target
        return target

    def _pool(self, scheme: str, host: str, port: int | None) -> HTTPConnectionPool:
        """The connections to one host."""
        with self._lock:
            pool = self._pools.get((scheme, host, port))
            if pool is None:
                pool = self._pools[scheme, host, port] = self._new_pool(scheme, host, port)
            return pool

    def _new_pool(self, scheme: str, host: str, port: int | None) -> HTTPConnectionPool:
        if scheme == "http":
            return _Pool(host, port, maxsize=self._size)
        kind = "ca_cert_dir" if Path(self._authorities).is_dir() else "ca_certs"
        trust: Any = {"cert_reqs": "CERT_REQUIRED", kind: self._authorities}
        return _TlsPool(host, port, maxsize=self._size, **trust)

    def close(self) -> None:
        """Close the pooled connections."""
        with self._lock:
            pools = list(self._pools.values())
            self._pools.clear()
            self._targets.clear()
        for pool in pools:
            pool.close()


def _in_time() -> None:
    """Raises ``OutcomeUnknown`` if the reply was waited for no longer."""
    if not _WAITS.done(_turn.wait):
        raise OutcomeUnknown("the reply did not end in time")


def _where(url: str) -> str:
    """Host and port for a message; a path or user name may hold a secret."""
    try:
        parts = urlsplit(url)
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or "the host"
    except ValueError:
        return "the host"


def _is_own(host: str) -> bool:
    """Whether this is the machine itself, told without asking a name server."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _read(reply: BaseHTTPResponse, end: float) -> bytes:
    """The whole body; a connection that was not read to its end is not used again."""
    body = bytearray()
    try:
        while chunk := reply.read1(65536, decode_content=True):
            body += chunk
            if len(body) > MAX_REPLY_BYTES:
                raise InvalidReply(f"reply of over {MAX_REPLY_BYTES} bytes")
            if time.monotonic() > end:
                raise OutcomeUnknown("the reply did not end in time")
    except BaseException:
        reply.close()
        raise
    finally:
        wire.record(wire.RECEIVED, body, f"HTTP {reply.status}")
    reply.release_conn()
    return bytes(body)
