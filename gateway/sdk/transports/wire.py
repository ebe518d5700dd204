"""Whether a byte has left us in this thread's running call, and whether one still may; and what went over the wire.

The transports say so before they send; the guard around an adapter asks. ``Misconfigured`` and ``NotSupported`` count
as not sent only if nothing left. A call that the caller has given up on sends nothing more: what wakes up after its
deadline must not act behind the back of those who resolve it. An adapter with sockets of its own should call
:func:`left` before it sends, and :func:`record` with every message it has sent or received.
"""

from __future__ import annotations

import math
import threading
import time

from gateway.domain.errors import NotSent, OutcomeUnknown
from gateway.sdk.transports.recording import RECEIVED, SENT, Tape

__all__ = ["RECEIVED", "SENT", "announce", "begin", "harmless", "left", "record", "recorded", "sends"]


class _Wire(threading.local):
    sends: int = 0
    until: float = math.inf
    tape: Tape | None = None
    announced: tuple[bytes, str] | None = None


_wire = _Wire()


def begin(until: float = math.inf, tape: Tape | None = None) -> None:
    """A call begins in this thread: nothing has left yet, nothing may after ``until`` (``time.monotonic()``).

    What it sends and receives goes onto ``tape``.
    """
    _wire.sends, _wire.until, _wire.tape, _wire.announced = 0, until, tape, None


def record(direction: str, data: bytes | bytearray, head: str = "") -> None:
    """Take down one message that was ``SENT`` or ``RECEIVED``, for the evidence: as bytes, before it is parsed.

    Pieces without a head that are received one after the other become one message. ``head`` is a line that says what
    it is: a method and path, a status, a file's name. It is masked like the message, bounded in size, and costs next to
    nothing. Outside a call nothing is kept.
    """
    tape = _wire.tape
    if tape is not None:
        tape.add(direction, data, head)


def recorded() -> bool:
    """Whether what goes over the wire is taken down just now."""
    return _wire.tape is not None


def announce(data: bytes, head: str = "") -> None:
    """Say what the next byte that leaves begins: it is recorded as sent once :func:`left` is called, and not before."""
    if _wire.tape is not None:
        _wire.announced = (data, head)


def left() -> None:
    """Something is about to leave us. Raises if the caller has given up: ``OutcomeUnknown`` if something had left."""
    if time.monotonic() > _wire.until:
        text = "the caller has given up, nothing more is sent"
        raise OutcomeUnknown(text) if _wire.sends else NotSent(text)
    _wire.sends += 1
    if _wire.announced is not None:
        (data, head), _wire.announced = _wire.announced, None
        record(SENT, data, head)


def sends() -> int:
    """How often something may have left us since the call began."""
    return _wire.sends


def harmless(before: int) -> None:
    """What left since :func:`sends` said ``before`` can have changed nothing: a sign-on that failed."""
    _wire.sends = min(_wire.sends, before)
