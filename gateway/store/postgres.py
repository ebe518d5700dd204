"""PostgreSQL behind the port."""

from __future__ import annotations

from typing import Any

from gateway.store.errors import StorageMisuse


class PostgresDatabase:
    """A database on a PostgreSQL server; see :class:`gateway.store.port.Database`."""

    dialect = "postgresql"

    def __init__(self, url: str, **settings: Any) -> None:
        raise StorageMisuse("PostgreSQL is not here yet")
