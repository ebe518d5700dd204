"""A worker's threads are everybody's: no merchant may take all of them while its systems hang.

A merchant may have three of four threads that nobody else uses, so that alone it comes to six of eight, and with
another one that hangs as well to three or four; one always stays for who has none yet. Over its share a request waits
for as long as others of the same merchant come to an end; once none has for a moment, it is refused before anything is
read or accepted. Counted is what may wait for a merchant's systems; a look into our own database is not. With one
merchant there is nobody to be held up, and nothing is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from gateway.engine.problems import Problem

#: Of the threads nobody uses, a merchant may have so many for each one that it leaves free.
PER_FREE = 3
#: Over its share a request waits while another of its merchant's ended within so many seconds.
MOVING_S = 0.4
#: A refused request may come again after so many seconds.
AGAIN_S = 1


class Shares:
    """Who has how many of this process's threads. Safe to share between threads."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self._busy: dict[str, int] = {}
        self._moved: dict[str, float] = {}
        self._total = 0
        self._changed = Condition()

    @contextmanager
    def taken(self, merchant: str, among: int) -> Iterator[None]:
        """Hold one of the threads for one of so many merchants.

        Raises ``rate-limited`` if the merchant has its share and none of it comes free.
        """
        if among == 1:
            yield
            return
        self._take(merchant)
        try:
            yield
        finally:
            self._leave(merchant)

    def _take(self, merchant: str) -> None:
        with self._changed:
            while not self._may(merchant):
                left = self._moved.get(merchant, 0.0) + MOVING_S - time.monotonic()
                if left <= 0:
                    detail = "this merchant's requests wait for its systems and take all threads that it may have"
                    raise Problem("rate-limited", detail, retry_after=AGAIN_S)
                self._changed.wait(left)
            self._busy[merchant] = self._busy.get(merchant, 0) + 1
            self._total += 1
            self._moved[merchant] = time.monotonic()

    def _may(self, merchant: str) -> bool:
        busy, free = self._busy.get(merchant, 0), self._threads - self._total
        return not busy or (free > 1 and busy < PER_FREE * free)

    def _leave(self, merchant: str) -> None:
        with self._changed:
            self._total -= 1
            self._busy[merchant] -= 1
            self._moved[merchant] = time.monotonic()
            if not self._busy[merchant]:
                del self._busy[merchant], self._moved[merchant]
            self._changed.notify_all()
