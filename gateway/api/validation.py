"""From what a schema says to the problem that the platform reads: a pointer and a text for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import Schema, ValidationError

from gateway.engine.problems import Problem
from schemas.cards import CARD_FIELDS
from schemas.fields import CARD_DATA, UNKNOWN

#: How many mistakes one reply tells: a person reads no more, and a reply many times as long as its request is a weapon.
MOST = 100
_TEXTS = {
    UNKNOWN: "does not exist",
    "Missing data for required field.": "is missing",
    "Field may not be null.": "must not be null",
    "Invalid input type.": "must be an object",
    "Not a valid string.": "must be a text",
    "Not a valid list.": "must be a list",
}


def load_body(schema: Schema, data: Any) -> Any:
    """The body, checked. Raises ``validation-error``, ``unknown-field`` or ``card-data-rejected``."""
    try:
        return schema.load(data)
    except ValidationError as error:
        raise _problem(list(_explain(error.messages, "", "/")), "body") from None


def load_query(schema: Schema | None, query: Mapping[str, str]) -> dict[str, Any]:
    """The query, checked; pointers begin with ``?``."""
    if schema is None:
        if query:
            errors = [{"pointer": f"?{name}", "detail": _TEXTS[UNKNOWN]} for name in query]
            raise Problem("unknown-field", "the query has a parameter that does not exist", errors=errors)
        return {}
    try:
        loaded: dict[str, Any] = schema.load(query)
    except ValidationError as error:
        raise _problem(list(_explain(error.messages, "", "?")), "query") from None
    return loaded


def _explain(messages: Any, path: str, mark: str) -> Iterator[tuple[str, str]]:
    """Pointer and message of everything that is wrong; values are never shown, one may be a secret."""
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _explain(inner, path if key == "_schema" else f"{path}{mark}{_escape(str(key))}", mark)
        return
    for message in messages if isinstance(messages, list) else [messages]:
        yield path, str(message)


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")[:128]


def _problem(found: list[tuple[str, str]], where: str) -> Problem:
    errors = [{"pointer": pointer, "detail": _TEXTS.get(text, text)} for pointer, text in found[:MOST]]
    unknown = [pointer for pointer, text in found if text == UNKNOWN]
    if any(text == CARD_DATA for _, text in found) or any(_names_a_card(pointer) for pointer in unknown):
        return Problem("card-data-rejected", "card data must never come here; nothing of it was kept", errors=errors)
    if unknown:
        return Problem("unknown-field", f"the {where} has a field that does not exist", errors=errors)
    return Problem("validation-error", f"the {where} does not validate", errors=errors)


def _names_a_card(pointer: str) -> bool:
    return pointer.rpartition("/")[2].lower() in CARD_FIELDS
