"""PostgreSQL's state in words for people."""

from __future__ import annotations

from collections.abc import Callable

from gateway.store.errors import StorageError
from gateway.store.health import Health
from gateway.store.port import Row, Tx

_ASK = """
SELECT current_setting('server_version') AS version,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       pg_is_in_recovery() AS standby,
       pg_database_size(current_database()) AS database_bytes
"""


def look(read: Callable[[Callable[[Tx], Row | None]], Row | None], low: bool, unwritable: str) -> Health:
    """The health of the database behind ``read``."""
    try:
        row = read(lambda tx: tx.one(_ASK))
    except StorageError as error:
        return Health("postgresql", ok=False, error=str(error), low=low)
    assert row is not None
    durable = row["fsync"] == "on" and row["full_page_writes"] == "on" and row["synchronous_commit"] != "off"
    return Health(
        "postgresql",
        ok=not unwritable,
        error=unwritable,
        version=row["version"],
        durable=durable,
        warnings=tuple(_warnings(row, durable, low)),
        low=low,
        database_bytes=row["database_bytes"],
    )


def _warnings(row: Row, durable: bool, low: bool) -> list[str]:
    found = []
    if not durable:
        found.append("fsync, full_page_writes or synchronous_commit is off: acknowledged work can be lost")
    if row["standby"]:
        found.append("this server is a standby and takes no writes")
    if low:
        found.append("the server's disk is full: new work is refused")
    return found
