"""Group commit: units of many threads share one durable commit.

A thread that finds nobody leading leads at once, without a switch of threads: that is the uncontended path. Threads
that come while a leader is at work queue up and sleep. The leader commits exactly one batch, then hands the lead to the
first in the queue and wakes those it served. No thread works for others for longer than one batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar, cast

from gateway.store.errors import StorageBusy, StorageMisuse, StorageUnknown

T = TypeVar("T")


class Unit:
    """One unit of work on its way: its function, and then its result or its error."""

    __slots__ = ("error", "fn", "gate", "leads", "result")

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self.fn = fn
        self.result: Any = None
        self.error: BaseException | None = None
        self.gate: threading.Lock | None = None
        self.leads = False

    def outcome(self) -> Any:
        """The result; raises the error if there is one."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # breaks the cycle error → traceback → frame → unit
        return self.result


class Batch:
    """The units of one commit: the leader's own, then as many as have queued up, to a limit.

    ``committing`` is set before the commit begins: an interruption after that leaves the outcome unknown.
    """

    __slots__ = ("_left", "_queue", "committing", "deadline", "units")

    def __init__(self, own: Unit, queue: deque[Unit], most: int, deadline: float) -> None:
        self.units = [own]
        self.deadline = deadline
        self.committing = False
        self._queue = queue
        self._left = most - 1

    def fail(self, error: BaseException) -> None:
        """Give the error to every unit that has none of its own: none of them may pass for done."""
        for unit in self.units:
            unit.error = unit.error or error

    def take(self) -> Unit | None:
        """The next unit that waits, or ``None`` when there is none or the batch is full."""
        if self._left <= 0 or not self._queue:
            return None
        try:
            unit = self._queue.popleft()
        except IndexError:  # it gave up waiting in between
            return None
        self._left -= 1
        self.units.append(unit)
        return unit


class Group:
    """Runs units in batches through ``commit``.

    ``commit(batch)`` must give each unit of ``batch.units`` its result or error, may ``take()`` more, and raises only
    what interrupts the thread itself (``KeyboardInterrupt``); the others of the batch are then queued again, unless
    the commit had begun. ``busy_seconds`` bounds how long a unit waits for its turn.
    """

    def __init__(self, commit: Callable[[Batch], None], busy_seconds: float, most: int = 64) -> None:
        self._commit = commit
        self._busy_seconds = busy_seconds
        self._most = most
        self._queue: deque[Unit] = deque()
        self._mutex = threading.Lock()
        self._leading = False
        self._leader = 0

    def submit(self, fn: Callable[[Any], T]) -> T:
        """Run the unit and return its result once its batch is committed. Raises what it raised."""
        unit = Unit(fn)
        with self._mutex:
            if self._leading:
                self._enqueue(unit)
            else:
                self._leading = True
        deadline = time.monotonic() + self._busy_seconds
        if unit.gate is not None:
            self._wait(unit, deadline)
            if not unit.leads:
                return cast(T, unit.outcome())
        self._lead(unit, deadline)
        return cast(T, unit.outcome())

    def leads(self) -> bool:
        """True when the calling thread is leading, that is, when it is inside a unit."""
        return self._leader == threading.get_ident()

    def _enqueue(self, unit: Unit) -> None:
        if self.leads():
            raise StorageMisuse("a unit must not start another one")
        unit.gate = gate = threading.Lock()
        gate.acquire()
        self._queue.append(unit)

    def _wait(self, unit: Unit, deadline: float) -> None:
        gate = cast(threading.Lock, unit.gate)
        try:
            if gate.acquire(timeout=max(0.0, deadline - time.monotonic())):
                return
        except BaseException:  # a signal's: nobody would lead if this unit were handed the lead now
            if not self._withdraw(unit) and unit.leads:
                self._hand_on(Batch(unit, self._queue, 1, deadline), interrupted=False)
            raise
        if self._withdraw(unit):
            raise StorageBusy(f"no turn to write within {self._busy_seconds:g} s")

    def _withdraw(self, unit: Unit) -> bool:
        """Take the unit out of the queue; if a leader has it in hand, wait for what becomes of it and return False."""
        try:
            self._queue.remove(unit)
        except ValueError:
            cast(threading.Lock, unit.gate).acquire()
            return False
        return True

    def _lead(self, unit: Unit, deadline: float) -> None:
        batch = Batch(unit, self._queue, self._most, deadline)
        self._leader = threading.get_ident()
        interrupted = True
        try:
            self._commit(batch)
            interrupted = False
        finally:
            self._leader = 0
            self._hand_on(batch, interrupted)

    def _hand_on(self, batch: Batch, interrupted: bool) -> None:
        served = batch.units[1:]
        if interrupted and batch.committing:
            for unit in served:
                unit.error = unit.error or StorageUnknown("the thread that led was interrupted while committing")
        elif interrupted:
            self._queue.extendleft(reversed(served))
            served = []
        with self._mutex:
            try:
                heir = self._queue.popleft()
            except IndexError:
                self._leading = False
                heir = None
        if heir is not None:
            heir.leads = True
            cast(threading.Lock, heir.gate).release()
        for unit in served:
            cast(threading.Lock, unit.gate).release()
