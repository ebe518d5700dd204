"""The line to the till: one socket at a time, commands one after the other, and whether a change has left us.

A *burst* is a handful of commands over one connection. Looking is done again on a fresh connection when the answer was
lost; a changing command is sent once. Before the first changing command left, trouble is ``NotSent``; after that, and
always when an earlier attempt may have acted, it is ``OutcomeUnknown``.
"""

from __future__ import annotations

import itertools
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from gateway.sdk import AdapterError, InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.transports.tcp import TcpConnection
from plugins.ktv import protocol as p

T = TypeVar("T")

#: Replies for other clients that are passed over while waiting for ours.
FOREIGN_MOST = 8
#: How often a look is tried in all.
LOOKS = 2
#: Commands that carry personal data.
PERSONAL = ("MB", "BK")


@dataclass(frozen=True)
class Line:
    """Where the till listens, and how long to wait (seconds) for the connection and for each command."""

    host: str
    port: int
    encoding: str
    connect_timeout: float
    command_timeout: float


class Client:
    """The only talker of this connection in this process; thread-safe, since the till serves one socket at a time."""

    def __init__(self, line: Line) -> None:
        self.line = line
        # Sequence numbers start anywhere, so that a reply meant for another process is not taken for ours.
        self.sequence = itertools.count(secrets.randbelow(900_000_000) + 1)
        self._lock = threading.Lock()

    @contextmanager
    def burst(self, seconds: float, *, unsure: bool = False) -> Iterator[Burst]:
        """Commands over one connection, within so many seconds. ``unsure``: an earlier attempt may have acted."""
        deadline = time.monotonic() + seconds
        if not self._lock.acquire(timeout=max(seconds, 0)):
            raise OutcomeUnknown("the line is busy") if unsure else NotSent("the line is busy")
        burst = Burst(self, deadline, unsure)
        try:
            yield burst
        finally:
            burst.hang_up()
            self._lock.release()


class Burst:
    """Commands over one connection.

    ``acted``: a changing command of this burst may have been carried out. ``unsure``: one of an earlier attempt may.
    """

    def __init__(self, client: Client, deadline: float, unsure: bool) -> None:
        self._client = client
        self._began, self._deadline = time.monotonic(), deadline
        self._connection: TcpConnection | None = None
        self.unsure = unsure
        self.acted = False

    def look(self, command: str, *fields: str, read: Callable[[p.Reply], T]) -> T:
        """Send a command that changes nothing and read its reply; an answer that makes no sense is asked for again.

        Raises :class:`Refusal` if the till refuses.
        """
        trouble: AdapterError = NotSent("no time left")
        for _ in range(LOOKS):
            if time.monotonic() >= self._deadline:
                break
            try:
                return self._understood(self._exchange(command, fields), read)
            except (NotSent, OutcomeUnknown) as error:
                self.hang_up()
                trouble = error
        raise self._classed(trouble)

    def change(self, command: str, *fields: str, read: Callable[[p.Reply], T]) -> T:
        """Send a changing command, once, and read its reply. Raises :class:`Refusal` if the till refuses."""
        before = self.acted
        try:
            return self._understood(self._exchange(command, fields, changing=True), read)
        except Refusal:
            self.acted = before
            raise
        except (NotSent, OutcomeUnknown) as error:
            self.hang_up()
            raise self._classed(error) from None

    @property
    def half_spent(self) -> bool:
        """Whether less than half of the time is left."""
        return time.monotonic() > (self._began + self._deadline) / 2

    def hang_up(self) -> None:
        """Close the connection, so that another client gets its turn."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -------------------------------------------------------------- one exchange

    def _connect(self) -> TcpConnection:
        if self._connection is None:
            line = self._client.line
            self._connection = TcpConnection(
                line.host, line.port, deadline=self._deadline, connect_timeout=line.connect_timeout
            )
        return self._connection

    def _encode(self, command: str, seq: int, fields: tuple[str, ...]) -> bytes:
        try:
            return p.encode_request(command, seq, fields, self._client.line.encoding)
        except p.ParseError as error:
            raise NotSent(f"{command}: {_harmless(command, error)}") from None

    def _exchange(self, command: str, fields: tuple[str, ...], *, changing: bool = False) -> p.Reply:
        seq = next(self._client.sequence) % 1_000_000_000
        data = self._encode(command, seq, fields)
        connection = self._connect()
        connection.deadline = min(self._deadline, time.monotonic() + self._client.line.command_timeout)
        self.acted |= changing
        connection.send(data)
        for _ in range(FOREIGN_MOST):
            reply = self._receive(connection)
            if (reply.command, reply.seq) == (command, seq):
                return reply
        raise InvalidReply(f"{command}: only replies for other clients")

    def _receive(self, connection: TcpConnection) -> p.Reply:
        head = connection.read_exactly(p.LENGTH_DIGITS)
        if not all(0x30 <= byte <= 0x39 for byte in head):
            raise InvalidReply("the answer is no frame of this till")
        try:
            return p.parse_reply(connection.read_exactly(int(head)), self._client.line.encoding)
        except p.ParseError as error:
            raise InvalidReply(f"not a reply of this till ({type(error).__name__})") from None

    def _understood(self, reply: p.Reply, read: Callable[[p.Reply], T]) -> T:
        if reply.ret == p.BUSY:
            raise OutcomeUnknown(f"the till is in trouble: {reply.refusal}")
        if not reply.ok and reply.ret not in p.REFUSALS:
            raise OutcomeUnknown(f"the till answers {reply.ret}, which nobody has listed: {reply.refusal}")
        if not reply.ok:
            raise Refusal(reply)
        try:
            return read(reply)
        except p.ParseError as error:
            raise InvalidReply(f"{reply.command}: {_harmless(reply.command, error)}") from None

    def _classed(self, error: AdapterError) -> AdapterError:
        """The class that holds for the whole hook call: unknown as soon as something may have acted."""
        if self.acted or self.unsure:
            return error if isinstance(error, OutcomeUnknown) else OutcomeUnknown(str(error))
        return error if isinstance(error, NotSent) else NotSent(f"only looked, nothing changed: {error}")


def _harmless(command: str, error: p.ParseError) -> str:
    """What is wrong, without the values where they may be somebody's name or number."""
    return "a field that does not read" if command in PERSONAL else str(error)


class Refusal(Exception):
    """The till looked and did nothing; ``code`` is its RET and ``text`` its own words."""

    def __init__(self, reply: p.Reply) -> None:
        super().__init__(f"{reply.command}: {reply.ret} {reply.refusal}")
        self.code = reply.ret
        self.text = reply.refusal
