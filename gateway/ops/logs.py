"""The gateway's log: one event a line, as JSON or as text for a terminal, with nothing in it that must not be kept.

Only the fields of ``FIELDS`` are written, whatever a caller adds. Texts are masked as the evidence is: secrets of the
connection that speaks, whatever stands under a name that says password or token, card numbers; phones are shown as
``138****1234``, payment codes by their last four. Of an exception its class and its places are written, never its text.
Bodies are never logged. No text can end a line or begin another.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import g, has_request_context, request

from gateway.sdk.transports.masking import Masker

#: Names the form of the lines in the environment: ``json`` (the default) or ``text``.
FORM_VARIABLE = "GATEWAY_LOG"
#: The fields that a line may have besides ``at``, ``level``, ``log``, ``pid`` and ``message``.
FIELDS = (
    "request_id",
    "merchant",
    "connection",
    "checkout",
    "subject",
    "endpoint",
    "method",
    "route",
    "status",
    "problem",
    "ms",
    "error",
    "trouble",
    "migrations",
    "right",
    "stack",
)
#: Longer texts are cut, and of an exception only so many places are written.
MESSAGE_MOST, VALUE_MOST, PLACES_MOST = 1000, 300, 20

_API_KEY = re.compile(r"gwk_[0-9A-Za-z_-]+")
# What could end a line, move a cursor, or turn the reading direction of what follows it.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_SOURCE = Path(__file__).resolve().parents[2]
_masker = Masker()


# --- what a line says ------------------------------------------------------------------------------------------------


def event(record: logging.LogRecord) -> dict[str, Any]:
    """The line as names and values, all of them fit to be kept."""
    mask = _mask_of(record)
    found: dict[str, Any] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "log": record.name,
        "pid": record.process,
        "message": mask(_message(record))[:MESSAGE_MOST],
    }
    known = {**_of_request(), **_of_record(record)}
    return found | {name: _fit(known[name], mask) for name in FIELDS if known.get(name) not in (None, "")}


def _mask_of(record: logging.LogRecord) -> Callable[[str], str]:
    """How texts of this record are masked: with the secrets of the connection that speaks, if one does."""
    masker = getattr(record, "masker", None)
    text = masker.text if isinstance(masker, Masker) else _masker.text
    return lambda value: _API_KEY.sub("gwk_***", text(value))


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not fit: a mistake in a log line must not break what it tells of
        return str(record.msg)


def _of_request() -> dict[str, Any]:
    """What is known of the request that this thread answers."""
    if not has_request_context():
        return {}
    ids = request.view_args or {}
    return {"request_id": g.get("request_id"), "merchant": ids.get("merchant"), "checkout": ids.get("checkout_id")}


def _of_record(record: logging.LogRecord) -> dict[str, Any]:
    found = {name: value for name, value in record.__dict__.items() if name in FIELDS}
    saga = record.__dict__.get("saga")
    if isinstance(saga, str):
        found["checkout" if saga.startswith("chk_") else "subject"] = saga
    if record.exc_info and record.exc_info[1] is not None:
        found |= {"error": type(record.exc_info[1]).__name__, "stack": list(_places(record.exc_info[1]))}
    return found


def _fit(value: Any, mask: Callable[[str], str]) -> Any:
    """A value as it may be kept: numbers as they are, texts masked and cut, lists of such; else only its type."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return mask(value)[:VALUE_MOST]
    if isinstance(value, list | tuple):
        return [_fit(each, mask) for each in value[:PLACES_MOST]]
    return type(value).__name__


def _places(error: BaseException) -> Iterator[str]:
    """Where it was raised and what it came from: classes, files, lines and functions. Texts may hold anything."""
    seen: BaseException | None = error
    while seen is not None:
        yield type(seen).__name__
        yield from _frames(seen.__traceback__)
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _frames(trace: types.TracebackType | None) -> list[str]:
    """The innermost places, the innermost first."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{_short(code.co_filename)}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found[: -PLACES_MOST // 2 : -1]


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(_SOURCE)) if path.is_relative_to(_SOURCE) else "/".join(path.parts[-2:])


# --- how it looks ----------------------------------------------------------------------------------------------------


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        text = json.dumps(event(record), ensure_ascii=False, separators=(",", ":"))
        return _UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


class TextLines(logging.Formatter):
    """For a terminal: the time of day, the level, the message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        found = event(record)
        head = f"{found['at'][11:23]} {found['level']:<8} {found['log']}: {found['message']}"
        rest = " ".join(f"{name}={_spoken(found[name])}" for name in FIELDS if name in found)
        return _UNSAFE.sub(lambda unsafe: f"\\x{ord(unsafe.group()):02x}", f"{head}  {rest}".rstrip())


def _spoken(value: Any) -> str:
    return " < ".join(map(str, value)) if isinstance(value, list) else str(value)


class Stderr(logging.Handler):
    """Writes each line to standard error in one piece, so that the lines of several processes do not mix."""

    def emit(self, record: logging.LogRecord) -> None:
        """A log that cannot be written (its disk is full) or formatted must not stop what it tells of."""
        with suppress(Exception):
            os.write(2, (self.format(record) + "\n").encode("utf-8", "backslashreplace"))


# --- switching it on -------------------------------------------------------------------------------------------------

FORMS: Mapping[str, type[logging.Formatter]] = {"json": JsonLines, "text": TextLines}


def set_up(form: str = "") -> None:
    """Send every log line of this process through here; ``form`` as in ``FORMS``, else as the environment says.

    May be called again, and in every process after ``fork``. What ends a thread unseen is logged too.
    """
    handler = Stderr()
    handler.setFormatter(FORMS.get(form or os.environ.get(FORM_VARIABLE, ""), JsonLines)())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("gateway").setLevel(logging.INFO)
    for name in ("gunicorn.error", "gunicorn.access"):
        other = logging.getLogger(name)
        other.handlers, other.propagate = [], True
    logging.captureWarnings(True)
    sys.excepthook = _unseen
    threading.excepthook = _ended


def _unseen(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("gateway").critical("the process ended by an exception", exc_info=(kind, error, trace))


def _ended(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        error = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger("gateway").critical("a thread ended by an exception", exc_info=error)
