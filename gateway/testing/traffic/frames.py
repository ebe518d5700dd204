"""A server of frames: each that comes is handed on, and answered with what comes back."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from contextlib import suppress

from gateway.sdk.parsing import ParseError
from gateway.sdk.simulator import LOOPBACK, Hangup
from gateway.sdk.transports.frames import Framing


def serve_frames(framing: Framing, answer: Callable[[bytes], bytes], port: int = 0) -> socketserver.ThreadingTCPServer:
    """Answer frame after frame on loopback, in threads; ``answer`` takes and gives bodies, and may raise ``Hangup``."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            line: socket.socket = self.request
            buffer = b""
            with suppress(OSError, ParseError, Hangup):
                while True:
                    while (found := framing.cut(buffer)) is None:
                        data = line.recv(65536)
                        if not data:
                            return
                        buffer += data
                    body, taken = found
                    buffer = buffer[taken:]
                    line.sendall(framing.encode(answer(body)))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address, daemon_threads, request_queue_size = True, True, 64

    server = Server((LOOPBACK, port), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server
