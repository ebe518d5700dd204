"""What goes over the wire in one call, kept for the evidence: bounded while it is taken down, masked before it is kept.

A transport calls :func:`gateway.sdk.transports.wire.record` for each message; an adapter's author does nothing. The
guard around a call lays a :class:`Tape` under the thread; what is on it is masked when the call has ended, in the
process that made it, and no raw byte goes further than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from functools import cache
from typing import Any, NamedTuple, get_args, get_type_hints

from gateway.domain.common import Secret

#: The directions of a message.
SENT, RECEIVED = "sent", "received"
#: At most so many messages of a call are kept, and at most so many characters of each.
FRAMES_MOST, FRAME_MOST = 16, 4096
#: More of a message is taken down than is kept, so that no secret is cut in two before it is masked.
_SLACK = 1024
#: A shorter secret of a call, such as a member's number 8, would mask half of its messages.
_SHORTEST = 6


class Raw(NamedTuple):
    """A message as it was: ``at`` in seconds of ``time.monotonic()``, ``head`` a line about it, ``size`` in bytes."""

    direction: str
    at: float
    head: str
    data: bytes
    size: int


#: Makes one message fit to be kept: no secret, no personal datum in it.
Mask = Callable[[str, bytes], tuple[str, str]]


def secrets_in(request: Any) -> Iterator[str]:
    """What of a request must not be kept: a payment code, the phone by which a member is looked up."""
    if isinstance(request, Secret):
        if len(request.reveal()) >= _SHORTEST:
            yield request.reveal()
    elif isinstance(request, tuple):
        for each in request:
            yield from secrets_in(each)
    elif is_dataclass(request):
        for name in _with_secrets(request.__class__):
            yield from secrets_in(getattr(request, name))


@cache
def _with_secrets(kind: type) -> tuple[str, ...]:
    """The fields of a record that may hold a secret; of most there are none, and a bill's lines need not be walked."""
    return tuple(name for name, hint in get_type_hints(kind).items() if any(map(_may_hold, _kinds(hint))))


def _kinds(hint: Any) -> Iterator[Any]:
    yield hint
    for each in get_args(hint):
        yield from _kinds(each)


def _may_hold(kind: Any) -> bool:
    return kind is Secret or (isinstance(kind, type) and is_dataclass(kind) and bool(_with_secrets(kind)))


def _shapes(secret: str) -> Iterator[tuple[bytes, bytes]]:
    """A secret of a call as it may travel, and what is kept of it: as text; a number also in packed decimals (filled up
    on either side), and as the integer that a card's chip gives, in four or eight bytes of either order."""
    text = secret.encode()
    yield text, b"****" + text[-4:]
    if not text.isdigit():
        return
    packed = {secret} if len(secret) % 2 == 0 else {f"0{secret}", f"{secret}0", f"{secret}f"}
    for digits in packed:
        yield bytes.fromhex(digits), b"****"
    number = int(secret)
    for width in (8, 4):
        if 1 << 20 <= number < 1 << 8 * width:
            yield number.to_bytes(width, "big"), b"****"
            yield number.to_bytes(width, "little"), b"****"


class Tape:
    """The messages of one call, in order. ``mask`` knows the secrets of the connection, ``secrets`` are of this call.

    Once :meth:`end` was called nobody waits for the call any more; what still comes goes to ``late``, one message at a
    time, if anybody wants it.
    """

    __slots__ = ("_began", "_late", "_left_out", "_mask", "_raw", "_secrets")

    def __init__(self, mask: Mask, secrets: Iterable[str] = ()) -> None:
        self._mask = mask
        self._secrets = [shape for secret in secrets for shape in _shapes(secret)]
        self._began = time.monotonic()
        self._raw: list[Raw] = []
        self._left_out = 0
        self._late: Callable[[dict[str, Any]], None] | None = None

    def add(self, direction: str, data: bytes | bytearray, head: str = "") -> None:
        """Take a message down; beyond the bound only count it."""
        late, size, kept = self._late, len(data), bytes(data[: FRAME_MOST + _SLACK])
        if direction == RECEIVED and not head and late is None and self._raw and self._raw[-1][:3:2] == (RECEIVED, ""):
            last = self._raw[-1]
            self._raw[-1] = last._replace(data=(last.data + kept)[: FRAME_MOST + _SLACK], size=last.size + size)
            return
        if len(self._raw) >= FRAMES_MOST:
            self._left_out += 1
            return
        raw = Raw(direction, time.monotonic(), head, kept, size)
        self._raw.append(raw)
        if late is not None:
            late(self._frame(raw))

    def end(self, late: Callable[[dict[str, Any]], None] | None = None) -> list[dict[str, Any]]:
        """The messages so far, masked; later ones go to ``late``."""
        self._late = late
        frames = [self._frame(raw) for raw in self._raw]
        if self._left_out:
            frames.append({"left_out": self._left_out})
        return frames

    def _frame(self, raw: Raw) -> dict[str, Any]:
        data = raw.data
        for secret, instead in self._secrets:
            if secret in data:
                data = data.replace(secret, instead)
        head, text = self._mask(raw.head, data)
        frame: dict[str, Any] = {
            "direction": raw.direction,
            "ms": round((raw.at - self._began) * 1000, 1),
            "size": raw.size,
            "text": text[:FRAME_MOST],
        }
        if head:
            frame["head"] = head[:FRAME_MOST]
        if raw.size > FRAME_MOST or len(text) > FRAME_MOST:
            frame["cut"] = True
        return frame
