"""The wire of an official account's message interface: JSON over HTTPS, the access token in the query.

* ``GET /cgi-bin/token`` gives the account's one token and how long it lives; the one before it is void from then on.
* Every answer has HTTP status 200; an error is ``{"errcode": 40001, "errmsg": "…"}``, success ``errcode`` 0 or none.
* A template message (``/cgi-bin/message/template/send``) may carry ``client_msg_id``, at most 32 characters: to one
  receiver one message a number, for ten minutes. A subscription message (``…/subscribe/bizsend``) carries no number.
* A receiver is an openid: letters, digits, ``_`` and ``-``. Contents are ``{"data": {"keyword1": {"value": "…"}}}``.

Parsers raise only ``ParseError``, for whatever bytes they are given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TOKEN = "/cgi-bin/token"  # noqa: S105 - a path
TEMPLATES = "/cgi-bin/template/get_all_private_template"
SUBSCRIPTIONS = "/wxaapi/newtmpl/gettemplate"
SEND = {"template": "/cgi-bin/message/template/send", "subscription": "/cgi-bin/message/subscribe/bizsend"}

MOST_BYTES = 1_000_000
MOST_NUMBER = 32
#: Characters that a subscription message's value may have, by the beginning of its keyword's name.
SUBSCRIPTION_LIMITS: Mapping[str, int] = {
    "thing": 20,
    "character_string": 32,
    "number": 32,
    "letter": 32,
    "symbol": 5,
    "phrase": 5,
    "name": 10,
}

_OPENID = re.compile(r"[0-9A-Za-z_-]{6,64}", re.ASCII)
_NAME = re.compile(r"([A-Za-z_]+?)_?[0-9]*", re.ASCII)


class ParseError(ValueError):
    """Bytes that are not what the interface's documents say; the text names no value."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: 0 or the number of the error, what is said of it, and everything else."""

    code: int
    text: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Letter:
    """A message as it is sent: to whom, by which template, with which values; ``number`` is ours."""

    receiver: str
    template: str
    values: Mapping[str, str]
    number: str = ""
    link: str = ""


def read_object(raw: bytes) -> dict[str, Any]:
    """The members of a JSON object in UTF-8."""
    if len(raw) > MOST_BYTES:
        raise ParseError(f"over {MOST_BYTES} bytes")
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"no JSON: {type(error).__name__}") from None
    if not isinstance(found, dict):
        raise ParseError("no object")
    return found


def read_answer(raw: bytes) -> Answer:
    """An answer of the interface, whatever it says."""
    fields = read_object(raw)
    code, text = fields.get("errcode", 0), fields.get("errmsg", "")
    if type(code) is not int or not isinstance(text, str):
        raise ParseError("errcode is no number, or errmsg no text")
    return Answer(code, text, fields)


def read_token(answer: Answer) -> tuple[str, int]:
    """The token and its life in seconds."""
    token, seconds = answer.fields.get("access_token"), answer.fields.get("expires_in")
    if not isinstance(token, str) or not 8 <= len(token) <= 512 or not token.isascii() or not token.isprintable():
        raise ParseError("no access_token")
    if type(seconds) is not int or not 0 < seconds <= 86_400:
        raise ParseError("expires_in is no number of seconds")
    return token, seconds


def read_message_id(answer: Answer) -> str:
    """The far system's number of a message that it accepted; some answers to subscription messages have none."""
    number = answer.fields.get("msgid", "")
    if type(number) is int and 0 <= number < 1 << 64:
        return str(number)
    if number == "":
        return ""
    raise ParseError("msgid is no number")


def read_templates(answer: Answer) -> dict[str, str]:
    """Ids and titles of the account's templates, from either list."""
    name, key = ("template_list", "template_id") if "template_list" in answer.fields else ("data", "priTmplId")
    rows = answer.fields.get(name)
    if not isinstance(rows, list):
        raise ParseError("no list of templates")
    found: dict[str, str] = {}
    for row in rows:
        if not isinstance(row, dict) or not isinstance(row.get(key), str) or not isinstance(row.get("title"), str):
            raise ParseError("a template without its id or title")
        found[row[key]] = row["title"]
    return found


def dump_letter(letter: Letter) -> bytes:
    """A message as it goes out; Chinese is sent as it is, in UTF-8."""
    body: dict[str, Any] = {"touser": letter.receiver, "template_id": letter.template}
    body |= {"url": letter.link} if letter.link else {}
    body |= {"client_msg_id": letter.number} if letter.number else {}
    body["data"] = {name: {"value": value} for name, value in letter.values.items()}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def read_letter(raw: bytes) -> Letter:
    """A message as the account receives it."""
    body = read_object(raw)
    texts = [body.get(name, "") for name in ("touser", "template_id", "client_msg_id", "url")]
    data = body.get("data")
    if not all(isinstance(each, str) for each in texts) or not isinstance(data, dict):
        raise ParseError("touser, template_id, client_msg_id, url are texts and data is an object")
    values: dict[str, str] = {}
    for name, holder in data.items():
        value = holder.get("value") if isinstance(holder, dict) else None
        if not isinstance(value, str):
            raise ParseError("a value of data is no text")
        values[name] = value
    return Letter(texts[0], texts[1], values, texts[2], texts[3])


def is_openid(text: str) -> bool:
    """Whether this can be a receiver."""
    return _OPENID.fullmatch(text) is not None


def longest(keyword: str) -> int:
    """How many characters a subscription message's value may have under this keyword; 0: no limit is known."""
    found = _NAME.fullmatch(keyword)
    return SUBSCRIPTION_LIMITS.get(found[1], 0) if found else 0


def _no_number(text: str) -> float:
    raise ValueError(text)
