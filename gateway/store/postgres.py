"""PostgreSQL behind the port.

**Together or apart.** By default the units of a process are committed in groups, one group at a time whatever the
number of processes and nodes (:mod:`gateway.store.postgres_lane`): units are serialised as on SQLite. Where the server
is far away (each statement costs a round trip, and one lane makes them one after the other), or many nodes share it,
``grouped=False`` runs units side by side, a connection each. Nodes that share a database must agree on this.

**Isolation** of units that run side by side is READ COMMITTED by default: a guarded ``UPDATE`` waits for the row and
looks again, so limits are exact and a hot row costs a wait, not a failure. What a unit *reads* to decide upon must be
locked (``tx.lock``, ``FOR UPDATE``), as :mod:`gateway.store.port` says. ``isolation="serializable"`` makes the server
prove it, at the price of units that run again (a quarter of the throughput, measured on units of four statements).

**Retries.** A unit that meets a serialisation failure, a deadlock or a lock not had in time runs again, with jitter,
until ``busy_seconds`` are over; so does one whose connection was lost before its commit began (a restart, a failover).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Literal, TypeVar

from gateway.store.errors import StorageFull, StorageMisuse, StorageReadOnly
from gateway.store.forks import at_fork
from gateway.store.health import Health
from gateway.store.port import Tx
from gateway.store.postgres_lane import BEGIN_ALONE, Lane
from gateway.store.postgres_pool import Pool
from gateway.store.postgres_unit import RunAgain, run_unit

T = TypeVar("T")
Isolation = Literal["read committed", "serializable"]

#: Random pauses of our own: the process's shared generator belongs to others (a test's seed).
_JITTER = random.SystemRandom()

_BEGIN: dict[str, bytes] = {
    "read committed": b"BEGIN ISOLATION LEVEL READ COMMITTED",
    "serializable": b"BEGIN ISOLATION LEVEL SERIALIZABLE",
}
_SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_FULL_FOR_SECONDS = 5.0
_READ_ONLY = "the server takes no writes: it is a standby, or set to read-only"
_SHORTEST_NAP = 0.001
_LONGEST_NAP = 0.1


class PostgresDatabase:
    """A database on a PostgreSQL server; see :class:`gateway.store.port.Database`.

    ``busy_seconds`` bounds waits for locks, for a free connection and for retries; ``pool_size`` bounds the connections
    of one process; ``grouped`` and ``isolation`` are explained above.
    """

    dialect = "postgresql"

    def __init__(
        self,
        url: str,
        *,
        busy_seconds: float = 5.0,
        pool_size: int = 16,
        grouped: bool = True,
        isolation: Isolation = "read committed",
    ) -> None:
        if isolation not in _BEGIN:
            raise StorageMisuse(f"isolation is {isolation!r}; say {' or '.join(map(repr, _BEGIN))}")
        self._url = url
        self._busy_seconds = busy_seconds
        self._pool_size = pool_size
        self._begin = _BEGIN[isolation]
        self._full_until = self._read_only_until = float("-inf")
        self._grouped = grouped
        self._pool = self._new_pool()
        self._lane = self._new_lane()
        self._busy = threading.local()
        at_fork(self)

    def tx(self, fn: Callable[[Tx], T]) -> T:
        """See :meth:`gateway.store.port.Database.tx`."""
        try:
            if self._grouped:
                return self._lane.group.submit(fn)
            return self._insist(self._begin, fn)
        except StorageFull:
            self._full_until = time.monotonic() + _FULL_FOR_SECONDS
            raise
        except StorageReadOnly:
            self._read_only_until = time.monotonic() + _FULL_FOR_SECONDS
            raise

    def read(self, fn: Callable[[Tx], T]) -> T:
        """See :meth:`gateway.store.port.Database.read`."""
        if self._lane.group.leads():
            raise StorageMisuse("a unit must not start another one")
        try:
            return self._insist(_SNAPSHOT, fn)
        except StorageReadOnly as error:
            raise StorageMisuse("a unit that only reads must not write") from error

    def storage_low(self) -> bool:
        """True for some seconds after the server found its disk full: how much room it has it does not tell."""
        return time.monotonic() < self._full_until

    def unwritable(self) -> str:
        """For some seconds after the server refused to write at all, as a standby does."""
        return _READ_ONLY if time.monotonic() < self._read_only_until else ""

    def health(self) -> Health:
        """See :meth:`gateway.store.port.Database.health`."""
        from gateway.store.postgres_health import look

        return look(self.read, self.storage_low(), self.unwritable())

    def close(self) -> None:
        """See :meth:`gateway.store.port.Database.close`. The database opens again at the next unit."""
        self._pool.close()

    def after_fork(self) -> object:
        """In the child: leave the parent's connections alone, begin anew; returns what must never be collected."""
        old = self._pool
        self._pool = self._new_pool()
        self._lane = self._new_lane()
        return old

    def _new_pool(self) -> Pool:
        return Pool(self._url, self._busy_seconds, self._pool_size)

    def _new_lane(self) -> Lane:
        return Lane(self._pool, self._busy_seconds, lambda fn: self._insist(BEGIN_ALONE, fn))

    def _insist(self, begin: bytes, fn: Callable[[Tx], T]) -> T:
        """Run the unit until it stands, or fails for good, or the busy time is over."""
        if getattr(self._busy, "here", False):
            raise StorageMisuse("a unit must not start another one")
        deadline = time.monotonic() + self._busy_seconds
        nap = _SHORTEST_NAP
        self._busy.here = True
        try:
            while True:
                try:
                    return self._once(begin, fn)
                except RunAgain as again:
                    if time.monotonic() >= deadline:
                        raise again.error from again.error.__cause__
                time.sleep(_JITTER.uniform(0, nap))
                nap = min(2 * nap, _LONGEST_NAP)
        finally:
            self._busy.here = False

    def _once(self, begin: bytes, fn: Callable[[Tx], T]) -> T:
        pool = self._pool
        session = pool.take()
        try:
            return run_unit(session, begin, fn)
        finally:
            pool.give_back(session)
