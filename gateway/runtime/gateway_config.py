"""The gateway's own configuration, frozen; made by ``config.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from gateway.domain.common import Secret
from gateway.runtime.merchant import Merchant
from gateway.runtime.payment_codes import DEFAULT_RANGES, CodeRange


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where the gateway listens. ``console_port`` 0: no console. The app stands behind a proxy that does TLS."""

    host: str = "127.0.0.1"
    port: int = 8080
    console_host: str = "127.0.0.1"
    console_port: int = 8081
    workers: int = 2
    threads: int = 8
    public_url: str = ""
    max_body_bytes: int = 1 << 20
    master_key: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one key may ask for. ``misses_per_hour``: coupons, members and refunds that are not there."""

    requests_per_s: float = 2_000.0
    burst_s: float = 2.0
    misses_per_hour: int = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """Who may be told of events, and how patiently.

    ``allow_hosts`` are receivers inside: ``host`` for https on 443 and 8443, ``host:port`` for http or https on that
    port. ``retry_s`` are the pauses before each try, in seconds; as many as there are tries.
    """

    allow_hosts: tuple[str, ...] = ()
    ca_bundle: str = ""
    every_s: float = 0.5
    timeout_s: float = 15.0
    retry_s: tuple[float, ...] = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginEvents:
    """How patiently plugins are told of events.

    ``timeout_s``: how long one call of ``o2o_event`` may take. ``retry_s`` are the pauses before each try, in seconds;
    as many as there are tries.
    """

    timeout_s: float = 10.0
    retry_s: tuple[float, ...] = (0, 1, 5, 30, 120)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceConfig:
    """How long attempts at far systems, with their masked messages, are kept."""

    keep_days: int = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """The database's address (``sqlite:///…`` made absolute, or ``postgresql://…``) and its settings."""

    url: str = field(default="", repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Every time of the engine, in seconds, so that tests and demonstrations can scale them down.

    ``lease_s``: how long a worker owns a checkout without renewing. ``call_s``: the deadline of one change. ``hold_s``:
    how long holds may take to be resolved. ``pay_s``: after this an undecided payment is closed. ``backoff_…``: between
    attempts of what must end well. ``post_patience_s``: how long a checkout waits for the till. ``task_after_s``: when
    what does not end becomes a person's case. ``watch_s``: how long a closed payment is watched for late money.
    ``inline_s``: a reply waits so long, then it is 202. ``recovery_every_s``: how often workers look for what is due.
    ``scale`` multiplies the times that adapters declare.
    """

    lease_s: float = 20
    call_s: float = 10
    hold_s: float = 8
    pay_s: float = 60
    backoff_first_s: float = 0.5
    backoff_most_s: float = 60
    post_patience_s: float = 5
    task_after_s: float = 480
    watch_s: float = 1800
    inline_s: float = 15
    recovery_every_s: float = 1
    scale: float = 1.0

    def milliseconds(self) -> dict[str, Any]:
        """The same as whole milliseconds under names without the unit; ``scale`` as it is."""
        times = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name.removesuffix("_s"): value if name == "scale" else max(1, round(value * 1000))
            for name, value in times.items()
        }


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """``gateway.toml`` with all merchants in it.

    ``file`` is where it was read from, ``data`` the folder for everything that is written. ``plugins_allow`` are names
    of plugins, where ``first-party`` stands for all that come with the gateway.
    """

    file: Path
    data: Path
    server: Server = Server()
    database: DatabaseConfig = DatabaseConfig()
    plugins_allow: tuple[str, ...] = ("first-party",)
    engine: Timings = Timings()
    limits: Limits = Limits()
    webhooks: Webhooks = Webhooks()
    plugin_events: PluginEvents = PluginEvents()
    evidence: EvidenceConfig = EvidenceConfig()
    payment_codes: tuple[CodeRange, ...] = DEFAULT_RANGES
    merchants: Mapping[str, Merchant] = field(default_factory=dict)
