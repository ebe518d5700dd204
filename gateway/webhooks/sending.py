"""One POST to a receiver: to an address that was checked, without redirects, proxies or a second try.

Only the status counts, so little of the reply is read. The whole exchange has one deadline, which a receiver that
sends a byte now and then does not put off.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence

from gateway import __version__
from gateway.domain.errors import GatewayError
from gateway.webhooks.addresses import Target

#: The share of the time that one address gets to take a connection: another may be up.
CONNECT_SHARE = 1 / 3
READ_MOST = 8 * 1024
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


class NotDelivered(GatewayError):
    """Nobody has said that the message arrived; the text says what happened, in a few words of ours."""


def post(
    target: Target,
    addresses: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    context: ssl.SSLContext,
    timeout_s: float,
) -> int:
    """Send a message; the status of the reply. Raises ``NotDelivered``. All of it takes ``timeout_s`` at most."""
    until = time.monotonic() + timeout_s
    try:
        with _connect(target, addresses, until, timeout_s * CONNECT_SHARE) as plain:
            if target.scheme == "http":
                return _exchange(plain, target, headers, body, until)
            _limit(plain, until)
            with context.wrap_socket(plain, server_hostname=target.host) as secure:
                return _exchange(secure, target, headers, body, until)
    except TimeoutError:
        raise NotDelivered("no answer in time") from None
    except ssl.SSLCertVerificationError as error:
        raise NotDelivered(f"its certificate does not verify: {error.verify_message}") from None
    except (OSError, ValueError) as error:
        raise NotDelivered(f"the connection failed: {type(error).__name__}") from None


def _connect(target: Target, addresses: Sequence[str], until: float, most: float) -> socket.socket:
    """A connection to the first address that takes one. Raises what the last one raised."""
    last: OSError = TimeoutError()
    for address in addresses:
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            return socket.create_connection((address, target.port), timeout=min(most, left))
        except OSError as error:
            last = error
    raise last


def _exchange(peer: socket.socket, target: Target, headers: Mapping[str, str], body: bytes, until: float) -> int:
    lines = [
        f"POST {target.path} HTTP/1.1",
        f"Host: {target.authority}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"User-Agent: o2o-gateway/{__version__}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    _limit(peer, until)
    peer.sendall("\r\n".join([*lines, "", ""]).encode("ascii") + body)
    return _status(peer, until)


def _status(peer: socket.socket, until: float) -> int:
    """The status of the reply, after interim ones (1xx)."""
    read = b""
    while len(read) < READ_MOST:
        _limit(peer, until)
        piece = peer.recv(READ_MOST - len(read))
        read += piece
        if b"\r\n" not in read and piece:
            continue
        match = _STATUS.match(read)
        if match is None:
            break
        if match.group(1)[:1] != b"1":
            return int(match.group(1))
        _, ended, rest = read.partition(b"\r\n\r\n")
        if ended and rest:
            read = rest
            if (match := _STATUS.match(rest)) is not None and match.group(1)[:1] != b"1":
                return int(match.group(1))
        if not piece:
            break
    raise NotDelivered("what came back is no HTTP reply")


def _limit(peer: socket.socket, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    peer.settimeout(left)
