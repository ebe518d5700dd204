"""What the tests of the SDK share."""

from __future__ import annotations

import inspect
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def exceptions_of(*modules: object) -> list[type[Exception]]:
    """Every exception class that these modules name, so that one that a new version brings is noticed."""
    found = {
        cls
        for module in modules
        for cls in vars(module).values()
        if inspect.isclass(cls)
        and issubclass(cls, Exception)
        and not issubclass(cls, Warning)
        and not cls.__name__.startswith("_")
    }
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


def make(cls: type[Exception]) -> Exception:
    """An instance, whatever its constructor asks for."""
    try:
        error = cls.__new__(cls)
    except TypeError:  # one that is made in C
        with suppress(TypeError):
            return cls("trouble")
        return cls("trouble", 0, 0, 0)
    error.args = ("trouble",)
    return error


@contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A host on loopback that handles connections one after the other; the port. It ends with the block."""
    server = socket.create_server(("127.0.0.1", 0))
    clients: list[socket.socket] = []

    def run() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                clients.append(client)
                with suppress(OSError), client:
                    serve(client)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        for client in clients:
            client.close()
        thread.join(2)
