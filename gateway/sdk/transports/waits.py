"""Sockets that somebody waits for, each with its deadline: one that is not done by then is shut.

A time limit of a socket begins anew with each byte, so that a peer which sends one byte a second is waited for without
end. One thread a process looks after all of them; it is begun at first use, and anew after a fork.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
import threading
import time

#: How often is looked, in seconds: a socket may live so much longer than its deadline.
EVERY_S = 0.25


class Waits:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._due: dict[int, tuple[socket.socket, float]] = {}
        self._numbers = itertools.count(1)
        self._watched_by = 0

    def begin(self, peer: socket.socket, seconds: float) -> int:
        """From now on something is waited for here, for so many seconds at most. Returns this wait's number."""
        if self._watched_by != os.getpid():
            self._watched_by = os.getpid()
            threading.Thread(target=self._watch, name="waits", daemon=True).start()
        number = next(self._numbers)
        self._due[number] = peer, time.monotonic() + seconds
        return number

    def done(self, number: int) -> bool:
        """There is nothing more to wait for. False if it was ended before; it may be that the peer has been shut."""
        return self._due.pop(number, None) is not None

    def _watch(self) -> None:
        while True:
            time.sleep(EVERY_S)
            now = time.monotonic()
            for number, (peer, due) in list(self._due.items()):
                if due < now and self.done(number):
                    with contextlib.suppress(OSError):
                        socket.socket.shutdown(peer, socket.SHUT_RDWR)  # below TLS, which another thread is reading
