"""The base class of adapters, and what an adapter is given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar
from zoneinfo import ZoneInfo

from gateway.domain.call import Transaction
from gateway.domain.errors import NotSupported
from gateway.domain.traits import AdapterTraits, Traits
from gateway.sdk.settings import Settings
from gateway.sdk.transports.http import Http

T = TypeVar("T")

DEFAULT_TIMEZONE = ZoneInfo("Asia/Shanghai")


class KeyValue(Protocol):
    """A small durable store of an adapter's own, one for each connection. Values are JSON."""

    def get(self, key: str) -> Any:
        """The value, or ``None``."""

    def put(self, key: str, value: Any) -> None:
        """Store a value; durable when this returns."""

    def put_new(self, key: str, value: Any) -> bool:
        """Store a value unless there is one; whether it was stored. Of several processes at once, one is told so: a
        number is taken by ``put_new(f"number/{n}", call.key)``."""

    def delete(self, key: str) -> None:
        """Forget a value; one that is not there is no error."""

    def keys(self, prefix: str = "") -> list[str]:
        """The keys with this prefix, sorted."""


class Reader(Protocol):
    """Consistent reads of the gateway's own database, for embedded adapters only."""

    def read(self, fn: Callable[[Transaction], T]) -> T:
        """Run ``fn`` in a read transaction."""


def utc_now() -> datetime:
    """The time now, with its offset."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """All that an adapter gets; it keeps no globals and no module state.

    ``settings`` are checked by the adapter's own schema, secrets resolved; ``http`` is a pooled client; ``log`` is
    bound to merchant and connection; ``store`` is durable; ``spool`` is a folder of its own; ``clock`` gives the time.
    ``database`` is set for embedded adapters only.
    """

    merchant: str
    connection: str
    settings: Mapping[str, Any]
    http: Http
    log: logging.LoggerAdapter[logging.Logger]
    store: KeyValue
    spool: Path
    currency: str = "CNY"
    timezone: ZoneInfo = DEFAULT_TIMEZONE
    clock: Callable[[], datetime] = utc_now
    database: Reader | None = None


class Adapter:
    """Base of every adapter: one instance serves one connection (merchant × adapter × settings), from many threads.

    Subclass it, set ``name`` and ``Settings``, implement hooks under ``@hookimpl``, declare ``traits`` per hook.
    The instance is built lazily, after fork, and closed when the configuration changes.
    """

    name: ClassVar[str] = ""
    Settings: ClassVar[type[Settings]] = Settings
    traits: ClassVar[Mapping[str, Traits]] = {}
    about: ClassVar[AdapterTraits] = AdapterTraits()

    def __init__(self, context: Context) -> None:
        self.context = context

    def check(self) -> None:
        """See whether the far system can be reached with these settings.

        Raises ``Misconfigured`` or ``NotSent`` with a text that says what to do. Changes nothing.
        """
        raise NotSupported(f"adapter {self.name!r} has no check of its connection")

    def close(self) -> None:
        """Release what the instance holds."""


class EmbeddedAdapter(Adapter):
    """An adapter whose far system is the gateway's own database: its changes run inside the engine's transaction.

    Its changing hooks use ``call.tx``, its reading hooks ``context.database``; it must not call out. ``migrations``
    are pairs of name and SQL that create its tables.
    """

    migrations: ClassVar[tuple[tuple[str, str], ...]] = ()

    def discrepancies(self, tx: Transaction) -> Sequence[str]:
        """What does not add up in its own tables, each beginning with the invariant's name; it changes nothing."""
        return ()
