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
        """An event has been committed. Called after the fact; what it raises is logged and changes nothing."""
