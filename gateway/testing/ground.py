"""Where far systems are started, again and again, from one that was started and stopped as their pattern."""

from __future__ import annotations

import atexit
import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from gateway.testing.far import Far
from gateway.testing.foreign import ForeignSystem
from gateway.testing.host import Host
from gateway.testing.profile import Profile


@cache
def shared_host() -> Host:
    """The process of this one that starts far systems; it ends with this one."""
    host = Host()
    atexit.register(host.close)
    return host


@dataclass
class Ground:
    """Where far systems are started: the process that starts them, and one that was started and stopped as the pattern
    of all others, so that what takes long (keys, first books) is done once."""

    profile: Profile
    folder: Path
    host: Host | None = None
    template: Path | None = None
    foreign: ForeignSystem | None = None
    _count: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def open(self) -> None:
        if self.profile.foreign is not None:
            self.foreign = self.profile.foreign(self.folder)
            self.foreign.start()
        if self.profile.simulator is None:
            return
        self.host = shared_host()
        self.template = self.folder / "first"
        started = self.host.simulate(self.profile.simulator, self.template, self.profile.options)
        self.host.stop(started["pid"], 15)

    def start(self, merchant: str = "test") -> Far:
        folder = self.folder / f"far{next(self._count)}"
        return Far(self.profile, folder, self.host, self.template, merchant, self.foreign)

    @contextmanager
    def far(self, merchant: str = "test") -> Iterator[Far]:
        """A far system that has just started, with an adapter on it."""
        made = self.start(merchant)
        try:
            yield made
        finally:
            made.stop()

    def host_of_children(self) -> Host:
        """The process that starts what is to be killed."""
        self.host = self.host or shared_host()
        return self.host

    def close(self) -> None:
        if self.foreign is not None:
            self.foreign.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
