"""The state of the database, as ``/readyz``, the metrics and ``gateway doctor`` show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Health:
    """What the database says of itself.

    ``ok`` is false when it cannot be read or written; ``error`` then says why. ``warnings`` are complete sentences for
    people. Sizes are in bytes and ``None`` where the dialect does not know them.
    """

    dialect: str
    ok: bool
    version: str = ""
    journal_mode: str = ""
    durable: bool = False
    error: str = ""
    warnings: tuple[str, ...] = ()
    free_bytes: int | None = None
    low: bool = False
    wal_bytes: int | None = None
    database_bytes: int | None = None
    ballast: bool | None = None
