"""pretix 2026.8: tickets of a cinema or venue over its REST API. It is a system that nobody here wrote."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.sdk import Adapter, hookimpl


@hookimpl
def o2o_adapters() -> Sequence[type[Adapter]]:
    """The adapter class of this plugin."""
    from plugins.pretix.adapter import PretixAdapter  # only when it is wanted: others list plugins without it

    return (PretixAdapter,)
