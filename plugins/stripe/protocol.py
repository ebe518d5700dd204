"""The processor's wire: forms with brackets, JSON objects, its own amounts, signatures of webhooks.

Amounts are integers in the currency's minor unit as the processor counts it, which is ISO 4217's but for a few.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from gateway.sdk import ParseError
from gateway.sdk.parsing import shown

#: Currencies whose amounts the processor counts by another unit: digits after the point by ISO 4217, and with it.
OTHER_UNITS: Mapping[str, tuple[int, int]] = {"ISK": (0, 2), "UGX": (0, 2), "MGA": (2, 0)}
#: Three digits by ISO 4217 and with the processor, and the last must be 0.
THREE_DIGITS = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))
TOLERANCE_S = 300
_TENS = (1, 10, 100)


def to_units(amount: int, currency: str) -> int:
    """Our minor units as the processor counts them. Raises ``ValueError`` for an amount that it can't take."""
    ours, theirs = OTHER_UNITS.get(currency, (0, 0))
    units, rest = divmod(amount * _TENS[theirs], _TENS[ours])
    if rest or (currency in THREE_DIGITS and units % 10):
        raise ValueError(f"{amount} in minor units of {currency} has more digits than the processor takes")
    return units


def from_units(units: int, currency: str) -> int:
    """The processor's amount in our minor units. Raises ``ParseError`` for one that is no whole number of ours."""
    ours, theirs = OTHER_UNITS.get(currency, (0, 0))
    amount, rest = divmod(units * _TENS[ours], _TENS[theirs])
    if rest:
        raise ParseError(f"{units} units of {currency} are no whole amount")
    return amount


def form(values: Mapping[str, Any]) -> bytes:
    """A form: ``{"metadata": {"a": 1}, "expand": ["x"]}`` is ``metadata[a]=1&expand[0]=x``."""
    return urlencode(list(_flat(values.items(), ""))).encode()


def _flat(items: Iterable[tuple[str, Any]], before: str) -> Iterable[tuple[str, str]]:
    for name, value in items:
        path = f"{before}[{name}]" if before else name
        if isinstance(value, Mapping):
            yield from _flat(value.items(), path)
        elif isinstance(value, list | tuple):
            yield from _flat(((str(index), each) for index, each in enumerate(value)), path)
        else:
            yield path, str(value).lower() if isinstance(value, bool) else str(value)


def read_object(raw: bytes) -> dict[str, Any]:
    """A JSON object, as every answer is one."""
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        raise ParseError(f"no JSON: {shown(raw)}") from None
    if not isinstance(found, dict):
        raise ParseError("no JSON object")
    return found


def field(found: Mapping[str, Any], name: str, kind: type) -> Any:
    """A field of an answer that must be there, of this type."""
    value = found.get(name)
    if not isinstance(value, kind) or isinstance(value, bool) is not (kind is bool):
        raise ParseError(f"{name} is missing or no {kind.__name__}")
    return value


def signature(secret: str, stamp: int, body: bytes) -> str:
    """The header that comes with a webhook."""
    code = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={code}"


def read_webhook(header: str, body: bytes, secrets: Iterable[str], now: float) -> dict[str, Any]:
    """The event of a webhook. Raises ``ParseError`` unless one of the secrets signed it in the last five minutes."""
    parts = [each.strip().partition("=") for each in header.split(",")]
    stamps = [value for name, _, value in parts if name == "t"]
    codes = [value for name, _, value in parts if name == "v1"]
    if len(stamps) != 1 or not (stamps[0].isascii() and stamps[0].isdigit() and len(stamps[0]) < 13):
        raise ParseError("the signature's header has no time")
    if abs(now - int(stamps[0])) > TOLERANCE_S:
        raise ParseError("the signature is too old, or a clock is wrong")
    wanted = [signature(secret, int(stamps[0]), body).partition("v1=")[2].encode() for secret in secrets]
    given = [code.encode("utf-8", "replace") for code in codes]
    if not any(hmac.compare_digest(left, right) for left in wanted for right in given):
        raise ParseError("the signature does not fit")
    return read_object(body)
