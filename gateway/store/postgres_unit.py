"""One run of one unit on PostgreSQL, and what its failure means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import psycopg

from gateway.store.errors import StorageDown, StorageError, StorageUnknown
from gateway.store.port import Tx
from gateway.store.postgres_errors import connection_lost, may_run_again, translate
from gateway.store.postgres_session import Session
from gateway.store.postgres_tx import PostgresTx

T = TypeVar("T")


class RunAgain(Exception):
    """The unit did not stand and may at the next try; ``error`` is what to raise when there is no next."""

    def __init__(self, error: StorageError) -> None:
        super().__init__(str(error))
        self.error = error


def run_unit(session: Session, begin: bytes, fn: Callable[[Tx], T]) -> T:
    """Run the unit in a transaction and commit it. Raises ``RunAgain``, the unit's own error or a ``StorageError``.

    A transaction that was not committed is left for the caller to end.
    """
    tx = PostgresTx(session)
    begin_or_run_again(session, begin)
    try:
        result = fn(tx)
    except Exception:
        _run_again_if_worth_it(tx)
        raise
    finally:
        tx.end()
    if tx.broken is not None:  # the unit went on after an error: the server has given the transaction up
        _run_again_if_worth_it(tx)
        raise tx.broken
    _commit(session)
    return result


def begin_or_run_again(session: Session, begin: bytes) -> None:
    """Begin a transaction. Raises ``RunAgain`` when another try may help, else ``StorageError``."""
    try:
        session.control(begin)
    except psycopg.Error as error:
        found = _told(error)
        raise (RunAgain(found) if connection_lost(error) or may_run_again(error) else found) from error


def _run_again_if_worth_it(tx: PostgresTx) -> None:
    if tx.broken is not None and tx.cause is not None and (connection_lost(tx.cause) or may_run_again(tx.cause)):
        raise RunAgain(tx.broken) from tx.cause


def _commit(session: Session) -> None:
    try:
        session.control(b"COMMIT")
    except psycopg.Error as error:
        if may_run_again(error):
            raise RunAgain(_told(error)) from error
        found = _told(error)
        if isinstance(found, StorageDown):
            raise StorageUnknown(f"while committing: {found}") from error
        raise found from error


def _told(error: psycopg.Error) -> StorageError:
    found = translate(error)
    found.__cause__ = error
    return found
