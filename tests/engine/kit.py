"""A gateway in a test: real files, a real database, real simulators on sockets; times scaled down."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gateway.engine.caller import RuntimeCaller
from gateway.engine.checkouts import Checkouts
from gateway.engine.deposits import Deposits
from gateway.engine.model import Timing
from gateway.engine.refunds import Refunds
from gateway.engine.replies import Reply
from gateway.engine.seams import SystemClock, TimeOrderedIds
from gateway.engine.service import Asked, Engine
from gateway.runtime import Runtime, discover, load_config, migrations
from gateway.runtime.discovery import Found, find
from gateway.sdk.simulator import Fault, Running, Simulator, start
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.store.schema import MIGRATIONS

FAST = Timing(
    lease=2_000,
    call=1_500,
    hold=3_000,
    pay=6_000,
    backoff_first=20,
    backoff_most=200,
    post_patience=400,
    task_after=2_000,
    watch=2_000,
    inline=8_000,
    recovery_every=100,
    scale=0.05,
)


@dataclass
class House:
    """A running gateway of one test."""

    folder: Path
    engine: Engine
    database: Database
    runtime: Runtime
    running: dict[str, Running] = field(default_factory=dict)
    count: int = 0

    @property
    def checkouts(self) -> Checkouts:
        return Checkouts(self.engine)

    @property
    def refunds(self) -> Refunds:
        return Refunds(self.engine)

    @property
    def deposits(self) -> Deposits:
        return Deposits(self.engine)

    def asked(self, merchant: str = "m1", key: str = "") -> Asked:
        self.count += 1
        return Asked(merchant, key or f"key-{self.count}", f"fp-{self.count}")

    def checkout(self, request: Mapping[str, Any], merchant: str = "m1") -> tuple[Reply, dict[str, Any]]:
        reply = self.checkouts.create(self.asked(merchant), dict(request))
        return reply, json.loads(reply.body)

    def fault(self, simulator: str, *faults: Fault) -> None:
        self.running[simulator].simulator.faults.set(list(faults))

    def books(self, simulator: str) -> dict[str, Any]:
        return self.running[simulator].simulator.books()

    def settle(self, rounds: int = 200) -> None:
        """Let recovery work until nothing is due any more."""
        import time

        for _ in range(rounds):
            if not self.engine.worker.recover(self.engine.finish, patience=500):
                time.sleep(0.02)

    def stop(self) -> None:
        if isinstance(self.engine.caller, RuntimeCaller):
            self.engine.caller.close()
        self.runtime.close()
        self.database.close()
        for running in self.running.values():
            running.stop()


def build(
    folder: Path,
    merchant: str,
    simulators: Mapping[str, Simulator],
    *,
    timing: Timing = FAST,
    url: str = "",
    plugins: Sequence[Found] = (),
    others: Mapping[str, str] = MappingProxyType({}),
) -> House:
    """Start the simulators, write the merchant's file with their addresses in it, and wire a gateway.

    ``merchant`` is TOML with ``{name.role}`` for a simulator's address and ``{name.data}`` for its folder; ``plugins``
    are a test's own, installed beside those that come with the gateway; ``others`` are more merchants, by id.
    """
    running = {name: start(simulator) for name, simulator in simulators.items()}
    for name, run in running.items():
        for role, address in run.addresses.items():
            merchant = merchant.replace(f"<{name}.{role}>", address)
        merchant = merchant.replace(f"<{name}.data>", str(run.simulator.data))
    (folder / "merchants").mkdir()
    (folder / "merchants" / "m1.toml").write_text(merchant, encoding="utf-8")
    for name, text in others.items():
        (folder / "merchants" / f"{name}.toml").write_text(text, encoding="utf-8")
    config_file = folder / "gateway.toml"
    config_file.write_text('data = "data"\nmerchants = ["merchants/*.toml"]\n', encoding="utf-8")
    discovery = discover(("first-party",), [*find(), *plugins])
    config = load_config(config_file, discovery)
    database = open_database(url or f"sqlite:///{folder / 'gateway.db'}")
    migrate(database, [Migration(*pair) for pair in (*MIGRATIONS, *migrations(discovery))])
    runtime = Runtime(config, discovery, database)
    clock = SystemClock()
    engine = Engine(runtime, database, RuntimeCaller(runtime, clock), clock, TimeOrderedIds(), timing)
    return House(folder, engine, database, runtime, running)
