"""Messages between the gateway and a runner: a length and that many bytes, over a socket pair."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

from gateway.runtime.runner.codec import CodecError, decode, encode

#: No message is longer; a length above it is garbage.
MESSAGE_MOST = 16 * 1024 * 1024
_HEAD = struct.Struct("!I")


class Gone(Exception):
    """The other side has closed its end."""


class Late(Exception):
    """Nothing, or not all of a message, came in time."""


class Channel:
    """One end. Used by one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: dict[str, Any], until: float | None = None) -> None:
        """Raises ``Gone``, ``Late``, or ``CodecError`` before a byte was sent. ``until``: ``time.monotonic()``."""
        body = encode(message)
        if len(body) > MESSAGE_MOST:
            raise CodecError("too long to be handed over")
        self._wait(until)
        try:
            self._end.sendall(_HEAD.pack(len(body)) + body)
        except TimeoutError:
            raise Late from None
        except OSError:
            raise Gone from None

    def receive(self, until: float | None = None) -> dict[str, Any]:
        """The next message. Raises ``Gone``, ``Late``, or ``CodecError`` for garbage."""
        (length,) = _HEAD.unpack(self._exactly(_HEAD.size, until))
        if length > MESSAGE_MOST:
            raise CodecError("no message: too long")
        message = decode(self._exactly(length, until))
        if type(message) is not dict:
            raise CodecError("no message")
        return message

    def close(self) -> None:
        self._end.close()

    def _exactly(self, count: int, until: float | None) -> bytes:
        got = bytearray()
        while len(got) < count:
            self._wait(until)
            try:
                piece = self._end.recv(min(count - len(got), 1 << 16))
            except TimeoutError:
                raise Late from None
            except OSError:
                raise Gone from None
            if not piece:
                raise Gone
            got += piece
        return bytes(got)

    def _wait(self, until: float | None) -> None:
        if until is None:
            return self._end.settimeout(None)
        left = until - time.monotonic()
        if left <= 0:
            raise Late
        return self._end.settimeout(left)
