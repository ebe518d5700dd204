"""Requests and answers as JSON between the gateway and a runner: only the domain's own records, exactly as they are.

Unlike pickle, nothing that comes over the pipe can make anything but these records. What is not known raises
``CodecError``, on both sides.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path, PurePath
from typing import Any
from zoneinfo import ZoneInfo

from gateway.domain import common, coupons, membership, messages, orders, outcomes, payments, stock
from gateway.domain.common import Secret

_MODULES = (common, coupons, membership, messages, orders, outcomes, payments, stock)
_OWN = {module.__name__ for module in _MODULES}
#: The records and enumerations that may be handed over, by name.
_KINDS: Mapping[str, Any] = {
    name: kind
    for module in _MODULES
    for name, kind in vars(module).items()
    if isinstance(kind, type) and kind.__module__ in _OWN and (is_dataclass(kind) or issubclass(kind, Enum))
}
_NAMES: Mapping[Any, str] = {kind: name for name, kind in _KINDS.items()}
_FIELDS: Mapping[Any, tuple[str, ...]] = {
    kind: tuple(each.name for each in fields(kind)) for kind in _NAMES if is_dataclass(kind)
}


class CodecError(ValueError):
    """Something cannot be handed over, or what came is none of ours."""


def encode(value: Any) -> bytes:
    """A value as JSON. Raises ``CodecError`` for one that is none of the domain's."""
    try:
        return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:
        raise CodecError(str(error)) from None


def decode(data: bytes) -> Any:
    """The value. Raises ``CodecError`` for anything that ``encode`` does not make."""
    try:
        return _read(json.loads(data))
    except CodecError:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise CodecError(f"not understood: {type(error).__name__}") from None


def _plain(value: Any) -> Any:
    if value is None or type(value) in (str, int, bool, float):
        return value
    if type(value) is list:
        return [_plain(item) for item in value]
    if type(value) in _FIELDS:
        return {"$": _NAMES[type(value)], "is": {name: _plain(getattr(value, name)) for name in _FIELDS[type(value)]}}
    if isinstance(value, Mapping):
        return {"$": "map", "is": {_key(name): _plain(item) for name, item in value.items()}}
    for kind, tag, write in _SCALARS:
        if isinstance(value, kind):
            return {"$": tag, "is": write(value)}
    raise CodecError(f"{type(value).__name__} cannot be handed over")


def _key(name: Any) -> str:
    if type(name) is not str:
        raise CodecError(f"a key is {type(name).__name__}, not a text")
    return name


def _enum(value: Enum) -> list[Any]:
    if type(value) not in _NAMES:
        raise CodecError(f"{type(value).__name__} cannot be handed over")
    return [_NAMES[type(value)], value.value]


#: Kind, tag and how it is written; ``datetime`` is a ``date``, and so comes first.
_SCALARS: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (Enum, "enum", _enum),
    (tuple, "tuple", lambda value: [_plain(item) for item in value]),
    (Decimal, "decimal", str),
    (datetime, "time", datetime.isoformat),
    (date, "day", date.isoformat),
    (Secret, "secret", Secret.reveal),
    (bytes, "bytes", lambda value: base64.b64encode(value).decode()),
    (PurePath, "path", str),
    (ZoneInfo, "zone", str),
    (str, "text", str.__str__),
)


def _decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise CodecError("no decimal") from None


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "map": lambda found: {name: _read(item) for name, item in found.items()},
    "enum": lambda found: _KINDS[found[0]](found[1]),
    "tuple": lambda found: tuple(_read(item) for item in found),
    "decimal": _decimal,
    "time": datetime.fromisoformat,
    "day": date.fromisoformat,
    "secret": lambda found: Secret(_text(found)),
    "bytes": lambda found: base64.b64decode(found, validate=True),
    "path": Path,
    "zone": ZoneInfo,
    "text": lambda found: _text(found),
}


def _text(value: Any) -> str:
    if type(value) is not str:
        raise CodecError("no text")
    return value


def _read(value: Any) -> Any:
    if type(value) is list:
        return [_read(item) for item in value]
    if type(value) is not dict:
        return value
    if value.keys() != {"$", "is"}:
        raise CodecError("an object without its kind")
    tag, found = value["$"], value["is"]
    reader = _READERS.get(tag)
    if reader is not None:
        return reader(found)
    kind = _KINDS.get(tag)
    if kind is None or kind not in _FIELDS:
        raise CodecError(f"no such record: {tag!r:.40}")
    if type(found) is not dict or found.keys() != set(_FIELDS[kind]):
        raise CodecError(f"{tag}: other fields than it has")
    return kind(**{name: _read(item) for name, item in found.items()})
