"""How much one key may ask for: so many requests a second, and so many misses an hour where something can be guessed.

The rate is kept per worker, each with its share, and costs no more than a look into a dictionary. Misses (a coupon's
code, a member or a checkout to refund that is not there) are counted in the database, over all workers and nodes: who
tries codes one after the other is stopped, who sells all day is not.
"""

from __future__ import annotations

import time
from threading import Lock

from gateway.engine.problems import Problem
from gateway.runtime.gateway_config import Limits
from gateway.store import keys as sql
from gateway.store.port import Database

HOUR_S = 3600
#: The problems that tell a guess was wrong.
MISSES = frozenset({"not-found", "coupon-not-applicable", "refund-exceeds-paid"})
#: For how long a count is believed without asking the database, in seconds.
BELIEVED_S = 1.0
#: How many keys are remembered at most.
REMEMBERED_MOST = 4096


class RateLimit:
    """A token bucket a key, as the time at which the bucket is full again."""

    def __init__(self, limits: Limits, workers: int) -> None:
        self._each = workers / limits.requests_per_s
        self._burst = max(limits.burst_s, self._each)
        self._full: dict[str, float] = {}

    def take(self, key_id: str) -> None:
        """Count a request. Raises ``rate-limited``."""
        now = time.monotonic()
        full = self._full.get(key_id, 0.0)
        if full <= now:
            full = now
            if len(self._full) >= REMEMBERED_MOST:
                self._full.clear()
        elif full - now > self._burst:
            wait = int(full - now - self._burst) + 1
            raise Problem("rate-limited", "this key asks for too much at once; wait a little", retry_after=wait)
        self._full[key_id] = full + self._each


class MissLimit:
    """Counts misses by key and kind in the database. Safe to share between threads."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database, self._most = database, limits.misses_per_hour
        self._known: dict[tuple[str, str, int], tuple[int, float]] = {}
        self._lock = Lock()

    def check(self, key_id: str, kind: str) -> None:
        """Refuse a key that has missed too often in this hour. Raises ``rate-limited``."""
        now = time.time()
        hour = int(now) // HOUR_S
        found = self._known.get((key_id, kind, hour))
        if found is None or time.monotonic() >= found[1]:
            found = self._read(key_id, kind, hour)
        if found[0] >= self._most:
            detail = f"too many requests for a {kind} that is not there; wait for the next hour"
            raise Problem("rate-limited", detail, retry_after=int((hour + 1) * HOUR_S - now) + 1)

    def missed(self, key_id: str, kind: str) -> None:
        """Count a miss."""
        hour = int(time.time()) // HOUR_S
        count = self._database.tx(lambda tx: sql.count_miss(tx, key_id, kind, hour))
        self._remember((key_id, kind, hour), count)

    def _read(self, key_id: str, kind: str, hour: int) -> tuple[int, float]:
        count = self._database.read(lambda tx: sql.misses(tx, key_id, kind, hour))
        return self._remember((key_id, kind, hour), count)

    def _remember(self, name: tuple[str, str, int], count: int) -> tuple[int, float]:
        with self._lock:
            if len(self._known) >= REMEMBERED_MOST:
                self._known.clear()
            self._known[name] = found = (count, time.monotonic() + BELIEVED_S)
        return found
