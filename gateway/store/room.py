"""Room on the disk: when to refuse new work, and a reserve for finishing what has begun.

Beside the database lies a ballast file. When a write finds the disk full the ballast is thrown off and the write tried
once more, so that recovery can go on; it is taken aboard again when there is room. New work is refused long before.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path

LOW_WATER_BYTES = 64 * 1024 * 1024
BALLAST_BYTES = 16 * 1024 * 1024
_LOOK_EVERY_SECONDS = 1.0


class Room:
    """The free room of the disk that ``path`` lies on, and the ballast beside it. Thread-safe."""

    def __init__(self, path: Path, low_water_bytes: int = LOW_WATER_BYTES, ballast_bytes: int = BALLAST_BYTES) -> None:
        self._folder = path.parent
        self._ballast = path.with_name(path.name + ".ballast")
        self._low_water = low_water_bytes
        self._ballast_bytes = ballast_bytes
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._low = False
        self._full_until = float("-inf")

    def free_bytes(self) -> int:
        """Bytes that a process without privileges may still write."""
        state = os.statvfs(self._folder)
        return state.f_bavail * state.f_frsize

    def low(self) -> bool:
        """True below the low-water mark or right after a write found the disk full. Looks at most once a second."""
        now = time.monotonic()
        if now - self._looked >= _LOOK_EVERY_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._low = self.free_bytes() < self._low_water or now < self._full_until
                self._looked = now
                if not self._low:
                    self.take_ballast()
            finally:
                self._lock.release()
        return self._low

    def has_ballast(self) -> bool:
        """True while the ballast lies there in full."""
        try:
            return self._ballast.stat().st_size >= self._ballast_bytes
        except OSError:
            return False

    def take_ballast(self) -> None:
        """Take the ballast aboard if it is missing and there is ample room; a failure is not one of the caller's."""
        if self.has_ballast() or self._ballast_bytes <= 0:
            return
        with suppress(OSError):
            if self.free_bytes() < self._low_water + 2 * self._ballast_bytes:
                return
            descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._ballast_bytes)
            finally:
                os.close(descriptor)

    def throw_ballast(self) -> bool:
        """A write found the disk full: throw the ballast off. True when there was some, so that a retry may pass."""
        self._low = True
        self._looked = time.monotonic()
        self._full_until = self._looked + 2 * _LOOK_EVERY_SECONDS
        try:
            self._ballast.unlink()
        except OSError:
            return False
        return True
