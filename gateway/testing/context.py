"""Build an adapter in a test: checked settings, a real HTTP client, a spool folder, a key-value store."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from gateway.domain.call import Call
from gateway.domain.common import Step
from gateway.sdk.adapter import Adapter, Context, KeyValue, Reader, utc_now
from gateway.sdk.settings import settings_folder
from gateway.sdk.transports.http import Http

A = TypeVar("A", bound=Adapter)


class MemoryStore:
    """A key-value store that lasts as long as the test."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def put(self, key: str, value: Any) -> None:
        self._values[key] = value

    def put_new(self, key: str, value: Any) -> bool:
        return self._values.setdefault(key, value) is value

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))


class FileStore:
    """A key-value store in a file: it outlives a process that is killed, and several may use it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            file.execute("CREATE TABLE IF NOT EXISTS store (key TEXT PRIMARY KEY, value TEXT NOT NULL)")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=5, isolation_level=None)) as file:
            file.execute("PRAGMA synchronous=OFF")
            yield file

    def get(self, key: str) -> Any:
        with self._open() as file:
            row = file.execute("SELECT value FROM store WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def put(self, key: str, value: Any) -> None:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        with self._open() as file:
            file.execute("INSERT OR REPLACE INTO store VALUES (?, ?)", (key, text))

    def put_new(self, key: str, value: Any) -> bool:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        with self._open() as file:
            return file.execute("INSERT OR IGNORE INTO store VALUES (?, ?)", (key, text)).rowcount == 1

    def delete(self, key: str) -> None:
        with self._open() as file:
            file.execute("DELETE FROM store WHERE key = ?", (key,))

    def keys(self, prefix: str = "") -> list[str]:
        with self._open() as file:
            rows = file.execute("SELECT key FROM store WHERE substr(key, 1, ?) = ?", (len(prefix), prefix)).fetchall()
        return sorted(row[0] for row in rows)

    def text(self) -> str:
        """All that is in it, to look for what must not be."""
        with self._open() as file:
            return "\n".join(f"{key} {value}" for key, value in file.execute("SELECT key, value FROM store"))


def build(
    adapter: type[A],
    settings: Mapping[str, Any],
    folder: Path,
    *,
    merchant: str = "test",
    clock: Callable[[], datetime] = utc_now,
    store: KeyValue | None = None,
    database: Reader | None = None,
) -> A:
    """An adapter with these settings, as they would stand in a merchant's file lying in ``folder``.

    Raises marshmallow's ``ValidationError`` with the path of what is wrong in the settings.
    """
    with settings_folder(folder):
        checked = adapter.Settings().load(settings)
    spool = folder / "spool"
    spool.mkdir(parents=True, exist_ok=True)
    log = logging.LoggerAdapter(logging.getLogger(f"gateway.adapter.{adapter.name}"), {"merchant": merchant})
    context = Context(
        merchant=merchant,
        connection=adapter.name,
        settings=checked,
        http=Http(),
        log=log,
        store=store or MemoryStore(),
        spool=spool,
        clock=clock,
        database=database,
    )
    return adapter(context)


def call(key: str, *, seconds: float = 5.0, attempt: int = 1, journal: list[Step] | None = None) -> Call:
    """A call with this key (26 characters of ``0-9A-Z``); its steps are appended to ``journal``."""
    steps = journal if journal is not None else []
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return Call(key=key, deadline=deadline, attempt=attempt, steps=tuple(steps), journal=steps.append)
