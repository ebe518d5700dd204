"""A proxy between an adapter and its far system, which makes the faults of a network at the message asked for.

It knows no protocol: a message is what the client sends until the server answers. That serves HTTP, frames and text
alike. Faults are counted over all the ways of a system together, so that "the second message of this hook" means the
same for one that speaks to two servers.
"""

from __future__ import annotations

import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from gateway.testing.spoiling import MOVED, STATUS, spoilt

LOOPBACK = "127.0.0.1"
#: A reply is whole once its server has been silent for so long, in seconds.
SILENCE_S = 0.03
_RESET = struct.pack("ii", 1, 0)

#: What can be made of a message, and whether the far system gets it: "no", "yes", "part" or "later".
NETWORK_FAULTS: dict[str, tuple[str, str]] = {
    "refuse": ("no", "the connection is refused"),
    "swallow": ("no", "the request is lost, nobody answers"),
    "cut": ("part", "the connection is reset after the first bytes"),
    "hold": ("later", "the request is late: it arrives after the sender gave up"),
    "silence": ("yes", "the answer is lost, nobody answers"),
    "reset": ("yes", "the connection is reset instead of an answer"),
    "half": ("yes", "only the first half of the answer arrives"),
    "garbage": ("yes", "the answer is not the protocol"),
    "half_character": ("yes", "a character of the answer is torn"),
    "stale": ("yes", "the answer of an earlier request arrives"),
    "status_before": ("no", "a proxy answers 503 by itself"),
    "status_after": ("yes", "a proxy answers 502 after the system has acted"),
    "hangup": ("yes", "the connection is closed without an answer"),
    "moved": ("yes", "a proxy answers 307 after the system has acted: send it again, there"),
}
#: Those that make many an HTTP library send a request again by itself.
RESENT = frozenset({"hangup", "moved"})
#: Tried on real systems in addition: what a simulator's panel, or a trait that it claims, tries there.
FOREIGN_FAULTS: dict[str, tuple[str, str]] = {
    "double": ("yes", "a proxy on the way sends the request twice"),
    "slow": ("yes", "the answer comes in two parts, with a pause between"),
}
#: Between the two parts of a slow answer, in seconds.
PAUSE_S = 0.3
#: Faults that only HTTP knows.
HTTP_ONLY = frozenset({"status_before", "status_after", "moved"})


@dataclass(slots=True)
class Plan:
    """What to do with the ``at``-th message from now on (0: with each).

    ``fault`` is one of :data:`NETWORK_FAULTS` or :data:`FOREIGN_FAULTS`, or ``mutate``, ``kill_before``,
    ``kill_after`` or ``double_first`` (the copy of a doubled request overtakes it: the answer that arrives is the one
    to the second); ``then`` is called as it happens.
    """

    fault: str
    at: int = 1
    then: Callable[[], None] | None = None
    seed: int = 0


@dataclass(slots=True)
class Held:
    """A request that is kept back, to arrive later."""

    port: int
    data: bytearray = field(default_factory=bytearray)
    wait_s: float = 1.0

    def release(self) -> None:
        """Let it arrive now, and wait for the server to have answered it."""
        if self.data:
            _send_alone(self.port, bytes(self.data), self.wait_s)


class Line:
    """All the proxies before one far system: their plan, and the counting of messages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self.messages = 0
        self.bytes_in = 0
        self.held: list[Held] = []
        self.fired = False
        self.is_http = False
        #: How long the answer to a request that was sent late, or twice, is waited for, in seconds.
        self.wait_s = 1.0
        self.proxies: dict[str, Proxy] = {}

    def add(self, role: str, port: int) -> int:
        """Put a proxy before a port; the port to use instead."""
        self.proxies[role] = Proxy(self, port)
        return self.proxies[role].port

    def set(self, plan: Plan | None) -> None:
        """Begin to count anew, with this plan."""
        with self._lock:
            self._plan, self.messages, self.bytes_in, self.fired, self.held = plan, 0, 0, False, []
        for proxy in self.proxies.values():
            proxy.refuse(plan is not None and plan.fault == "refuse")
            proxy.drop_idle()

    def begin(self) -> Plan | None:
        """A message begins; its plan, if it is the one meant."""
        with self._lock:
            self.messages += 1
            plan = self._plan
            if plan is None or plan.at not in (0, self.messages) or plan.fault == "refuse":
                return None
            self.fired = True
            return plan

    def release(self) -> bool:
        """Let arrive what was kept back; whether there was anything."""
        held, self.held = self.held, []
        for each in held:
            each.release()
        return any(each.data for each in held)

    def stop(self) -> None:
        for proxy in self.proxies.values():
            proxy.stop()


class Proxy:
    """One port before another; each connection has a thread."""

    def __init__(self, line: Line, server_port: int) -> None:
        self.line, self.server_port = line, server_port
        self._listener = _bound(0)
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self._refusing = False
        self._stopped = False
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self.last_reply = b""
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def refuse(self, refusing: bool) -> None:
        """Refuse connections as a machine does where nothing listens, or take them again."""
        if refusing == self._refusing or self._stopped:
            return
        _shut(self._listener)
        self._listener = _bound(self.port)
        self._refusing = refusing
        if not refusing:
            self._listener.listen(64)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def drop_idle(self) -> None:
        """Close what is open: pooled connections would outlive a plan that refuses new ones."""
        with self._lock:
            links = list(self._links)
        for link in links:
            link.close()

    def stop(self) -> None:
        self._stopped = True
        _shut(self._listener)
        self.drop_idle()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            link = _Link(self, client)
            with self._lock:
                self._links.add(link)
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: _Link) -> None:
        try:
            link.run()
        except (OSError, ValueError):
            pass
        finally:
            link.close()
            with self._lock:
                self._links.discard(link)


class _Link:
    """One connection through the proxy."""

    def __init__(self, proxy: Proxy, client: socket.socket) -> None:
        self.proxy, self.line, self.client = proxy, proxy.line, client
        self.server: socket.socket | None = None
        self.asking = False
        self.plan: Plan | None = None
        self.request = bytearray()

    def run(self) -> None:
        try:
            self.server = socket.create_connection((LOOPBACK, self.proxy.server_port), timeout=2)
        except OSError:
            return
        for end in (self.client, self.server):
            end.settimeout(None)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with selectors.DefaultSelector() as chosen:
            chosen.register(self.client, selectors.EVENT_READ)
            chosen.register(self.server, selectors.EVENT_READ)
            while True:
                for ready, _ in chosen.select():
                    going = self._from_client() if ready.fileobj is self.client else self._from_server()
                    if not going:
                        return

    def _from_client(self) -> bool:
        assert self.server is not None
        data = self.client.recv(65536)
        if not data:
            return False
        self.line.bytes_in += len(data)
        if not self.asking:
            self.asking, self.request = True, bytearray()
            self.line.is_http |= _HTTP.match(data) is not None
            self.plan = self.line.begin()
            if self.plan is not None and self.plan.fault in _AT_REQUEST:
                return _AT_REQUEST[self.plan.fault](self, self.plan, data)
        self.request += data
        self.server.sendall(data)
        return True

    def _from_server(self) -> bool:
        assert self.server is not None
        data = self.server.recv(65536)
        if self.plan is not None and self.asking:
            plan, self.plan = self.plan, None
            return self._spoil(plan, data)
        if not data:
            return False
        self.asking, self.proxy.last_reply = False, data
        self.client.sendall(data)
        return True

    def _spoil(self, plan: Plan, first: bytes) -> bool:
        """The server has answered; make of its answer what the plan says."""
        assert self.server is not None
        stale = self.proxy.last_reply
        reply = first + (_until_silent(self.server) if first else b"")
        self.asking = False
        if plan.then is not None:
            plan.then()
        match plan.fault:
            case "silence" | "kill_after":
                self._leave_server()
                self._wait_for_end()
                return False
            case "reset":
                self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                return False
            case "hangup":
                return False
            case "moved":
                reply = MOVED.format(_path(self.request)).encode()
            case "double":
                _send_alone(self.proxy.server_port, bytes(self.request), self.line.wait_s)
            case "slow":
                self.client.sendall(reply[: len(reply) // 2])
                time.sleep(PAUSE_S)
                reply = reply[len(reply) // 2 :]
        self.client.sendall(spoilt(plan.fault, reply, stale, plan.seed))
        return plan.fault in FOREIGN_FAULTS

    def _wait_for_end(self) -> None:
        """Read on until the client gives up; nothing is passed on."""
        with suppress(OSError):
            self.client.settimeout(30)
            while self.client.recv(65536):
                pass

    def swallow(self, plan: Plan, data: bytes) -> bool:
        if plan.then is not None:
            plan.then()
        self._leave_server()
        self._wait_for_end()
        return False

    def _leave_server(self) -> None:
        """Hang up at the far system: one that serves a single connection must be free for the next."""
        if self.server is not None:
            with suppress(OSError):
                self.server.shutdown(socket.SHUT_RDWR)

    def hold(self, plan: Plan, data: bytes) -> bool:
        held = Held(self.proxy.server_port, bytearray(data), self.line.wait_s)
        self.line.held.append(held)
        self._leave_server()
        with suppress(OSError):
            self.client.settimeout(30)
            while more := self.client.recv(65536):
                held.data += more
        return False

    def overtake(self, plan: Plan, data: bytes) -> bool:
        """A copy of the request is there, and answered, before the request itself."""
        assert self.server is not None
        data += _until_silent(self.client)
        self.request += data
        _send_alone(self.proxy.server_port, data, self.line.wait_s)
        self.server.sendall(data)
        return True

    def cut(self, plan: Plan, data: bytes) -> bool:
        assert self.server is not None
        self.server.sendall(data[: max(1, min(8, len(data) // 2))])
        for end in (self.client, self.server):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        return False

    def status(self, plan: Plan, data: bytes) -> bool:
        _until_silent(self.client)
        self.client.sendall(STATUS.format(503, "Service Unavailable").encode())
        return False

    def close(self) -> None:
        for end in (self.client, self.server):
            if end is not None:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                with suppress(OSError):
                    end.close()


_HTTP = re.compile(rb"[A-Z]+ \S+ HTTP/1\.[01]\r\n")
_AT_REQUEST: dict[str, Callable[[_Link, Plan, bytes], bool]] = {
    "swallow": _Link.swallow,
    "kill_before": _Link.swallow,
    "hold": _Link.hold,
    "cut": _Link.cut,
    "status_before": _Link.status,
    "double_first": _Link.overtake,
}


def _path(request: bytes | bytearray) -> str:
    """The path that an HTTP request asks for."""
    return bytes(request).split(b" ", 2)[1].decode("ascii", "replace")


def _send_alone(port: int, data: bytes, wait_s: float) -> None:
    """Send a request over a connection of its own and wait for the answer, which nobody reads."""
    with suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=2) as server:
        server.sendall(data)
        server.settimeout(wait_s)
        if server.recv(65536):
            _until_silent(server)


def _until_silent(end: socket.socket) -> bytes:
    data = bytearray()
    end.settimeout(SILENCE_S)
    try:
        while more := end.recv(65536):
            data += more
    except OSError:
        pass
    end.settimeout(None)
    return bytes(data)


def _bound(port: int) -> socket.socket:
    """A socket that holds a port; until it listens, connections are refused."""
    until = time.monotonic() + 2
    while True:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port))
        except OSError:
            listener.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return listener


def _shut(listener: Any) -> None:
    """Close a listening socket, and wake the thread that waits on it."""
    with suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)
    listener.close()
