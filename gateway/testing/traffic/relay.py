"""Stands between a client and a system of frames: a connection there for each one here, and each byte as it comes.

A session lives in its connection: a sign-on holds for what follows on it, and a system drops what was said on one that
it closed. So a connection is kept as long as the client's own, and whoever closes or resets closes or resets both.
"""

from __future__ import annotations

import socket
import socketserver
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from gateway.sdk.parsing import ParseError
from gateway.sdk.simulator import LOOPBACK
from gateway.sdk.transports.frames import Framing

#: Takes a question, its answer (``None``: none came) and how many milliseconds it took.
Told = Callable[[bytes, bytes | None, float], None]
_RESET = struct.pack("ii", 1, 0)


def serve_relay(framing: Framing, to: tuple[str, int], told: Told, port: int = 0) -> socketserver.ThreadingTCPServer:
    """Relay each connection to ``to``; ``told`` is called from several threads, before the answer is handed on."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                system = socket.create_connection(to, timeout=10)
            except OSError as error:
                sys.stderr.write(f"{to[0]}:{to[1]} takes no connection: {error}\n")
                _reset(self.request)
                return
            system.settimeout(None)
            with system:
                _relay(self.request, system, _Pairs(framing, told))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads, block_on_close, request_queue_size = True, True, False, 64

    server = Server((LOOPBACK, port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


class _Pairs:
    """What goes by on one connection, cut into questions and answers: each answer is the oldest open question's."""

    def __init__(self, framing: Framing, told: Told) -> None:
        self._framing, self._told, self._lock = framing, told, threading.Lock()
        self._open: deque[tuple[bytes, float]] = deque()
        self._rest: dict[str, bytes | None] = {"asked": b"", "answered": b""}

    def asked(self, data: bytes) -> None:
        with self._lock:
            self._open.extend((body, time.monotonic()) for body in self._cut("asked", data))

    def answered(self, data: bytes) -> None:
        with self._lock:
            for body in self._cut("answered", data):
                if self._open:
                    question, began = self._open.popleft()
                    self._told(question, body, (time.monotonic() - began) * 1000)
                else:
                    sys.stderr.write("the system said something that nobody asked for: handed on, not written down\n")

    def end(self) -> None:
        """What is still open was never answered."""
        with self._lock:
            while self._open:
                question, began = self._open.popleft()
                self._told(question, None, (time.monotonic() - began) * 1000)

    def _cut(self, side: str, data: bytes) -> list[bytes]:
        """The whole frames of one side; what is no frame is handed on all the same, and said once."""
        rest, bodies = self._rest[side], list[bytes]()
        if rest is None:
            return bodies
        rest += data
        try:
            while rest and (found := self._framing.cut(rest)) is not None:
                bodies.append(found[0])
                rest = rest[found[1] :]
            self._rest[side] = rest
        except ParseError:
            self._rest[side] = None
            sys.stderr.write(f"what was {side} is not in frames of this kind: handed on, not written down\n")
        return bodies


def _relay(client: socket.socket, system: socket.socket, pairs: _Pairs) -> None:
    back = threading.Thread(target=_pump, args=(system, client, pairs.answered), daemon=True)
    back.start()
    _pump(client, system, pairs.asked)
    back.join()
    pairs.end()


def _pump(here: socket.socket, there: socket.socket, seen: Callable[[bytes], None]) -> None:
    """Hand on until one side ends: an end is handed on as an end, a reset as a reset."""
    try:
        while data := here.recv(65536):
            seen(data)
            there.sendall(data)
        there.shutdown(socket.SHUT_WR)
    except OSError:
        _reset(here)
        _reset(there)


def _reset(line: socket.socket) -> None:
    """Close with a reset, also under a thread that reads from it."""
    with suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        line.shutdown(socket.SHUT_RD)
    line.close()
