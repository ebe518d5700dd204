"""The kit for simulators of legacy systems.

A simulator is a program of its own. It speaks the legacy system's protocol on 127.0.0.1 with the system's quirks, keeps
its own books, and beside its protocol serves a small HTTP panel on loopback:

- ``GET /faults`` and ``PUT /faults``: which faults are switched on, as
  ``{"faults": [{"name", "match"?, "times"?, "value"?}]}``
- ``GET /books``: its own record of money, points, coupons, stock and bills, as JSON
- ``POST /control``: simulator-specific levers (a customer types a password, a cashier opens a table), as JSON
- ``GET /``: its name, protocol addresses and the faults it knows

Run one with ``gateway simulate NAME``. On start it prints one line of JSON: ``{"name", "addresses", "panel"}``.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

LOOPBACK = "127.0.0.1"

#: Faults every simulator understands. ``value`` means what the last column says.
COMMON_FAULTS: dict[str, str] = {
    "latency": "wait before acting; value = milliseconds",
    "slow": "act, then wait before answering; value = milliseconds",
    "refuse": "close the connection before reading the request",
    "drop_before": "read the request, then close without acting or answering",
    "drop_after": "act, then close without answering",
    "error": "answer with the protocol's own system error, without acting",
    "duplicate": "act twice on one request, as a network or a retrying proxy does",
    "garbage": "act, then answer bytes that are not the protocol",
    "half_body": "act, then answer only the first half of the reply",
    "wrong_amount": "act, then answer with another amount; value = difference in fen",
    "wrong_id": "act, then answer with another order's number",
    "bad_signature": "act, then answer with a signature (or check digit) that does not verify",
    "late_success": "answer nothing, and act only after a delay; value = milliseconds",
    "wrong_encoding": "act, then answer in another character set",
    "clock_skew": "the system's clock is off; value = seconds",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault switched on: its name, which operations it hits, how often, and its parameter.

    ``match`` is the name of an operation of the protocol (``*`` for all), ``times`` how many more times it fires
    (``None`` for ever), ``value`` what :data:`COMMON_FAULTS` says.
    """

    name: str
    match: str = "*"
    times: int | None = None
    value: int = 0


class FaultPanel:
    """The faults switched on, and the counting of those that fire a limited number of times. Thread-safe."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self.known = dict(known)
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def set(self, faults: list[Fault]) -> None:
        """Replace all faults. Raises ``ValueError`` for a name this simulator does not know."""
        for fault in faults:
            if fault.name not in self.known:
                raise ValueError(f"unknown fault {fault.name!r}; known: {', '.join(sorted(self.known))}")
        with self._lock:
            self._faults = list(faults)

    def list(self) -> list[Fault]:
        """The faults still switched on."""
        with self._lock:
            return list(self._faults)

    def take(self, name: str, operation: str = "*") -> Fault | None:
        """The fault if it is on for this operation, counting one use of it; else ``None``."""
        if not self._faults:
            return None
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.name == name and fault.match in ("*", operation):
                    if fault.times is not None:
                        left = fault.times - 1
                        self._faults[index : index + 1] = [replace(fault, times=left)] if left else []
                    return fault
        return None

    def skew(self) -> float:
        """Seconds by which the system's clock is off now."""
        return float(sum(fault.value for fault in self.list() if fault.name == "clock_skew"))


class Simulator:
    """Base of every simulator: its data folder, options, faults and books. Subclass, and override what is named below.

    ``data`` is a folder of its own in which it may keep files and databases that survive a restart; ``options`` are
    the ``--set name=value`` of the command line, as strings.
    """

    name: ClassVar[str] = ""
    extra_faults: ClassVar[dict[str, str]] = {}

    def __init__(self, data: Path, options: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.options = dict(options or {})
        self.faults = FaultPanel({**COMMON_FAULTS, **self.extra_faults})
        data.mkdir(parents=True, exist_ok=True)

    def start(self) -> dict[str, str]:
        """Start serving on loopback, in threads; return the addresses by role, as ``{"till": "127.0.0.1:7001"}``.

        The options ``port`` or ``<role>_port`` name fixed ports; absent, any free port is taken.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Stop serving and release every port and file."""
        raise NotImplementedError

    def books(self) -> dict[str, Any]:
        """The system's own record of what happened, amounts in fen."""
        raise NotImplementedError

    def control(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Pull one of this simulator's levers; ``command["do"]`` names it. Raises ``ValueError`` for an unknown one."""
        raise ValueError(f"{self.name} has no lever {command.get('do')!r}")

    def now(self) -> float:
        """The system's own clock, seconds since the epoch; the fault ``clock_skew`` moves it."""
        return time.time() + self.faults.skew()

    def port(self, role: str) -> int:
        """The port asked for in the options for this role, or 0 for any free one."""
        return int(self.options.get(f"{role}_port", self.options.get("port", "0")))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request as a simulator sees it: lower-case header names; the last value of a repeated query name.

    ``target`` is path and query as they were sent, for systems whose signature covers them.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    target: str = ""


@dataclass(frozen=True, slots=True)
class HttpReply:
    """The reply of a handler; ``body`` is sent as it is. ``truncate`` sends only so many bytes, then closes."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=utf-8"
    truncate: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


class Hangup(Exception):
    """Raised by a handler to close the connection without an answer."""


def serve_http(
    handle: Callable[[HttpRequest], HttpReply], port: int = 0, protocol: str = "HTTP/1.1"
) -> ThreadingHTTPServer:
    """Serve ``handle`` on loopback in a daemon thread; one write a reply, keep-alive under HTTP/1.1.

    Stop it with ``shutdown()`` and ``server_close()``; its port is ``server_address[1]``.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = protocol
        disable_nagle_algorithm = True
        wbufsize = -1  # buffered: headers and body leave in one segment

        def _serve(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = HttpRequest(self.command, url.path, query, headers, self.rfile.read(length), self.path)
            try:
                reply = handle(request)
            except Hangup:
                self.close_connection = True
                return
            self.send_response_only(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            for name, value in reply.headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body if reply.truncate is None else reply.body[: reply.truncate])
            self.wfile.flush()
            if reply.truncate is not None or protocol == "HTTP/1.0":
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent: a simulator's standard output is its start line alone."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that goes away is everyday business for a legacy system."""

    server = Server((LOOPBACK, port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _json_reply(status: int, value: Any) -> HttpReply:
    return HttpReply(status, json.dumps(value, ensure_ascii=False).encode())


class Panel:
    """The HTTP panel of a running simulator."""

    def __init__(self, simulator: Simulator, addresses: Mapping[str, str], port: int = 0) -> None:
        self._simulator = simulator
        self._addresses = dict(addresses)
        self._server = serve_http(self._handle, port)
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"

    def _handle(self, request: HttpRequest) -> HttpReply:
        try:
            return self._route(request)
        except (ValueError, TypeError, KeyError) as error:
            return _json_reply(400, {"error": str(error)})

    def _route(self, request: HttpRequest) -> HttpReply:
        panel = self._simulator.faults
        match request.method, request.path:
            case "GET", "/":
                known = panel.known
                return _json_reply(200, {"name": self._simulator.name, "addresses": self._addresses, "faults": known})
            case "PUT", "/faults":
                panel.set([Fault(**item) for item in json.loads(request.body)["faults"]])
                return self._faults()
            case "GET", "/faults":
                return self._faults()
            case "GET", "/books":
                return _json_reply(200, self._simulator.books())
            case "POST", "/control":
                return _json_reply(200, self._simulator.control(json.loads(request.body)))
        return _json_reply(404, {"error": f"no {request.method} {request.path} here"})

    def _faults(self) -> HttpReply:
        return _json_reply(200, {"faults": [asdict(fault) for fault in self._simulator.faults.list()]})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass(slots=True)
class Running:
    """A simulator started in this process (tests) with its panel."""

    simulator: Simulator
    addresses: dict[str, str]
    panel: Panel

    def stop(self) -> None:
        self.panel.stop()
        self.simulator.stop()


def start(simulator: Simulator, panel_port: int = 0) -> Running:
    """Start a simulator and its panel in threads of this process."""
    addresses = simulator.start()
    return Running(simulator, addresses, Panel(simulator, addresses, panel_port))


def run(simulator: Simulator, panel_port: int = 0) -> None:
    """Run a simulator until SIGTERM or SIGINT; prints its start line. This is what ``gateway simulate`` calls."""
    import signal
    import sys

    running = start(simulator, panel_port)
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    line = {"name": simulator.name, "addresses": running.addresses, "panel": running.panel.url}
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
    stopped.wait()
    running.stop()
