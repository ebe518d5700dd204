"""Recorded traffic as a simulator: a request that was recorded gets the answer that was recorded."""

from __future__ import annotations

import difflib
import json
import re
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, Simulator, serve_http
from gateway.testing.traffic.file import Exchange, Traffic, framing_of
from gateway.testing.traffic.frames import serve_frames
from gateway.testing.traffic.masks import Masks

_ANY = b"~"


class Replay(Simulator):
    """Serves the file named by the option ``file``. Options: ``volatile`` (names of fields, or expressions with one
    group, separated by blanks), whose values do not count and are answered as they were asked; ``timing=1`` answers
    as slowly as the system did; ``port``.

    The same request recorded several times is answered in that order, at the end again and again with the last.
    """

    name: ClassVar[str] = "replay"

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        super().__init__(data, options)
        self._traffic = Traffic.load(Path(self.options["file"]))
        self._volatile = [_pattern(text) for text in self.options.get("volatile", "").split()]
        self._masks = Masks()
        self._known: dict[tuple[str, bytes], list[Exchange]] = {}
        for each in self._traffic.exchanges:
            self._known.setdefault(self._key(each.head, each.request), []).append(each)
        self._served = 0
        self._unknown: list[dict[str, str]] = []
        self._lock = threading.Lock()

    def start(self) -> dict[str, str]:
        framing = framing_of(self._traffic.framing)
        port = self.port("system")
        if framing is None:
            self._server: Any = serve_http(self._http, port)
        else:
            self._server = serve_frames(framing, self._frame, port)
        return {"system": f"{LOOPBACK}:{self._server.server_address[1]}"}

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def books(self) -> dict[str, Any]:
        """How many requests were served, and those that nobody recorded, each with the nearest that was."""
        return {"served": self._served, "unknown": list(self._unknown)}

    def _http(self, request: HttpRequest) -> HttpReply:
        head = f"{request.method} {request.path}" + (f"?{urlencode(request.query)}" if request.query else "")
        found = self._found(head, request.body)
        if found is None:
            told = {"error": "this request was not recorded", **self._unknown[-1]}
            return HttpReply(501, json.dumps(told, ensure_ascii=False).encode())
        return HttpReply(found.status, self._answered(found, request.body), found.content_type or "application/json")

    def _frame(self, body: bytes) -> bytes:
        found = self._found("", body)
        if found is None:
            raise Hangup
        return self._answered(found, body)

    def _found(self, head: str, body: bytes) -> Exchange | None:
        key = self._key(head, body)
        with self._lock:
            recorded = self._known.get(key)
            if recorded is not None:
                self._served += 1
                return recorded.pop(0) if len(recorded) > 1 else recorded[0]
            self._unknown.append({"request": _told(key), "nearest": self._nearest(key)})
        sys.stderr.write(f"not recorded: {_told(key)}\n     nearest: {self._unknown[-1]['nearest']}\n")
        return None

    def _answered(self, found: Exchange, body: bytes) -> bytes:
        """The recorded answer; what is volatile is answered as it was asked now."""
        if self.options.get("timing") == "1":
            time.sleep(found.ms / 1000)
        if found.reply is None:
            raise Hangup
        reply = found.reply
        for pattern in self._volatile:
            then, now = pattern.search(found.request), pattern.search(body)
            if then and now and then[1]:
                reply = reply.replace(then[1], now[1])
        return reply

    def _key(self, head: str, body: bytes) -> tuple[str, bytes]:
        """A request as it is compared: masked as in the file, without what is volatile."""
        return self._plain(head.encode()).decode("utf-8", "replace"), self._plain(body)

    def _plain(self, raw: bytes) -> bytes:
        raw = self._masks(raw)
        for pattern in self._volatile:
            raw = pattern.sub(_blanked, raw)
        return re.sub(rb"\*+", b"*", raw)

    def _nearest(self, key: tuple[str, bytes]) -> str:
        asked, known = _told(key), [_told(each) for each in self._known]
        return next(iter(difflib.get_close_matches(asked, known, 1, 0.0)), "nothing was recorded")


def _told(key: tuple[str, bytes]) -> str:
    return f"{key[0]} {key[1].decode('utf-8', 'replace')}".strip()[:500]


def _pattern(text: str) -> re.Pattern[bytes]:
    """A field's name, or an expression with one group. Raises ``ValueError``."""
    if re.fullmatch(r"[\w.\-]+", text):
        return re.compile(rf"\b{re.escape(text)}[\"']?\s*[:=>]\s*[\"']?([^\"'&<>|;,\s]+)".encode())
    found = re.compile(text.encode())
    if found.groups != 1:
        raise ValueError(f"volatile: {text!r} needs exactly one group")
    return found


def _blanked(found: re.Match[bytes]) -> bytes:
    begin, end = (place - found.start() for place in found.span(1))
    return found[0][:begin] + _ANY + found[0][end:]
