"""SQLite's errors in the store's words."""

from __future__ import annotations

from typing import Any

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

_BUSY, _LOCKED, _NOMEM, _READONLY, _INTERRUPT, _IOERR, _CORRUPT = 5, 6, 7, 8, 9, 10, 11
_FULL, _CANTOPEN, _PROTOCOL, _TOOBIG, _CONSTRAINT, _MISMATCH, _NOTADB = 13, 14, 15, 18, 19, 20, 26

_BY_CODE: dict[int, type[StorageError]] = {
    _BUSY: StorageBusy,
    _LOCKED: StorageBusy,
    _PROTOCOL: StorageBusy,
    _NOMEM: StorageDown,
    _READONLY: StorageReadOnly,
    _INTERRUPT: StorageDown,
    _IOERR: StorageDown,
    _CORRUPT: StorageDown,
    _FULL: StorageFull,
    _CANTOPEN: StorageDown,
    _NOTADB: StorageDown,
}

_RULES: tuple[tuple[str, Rule], ...] = (
    ("UNIQUE constraint failed", "unique"),
    ("PRIMARY KEY", "unique"),
    ("CHECK constraint failed", "check"),
    ("FOREIGN KEY constraint failed", "foreign key"),
    ("NOT NULL constraint failed", "not null"),
    ("cannot store", "type"),
)


def translate(error: Exception) -> StorageError:
    """The store's error for one of the driver's."""
    code = primary_code(error)
    if code in (_CONSTRAINT, _MISMATCH):
        return _conflict(str(error))
    return _BY_CODE.get(code, StorageMisuse)(str(error))


def primary_code(error: Exception) -> int:
    """SQLite's primary result code; 1 (a plain error) where the driver tells none."""
    code: Any = getattr(error, "sqlite_errorcode", None)
    if code is None:
        code = getattr(error, "result", None)  # apsw
    return int(code) & 0xFF if code is not None else 1


def _conflict(message: str) -> StorageConflict:
    for text, rule in _RULES:
        if text in message:
            return StorageConflict(rule, message)
    return StorageConflict("other", message)
