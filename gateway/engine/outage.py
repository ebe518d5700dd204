"""What a loop says of a database that cannot be read or written: its begin, its end, and once a minute between.

A loop looks several times a second; a line for each look would fill a disk while the database is away.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

#: How often an outage that goes on is told, in seconds.
EVERY_S = 60.0


class Outage:
    """The outages of one loop, told to ``log``. ``what`` names the loop. Not for several threads."""

    def __init__(self, log: logging.Logger, what: str, up: Callable[[], float] = time.monotonic) -> None:
        self._log, self._what, self._up = log, what, up
        self._since: float | None = None
        self._told_at, self._failed = 0.0, 0

    def failed(self, error: Exception) -> None:
        """A look failed."""
        now, kind = self._up(), {"error": type(error).__name__}
        if self._since is None:
            self._since, self._told_at, self._failed = now, now, 1
            self._log.warning("%s could not read or write", self._what, extra=kind)
            return
        self._failed += 1
        if now - self._told_at >= EVERY_S:
            self._told_at = now
            self._log.warning("%s still cannot read or write%s", self._what, self._so_far(), extra=kind)

    def worked(self) -> None:
        """A look succeeded."""
        if self._since is not None:
            self._log.warning("%s can read and write again%s", self._what, self._so_far())
            self._since = None

    def _so_far(self) -> str:
        return f": {int(self._up() - (self._since or 0.0))} s, {self._failed} looks failed"
