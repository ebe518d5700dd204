"""Pages of lists: an opaque cursor, ``data``, ``has_more``, ``next_cursor``."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from datetime import datetime

from gateway.engine.checkouts import NEVER
from gateway.engine.model import Json, State
from gateway.engine.problems import invalid

#: In which states of the engine a checkout of this status may be; what is finer, its operations say.
_UNDER_WAY = tuple(state.value for state in State if state not in (State.COMPLETED, State.FAILED, State.CANCELLED))
STATES_OF: dict[str, tuple[str, ...]] = {
    "completed": ("completed",),
    "failed": ("failed",),
    "cancelled": ("cancelled",),
    "processing": _UNDER_WAY,
    "awaiting_customer": _UNDER_WAY,
    "resolving": _UNDER_WAY,
    "needs_attention": _UNDER_WAY,
}


def cursor_of(position: str) -> str:
    """A position as an opaque cursor."""
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def cursor_position(query: Json, prefix: str = "") -> str:
    """The position of the query's cursor, ``""`` without one. Raises ``validation-error`` for one that is not ours."""
    cursor = query.get("cursor")
    if cursor is None:
        return ""
    try:
        position = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("utf-8")
    except (binascii.Error, ValueError):
        raise invalid("?cursor", "is not a cursor of this list") from None
    if not position.startswith(prefix) or len(position) > 128 or not position.isprintable():
        raise invalid("?cursor", "is not a cursor of this list")
    return position


def page(found: list[Json], limit: int, cursor: Callable[[Json], str]) -> Json:
    """A page of at most ``limit`` items out of one more that was asked for."""
    data, has_more = found[:limit], len(found) > limit
    return {"data": data, "has_more": has_more, "next_cursor": cursor(data[-1]) if has_more else None}


def window(query: Json) -> tuple[int, int]:
    """The query's ``from`` (included) and ``to`` (excluded) in milliseconds."""
    start, end = query.get("from"), query.get("to")
    return (_milliseconds(start) if start else 0, _milliseconds(end) if end else NEVER)


def _milliseconds(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * 1000)
