"""Tells from the bytes of a request, as they come, when all of it is here, so that no thread waits for the rest.

Only where it ends is looked for; whether it is right is judged by the server's parser, which gets the very same bytes.
What is surely wrong, or too large, is not waited for: the parser, or the operation, refuses it at once.
"""

from __future__ import annotations

import re

#: No head that the parser takes is longer, in bytes.
HEAD_MOST = 900_000
#: What a client that asks before it sends its body is told.
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_EMPTY_LINES = re.compile(rb"(?:\r\n)+")
_EXPECT = b"\r\nexpect: 100-continue"
_LENGTH, _CODING = b"\r\ncontent-length:", b"\r\ntransfer-encoding:"
_HEX = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")


class Arriving:
    """A request of at most ``most`` bytes of body that has been arriving since ``began``."""

    __slots__ = ("_chunk", "_end", "_most", "_seen", "asks", "began", "data", "whole")

    def __init__(self, began: float, most: int) -> None:
        self.began, self._most = began, most
        #: What has come, less the empty lines before it.
        self.data = bytearray()
        #: Whether all of it is here; what is handed on without that has no end that could be waited for.
        self.whole = False
        #: Whether the client waits for a word before it sends its body.
        self.asks = False
        self._seen = 0
        #: Where the body ends, and the chunk in hand begins.
        self._end: int | None = None
        self._chunk: int | None = None

    def take(self, data: bytes) -> bool:
        """Add bytes. True as soon as there is nothing more to wait for."""
        self.data += data
        if self._end is None and self._chunk is None:
            empty = _EMPTY_LINES.match(self.data) if not self._seen else None
            if empty is not None:
                del self.data[: empty.end()]
            at = self.data.find(b"\r\n\r\n", self._seen)
            self._seen = max(0, len(self.data) - 3)
            if at < 0:
                return len(self.data) > HEAD_MOST
            if self._refused(at):
                return True
        self.whole = self._chunks_end() if self._end is None else len(self.data) >= self._end
        return self.whole or self._chunk == -1

    def _refused(self, at: int) -> bool:
        """Read from the head how long the body is. True if that is wrong or too much: it is not waited for."""
        head = bytes(self.data[: at + 2]).lower()
        asks = head.find(_EXPECT + b"\r\n")
        if asks >= 0 and head.partition(b"\r\n")[0].endswith(b" http/1.1"):
            # It is answered here, where no thread waits; the server would answer it once more.
            del self.data[asks : asks + len(_EXPECT)]
            head, at, self.asks = head[:asks] + head[asks + len(_EXPECT) :], at - len(_EXPECT), True
        lengths, codings = _values(head, _LENGTH), _values(head, _CODING)
        if codings:
            self._chunk = at + 4
            return bool(lengths) or codings != [b"chunked"]
        length = lengths[0] if lengths else b"0"
        if len(lengths) > 1 or not length.isdigit() or len(length) > 12 or int(length) > self._most:
            return True
        self._end = at + 4 + int(length)
        return False

    def _chunks_end(self) -> bool:
        """Go on through the chunks. True at their end; ``_chunk`` is -1 if they are wrong or too many."""
        while (line := self.data.find(b"\r\n", self._chunk)) >= 0:
            size = bytes(self.data[self._chunk : line]).partition(b";")[0].rstrip(b" \t")
            if _HEX.match(size) is None:
                self._chunk = -1
                return False
            if int(size, 16) == 0:
                return self.data.find(b"\r\n\r\n", line) >= 0
            after = line + 2 + int(size, 16)
            if len(self.data) < after + 2:
                break
            if self.data[after : after + 2] != b"\r\n":
                self._chunk = -1
                return False
            self._chunk = after + 2
        if len(self.data) > self._most + HEAD_MOST:
            self._chunk = -1
        return False


def _values(head: bytes, name: bytes) -> list[bytes]:
    """The values of a header, whose lines begin with ``name``."""
    found, at = [], head.find(name)
    while at >= 0:
        begin = at + len(name)
        at = head.find(b"\r\n", begin)
        found.append(head[begin:at].strip(b" \t"))
        at = head.find(name, at)
    return found
