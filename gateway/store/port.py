"""The port to the database: the only way by which the gateway reads and writes its own state.

One SQL text serves SQLite and PostgreSQL: the common subset (``RETURNING``, ``ON CONFLICT``, CTEs) with ``:name``
parameters. A unit of work is a function of a :class:`Tx`; :meth:`Database.tx` runs it in a durable write transaction,
:meth:`Database.read` in a consistent snapshot. What a unit may count on, on both:

- **All or nothing**, durable once ``tx`` returns. An exception rolls back this unit alone and reaches its caller.
- **It may run again** (another writer came first, the batch it rode in failed), and **in another thread** (the leader
  of the group commit): no effects outside, no thread-locals, no context variables. Short: no far calls, no waiting.
- **Decide by guarded writes**: ``UPDATE … WHERE free >= :n`` and look at the count; ``INSERT … ON CONFLICT DO
  NOTHING``. Before *reading* something to decide upon, take ``tx.lock(name)`` or ``SELECT … FOR UPDATE [SKIP LOCKED]``.
  SQLite has one writer at a time and drops these words; so has PostgreSQL by default, but not with ``grouped=False``.
- **Values** are ``str``, ``int``, ``float``, ``bytes`` and ``None``. Booleans are stored and returned as 0 and 1.
  A parameter that only meets ``IS NULL`` needs ``CAST(:x AS TEXT)``: PostgreSQL must know every parameter's type.
- **Errors** are those of :mod:`gateway.store.errors`, and end the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from gateway.store.errors import StorageMisuse
from gateway.store.health import Health

T = TypeVar("T")
Params = Mapping[str, Any]

#: The parameters of a statement that has none.
NONE: Params = {}


class Row(Protocol):
    """One row: values by column name, as ``row["sku"]``; ``dict(row)`` copies it."""

    def __getitem__(self, name: str, /) -> Any: ...
    def keys(self) -> Any:
        """The column names, in the order of the statement."""
        ...


class Tx(Protocol):
    """A transaction in progress, valid only inside the unit that received it."""

    @property
    def dialect(self) -> str:
        """``"sqlite"`` or ``"postgresql"``."""
        ...

    def execute(self, sql: str, params: Params = NONE) -> int:
        """Run one statement; return how many rows it inserted, changed or deleted."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Params]) -> int:
        """Run one statement once a row of parameters; return how many rows it touched in all."""
        ...

    def one(self, sql: str, params: Params = NONE) -> Row | None:
        """The first row of the result, or ``None``."""
        ...

    def all(self, sql: str, params: Params = NONE) -> list[Row]:
        """All rows of the result."""
        ...

    def lock(self, name: str) -> None:
        """Let no other unit that locks the same name go on until this one has ended. SQLite: nothing to do."""
        ...


class Database(Protocol):
    """A database; safe to share between threads, and across ``fork`` (each process opens its own connections)."""

    @property
    def dialect(self) -> str:
        """``"sqlite"`` or ``"postgresql"``."""
        ...

    def tx(self, fn: Callable[[Tx], T]) -> T:
        """Run the unit in a write transaction, make it durable, return its result.

        Raises what the unit raised, after undoing it; ``StorageBusy`` when it could not start within the busy time;
        ``StorageUnknown`` when the outcome of the commit is not known; any other ``StorageError`` with nothing written.
        Never call it, or :meth:`read`, inside a unit.
        """
        ...

    def read(self, fn: Callable[[Tx], T]) -> T:
        """Run a unit that only reads, on one consistent snapshot. Neither blocks writers nor waits for them."""
        ...

    def health(self) -> Health:
        """The database's state for ``/readyz`` and the metrics. Does not raise when it is down: it says so."""
        ...

    def storage_low(self) -> bool:
        """True while so little room is left that new work must be refused (503 ``storage-full``). Cheap to ask."""
        ...

    def unwritable(self) -> str:
        """Why nothing can be written though it can be read, in words for people; empty if it can. Cheap to ask."""
        ...

    def close(self) -> None:
        """Close this process's connections. Units that still run in other threads must have ended."""
        ...


def open_database(url: str, **settings: Any) -> Database:
    """The database at ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or ``postgresql://…``.

    Nothing is opened yet: connections are made at the first unit of each process. Settings of SQLite:
    ``busy_seconds`` (5), ``low_water_bytes`` (64 MiB), ``ballast_bytes`` (16 MiB); of PostgreSQL: ``busy_seconds`` (5),
    ``pool_size`` (16), ``grouped`` (true), ``isolation`` (``"read committed"``). Raises ``StorageMisuse`` for another
    scheme or an unknown setting.
    """
    scheme, _, rest = url.partition("://")
    try:
        if scheme == "sqlite" and rest.startswith("/") and len(rest) > 1:
            from gateway.store.sqlite import SqliteDatabase

            return SqliteDatabase(rest[1:], **settings)
        if scheme in ("postgresql", "postgres"):
            from gateway.store.postgres import PostgresDatabase

            return PostgresDatabase(url, **settings)
    except TypeError as error:
        raise StorageMisuse(f"cannot open {scheme}: {error}") from None
    raise StorageMisuse(f"unknown database {scheme}://…; say sqlite:///path or postgresql://host/name")
