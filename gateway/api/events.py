"""The event feed, by which a platform catches up."""

from __future__ import annotations

import threading
import time

from gateway.api.operation import Ask, operation
from gateway.engine.feed import event_view, events_after
from gateway.engine.model import Json
from gateway.engine.problems import Problem, invalid
from gateway.store import listings
from gateway.store.port import Row
from schemas.events import EventList, EventQuery

#: How often a waiting request looks, in seconds.
LOOK_EVERY_S = 0.25


class _Waiting:
    """How many requests of this process may wait at once: the other threads are for work."""

    def __init__(self) -> None:
        self._lock, self._count = threading.Lock(), 0

    def enter(self, most: int) -> bool:
        with self._lock:
            if self._count >= most:
                return False
            self._count += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._count -= 1


_waiting = _Waiting()


@operation(
    "GET",
    "/v1/events",
    query=EventQuery,
    returns={200: EventList},
    scopes=("event:read",),
    problems=("not-found",),
)
def list_events(ask: Ask) -> Json:
    """Events after the one named by ``after``, in order; with ``wait`` the reply comes as soon as there is one.

    When too many requests wait already, it comes at once, and may be empty.
    """
    merchants = _merchants(ask)
    after = _position(ask, merchants)
    found = _read(ask, after, merchants)
    threads = ask.parts.config.server.threads
    if not found and ask.query["wait"] and _waiting.enter(max(1, threads // 4)):
        try:
            found = _await(ask, after, merchants)
        finally:
            _waiting.leave()
    limit = ask.query["limit"]
    return {"data": [event_view(row) for row in found[:limit]], "has_more": len(found) > limit}


def _merchants(ask: Ask) -> list[str]:
    wanted = ask.query.get("merchant")
    if wanted is None:
        return [name for name in ask.parts.runtime.merchants if ask.key.sees(name)]
    if not ask.sees(wanted):
        raise Problem("not-found", "no such merchant")
    return [wanted]


def _position(ask: Ask, merchants: list[str]) -> int:
    after = ask.query.get("after")
    if after is None:
        return 0
    position = ask.parts.database.read(lambda tx: listings.event_position(tx, after, merchants))
    if position is None:
        raise invalid("?after", "no such event")
    return position


def _read(ask: Ask, after: int, merchants: list[str]) -> list[Row]:
    parts, limit = ask.parts, ask.query["limit"] + 1
    parts.engine.sealer.seal()
    return parts.database.read(lambda tx: events_after(tx, after, merchants, ask.key.stores, limit))


def _await(ask: Ask, after: int, merchants: list[str]) -> list[Row]:
    until = time.monotonic() + ask.query["wait"]
    found: list[Row] = []
    while not found and time.monotonic() < until:
        time.sleep(LOOK_EVERY_S)
        found = _read(ask, after, merchants)
    return found
