"""Build an adapter in a test: checked settings, a real HTTP client, a spool folder, a key-value store in memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from gateway.domain.call import Call
from gateway.domain.common import Step
from gateway.sdk.adapter import Adapter, Context, utc_now
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

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def keys(self, prefix: str = "") -> list[str]:
        return sorted(key for key in self._values if key.startswith(prefix))


def build(
    adapter: type[A],
    settings: Mapping[str, Any],
    folder: Path,
    *,
    merchant: str = "test",
    clock: Callable[[], datetime] = utc_now,
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
        store=MemoryStore(),
        spool=spool,
        clock=clock,
    )
    return adapter(context)


def call(key: str, *, seconds: float = 5.0, attempt: int = 1, journal: list[Step] | None = None) -> Call:
    """A call with this key (26 characters of ``0-9A-Z``); its steps are appended to ``journal``."""
    steps = journal if journal is not None else []
    deadline = datetime.now(UTC) + timedelta(seconds=seconds)
    return Call(key=key, deadline=deadline, attempt=attempt, steps=tuple(steps), journal=steps.append)
