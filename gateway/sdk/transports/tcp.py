"""TCP frames to legacy systems: a socket that knows whether anything has left it."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from gateway.domain.errors import AdapterError, InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire


class TcpConnection:
    """One connection to a legacy system, for one thread; a context manager.

    Raises ``NotSent`` for whatever goes wrong before the first byte left, ``OutcomeUnknown`` afterwards. All times are
    measured against ``deadline``, a value of ``time.monotonic()``.
    """

    def __init__(self, host: str, port: int, *, deadline: float, connect_timeout: float = 3.0) -> None:
        self.deadline = deadline
        self.sent = False
        self._buffer = b""
        try:
            wait = min(connect_timeout, self._left())
            self._socket = socket.create_connection((host, port), timeout=wait)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, UnicodeError, OverflowError) as error:  # the latter two: no host name, no port
            raise NotSent(f"no connection to {host}:{port}: {error}") from None

    def _left(self) -> float:
        return max(self.deadline - time.monotonic(), 0.001)

    def trouble(self, text: str) -> AdapterError:
        """The right class for something that went wrong now."""
        return OutcomeUnknown(text) if self.sent else NotSent(text)

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        self._socket.settimeout(self._left())
        wire.left()
        self.sent = True
        wire.record(wire.SENT, data)
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise OutcomeUnknown(f"connection lost while sending: {error}") from None

    def read_exactly(self, count: int, limit: int = 1 << 20) -> bytes:
        """Read ``count`` bytes, joined from as many packets as it takes."""
        if count > limit:
            raise InvalidReply(f"a frame of {count} bytes is announced, over {limit}")
        return self._read(lambda: count if len(self._buffer) >= count else -1, limit)

    def read_until(self, delimiter: bytes, limit: int = 1 << 16) -> bytes:
        """Read up to and with ``delimiter``."""

        def end() -> int:
            found = self._buffer.find(delimiter)
            return -1 if found < 0 else found + len(delimiter)

        return self._read(end, limit)

    def _read(self, end: Callable[[], int], limit: int) -> bytes:
        while (stop := end()) < 0:
            if len(self._buffer) > limit:
                raise InvalidReply(f"no end of frame within {limit} bytes")
            self._buffer += self._receive()
        frame, self._buffer = self._buffer[:stop], self._buffer[stop:]
        return frame

    def _receive(self) -> bytes:
        if time.monotonic() >= self.deadline:
            raise self.trouble("no answer in time")
        self._socket.settimeout(self._left())
        try:
            data = self._socket.recv(65536)
        except OSError as error:
            raise self.trouble(f"no answer: {error or type(error).__name__}") from None
        if not data:
            raise self.trouble("connection closed before the answer was whole")
        wire.record(wire.RECEIVED, data)
        return data

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
