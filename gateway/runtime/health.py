"""What the health page and ``gateway doctor`` tell of plugins and connections. Nothing here calls out but ``check``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.domain.errors import AdapterError, NotSupported
from gateway.runtime.connection import Connection
from gateway.runtime.connections import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionFacts:
    """One connection. ``ok``: calls are let through; ``problem`` says why it cannot be used at all.

    ``breaker`` is ``closed``, ``open`` or ``half-open``; ``hung`` counts calls left behind that still hold a slot.
    """

    merchant: str
    connection: str
    adapter: str
    ok: bool
    breaker: str
    built: bool
    busy: int
    hung: int
    slots: int
    insecure_transport: bool
    problem: str = ""
    last_error: str = ""
    last_error_at: datetime | None = None
    last_success_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeHealth:
    """All of it. A legacy system that is down does not make the gateway unready: ``ok`` is about plugins alone."""

    ok: bool
    plugins: tuple[str, ...]
    failed: Mapping[str, str]
    connections: tuple[ConnectionFacts, ...]

    @property
    def down(self) -> tuple[ConnectionFacts, ...]:
        """The connections that let nothing through, or cannot be used."""
        return tuple(facts for facts in self.connections if not facts.ok)


@dataclass(frozen=True, slots=True)
class Checked:
    """What a connection's check came to; ``ok`` is ``None`` where the adapter has no check."""

    merchant: str
    connection: str
    ok: bool | None
    text: str = ""


def health(runtime: Runtime) -> RuntimeHealth:
    """The connections used so far, and those that cannot be used."""
    failed = dict(runtime.discovery.failed)
    return RuntimeHealth(
        ok=not failed,
        plugins=tuple(runtime.discovery.loaded),
        failed=failed,
        connections=tuple(connection_facts(connection) for connection in _worth_telling(runtime)),
    )


def connection_facts(connection: Connection) -> ConnectionFacts:
    """How one connection does."""
    state, error = connection.state, connection.state.last_error
    return ConnectionFacts(
        merchant=connection.merchant_id,
        connection=connection.name,
        adapter=connection.adapter_name,
        ok=state.breaker == "closed" and not connection.config.problem and state.hung < state.slots,
        breaker=state.breaker,
        built=state.built,
        busy=state.busy,
        hung=state.hung,
        slots=state.slots,
        insecure_transport=connection.config.insecure_transport,
        problem=connection.config.problem,
        last_error=f"{error.kind} in {error.hook}: {error.text}" if error else "",
        last_error_at=error.at if error else None,
        last_success_at=state.last_success_at,
    )


def check_connections(runtime: Runtime, merchant_id: str = "") -> Iterator[Checked]:
    """Ask every adapter (of one merchant, if named) whether its system can be reached, one after the other."""
    for merchant in [runtime.merchant(merchant_id)] if merchant_id else runtime.merchants.values():
        for connection in runtime.connections(merchant.id):
            yield _check(connection)


def _check(connection: Connection) -> Checked:
    try:
        connection.check()
    except NotSupported as error:
        return Checked(connection.merchant_id, connection.name, None, str(error))
    except AdapterError as error:
        return Checked(connection.merchant_id, connection.name, False, f"{type(error).__name__}: {error}")
    return Checked(connection.merchant_id, connection.name, True)


def _worth_telling(runtime: Runtime) -> list[Connection]:
    found = {(connection.merchant_id, connection.name): connection for connection in runtime.opened()}
    for merchant in runtime.merchants.values():
        for config in merchant.connections.values():
            if config.problem:
                found.setdefault((merchant.id, config.name), runtime.connection(merchant.id, config.name))
    return [found[key] for key in sorted(found)]
