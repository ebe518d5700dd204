"""The connections of one process to PostgreSQL.

A stack, not a queue: the connection used last is the one whose statements are prepared and whose server process is
warm. Connections are made by the thread that needs one, so that a server that is down is told at once.
"""

from __future__ import annotations

import threading

import psycopg

from gateway.store.errors import StorageBusy
from gateway.store.postgres_errors import translate
from gateway.store.postgres_session import Session


class Pool:
    """At most ``size`` sessions, opened when needed. Thread-safe."""

    def __init__(self, url: str, busy_seconds: float, size: int) -> None:
        self._url = url
        self._busy_seconds = busy_seconds
        self._free = threading.BoundedSemaphore(size)
        self._idle: list[Session] = []
        self._closed = 0

    def take(self) -> Session:
        """A session, to be given back. Raises ``StorageBusy`` when all stay in use, ``StorageDown``."""
        if not self._free.acquire(timeout=self._busy_seconds):
            raise StorageBusy(f"no connection came free within {self._busy_seconds:g} s")
        try:
            return self._idle.pop()
        except IndexError:
            pass
        try:
            return Session(self._url, self._busy_seconds, self._closed)
        except BaseException as error:
            self._free.release()
            if isinstance(error, psycopg.Error):
                raise translate(error) from error
            raise

    def give_back(self, session: Session) -> None:
        """Keep the session for the next unit, unless the pool was closed since it was opened.

        When it has broken, drop it and all that idle: the server went away.
        """
        try:
            if session.opened_after != self._closed:
                session.close()
                return
            if session.settle():
                self._idle.append(session)
                return
            session.close()
            self.close()
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the sessions that idle now, and those that are in use as they are given back."""
        self._closed += 1
        while self._idle:
            self._idle.pop().close()
