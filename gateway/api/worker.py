"""gunicorn's worker with threads, of which no thread ever waits for a client.

gunicorn gives a thread to every connection from its first moment, waits in it for what is sent, and at the end waits in
the worker's only loop until the client has hung up: sixteen clients that say nothing would stop a gateway. Here the
loop itself reads until a request is here altogether, hands it to a thread, and lets go of the client when it is
answered. Who is slow has some seconds; when there is no room left, those who have waited longest are shut.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import selectors
import socket
import sys
import time
from functools import partial
from typing import Any

from gunicorn.workers.gthread import ThreadWorker  # type: ignore[import-untyped]

from gateway.api.arrivals import ARRIVALS, ARRIVE_S
from gateway.api.gathering import CONTINUE, Arriving
from gateway.domain.errors import GatewayError
from gateway.store.errors import StorageError

#: For how long a client that was answered may go on sending, in seconds, and how many bytes: it reads the reply then.
PART_S, PART_BYTES = 10.0, 33_554_432
#: The same, and for a request to arrive, while the worker is stopping.
STOP_S = 2.0
#: A request that arrives for longer is shut before a connection that is idle, in seconds.
SLOW_S = 1.0
#: How much of requests that are arriving a worker keeps at most, in bytes.
HELD_MOST = 67_108_864
#: Between two attempts of a worker to load the gateway, in seconds.
LOAD_AGAIN_S = 5
#: Shared by all workers, because the master imports this: whether one of them has loaded the gateway.
_LOADED = mmap.mmap(-1, 1)
_AT_ONCE = 262_144
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_TIMEOUT = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Worker(ThreadWorker):  # type: ignore[misc]
    """The worker that ``config/gunicorn.conf.py`` names."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Connections whose request is arriving, and those that were answered and are to hang up, the oldest first.
        self._arriving: dict[Any, Arriving] = {}
        self._parting: dict[Any, float] = {}
        self._held = 0
        self._swept = 0.0

    def load_wsgi(self) -> None:
        """Load the gateway. If it cannot be loaded at the start, the server ends; once it could be, a worker waits.

        gunicorn would end the whole server for one that cannot begin: for a file that somebody is just editing, or a
        database that is away for a moment, when a worker's time is up.
        """
        while True:
            try:
                super().load_wsgi()
                _LOADED[0] = 1
                return
            except (GatewayError, StorageError, OSError) as error:
                if not _LOADED[0]:
                    raise
                self.log.error("a new worker waits, as the gateway cannot be loaded: %s", error)
            for _ in range(LOAD_AGAIN_S):
                self.notify()
                time.sleep(1)
                if not self.alive or os.getppid() != self.ppid:
                    sys.exit(0)

    # --- what comes ------------------------------------------------------------------------------------------------

    def accept(self, listener: Any) -> None:
        """Take a connection; for want of room another goes first, and the worker lives on."""
        if self.nr_conns + 1 >= self.worker_connections:
            self._make_room()
        try:
            super().accept(listener)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            if not self._make_room():
                time.sleep(0.05)  # a request under way ends first

    def enqueue_req(self, conn: Any) -> None:
        """Something came, or may have come: a thread gets it when it is a whole request."""
        arriving, ahead = self._arriving.get(conn), b""
        if arriving is None:
            arriving = self._arriving[conn] = Arriving(time.monotonic(), self.wsgi.config["MAX_CONTENT_LENGTH"])
            ahead = conn.parser.unreader.take_buffered() if conn.parser is not None else b""
        data = _received(conn)
        self._held -= len(arriving.data)
        ready = arriving.take(ahead + (data or b""))
        self._held += len(arriving.data)
        if ready or (data == b"" and arriving.data):
            self._hand_over(conn, arriving)
        elif data == b"":
            self._shut(conn)
        else:
            self._await(conn, arriving)

    def _hand_over(self, conn: Any, arriving: Arriving) -> None:
        del self._arriving[conn]
        self._held -= len(arriving.data)
        conn.init()
        conn.whole = arriving.whole
        conn.parser.unreader.unread(bytes(arriving.data))
        super().enqueue_req(conn)

    def _await(self, conn: Any, arriving: Arriving) -> None:
        if arriving.asks:
            arriving.asks = False
            with contextlib.suppress(OSError):
                conn.sock.send(CONTINUE)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._readable, conn))
        if self._held > HELD_MOST:
            self._shut(next(iter(self._arriving)))

    def _readable(self, conn: Any, _: Any) -> None:
        self.poller.unregister(conn.sock)
        self.enqueue_req(conn)

    # --- in a thread -----------------------------------------------------------------------------------------------

    def handle(self, conn: Any) -> Any:
        """One turn of a connection."""
        if not conn.whole:
            ARRIVALS.begin(conn.sock)
        try:
            return super().handle(conn)
        finally:
            ARRIVALS.done(conn.sock)

    def _keepalive_after(self, conn: Any, keepalive: Any) -> bool:
        """Where the next request begins is known only after one that is here altogether: nothing is waited for."""
        return bool(conn.whole and super()._keepalive_after(conn, keepalive))

    # --- what goes -------------------------------------------------------------------------------------------------

    def finish_request(self, conn: Any, fs: Any) -> None:
        """A thread is done with a connection, which stays for another request or ends."""
        if fs.cancelled() or fs.exception() is not None or fs.result():
            super().finish_request(conn, fs)
        else:
            self._part(conn)

    def _part(self, conn: Any) -> None:
        """End our side. What is still sent is read and thrown away, or the client's machine would drop the reply."""
        try:
            conn.sock.setblocking(False)
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError):
            self._shut(conn)
            return
        conn.left = PART_BYTES
        self._parting[conn] = time.monotonic()

    def _drain(self, conn: Any, _: Any) -> None:
        data = _received(conn)
        conn.left -= len(data or b"")
        if data == b"" or conn.left < 0:
            self._shut(conn)

    def murder_pending(self) -> None:
        """Shut who has had the time there is; gunicorn's loop calls this after each turn."""
        now = time.monotonic()
        if now - self._swept < 0.25:
            return
        self._swept = now
        while self._arriving:
            conn, arriving = next(iter(self._arriving.items()))
            if now - arriving.began < (ARRIVE_S if self.alive else STOP_S):
                break
            if arriving.data:
                with contextlib.suppress(OSError):
                    conn.sock.send(_TIMEOUT)
            self._shut(conn)
        while self._parting:
            conn, since = next(iter(self._parting.items()))
            if now - since < (PART_S if self.alive else STOP_S):
                break
            self._shut(conn)

    def _make_room(self) -> bool:
        """Shut the connection that will be missed least: answered, slow to ask, idle, or else the oldest."""
        slowest = next(iter(self._arriving.items()), None)
        if self._parting:
            self._shut(next(iter(self._parting)))
        elif slowest and (not self.keepalived_conns or time.monotonic() - slowest[1].began > SLOW_S):
            self._shut(slowest[0])
        elif self.keepalived_conns:
            self._shut(self.keepalived_conns.popleft())
        else:
            return False
        return True

    def _shut(self, conn: Any) -> None:
        arriving = self._arriving.pop(conn, None)
        self._held -= len(arriving.data) if arriving is not None else 0
        self._parting.pop(conn, None)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()


def _received(conn: Any) -> bytes | None:
    """What has come; ``None`` if nothing has, empty at the end."""
    try:
        conn.sock.setblocking(False)
        data: bytes = conn.sock.recv(_AT_ONCE)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    return data
