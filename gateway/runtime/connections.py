"""The runtime: all merchants and their connections in one process.

discovery = discover(read_gateway(file).plugins_allow)
runtime = Runtime(load_config(file, discovery), discovery, database)
runtime.route("s1", "payments", method="payment_code", channel="alipay").change("payment_charge", request, call)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from gateway.domain.errors import GatewayError
from gateway.runtime.config import GatewayConfig, load_config
from gateway.runtime.connection import Connection, Listener, Surroundings
from gateway.runtime.discovery import Discovery
from gateway.runtime.merchant import Merchant
from gateway.runtime.storage import MIGRATIONS
from gateway.sdk.adapter import utc_now
from gateway.store.port import Database


class UnknownMerchant(GatewayError, KeyError):
    """No merchant of this id is configured."""


class UnknownConnection(GatewayError, KeyError):
    """The merchant has no connection of this name."""


def migrations(discovery: Discovery) -> tuple[tuple[str, str], ...]:
    """Name and SQL of every table that the runtime and the embedded adapters need, in order."""
    return (*MIGRATIONS, *discovery.migrations)


class Runtime:
    """All merchants' connections; they are built at first use, so make a runtime before or after ``fork`` alike."""

    def __init__(
        self,
        config: GatewayConfig,
        discovery: Discovery,
        database: Database,
        clock: Callable[[], datetime] = utc_now,
        listener: Listener | None = None,
    ) -> None:
        """``listener`` hears in the calling thread when a connection is taken for down, and when it is up again."""
        self.config = config
        self.discovery = discovery
        self._around = Surroundings(database, config.data, clock, listener)
        self._connections: dict[tuple[str, str], Connection] = {}
        self._lock = threading.Lock()

    @property
    def merchants(self) -> Mapping[str, Merchant]:
        """The merchants by id."""
        return self.config.merchants

    def merchant(self, merchant_id: str) -> Merchant:
        """One merchant. Raises ``UnknownMerchant``."""
        try:
            return self.config.merchants[merchant_id]
        except KeyError:
            raise UnknownMerchant(merchant_id) from None

    def connection(self, merchant_id: str, name: str) -> Connection:
        """A merchant's connection by its name. Raises ``UnknownMerchant``, ``UnknownConnection``."""
        found = self._connections.get((merchant_id, name))
        return found if found is not None else self._make(merchant_id, name)

    def route(
        self,
        merchant_id: str,
        family: str,
        *,
        method: str = "",
        channel: str = "",
        store_id: str = "",
        kind: str = "",
        code: str = "",
    ) -> Connection | None:
        """The connection that serves a case, by the first route that matches; what is ``""`` rules nothing out."""
        names = self.merchant(merchant_id).matching(
            family, method=method, channel=channel, store_id=store_id, kind=kind, code=code
        )
        return self.connection(merchant_id, names[0]) if names else None

    def routes(self, merchant_id: str, family: str, *, store_id: str = "", code: str = "") -> tuple[Connection, ...]:
        """All connections that may serve a family, in the order of the file: where a code is to be looked for."""
        names = self.merchant(merchant_id).matching(family, store_id=store_id, code=code)
        return tuple(self.connection(merchant_id, name) for name in names)

    def connections(self, merchant_id: str) -> tuple[Connection, ...]:
        """All connections of a merchant, in the order of the file."""
        return tuple(self.connection(merchant_id, name) for name in self.merchant(merchant_id).connections)

    def opened(self) -> tuple[Connection, ...]:
        """The connections that somebody has asked for so far, of all merchants."""
        return tuple(self._connections.values())

    def reload(self) -> list[str]:
        """Read the configuration again; close what has changed, and return its names as ``merchant/connection``.

        Raises ``ConfigError`` and changes nothing if a file is wrong. Plugins stay as they were loaded.
        """
        return self.use(load_config(self.config.file, self.discovery))

    def use(self, config: GatewayConfig) -> list[str]:
        """Go on with another configuration; return the names of the connections that were closed for it."""
        with self._lock:
            changed = [key for key in self._connections if _differs(self.config, config, key)]
            closed = [self._connections.pop(key) for key in changed]
            self.config = config
        for connection in closed:
            connection.close()
        return ["/".join(key) for key in changed]

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            closed = list(self._connections.values())
            self._connections.clear()
        for connection in closed:
            connection.close()

    def _make(self, merchant_id: str, name: str) -> Connection:
        with self._lock:
            merchant = self.merchant(merchant_id)
            config = merchant.connections.get(name)
            if config is None:
                raise UnknownConnection(f"{merchant_id}/{name}")
            adapter = self.discovery.adapters.get(config.adapter)
            return self._connections.setdefault(
                (merchant_id, name), Connection(merchant, config, adapter, self._around)
            )

    def __iter__(self) -> Iterator[Merchant]:
        return iter(self.config.merchants.values())


def _differs(old: GatewayConfig, new: GatewayConfig, key: tuple[str, str]) -> bool:
    """Whether what a connection was made from has changed."""
    return _made_from(old, key) != _made_from(new, key)


def _made_from(config: GatewayConfig, key: tuple[str, str]) -> object:
    merchant = config.merchants.get(key[0])
    if merchant is None:
        return None
    return merchant.connections.get(key[1]), merchant.currency, merchant.timezone.key, config.data
