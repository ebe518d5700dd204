"""便民365: a chain of convenience shops with padded tables, offline tills, drop folders and scale labels."""

from __future__ import annotations

from gateway.sdk import hookimpl

from .adapter import ConvenienceAdapter


@hookimpl
def o2o_adapters() -> list[type]:
    """The adapters of this plugin."""
    return [ConvenienceAdapter]
