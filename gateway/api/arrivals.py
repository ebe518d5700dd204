"""A request has to arrive, and its reply to be taken, within some seconds: who dribbles must not hold a thread.

Threads write to a socket that blocks and knows no time limit, and read so what could not be waited for elsewhere
(``gateway.api.worker``). A proxy in front takes this off the gateway; without one, the connections of those who do not
come to an end are shut.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

#: How long a request may take to arrive, and its reply to be taken, in seconds.
ARRIVE_S, LEAVE_S = 10.0, 20.0


class Arrivals:
    """The sockets that a thread waits for, each with its deadline."""

    def __init__(self) -> None:
        self._due: dict[socket.socket, float] = {}
        self._started = False

    def begin(self, peer: socket.socket | None, seconds: float = ARRIVE_S) -> None:
        """From now on something is waited for here; ``None``: another server's, which knows how long it waits."""
        if peer is None:
            return
        if not self._started:
            self._started = True
            threading.Thread(target=self._watch, name="arrivals", daemon=True).start()
        self._due[peer] = time.monotonic() + seconds

    def done(self, peer: socket.socket | None) -> None:
        """It is here, or there is nothing more to wait for."""
        self._due.pop(peer, None)  # type: ignore[arg-type]

    def _watch(self) -> None:
        while True:
            time.sleep(0.5)
            now = time.monotonic()
            for peer, due in list(self._due.items()):
                if due < now and self._due.pop(peer, None) is not None:
                    with contextlib.suppress(OSError):
                        peer.shutdown(socket.SHUT_RDWR)


ARRIVALS = Arrivals()
