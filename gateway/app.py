"""Puts the gateway together: configuration, plugins, database, runtime, engine, API."""

from __future__ import annotations

import logging
import os
from functools import partial
from pathlib import Path

from flask import Flask

from gateway.api import install_api
from gateway.api.parts import Parts
from gateway.backoffice.campaigns import pin_campaigns
from gateway.backoffice.messages.sending import Sending
from gateway.backoffice.messages.taking import RECEIVER, Taking
from gateway.engine.addresses import Addresses
from gateway.engine.caller import RuntimeCaller
from gateway.engine.checkouts import Checkouts
from gateway.engine.clock import SteadyClock
from gateway.engine.deposits import Deposits
from gateway.engine.keeping import Keeper, note_configurations
from gateway.engine.model import Timing
from gateway.engine.notices import Notices
from gateway.engine.refunds import Refunds
from gateway.engine.sealed import Box
from gateway.engine.seams import TimeOrderedIds
from gateway.engine.service import Engine
from gateway.engine.updown import UpDown
from gateway.runtime import Discovery, GatewayConfig, Runtime, discover, load_config, migrations, read_gateway
from gateway.runtime.master_key import MasterKey
from gateway.store.migrate import Migration, migrate
from gateway.store.port import Database, open_database
from gateway.store.schema import MIGRATIONS
from gateway.webhooks.endpoints import Endpoints
from gateway.webhooks.plugins import PluginReceiver
from gateway.webhooks.relay import Relay

log = logging.getLogger("gateway")

#: Names the configuration file where no path is given.
CONFIG_VARIABLE = "GATEWAY_CONFIG"
DEFAULT_CONFIG = Path("config/gateway.toml")


def create_app(config_path: str | Path | None = None) -> Flask:
    """The WSGI application. Raises ``ConfigError`` with everything that is wrong in the configuration.

    The parts are ``app.extensions["gateway"]``; their recovery thread starts with the first request, or before it by
    ``start_recovery()``, and always after ``fork``.
    """
    parts = build_parts(find_config(config_path))
    app = Flask("gateway", static_folder=None)
    app.extensions["gateway"] = parts
    install_api(app, parts)
    return app


def find_config(path: str | Path | None = None) -> Path:
    """The configuration file: as given, as ``GATEWAY_CONFIG`` says, or ``config/gateway.toml``."""
    return Path(path or os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG).resolve()


def build_parts(file: Path) -> Parts:
    """Everything but the web: what commands and the demonstration need too."""
    discovery = discover(read_gateway(file).plugins_allow)
    return build_engine(load_config(file, discovery), discovery)


def build_engine(config: GatewayConfig, discovery: Discovery, database: Database | None = None) -> Parts:
    """The engine on a configuration that is read; the database's schema is brought up to date."""
    database = open_migrated(config, discovery) if database is None else database
    clock = SteadyClock.of(config.data, database)
    ids = TimeOrderedIds(clock.about)
    pin_campaigns(database, config.merchants.values(), clock.now())
    updown = UpDown(database, clock, ids)
    runtime = Runtime(config, discovery, database, listener=updown)
    caller = RuntimeCaller(runtime, clock)
    engine = Engine(runtime, database, caller, clock, ids, timing_of(config))
    master = MasterKey(config.data / "master.key", config.server.master_key)
    engine.addresses = Addresses(Box(lambda: master.derive("members-addresses")))
    engine.quoted = Box(lambda: master.derive("quotes"))
    engine.sealer.use(lambda: master.derive("audit-chain"), config.data / "audit-heads.json")
    note_configurations(database, ids, config.merchants.values(), clock.now())
    engine.worker.chores.append(Keeper(database, clock, caller.late, config.evidence.keep_days).keep)
    relay = Relay(database, clock, ids, master, config.webhooks)
    relay.sealer = engine.sealer
    listens = discovery.listeners().items()
    listeners = tuple(PluginReceiver(*each, database, clock, ids, config.plugin_events) for each in listens)
    relay.inside |= {each.id: None for each in listeners}
    engine.worker.chores.append(partial(updown.look, runtime))
    engine.worker.chores.append(clock.look)
    notices = Notices(engine)
    engine.worker.chores.append(notices.following.look)
    return Parts(
        config=config,
        discovery=discovery,
        database=database,
        clock=clock,
        runtime=runtime,
        caller=caller,
        engine=engine,
        checkouts=Checkouts(engine),
        refunds=Refunds(engine),
        deposits=Deposits(engine),
        notices=notices,
        master=master,
        endpoints=Endpoints(database, clock, ids, master, config.webhooks),
        relay=relay,
        listeners=listeners,
        messages=_messages(engine, relay, config),
        updown=updown,
    )


def _messages(engine: Engine, relay: Relay, config: GatewayConfig) -> Sending | None:
    """What sends messages to members; nothing where no merchant wants any."""
    if not any(merchant.messages.on for merchant in config.merchants.values()):
        return None
    relay.inside[RECEIVER] = Taking(engine)
    return Sending(engine, config.evidence.keep_days)


def open_migrated(config: GatewayConfig, discovery: Discovery) -> Database:
    """The database with all tables of the core and of the plugins. Several processes may do this at once."""
    config.data.mkdir(parents=True, exist_ok=True)
    database = open_database(config.database.url, **config.database.settings)
    wanted = [Migration(name, sql) for name, sql in (*MIGRATIONS, *migrations(discovery))]
    done = migrate(database, wanted)
    if done:
        log.info("the schema was brought up to date", extra={"migrations": done})
    return database


def timing_of(config: GatewayConfig) -> Timing:
    """The engine's times in milliseconds."""
    return Timing(**config.engine.milliseconds())
