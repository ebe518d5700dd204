"""Turns between processes: a lock on a file, taken in the order of asking as far as the system allows.

Two locks: who wants to write first takes ``next``, then ``now``, then gives ``next`` back. A process that has just
written and wants to again must queue for ``next`` behind the one that waits, so that none starves the other. The files
are opened by the process that uses them: a lock inherited over ``fork`` would be shared with the parent.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import time
from contextlib import suppress
from pathlib import Path

from gateway.store.errors import StorageBusy

#: Random pauses of our own: the process's shared generator belongs to others (a test's seed).
_JITTER = random.SystemRandom()

_TRY = fcntl.LOCK_EX | fcntl.LOCK_NB
_SHORTEST_NAP = 0.00005
_LONGEST_NAP = 0.002


class TurnLock:
    """An exclusive lock between processes on ``path``; one thread of a process at a time may use it."""

    def __init__(self, path: Path) -> None:
        self._now = _open(path.with_name(path.name + ".lock"))
        self._next = _open(path.with_name(path.name + ".next"))

    def acquire(self, deadline: float) -> None:
        """Take the lock. Raises ``StorageBusy`` when it is not had by ``deadline`` (of ``time.monotonic``)."""
        _take(self._next, deadline)
        try:
            _take(self._now, deadline)
        finally:
            fcntl.flock(self._next, fcntl.LOCK_UN)

    def release(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._now, fcntl.LOCK_UN)

    @property
    def used(self) -> bool:
        """Whether there has been a database beside this lock."""
        return os.fstat(self._now).st_size > 0

    def mark(self) -> None:
        """Note that there is a database; where the note cannot be written there is none."""
        if not self.used:
            with suppress(OSError):
                os.pwrite(self._now, b"used\n", 0)

    def close(self) -> None:
        """Close the files, which gives the locks back unless another process shares them."""
        os.close(self._now)
        os.close(self._next)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _take(descriptor: int, deadline: float) -> None:
    nap = _SHORTEST_NAP
    while True:
        try:
            fcntl.flock(descriptor, _TRY)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise StorageBusy("another process has been writing for too long") from None
        time.sleep(nap * (0.5 + _JITTER.random()))
        nap = min(nap * 1.5, _LONGEST_NAP)
