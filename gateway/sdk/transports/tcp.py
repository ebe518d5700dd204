"""TCP to legacy systems: a socket that knows whether anything has left it.

line = Line(tcp("10.0.0.5", 7001), LengthPrefixed(2), keep=True)
answer = line.ask(request, timeout=call.remaining(), matches=lambda reply: number_of(reply) == number)
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from gateway.domain.errors import NotSent
from gateway.sdk.transports.stream import Stream

#: All that a socket raises when no connection comes about; the latter two: no host name, no port.
FAILURES = (OSError, UnicodeError, OverflowError)


class TcpConnection(Stream):
    """One connection to a legacy system, for one thread; a context manager.

    Raises ``NotSent`` for whatever goes wrong before the first byte left, ``OutcomeUnknown`` afterwards. All times are
    measured against ``deadline``, a value of ``time.monotonic()``.
    """

    def __init__(self, host: str, port: int, *, deadline: float, connect_timeout: float = 3.0) -> None:
        super().__init__(deadline)
        if time.monotonic() >= deadline:
            raise NotSent(f"no time left to connect to {host}:{port}")
        try:
            wait = min(connect_timeout, self._left())
            self._socket = socket.create_connection((host, port), timeout=wait)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except FAILURES as error:
            raise NotSent(f"no connection to {host}:{port}: {error}") from None

    def _put(self, data: bytes) -> None:
        self._socket.settimeout(self._left())
        self._socket.sendall(data)

    def _get(self) -> bytes:
        self._socket.settimeout(self._left())
        return self._socket.recv(65536)

    def stale(self) -> bool:
        """Whether the other side has hung up, or has said something that nobody asked for."""
        if self._buffer:
            return True
        try:
            self._socket.setblocking(False)
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def tcp(host: str, port: int, *, connect_timeout: float = 3.0) -> Callable[[float], TcpConnection]:
    """What opens a connection, for a ``Line``."""
    return lambda deadline: TcpConnection(host, port, deadline=deadline, connect_timeout=connect_timeout)
