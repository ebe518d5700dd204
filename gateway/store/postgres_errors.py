"""PostgreSQL's errors in the store's words."""

from __future__ import annotations

import psycopg

from gateway.store.errors import (
    Rule,
    StorageBusy,
    StorageConflict,
    StorageDown,
    StorageError,
    StorageFull,
    StorageMisuse,
    StorageReadOnly,
)

_RULES: dict[str, Rule] = {
    "23505": "unique",
    "23503": "foreign key",
    "23514": "check",
    "23502": "not null",
    "23P01": "other",
    "42804": "type",
    "22P02": "type",
    "22003": "type",
}

_BY_STATE: dict[str, type[StorageError]] = {
    "40001": StorageBusy,  # serialisation failure
    "40P01": StorageBusy,  # deadlock
    "55P03": StorageBusy,  # lock not had in time
    "57014": StorageBusy,  # statement time-out
    "53300": StorageBusy,  # too many connections
    "53100": StorageFull,
    "25006": StorageReadOnly,
    "0A000": StorageMisuse,
    "58030": StorageDown,  # input or output failed
}

_BY_CLASS: dict[str, type[StorageError]] = {
    "08": StorageDown,  # connection
    "53": StorageDown,  # resources
    "57": StorageDown,  # operator's intervention: shutdown, crash
    "58": StorageDown,
    "XX": StorageDown,  # internal, corrupted data
    "28": StorageDown,  # not authorised
    "3D": StorageDown,  # no such database
}

#: A unit hit by one of these may simply run again.
RETRY = frozenset({"40001", "40P01", "55P03"})
# Shut down, crashed, not yet up, database dropped, idle for too long (in a transaction or not).
_GOOD_BYE = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03"})
_STALE_PLAN = "cached plan must not change result type"


def translate(error: psycopg.Error) -> StorageError:
    """The store's error for one of psycopg's. Values of rows are left out: they may be personal."""
    state = error.sqlstate
    message = str(error.diag.message_primary or error).strip()
    if state is None:
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return StorageDown(message) if lost else StorageMisuse(message)
    if state in _RULES:
        return StorageConflict(_RULES[state], message)
    return _BY_STATE.get(state, _BY_CLASS.get(state[:2], StorageMisuse))(message)


def may_run_again(error: psycopg.Error) -> bool:
    """True when the same unit may pass at the next try, on this connection or another."""
    return error.sqlstate in RETRY or (error.sqlstate == "0A000" and _STALE_PLAN in str(error))


def connection_lost(error: psycopg.Error) -> bool:
    """True when the connection is gone with this error: it broke, or the server said good-bye."""
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state[:2] == "08" or state in _GOOD_BYE
