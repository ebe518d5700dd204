"""A proxy before a legacy system: it hands on what comes, and writes it down, masked. Unmasked bytes touch no disk."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

from gateway.sdk.parsing import ParseError
from gateway.sdk.simulator import Hangup, HttpReply, HttpRequest, serve_http
from gateway.sdk.transports.frames import Framing
from gateway.testing.traffic.file import Exchange, Traffic, framing_of
from gateway.testing.traffic.frames import serve_frames
from gateway.testing.traffic.masks import Masks

_HOP = frozenset({"host", "connection", "content-length", "transfer-encoding", "keep-alive", "accept-encoding"})


class Recorder:
    """Listens on loopback and hands on to ``host:port``; each exchange is a line of ``path``, written at once."""

    def __init__(self, path: Path, name: str, to: str, masks: Masks, *, framing: str = "", port: int = 0) -> None:
        host, _, number = to.removeprefix("http://").rstrip("/").partition(":")
        self._to, self._masks, self._path, self.count = (host, int(number or 80)), masks, path, 0
        self._lock = threading.Lock()
        self._framing: Framing | None = framing_of(framing)
        path.write_text(Traffic(name, framing).head() + "\n", encoding="utf-8")
        if self._framing is None:
            self._server = serve_http(self._http, port)
        else:
            self._server = serve_frames(self._framing, self._frame, port)  # type: ignore[assignment]

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
        head = self._masks(f"{request.method} {path}".encode()).decode("utf-8", "replace")
        asked = self._masks(request.body)
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

    def _frame(self, body: bytes) -> bytes:
        began = time.monotonic()
        try:
            answer: bytes | None = self._asked(body)
        except (OSError, ParseError):
            answer = None
        masked = None if answer is None else self._masks(answer)
        self._write(Exchange(self._masks(body), masked, ms=(time.monotonic() - began) * 1000))
        if answer is None:
            raise Hangup
        return answer

    def _asked(self, body: bytes) -> bytes | None:
        assert self._framing is not None
        buffer = b""
        with socket.create_connection(self._to, timeout=60) as line:
            line.sendall(self._framing.encode(body))
            while (found := self._framing.cut(buffer)) is None:
                data = line.recv(65536)
                if not data:
                    return None
                buffer += data
        return found[0]
