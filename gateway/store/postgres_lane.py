"""The one writing lane of a process on PostgreSQL: units of many threads in one transaction, as on SQLite.

On one machine with its database this gives twice the units a second of a connection a thread, and one hot row costs no
more than many: its lock is taken once a batch. Between processes and nodes one advisory lock stands around each
transaction; without it the batches, which hold the locks of many units, would meet in deadlocks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from gateway.store.batch import Runner
from gateway.store.errors import StorageDown, StorageError, StorageUnknown
from gateway.store.group import Batch, Group, Unit
from gateway.store.port import Tx
from gateway.store.postgres_errors import connection_lost, may_run_again, translate
from gateway.store.postgres_pool import Pool
from gateway.store.postgres_session import Session
from gateway.store.postgres_tx import PostgresTx
from gateway.store.postgres_unit import RunAgain, begin_or_run_again

#: Begins a transaction as the only one that writes. Any number will do; all programs must use the same.
BEGIN_ALONE = b"BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_advisory_xact_lock(7236179)"


class Lane:
    """Commits the batches of its :class:`Group`; ``alone`` runs one unit by itself, again where that helps."""

    def __init__(self, pool: Pool, busy_seconds: float, alone: Callable[[Callable[[Tx], object]], object]) -> None:
        self.group = Group(self._commit, busy_seconds)
        self._pool = pool
        self._alone = alone
        self._runner = Runner()

    def _commit(self, batch: Batch) -> None:
        while True:
            try:
                together = self._together(batch)
                break
            except RunAgain as again:  # it did not begin: a lost connection, or the lock was not had in time
                if time.monotonic() >= batch.deadline:
                    batch.fail(again.error)
                    return
            except StorageError as error:
                batch.fail(error)
                return
        if not together:
            batch.committing = True  # from here on some may stand and others not
            for unit in batch.units:
                self._by_itself(unit)

    def _together(self, batch: Batch) -> bool:
        """Run and commit the batch; False when its transaction is lost. Raises ``RunAgain``, ``StorageError``."""
        session = self._pool.take()
        try:
            ground = _Ground(session)
            return self._runner.run(ground, batch) and _try_commit(session, batch)
        except psycopg.Error:  # a savepoint failed
            return False
        finally:
            self._pool.give_back(session)

    def _by_itself(self, unit: Unit) -> None:
        unit.error = None
        try:
            unit.result = self._alone(unit.fn)
        except Exception as error:
            unit.error = error


def _try_commit(session: Session, batch: Batch) -> bool:
    if not session.in_transaction:
        return True
    batch.committing = True
    try:
        session.control(b"COMMIT")
    except psycopg.Error as error:
        found = translate(error)
        if not isinstance(found, StorageDown):
            return False
        batch.fail(StorageUnknown(f"while committing: {found}"))
    return True


class _Ground:
    """See :class:`gateway.store.batch.Ground`."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cause: psycopg.Error | None = None

    def begin(self) -> None:
        begin_or_run_again(self._session, BEGIN_ALONE)

    def roll_back(self) -> None:
        self._session.control(b"ROLLBACK")

    def run(self, unit: Unit) -> bool:
        unit.error = None
        tx = PostgresTx(self._session)
        try:
            unit.result = unit.fn(tx)
            unit.error = tx.broken
        except Exception as error:
            unit.error = error
        finally:
            tx.end()
        self._cause = tx.cause
        return unit.error is not None and (tx.wrote or tx.broken is not None)

    def lost(self, unit: Unit) -> bool:
        return self._cause is not None and (connection_lost(self._cause) or may_run_again(self._cause))

    def mark(self) -> None:
        self._session.control(b"SAVEPOINT unit")

    def undo(self) -> None:
        self._session.control(b"ROLLBACK TO unit; RELEASE unit")

    def keep(self) -> None:
        self._session.control(b"RELEASE unit")
