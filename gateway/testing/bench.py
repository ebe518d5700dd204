"""What the checks of one run share: where far systems start, what each hook does and costs, where findings go."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.domain.traits import Traits
from gateway.runtime.answers import CHANGE_HOOKS
from gateway.runtime.hookcheck import implemented_hooks
from gateway.testing.far import Far
from gateway.testing.ground import Ground
from gateway.testing.ladder import Report
from gateway.testing.profile import Profile

Tally = Mapping[str, int]


def moved(before: Tally, after: Tally) -> dict[str, int]:
    """How the books differ."""
    names = before.keys() | after.keys()
    return {
        name: after.get(name, 0) - before.get(name, 0) for name in sorted(names) if before.get(name) != after.get(name)
    }


def told(effect: Tally) -> str:
    """A difference of the books in words."""
    return ", ".join(f"{name} {value:+d}" for name, value in effect.items()) or "nothing"


@dataclass(frozen=True, slots=True)
class Measured:
    """What one call of a hook did to the books, how many messages it sent, its processor time, and the time by the
    clock; both in seconds."""

    effect: Tally
    messages: int
    cpu: float
    seconds: float = 0.0


@dataclass
class Bench:
    """One run: the profile, the ground for far systems, the report, and what was measured of each hook."""

    profile: Profile
    ground: Ground
    report: Report
    folder: Path
    quick: bool = False
    measured: dict[str, Measured] = field(default_factory=dict)
    #: What a call of each hook may cost, as quality.toml says.
    costs_agreed: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    #: The simulator's faults that really happened to some hook.
    happened: set[str] = field(default_factory=set)
    plugin_folder: Path = field(default_factory=Path)
    _spare: list[Far] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def hooks(self) -> list[str]:
        return sorted(implemented_hooks(self.profile.adapter))

    @property
    def changes(self) -> list[str]:
        """The changing hooks whose contract held: what is tried further."""
        return [hook for hook in self.hooks if hook in CHANGE_HOOKS and hook in self.measured]

    def traits(self, hook: str) -> Traits:
        return self.profile.adapter.traits.get(hook, Traits())

    @contextmanager
    def stage(self, hook: str) -> Iterator[Stage]:
        """A far system on which requests for this hook can be made again and again."""
        stage = Stage(self, hook)
        try:
            yield stage
        finally:
            stage.close()


class Stage:
    """A far system and fresh requests on it; when it has nothing left to sell, another takes its place."""

    def __init__(self, bench: Bench, hook: str) -> None:
        self._bench, self.hook = bench, hook
        self.far = bench.ground.start()

    def request(self) -> Any:
        """A valid request that was never made, with all that must come before it done.

        Raises ``RuntimeError`` or ``Missing`` where there is none even on a far system that has just started.
        """
        try:
            return self.far.ready(self.hook)()
        except RuntimeError:
            self.renew()
            return self.far.ready(self.hook)()

    def renew(self) -> None:
        self.far.stop(spent=True)
        self.far = self._bench.ground.start()

    def close(self) -> None:
        self.far.stop()
