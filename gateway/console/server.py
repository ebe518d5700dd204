"""Serves the console from a thread, on loopback: a read-only page for one reader needs no more."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from gateway.console.pages import Parts, create_console
from gateway.domain.errors import GatewayError


class ConsoleError(GatewayError):
    """The console can't be served as asked."""


class _Quiet(WSGIRequestHandler):
    """Requests are not logged: order numbers and names stay out of logs."""

    def log(self, type: str, message: str, *args: object) -> None:
        return


@dataclass(slots=True)
class Served:
    """A console that is being served. Call it, or ``stop()``, to end it."""

    url: str
    port: int
    _server: BaseWSGIServer
    _thread: threading.Thread

    def stop(self) -> None:
        """Take no more requests and close the port. May be called again."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join(5)
        self._server.server_close()

    __call__ = stop


def run_console(parts: Parts, host: str = "127.0.0.1", port: int = 0) -> Served:
    """Serve the console in a thread of this process; ``port`` 0 takes any free one.

    Raises ``ConsoleError`` for an address that is not on loopback, since the page asks nobody who he is, and for a port
    that is taken.
    """
    if not _on_loopback(host):
        raise ConsoleError(f"the console is served on loopback only, not on {host}: use a tunnel to reach it")
    try:
        server = make_server(host, port, create_console(parts), threaded=True, request_handler=_Quiet)
    except (OSError, SystemExit) as error:
        raise ConsoleError(f"the console's port {port} can't be opened on {host}: {error}") from None
    thread = threading.Thread(target=server.serve_forever, name="console", daemon=True)
    thread.start()
    shown = f"[{host}]" if ":" in host else host
    return Served(f"http://{shown}:{server.port}/console/", int(server.port), server, thread)


def _on_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
