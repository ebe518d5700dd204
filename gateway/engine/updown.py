"""Tells the feed when a merchant's system is taken for down, and when it is up again: one event each change.

Every process has its own breakers; whoever sees a change first tells it, and the others find that it has been told.
"""

from __future__ import annotations

import logging

from gateway.engine.seams import Clock, Ids
from gateway.runtime import Connection, Runtime
from gateway.store import connections
from gateway.store.errors import StorageError
from gateway.store.journal import dump, insert_events
from gateway.store.port import Database, Tx

log = logging.getLogger("gateway.engine")


class UpDown:
    """Hears of connections. Safe to share between threads."""

    def __init__(self, database: Database, clock: Clock, ids: Ids) -> None:
        self._database, self._clock, self._ids = database, clock, ids
        self._closed = False

    def __call__(self, connection: Connection, up: bool) -> None:
        """Tell that a connection is up or down, unless that was told last. Raises nothing: calls go on without it."""
        if self._closed:
            return
        try:
            self._database.tx(lambda tx: self._tell(tx, connection, up))
        except StorageError as error:
            log.warning("a connection's change was not told", extra={"error": type(error).__name__})

    def _tell(self, tx: Tx, connection: Connection, up: bool) -> None:
        now = self._clock.now()
        told = connections.change(tx, connection.merchant_id, connection.name, up, now)
        if told is None:
            return
        error = connection.state.last_error
        data = {"connection": connection.name, "adapter": connection.adapter_name}
        if not up and error is not None:
            data |= {"hook": error.hook, "reason": error.kind}
        event = {
            "id": f"evt_{self._ids.new()}",
            "merchant": connection.merchant_id,
            "subject": f"{connection.merchant_id}/{connection.name}",
            "seq": told - 1,
            "type": "connection.up" if up else "connection.down",
            "occurred": now,
            "data": dump(data),
        }
        insert_events(tx, [event])

    def close(self) -> None:
        """Tell nothing more: a call that comes back after the end must not open the database again."""
        self._closed = True

    def look(self, runtime: Runtime) -> None:
        """Tell of connections that are up although they were told to be down by a process that is no more."""
        told_down = {
            (row["merchant"], row["connection"]): row["changed"] for row in self._database.read(connections.down)
        }
        for connection in runtime.opened() if told_down else ():
            changed = told_down.get((connection.merchant_id, connection.name))
            success = connection.state.last_success_at
            if changed is None or success is None or connection.state.breaker != "closed":
                continue
            if success.timestamp() * 1000 > changed:
                self(connection, True)
