"""Whether a byte has left us in this thread's running call; the transports note it, the guard asks.

``Misconfigured`` and ``NotSupported`` count as not sent only if nothing left; an adapter with sockets of its own
should call :func:`left` before it sends.
"""

from __future__ import annotations

import threading


class _Wire(threading.local):
    sent: bool = False


_wire = _Wire()


def begin() -> None:
    """A call begins in this thread: nothing has left yet."""
    _wire.sent = False


def left() -> None:
    """Something is about to leave us, or may have."""
    _wire.sent = True


def anything_left() -> bool:
    """Whether anything may have left us since the call began."""
    return _wire.sent
