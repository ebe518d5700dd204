"""A breaker tuned for one shop's traffic: three failures in a row, or half of at least six calls in five minutes.

Closed lets everything through. Open lets nothing through for a while. Then, half-open, one call at a time probes: its
success closes the breaker, its failure opens it again for twice as long, up to a minute.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from enum import StrEnum


class BreakerState(StrEnum):
    """What the breaker lets through: all, nothing, one probe."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


IN_A_ROW = 3
AT_LEAST = 6
WINDOW_S = 300.0
_BUCKETS = 10
_BUCKET_S = WINDOW_S / _BUCKETS


class Breaker:
    """One connection's breaker, for many threads. Times in seconds of ``clock``, a monotonic one."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, first_open_s: float = 5.0, longest_open_s: float = 60.0
    ) -> None:
        self._clock = clock
        self._first, self._longest = first_open_s, longest_open_s
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._opened_at: float | None = None
        self._open_s = first_open_s
        self._probing = False
        self._calls = [0] * _BUCKETS
        self._failures = [0] * _BUCKETS
        self._bucket = 0

    @property
    def state(self) -> BreakerState:
        """The state now."""
        opened = self._opened_at
        if opened is None:
            return BreakerState.CLOSED
        return BreakerState.HALF_OPEN if self._clock() - opened >= self._open_s else BreakerState.OPEN

    @property
    def in_a_row(self) -> int:
        """How many calls have failed since the last that succeeded."""
        return self._in_a_row

    def admit(self) -> bool:
        """Whether a call may be made now; ``success``, ``failure`` or ``skip`` must be told of one that is admitted."""
        if self._opened_at is None:
            return True
        with self._lock:
            if self._opened_at is None:
                return True
            if self._probing or self._clock() - self._opened_at < self._open_s:
                return False
            self._probing = True
            return True

    def opens_in(self) -> float:
        """Seconds until a probe is let through; 0 if calls are."""
        opened = self._opened_at
        return 0.0 if opened is None else max(0.0, opened + self._open_s - self._clock())

    def success(self) -> bool:
        """A call came back with an answer, whatever it was; whether that has closed the breaker."""
        with self._lock:
            self._calls[self._turn()] += 1
            self._in_a_row = 0
            if self._opened_at is None:
                return False
            self._close()
            return True

    def failure(self) -> bool:
        """A call failed; whether that has opened the breaker, which was closed."""
        with self._lock:
            bucket = self._turn()
            self._calls[bucket] += 1
            self._failures[bucket] += 1
            self._in_a_row += 1
            if self._opened_at is not None:
                self._reopen()
                return False
            if self._in_a_row >= IN_A_ROW or self._half_failed():
                self._opened_at, self._open_s = self._clock(), self._first
                return True
            return False

    def skip(self) -> None:
        """A call ended in a way that says nothing about the far system."""
        if self._probing:
            with self._lock:
                self._probing = False

    def _turn(self) -> int:
        """The bucket of now; those that have aged out are emptied."""
        now = int(self._clock() / _BUCKET_S)
        for past in range(max(self._bucket + 1, now - _BUCKETS + 1), now + 1):
            self._calls[past % _BUCKETS] = self._failures[past % _BUCKETS] = 0
        self._bucket = now
        return now % _BUCKETS

    def _half_failed(self) -> bool:
        calls = sum(self._calls)
        return calls >= AT_LEAST and sum(self._failures) * 2 >= calls

    def _reopen(self) -> None:
        """The probe failed. A straggler sent before the breaker opened changes nothing."""
        if self._probing:
            self._probing = False
            self._opened_at, self._open_s = self._clock(), min(self._open_s * 2, self._longest)

    def _close(self) -> None:
        self._opened_at, self._probing = None, False
        self._calls, self._failures = [0] * _BUCKETS, [0] * _BUCKETS
