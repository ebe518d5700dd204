"""The five seams between the engine and the world: clock, ids, the journal's transaction, the caller, sleep.

Production gives the real ones; a simulation gives its own and runs the same engine.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gateway.domain.common import Query, Secret
from gateway.domain.errors import AdapterError
from gateway.domain.outcomes import Answer, Change
from gateway.engine.model import Far, Op, Todo
from gateway.store.port import Tx

T = TypeVar("T")

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
#: Ten bits as two characters.
_PAIRS = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
#: Version 7 of the variant of RFC 9562, and the bits that are free below the time.
_KIND, _FREE = 0x7 << 76 | 0x2 << 62, (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
#: The lowest bits count within a millisecond; they begin in their lower half.
_COUNT_BITS = 20
_COUNT_MOST = (1 << _COUNT_BITS) - 1


class Clock(Protocol):
    """The time, in milliseconds since the epoch."""

    def now(self) -> int: ...


class Ids(Protocol):
    """New identifiers."""

    def new(self) -> str:
        """26 characters of ``0-9A-Z`` that sort by the time they were made."""


class Journal(Protocol):
    """The database's transaction."""

    def tx(self, fn: Callable[[Tx], T]) -> T: ...

    def read(self, fn: Callable[[Tx], T]) -> T: ...


class SystemClock:
    """The machine's clock, which can be turned; the server has a :class:`gateway.engine.clock.SteadyClock`."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000


class TimeOrderedIds:
    """UUID version 7 (RFC 9562) in Crockford's base 32: 48 bits of milliseconds, the rest random.

    Those made by one object within a millisecond count on from the first, so that rows sort as they were made.
    """

    def __init__(self, now: Callable[[], int] | None = None) -> None:
        """``now``: milliseconds since the epoch, of the clock by which rows get their times."""
        self._now, self._lock = now or SystemClock().now, threading.Lock()
        self._time, self._process, self._begins, self._count = 0, 0, "", _COUNT_MOST

    def new(self) -> str:
        now, process = self._now(), os.getpid()
        with self._lock:
            if now > self._time or self._count >= _COUNT_MOST or process != self._process:
                self._begin(max(now, self._time + (self._count >= _COUNT_MOST)), process)
            self._count += 1
            return f"{self._begins}{_PAIRS[self._count >> 10]}{_PAIRS[self._count & 1023]}"

    def _begin(self, now: int, process: int) -> None:
        """A new millisecond, or a child that must not count on where its parent does."""
        value = now << 80 | int.from_bytes(os.urandom(10), "big") & _FREE | _KIND
        self._time, self._process, self._count = now, process, value & _COUNT_MOST >> 1
        self._begins = "".join([_PAIRS[value >> shift & 1023] for shift in range(120, 10, -10)])


def first_id(milliseconds: int) -> str:
    """What no id made at this time or later is below."""
    return _base32(milliseconds << 80)


def _base32(value: int) -> str:
    return "".join([_PAIRS[value >> shift & 1023] for shift in range(120, -1, -10)])


@dataclass(slots=True)
class Effect:
    """One call to the world, built and journalled: what the caller is to run."""

    todo: Todo
    op: Op
    params: Mapping[str, Any]
    merchant: str
    request: Any
    deadline: int
    trace: str
    step: Callable[[Mapping[str, Any]], None] = field(repr=False)


@dataclass(slots=True)
class Outcome:
    """What became of an effect; when it began (milliseconds), how long it took, and the masked messages on the wire.

    An answer to a question holds for ``began``, not for when it was heard.
    """

    effect: Effect
    result: Change | Answer | AdapterError
    began: int = 0
    took_us: int = 0
    frames: Sequence[Mapping[str, Any]] = ()


class Caller(Protocol):
    """Calls far systems."""

    def far(self, merchant: str, connection: str) -> Far:
        """What may be known of a connection without calling it."""

    def embedded(self, merchant: str, effect: Effect, tx: Tx) -> Change | Answer | AdapterError:
        """Run a change of an embedded adapter inside the transaction; trouble is returned, not raised."""

    def run(self, effects: Sequence[Effect]) -> list[Outcome]:
        """Run calls side by side; every one comes back with an outcome, none raises."""


@dataclass(slots=True)
class Secrets:
    """What a checkout may need once and never stores: payment codes by leg."""

    codes: dict[str, Secret] = field(default_factory=dict)


__all__ = [
    "Caller",
    "Clock",
    "Effect",
    "Ids",
    "Journal",
    "Outcome",
    "Query",
    "Secrets",
    "SystemClock",
    "TimeOrderedIds",
]
