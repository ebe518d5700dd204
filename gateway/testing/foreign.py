"""A proxy in front of a system that we did not write: the conformance suite on a real system instead of a simulator.

A profile names the class that starts it::

    class OfficeProfile(Profile):
        adapter = OfficeAdapter
        foreign = Office            # instead of ``simulator``

    class Office(ForeignSystem):
        def start(self): ...        # install, start, wait until it answers
        def place(self): return Place({"office": f"127.0.0.1:{self.port}"}, facts={"database": self.new_database()})
        def books(self, place): ... # read back from the system itself, past the adapter
        def stop(self): ...

The system is started once a run. Each test gets a *place* in it: what one merchant has there, and nobody else (a
database, an organizer). The faults are made by the proxy alone, the witness is the system's own books. What only a
simulator can do (move its clock, answer with a wrong amount) is not tried; a trait that needs it can't be shown.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar


class Unavailable(RuntimeError):
    """The system can't be had on this machine; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Place:
    """What one merchant has in a running system: ``role → host:port`` (a scheme before and a path behind are kept),
    and whatever its profile needs to speak to it."""

    addresses: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)


class ForeignSystem(ABC):
    """Starts one real system. ``folder`` is the run's own, and is deleted after it. Listen on 127.0.0.1 only."""

    #: How many places are used at the same time, about: real systems are slower than simulators.
    side_by_side: ClassVar[int] = 3

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._free: list[Place] = []

    @abstractmethod
    def start(self) -> None:
        """Install and start it, and wait until it answers. Raises :class:`Unavailable`."""

    @abstractmethod
    def place(self) -> Place:
        """A new place, with goods to sell in it. Called from several threads, one at a time."""

    @abstractmethod
    def books(self, place: Place) -> Mapping[str, Any]:
        """What the system itself has on record about a place, read past the adapter and past the proxy."""

    @abstractmethod
    def stop(self) -> None:
        """End every process that was started, whatever state it is in."""

    # -- for the suite -----------------------------------------------------------------------------------------------

    def take(self) -> Place:
        """A place that nobody uses, used before or new: the suite compares before and after."""
        with self._lock:
            return self._free.pop() if self._free else self.place()

    def give_back(self, place: Place) -> None:
        """Take a place back, to be used again."""
        with self._lock:
            self._free.append(place)
