"""The clocks of a simulated machine: the wall clock, which is turned, and the engine's own on top of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.engine.clock import Kept, Line, Machine, SteadyClock
from gateway.engine.seams import Journal

logging.getLogger("gateway.clock").addHandler(logging.NullHandler())  # else it speaks on the terminal

#: By how much a wall clock is turned (milliseconds).
TURNS = (-86_400_000, -3_600_000, -30_000, 4_000, 60_000, 3_600_000, 86_400_000)


class Remembered(Kept):
    """The clock's file without a disk below it."""

    def __init__(self) -> None:
        super().__init__(Path("clock.json"))
        self._line: Line | None = None
        self._writes = 0

    def stamp(self) -> tuple[int, int]:
        return int(self._line is not None), self._writes

    def read(self) -> Line | None:
        return self._line

    def write(self, line: Line) -> None:
        self._line, self._writes = line, self._writes + 1

    @contextmanager
    def alone(self) -> Iterator[None]:
        yield


class Clocks:
    """One machine's: ``skew`` is how wrong its wall clock is; ``clock`` is what the engine goes by."""

    def __init__(self, real: Callable[[], int], journal: Journal) -> None:
        self.skew, self.starts = 0, 1
        self._real, self._journal, self._kept = real, journal, Remembered()
        self._machine = Machine(real, self._wall, self._wall, lambda: f"start {self.starts}")
        self.clock = self._process()

    def _wall(self) -> int:
        return self._real() + self.skew

    def _process(self) -> SteadyClock:
        return SteadyClock(self._kept, self._journal, self._machine)

    def new_process(self) -> None:
        """A process that begins reads what the others go by."""
        self.clock = self._process()

    def new_start(self) -> None:
        """The machine is started again: its time begins at the wall clock's, not before the last one kept."""
        self.starts += 1
        self.clock = self._process()
