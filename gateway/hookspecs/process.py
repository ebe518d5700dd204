"""Process-wide hooks: these are called once for all plugins, not per connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gateway.hookspecs.marker import hookspec

if TYPE_CHECKING:
    import click


class ProcessHooks:
    """What a plugin module or object registers at start-up."""

    @hookspec
    def o2o_adapters(self) -> Sequence[type]:  # type: ignore[empty-body]
        """The adapter classes of this plugin (subclasses of ``gateway.sdk.Adapter``)."""

    @hookspec
    def o2o_commands(self) -> Sequence[click.Command]:  # type: ignore[empty-body]
        """Commands to add to ``gateway``."""

    @hookspec
    def o2o_health(self) -> Mapping[str, Any]:  # type: ignore[empty-body]
        """Facts for the health page, by name."""

    @hookspec
    def o2o_event(self, event: Mapping[str, Any]) -> None:
        """An event of the feed, after it was committed and sealed: the envelope that ``GET /v1/events`` shows.

        Every event comes at least once: remember ``event["id"]`` where that matters. Those of one ``subject`` come in
        the order of ``seq``; one call is made at a time, in one process of all. It is never called inside a request or
        a transaction. What it raises, or does not end within ``[plugins] event_timeout_s``, is tried again after
        ``event_retry_s``; after the last pause the event is parked and named to a person, later ones of its subject
        wait behind it, and all others go on. A call that was given up may still be running when the next one comes. A
        plugin hears of what happens from the first start on that it is loaded at; while it is not loaded nothing is
        lost.
        """
