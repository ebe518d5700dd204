"""JSON as it is stored and sent: compact, UTF-8, members in the order in which they were put in.

orjson does it in a fifth of the time that the standard library takes; what orjson refuses (whole numbers beyond 64
bits, keys that are no texts) goes to the standard library, whose text is the same for all that both can write.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

_STRICT = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_SORTED = _STRICT | orjson.OPT_SORT_KEYS
_dump: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_dump_sorted: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def dump(value: Any) -> str:
    """A value as JSON. Raises ``TypeError`` for what is not JSON."""
    try:
        return orjson.dumps(value, option=_STRICT).decode()
    except TypeError:
        return _dump(value)


def dump_sorted(value: Any) -> str:
    """A value as JSON, members sorted: one text for all that mean the same. Raises ``TypeError``."""
    try:
        return orjson.dumps(value, option=_SORTED).decode()
    except TypeError:
        return _dump_sorted(value)


def load(text: str) -> Any:
    """What was dumped."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)
