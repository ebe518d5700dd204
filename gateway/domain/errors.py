"""Trouble with an adapter, grouped by what to do next.

AdapterError
├── NotSent          provably nothing left us: safe to try again
│   ├── Misconfigured    the settings are wrong: a person must act (counts as not sent only if no byte left)
│   └── NotSupported     this system cannot do it (likewise)
├── OutcomeUnknown   everything else that went wrong on the way: ask, never guess
│   └── InvalidReply     an answer that does not parse, verify or match what was asked
└── PluginError      a bug in the plugin: unknown

A decline is not trouble: it is the value ``Declined`` of gateway.domain.outcomes.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of every error this project raises on purpose."""


class AdapterError(GatewayError):
    """A hook did not come back with an outcome."""


class NotSent(AdapterError):
    """Provably nothing left us: the connection was refused, the host unknown, TLS failed before the first byte."""


class Misconfigured(NotSent):
    """The connection's settings are wrong. The text says which setting and what was expected."""


class NotSupported(NotSent):
    """The legacy system cannot do what was asked."""


class OutcomeUnknown(AdapterError):
    """Something left us and no trustworthy answer came back: the effect may have happened, or may still happen."""


class InvalidReply(OutcomeUnknown):
    """An answer that does not parse, whose signature does not verify, or that is about something else."""


class PluginError(AdapterError):
    """The plugin broke its contract or raised something of its own: treated as unknown."""
