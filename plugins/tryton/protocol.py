"""Tryton's JSON-RPC (series 8): ``POST /<database>/rpc/`` with a method, its parameters and, last, the context.

JSON-RPC and not REST, because only here a write can be made conditional: a context with ``_timestamp`` has the record
refused (``ConcurrencyException``) that somebody else has changed since. Over REST the same context is ignored.

A date or a decimal travels as an object with ``__class__``. An error is ``[name, [message, description]]`` for those
that the server means, ``[text, traceback]`` for those that it does not. This module imports nothing of the gateway
and raises ``ParseError`` only.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

#: Errors that the server raises on purpose: the transaction was rolled back, nothing was changed.
MEANT = frozenset({"UserError", "UserWarning", "ConcurrencyException", "LoginException"})


_NONE = type(None)
#: Of what kind a field is, by its name.
KINDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "number", "reference", "code", "description", "comment", "type"), (str, _NONE)),
    **dict.fromkeys(("state", "formula", "_timestamp"), (str,)),
    **dict.fromkeys(("spent_on", "origin"), (str, _NONE)),
    **dict.fromkeys(("addresses", "coupons", "gift_cards", "lines", "products", "categories"), (list,)),
    **dict.fromkeys(("product", "unit", "default_uom", "warehouse", "price_list", "customer_location"), (int, _NONE)),
    **dict.fromkeys(("storage_location", "picking_location", "output_location", "input_location"), (int, _NONE)),
    **dict.fromkeys(("active", "salable", "per_party"), (bool, _NONE)),
    **dict.fromkeys(("number_of_use", "quantity"), (int, float, _NONE)),
    **dict.fromkeys(("value", "unit_price", "total_amount"), (Decimal, int, float)),
    **dict.fromkeys(("amount", "list_price_used", "gross_price_used"), (Decimal, int, float, _NONE)),
    **dict.fromkeys(("start_date", "end_date", "sale_date", "write_date"), (date, _NONE)),
}


class ParseError(ValueError):
    """A reply that is not JSON-RPC as Tryton speaks it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The server's own error: its name, and what it says."""

    name: str
    message: str

    @property
    def meant(self) -> bool:
        """Whether the server rolled back on purpose."""
        return self.name in MEANT


def encode(method: str, params: Sequence[Any], number: int = 1) -> bytes:
    """The bytes of one call; the answer carries its ``number``."""
    return json.dumps({"id": number, "method": method, "params": list(params)}, default=_encoded).encode()


def authorization(login: str, user: int, session: str) -> str:
    """The header's value for a session that ``common.db.login`` opened."""
    return "Session " + b64encode(f"{login}:{user}:{session}".encode()).decode("ascii")


def decode(body: bytes, number: int | None = None) -> Any:
    """The result of a call, or a ``Failure``. Raises ``ParseError``, for the answer to another call too."""
    try:
        reply = json.loads(body, object_hook=_decoded)
    except (ValueError, RecursionError):
        raise ParseError("the reply is not JSON") from None
    if not isinstance(reply, dict) or not ({"result", "error"} & reply.keys()):
        raise ParseError("the reply has neither result nor error")
    if number is not None and reply.get("id") != number:
        raise ParseError("the reply answers another call")
    return _failure(reply["error"]) if "error" in reply else reply["result"]


def checked(row: Any, names: Sequence[str]) -> dict[str, Any]:
    """A record that has all the fields that were asked for, each of its kind. Raises ``ParseError``."""
    if not isinstance(row, dict) or type(row.get("id")) is not int:
        raise ParseError("a record is no object with an id")
    for name in names:
        _check(row, name)
    return row


def _check(row: Any, name: str) -> None:
    """``coupon.promotion.name`` stands in the object ``coupon.``; of many records, in a list of objects."""
    head, dot, rest = name.partition(".")
    key = f"{head}." if dot else head
    if not isinstance(row, dict) or key not in row:
        raise ParseError(f"a record has no {key[:40]}")
    found = row[key]
    if dot:
        for each in found if isinstance(found, list) else [found]:
            _check(each, rest)
    elif not isinstance(found, KINDS.get(head, object)):
        raise ParseError(f"{head} is {type(found).__name__}")
    elif isinstance(found, list) and not all(type(each) is int for each in found):
        raise ParseError(f"{head} is no list of numbers")


def _failure(error: Any) -> Failure:
    if not isinstance(error, list) or not error or not isinstance(error[0], str):
        raise ParseError("the error is not a list that begins with a text")
    told = error[1] if len(error) > 1 and error[0] in MEANT else ""
    message = told[0] if isinstance(told, list) and told else told
    return Failure(error[0][:200], message[:500] if isinstance(message, str) else "")


def _encoded(value: Any) -> Any:
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, date) and not isinstance(value, datetime):
        return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}
    raise TypeError(f"{type(value).__name__} does not travel")


def _decoded(value: dict[str, Any]) -> Any:
    try:
        return _value(value)
    except (KeyError, TypeError, ValueError, OverflowError, InvalidOperation):
        raise ParseError(f"a value of class {str(value.get('__class__'))[:40]} that does not hold one") from None


def _value(value: Mapping[str, Any]) -> Any:
    match value.get("__class__"):
        case "Decimal":
            return Decimal(value["decimal"])
        case "date":
            return date(value["year"], value["month"], value["day"])
        case "datetime":
            parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
            return datetime(*(value[part] for part in parts))  # noqa: DTZ001  (UTC, and it says no zone)
        case _:
            return value
