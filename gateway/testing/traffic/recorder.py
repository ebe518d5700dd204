"""A proxy before a legacy system: it hands on what comes, and writes it down, masked. Unmasked bytes touch no disk."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from gateway.sdk.simulator import Hangup, HttpReply, HttpRequest, serve_http
from gateway.testing.traffic.file import Exchange, Traffic, framing_of
from gateway.testing.traffic.masks import Masks
from gateway.testing.traffic.relay import serve_relay

_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "keep-alive", "accept-encoding"})


class Recorder:
    """Listens on loopback and hands on to ``host:port``; each exchange is a line of ``path``, written at once.

    Frames go over one connection there for each one here. HTTP has no such sessions: each request has its own.
    """

    def __init__(self, path: Path, name: str, to: str, masks: Masks, *, framing: str = "", port: int = 0) -> None:
        host, _, number = to.removeprefix("http://").rstrip("/").partition(":")
        self._to, self._masks, self._path, self.count = (host, int(number or 80)), masks, path, 0
        self._lock = threading.Lock()
        each = framing_of(framing)
        path.write_text(Traffic(name, framing).head() + "\n", encoding="utf-8")
        if each is None:
            self._server = serve_http(self._http, port)
        else:
            self._server = serve_relay(each, self._to, self._frame, port)  # type: ignore[assignment]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def _write(self, exchange: Exchange) -> None:
        with self._lock, self._path.open("a", encoding="utf-8") as file:
            file.write(exchange.line() + "\n")
            self.count += 1

    def _http(self, request: HttpRequest) -> HttpReply:
        began = time.monotonic()
        path = request.path + (f"?{urlencode(request.query)}" if request.query else "")
        head = self._masks(f"{request.method} {path}".encode(), asked=True).decode("utf-8", "replace")
        asked = self._masks(request.body, asked=True)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP}
        try:
            with closing(http.client.HTTPConnection(*self._to, timeout=60)) as line:
                line.request(request.method, path, request.body, headers)
                answer = line.getresponse()
                body, kind = answer.read(), answer.headers.get("Content-Type", "")
        except (OSError, http.client.HTTPException):
            self._write(Exchange(asked, None, head, ms=(time.monotonic() - began) * 1000))
            raise Hangup from None
        ms = (time.monotonic() - began) * 1000
        self._write(Exchange(asked, self._masks(body), head, answer.status, kind, ms))
        return HttpReply(answer.status, body, kind)

    def _frame(self, question: bytes, answer: bytes | None, ms: float) -> None:
        masked = None if answer is None else self._masks(answer)
        self._write(Exchange(self._masks(question, asked=True), masked, ms=ms))
