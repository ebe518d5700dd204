"""The wire of the group-buy platform 团券通: JSON over HTTP, prepare → verify → cancel. Imports nothing of ours.

Every reply is ``{"data": {"error_code", "description", …}, "extra": {"error_code", "description", "logid", "now"}}``
with HTTP status 200. A call succeeded only if *both* error codes are 0 **and**, for a verify, each certificate's own
``result`` is 0. Amounts are fen, times seconds since the epoch. Certificates have a plain code (typed or printed), and
an ``encrypted_code`` that is told by ``prepare`` alone; a QR code is a short link, whose first hop leads to an address
with ``object_id``: that is passed on as ``encrypted_data``, whole.

Parsers raise only :class:`ParseError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlsplit

OK = 0
BUSY = 2100004
BAD_PARAMETER = 2100005
TOKEN_INVALID, TOKEN_EXPIRED = 2190002, 2190008
NO_PERMISSION = 2190004
POI_UNKNOWN = 1101
CODE_UNKNOWN, NONE_USABLE, NOT_AT_POI, CODE_EXPIRED = 1201, 1202, 1203, 1205
VERIFY_TOKEN_INVALID, NOT_PREPARED, VERIFY_TOKEN_USED = 1206, 1207, 1208
VERIFY_UNKNOWN, CANCEL_TOO_LATE, COUNT_DIFFERS, ALREADY_CANCELLED = 1301, 1302, 1303, 1304

#: What a verify says of one certificate.
RESULT_OK, RESULT_FAILED, RESULT_USED, RESULT_EXPIRED, RESULT_REFUNDED, RESULT_NOT_AT_POI = 0, 1, 2, 3, 4, 5

#: How a certificate stands.
UNUSED, USED, REFUNDING, REFUNDED = 1, 2, 3, 4

_CODE = re.compile(r"[0-9]{10,20}", re.ASCII)
_MAX_REPLY = 4_000_000


class ParseError(ValueError):
    """The bytes are not what the protocol says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply: the first error code that is not 0 (of ``data``, then of ``extra``), its words, and the data."""

    code: int
    message: str
    logid: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Deal:
    """What was sold: ``third_sku_id`` is the merchant's own number of it, if it was entered at the platform."""

    sku_id: str
    title: str
    kind: int
    third_sku_id: str


@dataclass(frozen=True, slots=True)
class Amounts:
    """Per certificate, in fen: the face, what was asked, what the platform gave, what the customer paid."""

    original: int
    sold: int
    platform_ticket: int
    paid: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate of an order; ``verify`` is its redemption, if it is used."""

    certificate_id: str
    encrypted_code: str
    code_tail: str
    status: int
    order_id: str
    start_time: int
    expire_time: int
    deal: Deal
    amounts: Amounts
    verify: Verified | None


@dataclass(frozen=True, slots=True)
class Verified:
    """A redemption as the platform keeps it; ``device`` is the free text that the verify carried."""

    verify_id: str
    verify_time: int
    poi_id: str
    account: str
    device: str
    can_cancel: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a prepare tells: a token for exactly one verify, and the certificates of the order that are unused."""

    verify_token: str
    order_id: str
    certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What a verify did to one certificate; ``verify_id`` is empty unless ``result`` is 0."""

    encrypted_code: str
    certificate_id: str
    result: int
    message: str
    verify_id: str


@dataclass(frozen=True, slots=True)
class Record:
    """One certificate's line in the history; a cancelled one stays, with the time and token of its cancel."""

    verify_id: str
    certificate_id: str
    code_tail: str
    order_id: str
    poi_id: str
    verify_time: int
    account: str
    device: str
    deal: Deal
    amounts: Amounts
    fee: int
    cancel_time: int
    cancel_token: str


def is_code(text: str) -> bool:
    """Whether this is a plain certificate code: 10 to 20 digits."""
    return _CODE.fullmatch(text) is not None


def read_object_id(location: str) -> str:
    """The ``object_id`` of the address that a short link's first hop leads to, whole."""
    try:
        values = parse_qs(urlsplit(location).query, keep_blank_values=True).get("object_id", [])
    except ValueError as error:
        raise ParseError("the short link leads to no address") from error
    if len(values) != 1 or not values[0]:
        raise ParseError("the short link leads to no object_id")
    return values[0]


def read_reply(body: bytes) -> Reply:
    """Any reply. Raises :class:`ParseError`."""
    if len(body) > _MAX_REPLY:
        raise ParseError("the reply is too long")
    try:
        whole = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ParseError("the reply is not JSON in UTF-8") from error
    data, extra = _object(whole, "data"), _object(whole, "extra")
    for part in (data, extra):
        code = _integer(part, "error_code")
        if code != OK:
            return Reply(code, _text(part, "description")[:200], _text(extra, "logid"), data)
    return Reply(OK, "", _text(extra, "logid"), data)


def read_token(reply: Reply) -> tuple[str, int]:
    """The access token and how many seconds it lives."""
    token, lifetime = _text(reply.data, "access_token"), _integer(reply.data, "expires_in")
    if not token or lifetime <= 0:
        raise ParseError("the reply has no access token")
    return token, lifetime


def read_prepared(reply: Reply) -> Prepared:
    """The answer to a prepare."""
    certificates = tuple(_certificate(item) for item in _list(reply.data, "certificates"))
    prepared = Prepared(_text(reply.data, "verify_token"), _text(reply.data, "order_id"), certificates)
    if not prepared.verify_token or not prepared.order_id:
        raise ParseError("the reply has no verify_token or order_id")
    return prepared


def read_results(reply: Reply) -> tuple[Result, ...]:
    """What a verify did, certificate by certificate; also of a reply whose error code is not 0."""
    return tuple(
        Result(
            _text(item, "encrypted_code"),
            _text(item, "certificate_id"),
            _integer(item, "result"),
            _text(item, "msg")[:200],
            _text(item, "verify_id"),
        )
        for item in _list(reply.data, "verify_results")
    )


def read_certificate(reply: Reply) -> Certificate:
    """The answer to a get."""
    return _certificate(_object(reply.data, "certificate"))


def read_certificates(reply: Reply) -> tuple[Certificate, ...]:
    """All certificates of an order, whatever became of them."""
    return tuple(_certificate(item) for item in _list(reply.data, "certificates"))


def read_cancelled(reply: Reply) -> str:
    """The redemption that a cancel took back."""
    return _text(reply.data, "verify_id")


def read_records(reply: Reply) -> tuple[tuple[Record, ...], str]:
    """A page of the history, and the cursor of the next one (empty at the end)."""
    records = tuple(_record(item) for item in _list(reply.data, "records"))
    more = reply.data.get("has_more") is True
    return records, str(_integer(reply.data, "cursor")) if more else ""


def read_pois(reply: Reply) -> dict[str, str]:
    """The shops this account may redeem for: number → name."""
    return {_text(item, "poi_id"): _text(item, "poi_name") for item in _list(reply.data, "pois")}


def _certificate(item: Any) -> Certificate:
    verify = item.get("verify") if isinstance(item, dict) else None
    return Certificate(
        certificate_id=_text(item, "certificate_id"),
        encrypted_code=_text(item, "encrypted_code"),
        code_tail=_text(item, "code_tail"),
        status=_integer(item, "status"),
        order_id=_text(item, "order_id"),
        start_time=_integer(item, "start_time"),
        expire_time=_integer(item, "expire_time"),
        deal=_deal(_object(item, "sku")),
        amounts=_amounts(_object(item, "amount")),
        verify=None if verify is None else _verified(verify),
    )


def _verified(item: Any) -> Verified:
    operator = _object(item, "operator")
    return Verified(
        verify_id=_text(item, "verify_id"),
        verify_time=_integer(item, "verify_time"),
        poi_id=_text(item, "poi_id"),
        account=_text(operator, "account"),
        device=_text(operator, "device"),
        can_cancel=item.get("can_cancel") is True,
    )


def _record(item: Any) -> Record:
    operator = _object(item, "operator")
    return Record(
        verify_id=_text(item, "verify_id"),
        certificate_id=_text(item, "certificate_id"),
        code_tail=_text(item, "code_tail"),
        order_id=_text(item, "order_id"),
        poi_id=_text(item, "poi_id"),
        verify_time=_integer(item, "verify_time"),
        account=_text(operator, "account"),
        device=_text(operator, "device"),
        deal=_deal(_object(item, "sku")),
        amounts=_amounts(_object(item, "amount")),
        fee=_integer(item, "fee_amount"),
        cancel_time=_integer(item, "cancel_time"),
        cancel_token=_text(item, "cancel_token"),
    )


def _deal(item: Mapping[str, Any]) -> Deal:
    return Deal(
        _text(item, "sku_id"), _text(item, "title"), _integer(item, "groupon_type"), _text(item, "third_sku_id")
    )


def _amounts(item: Mapping[str, Any]) -> Amounts:
    names = ("original_amount", "sold_amount", "platform_ticket_amount", "pay_amount")
    return Amounts(*(_integer(item, name) for name in names))


def _object(item: Any, name: str) -> Mapping[str, Any]:
    value = item.get(name) if isinstance(item, dict) else None
    if not isinstance(value, dict):
        raise ParseError(f"{name} is not an object")
    return value


def _list(item: Mapping[str, Any], name: str) -> list[Any]:
    value = item.get(name, [])
    if not isinstance(value, list):
        raise ParseError(f"{name} is not a list")
    return value


def _text(item: Any, name: str) -> str:
    value = item.get(name, "") if isinstance(item, dict) else None
    if not isinstance(value, str):
        raise ParseError(f"{name} is not a text")
    return value


def _integer(item: Any, name: str) -> int:
    value = item.get(name, 0) if isinstance(item, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > 1 << 53:
        raise ParseError(f"{name} is not an integer")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
