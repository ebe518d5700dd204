"""What can go wrong in the store, grouped by what to do next.

::

    StorageError
    ├── StorageBusy        another writer holds on for too long: answer 503, try again
    ├── StorageFull        no room left: refuse new work, let recovery go on, call a person
    ├── StorageDown        the database cannot be reached, or its disk or connection failed
    │   ├── StorageReadOnly  the file or the server takes no writes
    │   └── StorageUnknown   it failed while committing: the unit may or may not stand
    ├── StorageConflict    a unique, check, foreign key or not-null rule refused the row
    └── StorageMisuse      wrong SQL, or the port used against its contract: a bug of ours

Every one ends its unit: what the unit wrote is rolled back. It must not be caught inside the unit to go on there,
because PostgreSQL has given up the transaction by then; the port refuses such a unit on SQLite too.
"""

from __future__ import annotations

from typing import Literal

#: Which rule a row broke; "other" where the database does not say.
Rule = Literal["unique", "check", "foreign key", "not null", "type", "other"]


class StorageError(Exception):
    """Base of all errors of the store."""


class StorageBusy(StorageError):
    """The write could not start within the busy time. Nothing was written; the caller may try again."""


class StorageFull(StorageError):
    """There is no room for the write. Nothing was written."""


class StorageDown(StorageError):
    """The database cannot be reached or its disk failed. Nothing was written."""


class StorageReadOnly(StorageDown):
    """The file, its folder or the server takes no writes. Nothing was written; reading goes on."""


class StorageUnknown(StorageDown):
    """The connection or disk failed while committing: the unit may stand or not. Read before doing it again."""


class StorageConflict(StorageError):
    """A constraint refused a row. ``rule`` says which kind, ``detail`` what the database told (names, no values)."""

    def __init__(self, rule: Rule, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule: Rule = rule
        self.detail = detail


class StorageMisuse(StorageError):
    """The SQL is wrong or the port is used against its contract. Never an effect of the surroundings."""
