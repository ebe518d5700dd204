"""The wire of the e-voucher platform 凭证通, where the merchant makes the codes. Imports nothing of ours.

*Calls*, from us: ``POST /router/rest``, a form in UTF-8 with ``method app_key session timestamp v sign_method sign``
and the call's own fields; the answer is JSON, not signed: ``{"evoucher_consume_response": {…}}`` or
``{"error_response": {"code", "msg", "sub_code", "sub_msg"}}``. What went wrong stands in ``sub_code``: those that begin
``isv.`` are refusals, all others are trouble of the platform.

*Notices*, to us: a POST form in **GBK** with ``method`` (send, resend, modified, cancel, order_modify), ``order_id``,
``token`` and ``sign``; the answer is ``{"code":200}``. A notice is repeated until it is answered so. The token of an
order never changes and stands in every call about it.

*Signature*, of both: the parameters that are not empty, without ``sign``, sorted by name as bytes and run together;
for a call HMAC-MD5 under the secret, for a notice MD5 with the secret before and after; hexadecimal, upper case.

Amounts are fen, times texts of the platform's own time zone, counts are uses. Parsers raise only :class:`ParseError`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn
from urllib.parse import parse_qsl, urlencode

CHINA = timezone(timedelta(hours=8))
TIME = "%Y-%m-%d %H:%M:%S"
NOTICE_CHARSET = "gbk"
ACKNOWLEDGED = b'{"code":200}'

SEND, RESEND, MODIFIED, CANCEL, ORDER_MODIFY = "send", "resend", "modified", "cancel", "order_modify"
NOTICES = (SEND, RESEND, MODIFIED, CANCEL, ORDER_MODIFY)

#: Whether an order's codes are one use each, or one code holds all uses.
FREE, ONE_EACH, ONE_FOR_ALL = 0, 1, 2

#: How an order stands: paid and without codes, with codes, given back as a whole (or used up and settled).
WAITING, SENT, CLOSED = 1, 2, 3

CONSUMED, REVERSED = 1, 2
LOG_PAGE = 40

# Refusals (``isv.``): nothing was changed.
CODE_UNKNOWN = "isv.code-not-exist"
NOT_ENOUGH = "isv.left-num-not-enough"
REFUNDING = "isv.order-refunding"
EXPIRED = "isv.code-expired"
NOT_BEGUN = "isv.code-not-begun"
ORDER_CLOSED = "isv.order-closed"
ORDER_UNKNOWN = "isv.order-not-exist"
TOKEN_WRONG = "isv.token-invalid"  # noqa: S105 - a code of the protocol
SERIAL_USED = "isv.serial-num-used"
SERIAL_UNKNOWN = "isv.serial-num-not-exist"
NUM_DIFFERS = "isv.reverse-num-differs"
ALREADY_REVERSED = "isv.already-reversed"
ALREADY_SENT = "isv.already-sent"
CODES_DIFFER = "isv.codes-differ"
CODE_TAKEN = "isv.code-taken"
NOT_SENT_YET = "isv.order-not-sent"
BAD_PARAMETER = "isv.invalid-parameter"
BAD_SIGNATURE, BAD_SESSION, BAD_KEY = "isv.invalid-signature", "isv.invalid-session", "isv.invalid-app-key"
BUSY = "isp.system-busy"

_SERIAL = re.compile(r"[A-Za-z0-9_]{1,100}")
_CODE = re.compile(r"[0-9]{8,20}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,12}", re.ASCII)
_ORDER = re.compile(r"[0-9]{1,32}", re.ASCII)
_MAX = 2_000_000


class ParseError(ValueError):
    """The bytes are not what the protocol says."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: the refusal's ``sub_code`` and words, or ``""`` and what the call gave."""

    error: str
    message: str
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NoticeForm:
    """A notice, read and verified. ``digest`` is the same for the same notice sent again."""

    method: str
    order_id: str
    token: str
    seller: str
    fields: Mapping[str, str]
    digest: str


@dataclass(frozen=True, slots=True)
class CodeState:
    """A code's four numbers: bought, still usable, locked by a refund that is asked for, used."""

    code: str
    num: int
    left: int
    locked: int
    used: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the platform knows it. ``awaits``: the notices that nobody has called back about; amounts in fen."""

    order_id: str
    state: int
    num: int
    left: int
    consume_type: int
    item: str
    title: str
    total_fee: int
    valid_start: datetime
    valid_end: datetime
    awaits: tuple[str, ...]
    codes: tuple[CodeState, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One line of the log: ``kind`` consumed or reversed; ``posid`` is the free text that its call carried."""

    number: int
    kind: int
    order_id: str
    code_tail: str
    num: int
    serial_num: str
    posid: str
    item: str
    at: datetime


def is_serial(text: str) -> bool:
    """Whether this may be a serial number: at most 100 of a-zA-Z0-9_."""
    return _SERIAL.fullmatch(text) is not None


def is_code(text: str) -> bool:
    """Whether this may be a code: digits."""
    return _CODE.fullmatch(text) is not None


# -- signing -----------------------------------------------------------------------------------------------------------


def _content(fields: Mapping[str, str], charset: str) -> bytes:
    kept = {name: value for name, value in fields.items() if name != "sign" and value}
    return b"".join(
        name.encode(charset) + kept[name].encode(charset) for name in sorted(kept, key=lambda name: name.encode())
    )


def sign_call(fields: Mapping[str, str], secret: str) -> str:
    """The signature of a call."""
    return hmac.new(secret.encode(), _content(fields, "utf-8"), "md5").hexdigest().upper()


def sign_notice(fields: Mapping[str, str], secret: str) -> str:
    """The signature of a notice. Raises ``UnicodeEncodeError`` for what GBK can't hold."""
    around = secret.encode(NOTICE_CHARSET)
    raw = around + _content(fields, NOTICE_CHARSET) + around
    return hashlib.md5(raw, usedforsecurity=False).hexdigest().upper()


def call_body(method: str, fields: Mapping[str, str], app_key: str, session: str, secret: str, now: datetime) -> bytes:
    """The signed form of a call."""
    whole = {name: value for name, value in fields.items() if value} | {
        "method": f"evoucher.{method}",
        "app_key": app_key,
        "session": session,
        "timestamp": now.astimezone(CHINA).strftime(TIME),
        "v": "2.0",
        "format": "json",
        "sign_method": "hmac",
    }
    return urlencode(whole | {"sign": sign_call(whole, secret)}).encode()


def read_form(body: bytes, charset: str) -> dict[str, str]:
    """A form, each name once. Raises :class:`ParseError`."""
    if len(body) > _MAX:
        raise ParseError("the form is too long")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            encoding=charset,
            errors="strict",
            max_num_fields=100,
        )
    except ValueError as error:
        raise ParseError("the form can't be read") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ParseError("a name stands twice in the form")
    return fields


def read_notice(body: bytes, secret: str) -> NoticeForm:
    """A notice whose signature is right. Raises :class:`ParseError` for any other."""
    fields = read_form(body, NOTICE_CHARSET)
    try:
        right = sign_notice(fields, secret)
    except UnicodeError as error:
        raise ParseError("the notice is not GBK") from error
    if not hmac.compare_digest(right.encode(), fields.get("sign", "").encode()):
        raise ParseError("the notice's signature is wrong")
    kept = {name: value for name, value in fields.items() if value and name != "sign"}
    method, order_id, token = (kept.get(name, "") for name in ("method", "order_id", "token"))
    if method not in NOTICES or not _ORDER.fullmatch(order_id) or not 8 <= len(token) <= 128:
        raise ParseError("the notice is about nothing that is known")
    digest = hashlib.sha256(_content(kept, "utf-8")).hexdigest()[:24]
    return NoticeForm(method, order_id, token, kept.get("seller_nick", ""), kept, digest)


# -- answers -----------------------------------------------------------------------------------------------------------


def read_reply(body: bytes, method: str) -> Reply:
    """The answer to a call of this method. Raises :class:`ParseError`."""
    if len(body) > _MAX:
        raise ParseError("the reply is too long")
    try:
        whole = json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ParseError("the reply is not JSON in UTF-8") from error
    if not isinstance(whole, dict) or len(whole) != 1:
        raise ParseError("the reply is not one object")
    if "error_response" in whole:
        refusal = _object(whole, "error_response")
        code = _text(refusal, "sub_code") or f"code {_integer(refusal, 'code')}"
        return Reply(code, (_text(refusal, "sub_msg") or _text(refusal, "msg"))[:200], {})
    return Reply("", "", _object(whole, f"evoucher_{method.replace('.', '_')}_response"))


def read_order(reply: Reply) -> Order:
    """The answer to ``order.get`` and to ``code.get``."""
    data = reply.data
    return Order(
        order_id=_text(data, "order_id"),
        state=_integer(data, "state"),
        num=_integer(data, "num"),
        left=_integer(data, "left_num"),
        consume_type=_integer(data, "consume_type"),
        item=_text(data, "outer_iid"),
        title=_text(data, "item_title"),
        total_fee=_integer(data, "total_fee"),
        valid_start=_time(data, "valid_start"),
        valid_end=_time(data, "valid_ends"),
        awaits=tuple(str(item) for item in _list(data, "awaits")),
        codes=tuple(_code(item) for item in _list(data, "codes")),
    )


def read_log(reply: Reply) -> tuple[tuple[Operation, ...], int]:
    """A page of the log, and how many lines there are in all."""
    return tuple(_operation(item) for item in _list(reply.data, "logs")), _integer(reply.data, "total")


def read_tasks(reply: Reply) -> tuple[str, ...]:
    """The orders of which a notice failed, or was never called back."""
    return tuple(dict.fromkeys(_text(item, "order_id") for item in _list(reply.data, "tasks")))


def read_echo(reply: Reply) -> tuple[str, str, int]:
    """What a consume or reverse says that it did: order, serial number, count."""
    return _text(reply.data, "order_id"), _text(reply.data, "serial_num"), _integer(reply.data, "num")


def read_order_id(reply: Reply) -> str:
    """The order that a send, resend or notify was about."""
    return _text(reply.data, "order_id")


def read_seller(reply: Reply) -> str:
    """Whose session it is."""
    return _text(reply.data, "seller_nick")


def read_verify_codes(text: str) -> dict[str, int]:
    """``code:num,code:num``. Raises :class:`ParseError`."""
    codes: dict[str, int] = {}
    for part in text.split(",") if text else ():
        code, colon, num = part.partition(":")
        if not colon or not is_code(code) or not _NUMBER.fullmatch(num) or int(num) < 1 or code in codes:
            raise ParseError("verify_codes is not code:num,code:num")
        codes[code] = int(num)
    return codes


def write_verify_codes(codes: Mapping[str, int]) -> str:
    """``code:num,code:num``."""
    return ",".join(f"{code}:{num}" for code, num in codes.items())


def _code(item: Any) -> CodeState:
    numbers = (_integer(item, name) for name in ("initial_num", "available_num", "locked_num", "used_num"))
    return CodeState(_text(item, "verify_code"), *numbers)


def _operation(item: Any) -> Operation:
    return Operation(
        number=_integer(item, "log_id"),
        kind=_integer(item, "type"),
        order_id=_text(item, "order_id"),
        code_tail=_text(item, "code_tail"),
        num=_integer(item, "num"),
        serial_num=_text(item, "serial_num"),
        posid=_text(item, "posid"),
        item=_text(item, "outer_iid"),
        at=_time(item, "time"),
    )


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
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise ParseError(f"{name} is not a number")
    return value


def _time(item: Any, name: str) -> datetime:
    try:
        return datetime.strptime(_text(item, name), TIME).replace(tzinfo=CHINA)
    except ValueError as error:
        raise ParseError(f"{name} is not a time") from error


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
