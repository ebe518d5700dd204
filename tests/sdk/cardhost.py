"""A card host with sessions: sign-on holds for its connection, and a terminal is signed on in one place only.

Frames are four digits of length and a text: ``LG|password`` answers ``LG|00|day|last number used``; ``BK|number|ref``
books, ``QR|number|ref`` counts what was booked under a ref, ``LO`` signs off. Codes: ``10`` wrong password, ``11`` not
signed on, ``12`` signed on elsewhere (also for ``lingers`` seconds after a connection broke off without ``LO``), ``21``
the wrong number. The host is a real server on loopback.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gateway.sdk import LengthPrefixed

FRAMES = LengthPrefixed(4, "ascii")
PASSWORD = "888888"


class CardHost:
    """Its books: ``booked`` are refs in the order they came, ``signed_on`` how often someone did."""

    def __init__(self, *, lingers: float = 0.0, last: int = 0) -> None:
        self.lingers, self.last = lingers, last
        self.booked: list[str] = []
        self.signed_on = self.refused = 0
        #: What it does next with a frame of a command: ``drop`` before it looks, ``mute`` once it has acted.
        self.faults: dict[str, str] = {}
        self._owner: object = None
        self._free_at = 0.0
        self._lock = threading.Lock()
        self._clients: list[socket.socket] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections, as a host that is started anew does."""
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    @property
    def taken(self) -> bool:
        """Whether someone is signed on."""
        with self._lock:
            return self._owner is not None

    def pass_time(self) -> None:
        """What lingered is over."""
        with self._lock:
            self._free_at = 0.0

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                with self._lock:
                    self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        buffer = b""
        with client, suppress(OSError):
            while data := client.recv(4096):
                buffer += data
                while (found := FRAMES.cut(buffer)) is not None:
                    buffer = buffer[found[1] :]
                    answer = self._frame(client, found[0].decode())
                    if answer is None:
                        break
                    if answer:
                        client.sendall(FRAMES.encode(answer.encode()))
        with self._lock:
            if self._owner is client:
                self._owner, self._free_at = None, time.monotonic() + self.lingers

    def _frame(self, client: socket.socket, text: str) -> str | None:
        command, *fields = text.split("|")
        fault = self.faults.pop(command, "")
        if fault == "drop":
            client.shutdown(socket.SHUT_RDWR)
            return None
        with self._lock:
            answer = self._answer(client, command, fields)
        return "" if fault == "mute" else answer

    def _answer(self, client: socket.socket, command: str, fields: list[str]) -> str:
        if command == "LG":
            return f"LG|{self._sign_on(client, fields[0])}"
        if self._owner is not client:
            return f"{command}|11|not signed on"
        if command == "LO":
            self._owner, self._free_at = None, 0.0
            return "LO|00"
        if int(fields[0]) != self.last % 9999 + 1:
            return f"{command}|21|number"
        self.last = int(fields[0])
        if command == "BK":
            self.booked.append(fields[1])
            return f"BK|00|{fields[0]}"
        return f"QR|00|{fields[0]}|{self.booked.count(fields[1])}"

    def _sign_on(self, client: socket.socket, password: str) -> str:
        if password != PASSWORD:
            return "10|password"
        if (self._owner is not None and self._owner is not client) or time.monotonic() < self._free_at:
            self.refused += 1
            return "12|elsewhere"
        self._owner = client
        self.signed_on += 1
        return f"00|20140308210005|{self.last:04d}"


@contextmanager
def card_host(*, lingers: float = 0.0, last: int = 0) -> Iterator[CardHost]:
    """A host; it ends with the block."""
    host = CardHost(lingers=lingers, last=last)
    try:
        yield host
    finally:
        host.stop()
