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

    def __str__(self) -> str:
        """One line for people: what it is, whether it works, what is short."""
        what = f"{self.dialect} {self.version}".strip()
        if not self.ok:
            return f"{what}: does not work: {self.error or 'no reason is told'}"
        found = [f"{what} works", "what is committed survives a power cut" if self.durable else "NOT DURABLE"]
        if self.free_bytes is not None:
            found.append(f"{self.free_bytes / 1e9:.1f} GB free")
        return "; ".join([*found, *(["space is low"] if self.low else []), *self.warnings])
