"""A request has to arrive within some seconds, headers and body: a client that dribbles must not hold a thread.

gunicorn's threads read with a blocking socket and no time limit. A proxy in front takes this off the gateway; without
one, the connections of those who do not come to the end of their request are shut. ``gateway.api.worker`` begins.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

#: How long a request may take to arrive, in seconds.
ARRIVE_S = 10.0


class Arrivals:
    """The requests that are still arriving, each with its deadline."""

    def __init__(self) -> None:
        self._due: dict[socket.socket, float] = {}
        self._started = False

    def begin(self, peer: socket.socket) -> None:
        """A request may begin to arrive here."""
        if not self._started:
            self._started = True
            threading.Thread(target=self._watch, name="arrivals", daemon=True).start()
        self._due[peer] = time.monotonic() + ARRIVE_S

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
