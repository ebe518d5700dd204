"""Where a webhook may go: https on a public host, and hosts inside only if the configuration names them.

A name is resolved once for each delivery, every address that it has is checked, and the connection is made to one of
those very addresses: a name that points elsewhere a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from gateway.domain.errors import GatewayError

PORTS = (443, 8443)
LONGEST = 2048
#: Gives the addresses of a host as texts. Raises ``OSError`` if it cannot.
Resolver = Callable[[str, int], list[str]]

_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?\Z|\[[0-9A-Fa-f:.]+\]\Z")
_VISIBLE = re.compile(r"[!-~]+\Z")
#: Special-purpose IPv4 (IANA's registry): this network, private, shared (CGNAT), loopback, link-local, protocol
#: assignments, documentation, the old 6to4 relay, benchmarks, multicast, reserved with broadcast.
_NOT_PUBLIC_4 = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
#: All of IPv6 that is handed out for use lies here: mapped, NAT64, unique local, link-local, multicast do not.
_GLOBAL_6 = ip_network("2000::/3")
#: Protocol assignments with Teredo, documentation, 6to4: an IPv4 address may hide in them.
_NOT_PUBLIC_6 = tuple(ip_network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


class Forbidden(GatewayError, ValueError):
    """A webhook must not go there; the text says why, and nothing of what is inside."""


class Unresolved(GatewayError):
    """The host has no address just now."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address of a webhook, taken apart. ``inside``: the configuration lets it be an inner host."""

    scheme: str
    host: str
    port: int
    path: str
    inside: bool

    @property
    def authority(self) -> str:
        """What the header ``Host`` says."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == {"http": 80, "https": 443}[self.scheme] else f"{shown}:{self.port}"


def parse(url: str, allow_hosts: Collection[str] = ()) -> Target:
    """Take an address apart. Raises ``Forbidden`` for one that is not https on a port that webhooks use."""
    if len(url) > LONGEST or _VISIBLE.match(url) is None or "\\" in url:
        raise Forbidden(f"must be an address of at most {LONGEST} characters of ASCII")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Forbidden("is no address") from None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc
    if _HOST.match(host) is None:
        raise Forbidden("must name a host, without user or password; a name in other scripts goes as xn--…")
    if "#" in url or parts.scheme not in ("http", "https"):
        raise Forbidden("must be an https address without a fragment")
    host = host.strip("[]").rstrip(".").lower()
    port = {"http": 80, "https": 443}[parts.scheme] if port is None else port
    by_port = f"{host}:{port}" in allow_hosts
    if not by_port and (parts.scheme != "https" or port not in PORTS):
        raise Forbidden("must be https on port 443 or 8443")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path, by_port or host in allow_hosts)


def system_resolver(host: str, port: int) -> list[str]:
    """The addresses that the machine's resolver gives."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(each[4][0]) for each in found]


def addresses_of(target: Target, resolver: Resolver = system_resolver) -> list[str]:
    """Every address of the host, in the resolver's order. Raises ``Unresolved``, ``Forbidden`` if one is not public."""
    try:
        found = list(dict.fromkeys(resolver(target.host, target.port)))
    except (OSError, UnicodeError):
        found = []
    if not found:
        raise Unresolved("the host's name cannot be resolved")
    if not target.inside and not all(is_public(text) for text in found):
        raise Forbidden("the host is not a public one")
    return found


def is_public(text: str) -> bool:
    """Whether an address is one of the public internet."""
    try:
        address: IPv4Address | IPv6Address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_6 and not any(address in network for network in _NOT_PUBLIC_6)
