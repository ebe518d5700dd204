"""Finds plugins, holds one relay a connection, guards it, routes, derives capabilities, reads the configuration.

discovery = discover(read_gateway(file).plugins_allow)
runtime = Runtime(load_config(file, discovery), discovery, database)
runtime.route("s1", "payments", method="payment_code", channel="alipay").change("payment_charge", request, call)
"""

from gateway.runtime.config import ConfigError, GatewayConfig, load_config, read_gateway
from gateway.runtime.connection import Connection, ConnectionState
from gateway.runtime.connections import Runtime, UnknownConnection, UnknownMerchant, migrations
from gateway.runtime.discovery import Discovery, discover
from gateway.runtime.merchant import Merchant

__all__ = [
    "ConfigError",
    "Connection",
    "ConnectionState",
    "Discovery",
    "GatewayConfig",
    "Merchant",
    "Runtime",
    "UnknownConnection",
    "UnknownMerchant",
    "discover",
    "load_config",
    "migrations",
    "read_gateway",
]
