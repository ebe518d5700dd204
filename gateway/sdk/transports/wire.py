"""Whether a byte has left us in this thread's running call, and whether one still may.

The transports say so before they send; the guard around an adapter asks. ``Misconfigured`` and ``NotSupported`` count
as not sent only if nothing left. A call that the caller has given up on sends nothing more: what wakes up after its
deadline must not act behind the back of those who resolve it. An adapter with sockets of its own should call
:func:`left` before it sends.
"""

from __future__ import annotations

import math
import threading
import time

from gateway.domain.errors import NotSent, OutcomeUnknown


class _Wire(threading.local):
    sends: int = 0
    until: float = math.inf


_wire = _Wire()


def begin(until: float = math.inf) -> None:
    """A call begins in this thread: nothing has left yet, nothing may after ``until`` (``time.monotonic()``)."""
    _wire.sends, _wire.until = 0, until


def left() -> None:
    """Something is about to leave us. Raises if the caller has given up: ``OutcomeUnknown`` if something had left."""
    if time.monotonic() > _wire.until:
        text = "the caller has given up, nothing more is sent"
        raise OutcomeUnknown(text) if _wire.sends else NotSent(text)
    _wire.sends += 1


def sends() -> int:
    """How often something may have left us since the call began."""
    return _wire.sends
