"""The one error that readers of a foreign format raise."""

from __future__ import annotations


class ParseError(ValueError):
    """Bytes or text that are not what the format says. The message names the place and no personal data."""


def shown(value: object, most: int = 40) -> str:
    """A value for a message: quoted, and never long."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}…"
