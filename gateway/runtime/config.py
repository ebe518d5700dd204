"""Reads ``gateway.toml`` and the merchants' files: everything that is wrong is told at once, with file and key.

    config = load_config(Path("config/gateway.toml"), discovery)

A merchant's file holds ``[merchant]``, ``[[stores]]``, ``[connections.NAME]`` with ``[connections.NAME.settings]``
(checked by the adapter's own schema, secrets by reference, paths from the file's folder), ``[[routes]]``,
``[pricing]``, ``[policy]``, ``[messages]`` and ``[[payment_codes]]``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Protocol

from marshmallow import Schema, ValidationError

from gateway.runtime.config_errors import ConfigError, Problem, explain, join
from gateway.runtime.config_schema import ConnectionForm, GatewayFile, MerchantFile
from gateway.runtime.crosscheck import cross_check
from gateway.runtime.gateway_config import (
    DatabaseConfig,
    EvidenceConfig,
    GatewayConfig,
    Limits,
    PluginEvents,
    Server,
    Timings,
    Webhooks,
)
from gateway.runtime.merchant import ConnectionConfig, Merchant
from gateway.runtime.payment_codes import DEFAULT_RANGES, CodeRange
from gateway.sdk import Adapter, Settings
from gateway.sdk.settings import resolve_path, resolve_secret, settings_folder

__all__ = ["ConfigError", "GatewayConfig", "Problem", "load_config", "load_merchant", "read_gateway"]


class Adapters(Protocol):
    """What the loader asks of discovery: the adapter classes by name, and the plugins that did not load."""

    @property
    def adapters(self) -> Mapping[str, type[Adapter]]: ...
    @property
    def failed(self) -> Mapping[str, str]: ...


def load_config(file: Path, adapters: Adapters) -> GatewayConfig:
    """The gateway's configuration with all its merchants. Raises ``ConfigError`` naming every problem of every file."""
    config, patterns = _read_gateway(file)
    problems: list[Problem] = []
    merchants: dict[str, Merchant] = {}
    for path in _merchant_files(file, patterns, problems):
        try:
            merchant = load_merchant(path, adapters, config.payment_codes)
        except ConfigError as error:
            problems.extend(error.problems)
            continue
        if merchant.id in merchants:
            text = f"merchant {merchant.id!r} is configured in {merchants[merchant.id].file} already"
            problems.append(Problem(path, "merchant.id", text))
        merchants[merchant.id] = merchant
    if problems:
        raise ConfigError(problems)
    return replace(config, merchants=merchants)


def read_gateway(file: Path) -> GatewayConfig:
    """``gateway.toml`` alone, without the merchants: what discovery and migrations need."""
    return _read_gateway(file)[0]


def load_merchant(file: Path, adapters: Adapters, ranges: tuple[CodeRange, ...] = DEFAULT_RANGES) -> Merchant:
    """One merchant's file. Raises ``ConfigError`` with all that is wrong in it."""
    raw = _read_toml(file)
    problems: list[Problem] = []
    tables = _include_campaigns(file, raw, problems)
    checked = _check(MerchantFile(), tables, file, problems)
    with settings_folder(file.parent):
        connections = _connections(file, raw.get("connections"), adapters, problems)
    if problems:
        raise ConfigError(problems)
    merchant = _merchant(file, checked, connections, ranges)
    found = [Problem(file, path, text) for path, text in cross_check(merchant, adapters.adapters)]
    if found:
        raise ConfigError(found)
    return merchant


def _merchant(
    file: Path, checked: dict[str, Any], connections: dict[str, ConnectionConfig], ranges: tuple[CodeRange, ...]
) -> Merchant:
    stores = {store.id: store for store in checked.get("stores", [])}
    rest = {name: checked[name] for name in ("pricing", "policy", "messages") if name in checked}
    return Merchant(
        **checked["merchant"],
        **rest,
        stores=stores,
        connections=connections,
        routes=tuple(checked.get("routes", ())),
        payment_codes=(*checked.get("payment_codes", ()), *ranges),
        file=file,
    )


def _connections(file: Path, tables: Any, adapters: Adapters, problems: list[Problem]) -> dict[str, ConnectionConfig]:
    found: dict[str, ConnectionConfig] = {}
    for name, table in tables.items() if isinstance(tables, Mapping) else ():
        path = join("connections", name)
        checked = _check(ConnectionForm(), table, file, problems, path)
        if not checked or "adapter" not in checked:
            continue
        raw = checked.pop("settings", {})
        adapter = adapters.adapters.get(checked["adapter"])
        if adapter is None:
            found[name] = ConnectionConfig(name=name, **checked, problem=_no_adapter(checked["adapter"], adapters))
            if not adapters.failed:
                problems.append(Problem(file, join(path, "adapter"), found[name].problem))
            continue
        settings = _settings(file, adapter, raw, problems, join(path, "settings"))
        found[name] = ConnectionConfig(name=name, **checked, settings=settings)
    return found


def _no_adapter(name: str, adapters: Adapters) -> str:
    failed = "".join(f"; plugin {plugin} did not load: {reason}" for plugin, reason in adapters.failed.items())
    return f"no adapter {name!r} is installed; there are: {', '.join(sorted(adapters.adapters)) or 'none'}{failed}"


def _settings(file: Path, adapter: type[Adapter], raw: Any, problems: list[Problem], path: str) -> Mapping[str, Any]:
    """The settings through the adapter's own schema. What a faulty schema raises is told as a problem of the file."""
    schema: Settings = adapter.Settings()
    try:
        loaded: Mapping[str, Any] = schema.load(raw)
    except ValidationError as error:
        problems.extend(Problem(file, where, text) for where, text in explain(schema, error.messages, path))
    except Exception as error:  # a schema is a plugin's code
        text = f"the schema of adapter {adapter.name!r} broke: {type(error).__name__}"
        problems.append(Problem(file, path, text))
    else:
        return loaded
    return {}


def _check(schema: Schema, table: Any, file: Path, problems: list[Problem], path: str = "") -> dict[str, Any]:
    try:
        checked: dict[str, Any] = schema.load(table)
    except ValidationError as error:
        problems.extend(Problem(file, where, text) for where, text in explain(schema, error.messages, path))
        return {}
    return checked


def _read_toml(file: Path) -> dict[str, Any]:
    """A TOML file with dates as texts. Raises ``ConfigError`` that names the line."""
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError([Problem(file, "", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise ConfigError([Problem(file, "", "is not UTF-8")]) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem(file, "", f"is not TOML: {error}")]) from None
    return {key: _plain(value) for key, value in table.items()}


def _plain(value: Any) -> Any:
    """Dates and times as ISO texts, the form that the pricing document has."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime | date | time) else value


def _include_campaigns(file: Path, raw: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """Put the campaigns of a file named in ``pricing.campaigns`` where inline ones stand."""
    pricing = raw.get("pricing")
    name = pricing.get("campaigns") if isinstance(pricing, dict) else None
    if not isinstance(pricing, dict) or not isinstance(name, str):
        return raw
    other = file.parent / name
    campaigns: Any = []
    try:
        table = _read_toml(other)
        campaigns = table.pop("campaigns", [])
        problems.extend(Problem(other, key, "unknown key; expected [[campaigns]]") for key in table)
    except ConfigError as error:
        problems.extend(error.problems)
    return {**raw, "pricing": {**pricing, "campaigns": campaigns}}


def _read_gateway(file: Path) -> tuple[GatewayConfig, tuple[str, ...]]:
    problems: list[Problem] = []
    with settings_folder(file.parent):
        checked = _check(GatewayFile(), _read_toml(file), file, problems)
    if problems:
        raise ConfigError(problems)
    with settings_folder(file.parent):
        data = resolve_path(checked.get("data", "data")).resolve()
        database = _database(file, checked.get("database", {}), data)
    allow, plugin_events = checked.get("plugins", (None, PluginEvents()))
    config = GatewayConfig(
        file=file,
        data=data,
        database=database,
        server=checked.get("server", Server()),
        plugins_allow=("first-party",) if allow is None else allow,
        plugin_events=plugin_events,
        engine=checked.get("engine", Timings()),
        limits=checked.get("limits", Limits()),
        webhooks=checked.get("webhooks", Webhooks()),
        evidence=checked.get("evidence", EvidenceConfig()),
        payment_codes=(*checked.get("payment_codes", ()), *DEFAULT_RANGES),
    )
    return config, checked.get("merchants", ("merchants/*.toml",))


def _database(file: Path, table: dict[str, Any], data: Path) -> DatabaseConfig:
    url = table.pop("url", f"sqlite:///{data / 'gateway.db'}")
    try:
        if url.startswith(("env:", "file:")):
            url = resolve_secret(url).reveal()
    except ValueError as error:
        raise ConfigError([Problem(file, "database.url", str(error))]) from None
    scheme, _, path = url.partition("://")
    if scheme == "sqlite" and path.startswith("/"):
        url = f"sqlite:///{resolve_path(path[1:])}"
    elif scheme not in ("postgresql", "postgres"):
        expected = "expected sqlite:///path, postgresql://…, env:NAME or file:PATH"
        raise ConfigError([Problem(file, "database.url", expected)])
    return DatabaseConfig(url=url, settings=table)


def _merchant_files(file: Path, patterns: Iterable[str], problems: list[Problem]) -> list[Path]:
    """The merchants' files: a pattern, a folder (its ``*.toml``) or a file, from the configuration's folder."""
    found: dict[Path, None] = {}
    for index, pattern in enumerate(patterns):
        with settings_folder(file.parent):
            path = resolve_path(pattern)
        here = sorted(path.glob("*.toml")) if path.is_dir() else sorted(Path(path.anchor).glob(str(path)[1:]))
        if not here and not _is_pattern(pattern) and not path.is_dir():
            problems.append(Problem(file, f"merchants[{index}]", f"{path} is not there"))
        found.update(dict.fromkeys(path for path in here if _is_merchant(path)))
    return list(found)


def _is_pattern(text: str) -> bool:
    return any(sign in text for sign in "*?[")


def _is_merchant(path: Path) -> bool:
    """A file of campaigns beside a merchant's is no merchant."""
    try:
        return "merchant" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True  # told as a problem when it is read
