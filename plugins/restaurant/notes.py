"""Small durable notes of the adapter: what a change in several messages aims at, while it may be asked about."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from gateway.sdk import KeyValue

#: A note older than this belongs to a change that was decided long ago.
KEPT_FOR = timedelta(days=14)


class Notes:
    """Notes by key in a connection's own store; old ones are dropped once a day."""

    def __init__(self, store: KeyValue, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._clock = clock
        self._swept: date | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> Any:
        """The note, or ``None``."""
        found = self._store.get(f"note:{key}")
        return None if found is None else found["note"]

    def put(self, key: str, note: Any) -> None:
        """Keep a JSON value; durable when this returns."""
        self._store.put(f"note:{key}", {"at": self._clock().timestamp(), "note": note})
        self._sweep()

    def delete(self, key: str) -> None:
        self._store.delete(f"note:{key}")

    def _sweep(self) -> None:
        now = self._clock()
        with self._lock:
            if self._swept == now.date():
                return
            self._swept = now.date()
        oldest = (now - KEPT_FOR).timestamp()
        for key in self._store.keys("note:"):
            found = self._store.get(key)
            if found is not None and found["at"] < oldest:
                self._store.delete(key)
