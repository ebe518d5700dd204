"""Has adapters do what notices have asked for: soon after a notice was taken, and every so often for what was left.

Each process has one of these, and two of them may call the same adapter: the hook's spec allows for that. Each call has
a thread of its own, so that one silent system keeps neither recovery nor other merchants waiting.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from gateway.domain.errors import AdapterError
from gateway.domain.messages import NoticeFollow
from gateway.engine.seams import Clock
from gateway.runtime import Runtime
from gateway.runtime.hookcheck import implemented_hooks
from gateway.sdk.adapter import utc_now
from gateway.store.errors import StorageError

log = logging.getLogger("gateway.engine")

HOOK = "notice_follow"
#: How often every adapter with the hook is called, in milliseconds, and how long one call may take, in seconds.
EVERY, CALL_S = 60_000, 20.0
#: So many are called side by side in one process; the others wait for the next look.
MOST = 8

Key = tuple[str, str]


class Following:
    """Safe to share between threads."""

    def __init__(self, runtime: Runtime, clock: Clock, every: int = EVERY) -> None:
        self._runtime, self._clock, self._every = runtime, clock, every
        self._lock = threading.Lock()
        self._due: set[Key] = set()
        self._running: set[Key] = set()
        self._sweep_at = 0

    def hurry(self, merchant_id: str, connection: str) -> None:
        """A notice was taken: its adapter is called at the next look."""
        with self._lock:
            self._due.add((merchant_id, connection))

    def look(self) -> None:
        """Begin what is due. It waits for nothing."""
        now = self._clock.now()
        if now >= self._sweep_at:
            self._sweep_at = now + self._every
            for merchant in self._runtime.merchants.values():
                for name in merchant.connections:
                    self.hurry(merchant.id, name)
        for key in self._taken():
            threading.Thread(target=self._follow, args=(key,), name="following", daemon=True).start()

    def _taken(self) -> list[Key]:
        """Those to begin now. One that runs stays due: a notice may have come after it had looked."""
        with self._lock:
            self._due = {key for key in self._due if self._has(key)}
            ready = sorted(self._due - self._running)[: MOST - len(self._running)]
            self._due -= set(ready)
            self._running |= set(ready)
        return ready

    def _has(self, key: Key) -> bool:
        """Whether there is something to call; a connection may be gone from the configuration meanwhile."""
        merchant = self._runtime.merchants.get(key[0])
        config = merchant.connections.get(key[1]) if merchant is not None else None
        adapter = self._runtime.discovery.adapters.get(config.adapter) if config is not None else None
        return adapter is not None and HOOK in implemented_hooks(adapter)

    def _follow(self, key: Key) -> None:
        where = {"merchant": key[0], "connection": key[1]}
        deadline = utc_now() + timedelta(seconds=CALL_S * 0.9)
        try:
            left = self._runtime.connection(*key).follow_notices(NoticeFollow(deadline=deadline), CALL_S)
            if left:
                log.warning("notices ask for what could not be done yet", extra={**where, "left": left})
        except (AdapterError, StorageError) as error:
            log.warning("notices could not be followed", extra={**where, "error": type(error).__name__})
        finally:
            with self._lock:
                self._running.discard(key)
