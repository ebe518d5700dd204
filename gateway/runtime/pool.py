"""A bounded pool of threads for one connection: a call that hangs is left behind, not waited for.

Threads are started when needed, up to ``size``, and end when idle for a while. A thread cannot be killed: one that
hangs keeps its place until it comes back, so that a far system which serves one call at a time never gets two.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

IDLE_S = 30.0
#: How long a call waits for a thread while all of them hang: one that waited longer would only hold up others.
HUNG_WAIT_S = 0.1


class NoSlot(Exception):
    """No thread was free in time: the work was never begun."""


class Late(Exception):
    """The work was begun and had not come back in time; it may still go on."""


class _Task(Generic[T]):
    """Work handed to a thread. ``done`` is released when it has ended."""

    __slots__ = ("abandoned", "done", "error", "result", "work")

    def __init__(self, work: Callable[[], T]) -> None:
        self.work = work
        self.done = threading.Lock()
        self.done.acquire()
        self.result: T | None = None
        self.error: BaseException | None = None
        self.abandoned = False


class _Worker:
    """A thread's mailbox: ``wake`` is released when there is a task (``None``: the thread shall end)."""

    __slots__ = ("task", "wake")

    def __init__(self) -> None:
        self.wake = threading.Lock()
        self.wake.acquire()
        self.task: _Task[Any] | None = None


class _Waiter:
    """A caller that waits for a thread to become free."""

    __slots__ = ("ready", "worker")

    def __init__(self) -> None:
        self.ready = threading.Lock()
        self.ready.acquire()
        self.worker: _Worker | None = None


class Pool:
    """At most ``size`` calls at a time; ``hung`` is how many of the threads are past their caller's patience."""

    def __init__(self, size: int, name: str) -> None:
        self.size = size
        self.hung = 0
        self.late = 0
        self._name = name
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._waiters: deque[_Waiter] = deque()
        self._threads = 0
        self._closed = False
        self._at_end: Callable[[], None] | None = None

    @property
    def busy(self) -> int:
        """How many threads are at work, hung ones included."""
        return self._threads - len(self._idle)

    def run(self, work: Callable[[], T], start_by: float, end_by: float) -> T:
        """Run ``work`` in a thread and return what it returns, or raise what it raises.

        ``start_by`` and ``end_by`` are values of ``time.monotonic()``. Raises ``NoSlot`` if no thread was free by the
        first, ``Late`` if the work had not come back by the second.
        """
        task = _Task(work)
        worker = self._take(start_by)
        worker.task = task
        worker.wake.release()
        if not task.done.acquire(timeout=max(0.0, end_by - time.monotonic())) and self._abandon(task):
            raise Late
        if task.error is not None:
            raise task.error
        return task.result  # type: ignore[return-value]

    def close(self, at_end: Callable[[], None]) -> None:
        """Take no more work, let the threads end, and call ``at_end`` once the last has: now, or from that thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
            self._threads -= len(idle)
            at_once = self._threads == 0
            self._at_end = None if at_once else at_end
        for worker in idle:
            worker.wake.release()
        if at_once:
            at_end()

    def _take(self, start_by: float) -> _Worker:
        with self._lock:
            if self._closed:
                raise NoSlot
            if self._idle:
                return self._idle.pop()
            if self._threads < self.size:
                return self._start()
            if self.hung >= self.size:
                start_by = min(start_by, time.monotonic() + HUNG_WAIT_S)
            waiter = _Waiter()
            self._waiters.append(waiter)
        waiter.ready.acquire(timeout=max(0.0, start_by - time.monotonic()))
        with self._lock:
            if waiter.worker is None:
                self._waiters.remove(waiter)
                raise NoSlot
            return waiter.worker

    def _start(self) -> _Worker:
        worker = _Worker()
        try:
            threading.Thread(target=self._serve, args=(worker,), name=self._name, daemon=True).start()
        except RuntimeError:  # the system has no thread left to give
            raise NoSlot from None
        self._threads += 1
        return worker

    def _abandon(self, task: _Task[Any]) -> bool:
        """Stop waiting for a task; false if it has ended in this very moment."""
        with self._lock:
            if task.done.acquire(blocking=False):
                return False
            task.abandoned = True
            self.hung += 1
            self.late += 1
            return True

    def _serve(self, worker: _Worker) -> None:
        while self._next(worker):
            task, worker.task = worker.task, None
            if task is None:
                return
            try:
                task.result = task.work()
            except BaseException as error:  # handed to the caller, whatever it is
                task.error = error
            if not self._finish(worker, task):
                return

    def _next(self, worker: _Worker) -> bool:
        """Wait for work; false when the thread has been idle long enough to end."""
        while not worker.wake.acquire(timeout=IDLE_S):
            with self._lock:
                if worker in self._idle:
                    self._idle.remove(worker)
                    self._threads -= 1
                    return False
        return True

    def _finish(self, worker: _Worker, task: _Task[Any]) -> bool:
        """Give the thread to the next caller, then tell the present one; false if the thread shall end."""
        with self._lock:
            if task.abandoned:
                self.hung -= 1
            going_on = self._pass_on(worker)
            task.done.release()
            at_end = self._at_end if self._threads == 0 else None
        if at_end is not None:
            at_end()
        return going_on

    def _pass_on(self, worker: _Worker) -> bool:
        if self._waiters:
            waiter = self._waiters.popleft()
            waiter.worker = worker
            waiter.ready.release()
            return True
        if self._closed:
            self._threads -= 1
            return False
        self._idle.append(worker)
        return True
