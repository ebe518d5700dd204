"""Tryton (series 8.2): a wholesaler's or department store's back office, reached over its JSON-RPC."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type]:
    """The adapter classes of this plugin."""
    from plugins.tryton.adapter import TrytonAdapter

    return (TrytonAdapter,)
