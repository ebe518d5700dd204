"""Where one message of a byte stream ends and the next begins. Pure; a packet may hold half of one, or three.

| theirs | here |
|---|---|
| four ASCII digits of length, then the body | ``LengthPrefixed(4, "ascii")`` |
| two bytes of length, big-endian, then the body | ``LengthPrefixed(2)`` |
| the length counts itself | ``LengthPrefixed(2, counts_itself=True)`` |
| length in packed decimals: ``00 45`` is 45 | ``LengthPrefixed(2, "bcd")`` |
| a mark of 8 bytes, then four of length, little-endian | ``LengthPrefixed(4, order="little", before=MARK)`` |
| lines ended by CR LF | ``Delimited(b"\\r\\n")`` |
| STX … ETX and a byte that is the XOR of what is between | ``Delimited(b"\\x03", start=b"\\x02", check=xor)`` |
| always 148 bytes | ``FixedSize(148)`` |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.sdk.parsing import ParseError, shown

#: No message of a legacy system is larger than this, in bytes, unless its framing says so.
LIMIT = 1 << 20


class Framing(Protocol):
    """How messages are marked off."""

    def encode(self, body: bytes) -> bytes:
        """The whole frame of a body. Raises ``ParseError`` for a body that it cannot carry."""

    def cut(self, buffer: bytes) -> tuple[bytes, int] | None:
        """The first body in the buffer, and how many bytes its frame takes; ``None`` while it is not whole.

        Raises ``ParseError`` when what comes can't be a frame, also before the whole of it is there.
        """


@dataclass(frozen=True, slots=True)
class LengthPrefixed:
    """A body after its length in ``size`` bytes.

    ``kind``: ``binary`` (``order`` of bytes ``big`` or ``little``), ``ascii`` digits, or ``bcd``. ``before`` stands
    before the length and must be there. ``counts_itself``: ``before`` and the length are counted in it.
    """

    size: int
    kind: Literal["binary", "ascii", "bcd"] = "binary"
    order: Literal["big", "little"] = "big"
    before: bytes = b""
    counts_itself: bool = False
    limit: int = LIMIT

    @property
    def _head(self) -> int:
        return len(self.before) + self.size

    def encode(self, body: bytes) -> bytes:
        length = len(body) + (self._head if self.counts_itself else 0)
        if len(body) > self.limit:
            raise ParseError(f"a body of {len(body)} bytes, over {self.limit}")
        try:
            return self.before + self._length(length) + body
        except (OverflowError, ValueError):
            raise ParseError(f"a body of {len(body)} bytes does not fit the length's {self.size} bytes") from None

    def _length(self, length: int) -> bytes:
        if self.kind == "binary":
            return length.to_bytes(self.size, self.order)
        digits = self.size if self.kind == "ascii" else self.size * 2
        text = f"{length:0{digits}d}"
        if len(text) > digits:
            raise OverflowError
        return text.encode() if self.kind == "ascii" else bytes.fromhex(text)

    def cut(self, buffer: bytes) -> tuple[bytes, int] | None:
        mark = buffer[: len(self.before)]
        if mark != self.before[: len(mark)]:
            raise ParseError(f"a frame that does not begin as it should: {shown(mark)}")
        if len(buffer) < self._head:
            return None
        length = self._read(buffer[len(self.before) : self._head]) - (self._head if self.counts_itself else 0)
        if not 0 <= length <= self.limit:
            raise ParseError(f"a body of {length} bytes is announced, over {self.limit}")
        end = self._head + length
        return (buffer[self._head : end], end) if len(buffer) >= end else None

    def _read(self, raw: bytes) -> int:
        if self.kind == "binary":
            return int.from_bytes(raw, self.order)
        text = raw if self.kind == "ascii" else raw.hex().encode()
        if not text.isdigit():
            raise ParseError(f"a length that is not digits: {shown(raw)}")
        return int(text)


def xor(body: bytes) -> bytes:
    """The XOR of all bytes, one byte: the longitudinal check (LRC) of serial protocols."""
    result = 0
    for byte in body:
        result ^= byte
    return bytes((result,))


def xor_with_end(body: bytes) -> bytes:
    """The XOR of all bytes and of ETX (0x03), as most card terminals count it."""
    return bytes((xor(body)[0] ^ 0x03,))


@dataclass(frozen=True, slots=True)
class Delimited:
    """A body up to ``end``, after ``start`` if there is one; ``check`` gives bytes that follow ``end`` and must agree.

    Bytes before the last ``start`` are noise, or a frame that was broken off, and passed over. A body that holds
    ``start`` or ``end`` can't be sent.
    """

    end: bytes
    start: bytes = b""
    check: Callable[[bytes], bytes] | None = None
    limit: int = 1 << 16

    def encode(self, body: bytes) -> bytes:
        if (body + self.end).find(self.end) != len(body) or (self.start and self.start in body):
            raise ParseError("a body that holds the mark of its own end")
        if len(body) > self.limit:
            raise ParseError(f"a body of {len(body)} bytes, over {self.limit}")
        return self.start + body + self.end + (self.check(body) if self.check else b"")

    def cut(self, buffer: bytes) -> tuple[bytes, int] | None:
        first = buffer.find(self.start)
        end = buffer.find(self.end, first + len(self.start)) if first >= 0 else -1
        if end < 0:
            if len(buffer) > self.limit + len(self.start) + len(self.end):
                raise ParseError(f"no end of a frame within {self.limit} bytes")
            return None
        begin = buffer.rfind(self.start, 0, end) + len(self.start) if self.start else 0
        body, after = buffer[begin:end], end + len(self.end)
        if len(body) > self.limit:
            raise ParseError(f"a body of {len(body)} bytes, over {self.limit}")
        if self.check is None:
            return body, after
        expected = self.check(body)
        given = buffer[after : after + len(expected)]
        if len(given) < len(expected):
            return None
        if given != expected:
            raise ParseError("the check byte of a frame does not agree")
        return body, after + len(expected)


@dataclass(frozen=True, slots=True)
class FixedSize:
    """Messages that are all of one size, in bytes."""

    size: int

    def encode(self, body: bytes) -> bytes:
        if len(body) != self.size:
            raise ParseError(f"a body of {len(body)} bytes, not {self.size}")
        return body

    def cut(self, buffer: bytes) -> tuple[bytes, int] | None:
        return (buffer[: self.size], self.size) if len(buffer) >= self.size else None
