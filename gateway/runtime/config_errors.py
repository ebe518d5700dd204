"""What is wrong in a configuration file: which file, which key, what was expected. All of it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields

from gateway.domain.errors import GatewayError

UNKNOWN = "Unknown field."


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``path`` is the key's path in the file, ``""`` for the file as a whole."""

    file: Path
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.text}" if self.path else f"{self.file}: {self.text}"


class ConfigError(GatewayError):
    """The configuration cannot be used; ``problems`` are all that was found, in the order of the files."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def join(path: str, key: object) -> str:
    """The path of a key below a path: ``stores[0].id``."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else str(key)


#: What checks the value at a path, where it is known: a schema, or a field for a table with free keys.
Node = Schema | fields.Dict | None


def explain(node: Node, messages: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and text of every message in marshmallow's nested errors; values are never shown, one may be a secret."""
    if isinstance(messages, Mapping):
        for key, inner in messages.items():
            yield from _explain_key(node, key, inner, path)
        return
    for message in messages if isinstance(messages, list) else [messages]:
        yield path, _plain(str(message))


def _explain_key(node: Node, key: Any, inner: Any, path: str) -> Iterator[tuple[str, str]]:
    if key == "_schema":
        yield from explain(node, inner, path)
    elif inner == [UNKNOWN] and isinstance(node, Schema):
        yield join(path, key), unknown_key(str(key), node.fields)
    elif isinstance(key, int):
        yield from explain(node, inner, join(path, key))
    elif isinstance(node, fields.Dict) and isinstance(inner, Mapping):
        for part in ("key", "value"):
            yield from explain(_node(node.value_field), inner.get(part, []), join(path, key))
    else:
        yield from explain(_below(node, key), inner, join(path, key))


def _below(node: Node, key: str) -> Node:
    """What checks the value under a key."""
    if not isinstance(node, Schema):
        return None
    return _node(next((f for name, f in node.fields.items() if key in (name, f.data_key)), None))


def _node(found: Any) -> Node:
    while isinstance(found, fields.List):
        found = found.inner
    if isinstance(found, fields.Nested):
        return found.schema
    return found if isinstance(found, fields.Dict) else None


def unknown_key(key: str, known: Iterable[str]) -> str:
    """The text about a key that does not exist: the nearest one, and all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown key; {hint}expected one of: {', '.join(names) or '(no keys)'}"


_PLAIN = {
    "Missing data for required field.": "missing; this key is required",
    UNKNOWN: "unknown key",
    "Not a valid integer.": "expected a whole number",
    "Not a valid number.": "expected a number",
    "Not a valid string.": "expected a text",
    "Not a valid boolean.": "expected true or false",
    "Not a valid list.": "expected a list",
    "Not a valid mapping type.": "expected a table",
    "Invalid input type.": "expected a table",
    "Field may not be null.": "expected a value",
    "Not a valid URL.": "expected a URL, such as https://host/path",
}


def _plain(message: str) -> str:
    """Say in a reader's words what marshmallow says in its own."""
    return _PLAIN.get(message, message)
