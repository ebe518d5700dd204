"""The gateway's own configuration, frozen; made by ``config.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseConfig:
    """The database's address (``sqlite:///…`` made absolute, or ``postgresql://…``) and its settings."""

    url: str = field(default="", repr=False)
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Every time of the engine, in seconds, so that tests can scale them down.

    ``inline_wait_s``: a reply waits so long, then it is 202. ``lease_s``: a worker's claim on a checkout.
    ``call_timeout_s``: the deadline of one change. ``query_every_s`` and ``close_after_s`` where a hook declares
    nothing. After a payment was closed or its outcome stayed unknown: asked every ``backoff_first_s``, rising to
    ``backoff_max_s``, after ``slow_after_s`` every ``slow_every_s``. ``watch_s``: a closed payment is watched for late
    money. ``recovery_every_s``: how often workers look for what needs doing.
    """

    inline_wait_s: float = 15
    lease_s: float = 20
    call_timeout_s: float = 10
    query_timeout_s: float = 8
    query_every_s: float = 4
    close_after_s: float = 50
    backoff_first_s: float = 5
    backoff_max_s: float = 60
    slow_after_s: float = 86400
    slow_every_s: float = 3600
    watch_s: float = 86400
    recovery_every_s: float = 1


@dataclass(frozen=True, kw_only=True)
class GatewayConfig:
    """``gateway.toml`` with all merchants in it.

    ``file`` is where it was read from, ``data`` the folder for everything that is written. ``plugins_allow`` are names
    of plugins, where ``first-party`` stands for all that come with the gateway. ``webhook_hosts`` may be inside.
    """

    file: Path
    data: Path
    server: Server = Server()
    database: DatabaseConfig = DatabaseConfig()
    plugins_allow: tuple[str, ...] = ("first-party",)
    engine: Timings = Timings()
    webhook_hosts: tuple[str, ...] = ()
    payment_codes: tuple[CodeRange, ...] = DEFAULT_RANGES
    merchants: Mapping[str, Merchant] = field(default_factory=dict)
