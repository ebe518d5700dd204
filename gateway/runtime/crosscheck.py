"""What no single table of a merchant's file can tell: names that refer to each other, adapters that cannot serve."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gateway.hookspecs import FAMILY_OF
from gateway.runtime.hookcheck import implemented_hooks
from gateway.runtime.merchant import ConnectionConfig, Merchant, Route
from gateway.sdk import Adapter, EmbeddedAdapter

Found = Iterator[tuple[str, str]]


def cross_check(merchant: Merchant, adapters: Mapping[str, type[Adapter]]) -> list[tuple[str, str]]:
    """Path and text of everything in a merchant's file that contradicts something else in it, or its adapters."""
    checks: tuple[Callable[[], Found], ...] = (
        lambda: _connections(merchant, adapters),
        lambda: _routes(merchant, adapters),
        lambda: _pricing_stores(merchant),
        lambda: _messages(merchant),
    )
    return [found for check in checks for found in check()]


def _connections(merchant: Merchant, adapters: Mapping[str, type[Adapter]]) -> Found:
    for connection in merchant.connections.values():
        adapter = adapters.get(connection.adapter)
        if adapter is not None:
            yield from _connection(f"connections.{connection.name}", merchant, connection, adapter)


def _connection(path: str, merchant: Merchant, connection: ConnectionConfig, adapter: type[Adapter]) -> Found:
    if adapter.about.insecure_transport and not connection.insecure_transport:
        text = "this system speaks plain text; protect the link and say insecure_transport = true"
        yield f"{path}.insecure_transport", text
    if connection.runner and issubclass(adapter, EmbeddedAdapter):
        text = (
            f"adapter {adapter.name!r} works inside the gateway's own transaction and can't have a process of its own"
        )
        yield f"{path}.runner", text
    if merchant.currency not in adapter.about.currencies:
        text = f"adapter {adapter.name!r} knows {', '.join(adapter.about.currencies)}, not {merchant.currency}"
        yield f"{path}.adapter", text


def _routes(merchant: Merchant, adapters: Mapping[str, type[Adapter]]) -> Found:
    for index, route in enumerate(merchant.routes):
        yield from _route(f"routes[{index}]", route, merchant, adapters)


def _route(path: str, route: Route, merchant: Merchant, adapters: Mapping[str, type[Adapter]]) -> Found:
    connection = merchant.connections.get(route.connection)
    if connection is None:
        names = ", ".join(sorted(merchant.connections)) or "none"
        yield f"{path}.connection", f"no connection {route.connection!r}; there are: {names}"
    elif (adapter := adapters.get(connection.adapter)) and not _serves(adapter, route.family):
        yield f"{path}.family", f"adapter {adapter.name!r} implements no hook of the family {route.family!r}"
    for store in route.stores:
        if store not in merchant.stores:
            yield f"{path}.stores", f"no store {store!r}; there are: {', '.join(merchant.stores) or 'none'}"


def _serves(adapter: type[Adapter], family: str) -> bool:
    return any(FAMILY_OF[hook] == family for hook in implemented_hooks(adapter))


def _pricing_stores(merchant: Merchant) -> Found:
    for store in merchant.pricing.stores:
        if store not in merchant.stores:
            yield f"pricing.stores.{store}", "there is no such store"


def _messages(merchant: Merchant) -> Found:
    """Each message has a connection that sends it in each of its stores, and that knows its template."""
    for index, rule in enumerate(merchant.messages.on):
        path = f"messages.on[{index}]"
        for store in rule.stores:
            if store not in merchant.stores:
                yield f"{path}.stores", f"no store {store!r}; there are: {', '.join(merchant.stores) or 'none'}"
        told = {merchant.matching("messages", store_id=store)[:1] for store in rule.stores or merchant.stores or ("",)}
        if () in told:
            yield path, 'no connection sends it: a [[routes]] with family = "messages" is missing'
        for name in {name for names in told for name in names if name in merchant.connections}:
            templates = merchant.connections[name].settings.get("templates")
            if isinstance(templates, Mapping) and rule.template not in templates:
                text = f"connection {name!r} has no template {rule.template!r}; there are: {', '.join(templates)}"
                yield f"{path}.template", text
