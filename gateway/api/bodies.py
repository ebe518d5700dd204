"""Reads a request's body and query: strict JSON, nothing twice, nothing guessed."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from flask import Request
from werkzeug.exceptions import HTTPException

from gateway.api.arrivals import ARRIVALS
from gateway.engine.problems import Problem, invalid
from gateway.store.encoding import dump, dump_sorted

_JSON = "application/json"


class _Twice(ValueError):
    """A member stands twice in one object."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(text)


_decode = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number).decode


def read_json(request: Request, *, required: bool) -> Any:
    """The body as JSON; ``None`` if there is none and none is required.

    Raises ``unsupported-encoding``, ``unsupported-media-type``, ``body-too-large``, ``malformed-json``.
    """
    if request.environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise Problem("unsupported-encoding", "send the body without a content encoding")
    raw = read_bytes(request)
    if not raw and not required:
        return None
    _check_type(request)
    return parse_json(raw)


def read_bytes(request: Request, *, keep: bool = False) -> bytes:
    """The body; it can be read again if it is to be kept. Raises ``body-too-large``.

    The app's limit is one byte more than is taken: a body in chunks that is longer is silently cut off there.
    """
    most = request.max_content_length = request.max_content_length  # looked up in the app's configuration once
    environ = request.environ
    try:
        raw = request.get_data(cache=keep)
    except HTTPException:
        raise
    except Exception as error:  # what the server's reader of chunks raises has no class that all servers share
        raise Problem("malformed-json", "the body broke off, or its chunks are not as HTTP has them") from error
    finally:
        ARRIVALS.done(environ.get("gunicorn.socket"))
    if most is not None and len(raw) >= most:
        raise Problem("body-too-large", f"this gateway takes {most - 1} bytes at most")
    length = environ.get("CONTENT_LENGTH")
    if length and int(length) != len(raw):
        raise Problem("malformed-json", "the body is shorter than its Content-Length")
    return raw


def _check_type(request: Request) -> None:
    content_type = request.environ.get("CONTENT_TYPE", "")
    if content_type == _JSON:
        return
    charset = request.mimetype_params.get("charset", "utf-8")
    if request.mimetype != _JSON or charset.lower() not in ("utf-8", "utf8"):
        raise Problem("unsupported-media-type", "send application/json in UTF-8")


def parse_json(raw: bytes) -> Any:
    """Strict JSON: UTF-8, no member twice, no NaN, no half surrogates. Raises ``malformed-json``."""
    try:
        text = raw.decode("utf-8")
        value = _decode(text)
        if "\\u" in text:
            dump(value).encode("utf-8")  # a half of a surrogate pair is a text that nothing can store
    except _Twice:
        raise Problem("malformed-json", "an object has a member twice") from None
    except UnicodeError:
        raise Problem("malformed-json", "the body is not UTF-8") from None
    except RecursionError:
        raise Problem("malformed-json", "the body is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise Problem("malformed-json", f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except ValueError:
        raise Problem("malformed-json", "a number is not one that JSON has, or is too long") from None
    return value


def fingerprint(method: str, path: str, body: Any) -> str:
    """What tells whether two requests mean the same: the order of members and white space do not count."""
    return hashlib.sha256(f"{method} {path}\n{dump_sorted(body)}".encode()).hexdigest()


def idempotency_key(header: str | None) -> str:
    """The key. Raises ``idempotency-key-missing`` or ``idempotency-key-invalid``.

    Servers join a header that is sent twice by a comma, so a key must hold none.
    """
    if not header:
        raise Problem("idempotency-key-missing", "every change needs an Idempotency-Key, new for each request")
    if len(header) > 255:
        raise Problem("idempotency-key-invalid", "it has more than 255 characters")
    if "," in header:
        raise Problem("idempotency-key-invalid", "it is sent twice, or holds a comma")
    if not header.isascii() or not header.isprintable():
        raise Problem("idempotency-key-invalid", "it holds other characters than printable ASCII")
    return header


def read_query(request: Request) -> dict[str, str]:
    """The query's parameters, each at most once and in UTF-8. Raises ``validation-error``."""
    text = request.environ.get("QUERY_STRING", "")
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=32)
        text.encode("ascii")
    except ValueError:
        raise invalid("?", "the query is not name=value&…, percent-encoded in UTF-8") from None
    found = dict(pairs)
    for name in found:
        if sum(name == other for other, _ in pairs) > 1:
            raise invalid(f"?{name}", "is given more than once")
    return found
