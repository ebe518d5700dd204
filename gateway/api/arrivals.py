"""A request has to arrive, and its reply to be taken, within some seconds: who dribbles must not hold a thread.

Threads write to a socket that blocks and knows no time limit, and read so what could not be waited for elsewhere
(``gateway.api.worker``). A proxy in front takes this off the gateway; without one, the connections of those who do not
come to an end are shut.
"""

from __future__ import annotations

import socket
from typing import Any

from gateway.sdk.transports.waits import Waits

#: How long a request may take to arrive, and its reply to be taken, in seconds.
ARRIVE_S, LEAVE_S = 10.0, 20.0


class Arrivals:
    """The platforms' sockets that a thread waits for, each with its one deadline."""

    def __init__(self) -> None:
        self._waits = Waits()
        self._numbers: dict[Any, int] = {}

    def begin(self, peer: socket.socket | None, seconds: float = ARRIVE_S) -> None:
        """From now on something is waited for here; ``None``: another server's, which knows how long it waits."""
        if peer is not None:
            self.done(peer)
            self._numbers[peer] = self._waits.begin(peer, seconds)

    def done(self, peer: socket.socket | None) -> None:
        """It is here, or there is nothing more to wait for."""
        self._waits.done(self._numbers.pop(peer, 0))


ARRIVALS = Arrivals()
