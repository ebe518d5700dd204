"""Sessions: systems that want a sign-on first, over a ``Line``.

The author writes the sign-on and how its answer is read; connecting, waiting for one's turn, signing on again after a
broken or idle connection, and hanging up are done here.

    host = Sessions(tcp("10.0.0.5", 7001), LengthPrefixed(4, "ascii"), sign_on, lock=context.spool / "terminal.lock")
    with host.turn(call.remaining()) as session:
        answer = session.ask(b"BK|0017|…", matches=lambda reply: reply.startswith(b"BK|0017|"))
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from gateway.domain.errors import AdapterError, Misconfigured, NotSent
from gateway.sdk.transports import wire
from gateway.sdk.transports.frames import Framing
from gateway.sdk.transports.stream import Line, Stream

T = TypeVar("T")
_FOREVER = float("inf")
#: How long a sign-off may take, in seconds: nothing depends on it.
_SIGN_OFF_S = 1.0
_TRY_EVERY_S = 0.2


class Busy(Exception):
    """Raised by a ``sign_on``: the system lets us in later (signed on elsewhere, too many sessions). Tried again."""


class Session(Generic[T]):
    """A turn at the system, signed on. ``state`` is what ``sign_on`` returned; the author may change it."""

    state: T

    def __init__(self, line: Line, ends: float) -> None:
        self._line, self._ends = line, ends

    def left(self) -> float:
        """The seconds that are left of the turn."""
        return max(self._ends - time.monotonic(), 0.001)

    def ask(self, body: bytes, *, matches: Callable[[bytes], bool] | None = None, timeout: float = _FOREVER) -> bytes:
        """As ``Line.ask``; within the turn's time. A connection that has ended is not opened anew: ``NotSent``."""
        return self._line.ask(body, timeout=min(timeout, self.left()), matches=matches or _any)


class Sessions(Generic[T]):
    """Turns at a system that wants a sign-on; thread-safe, one turn at a time.

    ``sign_on`` asks what must be asked first and returns what its answer told; what is in force over connections (a
    day's key, kept in ``context.store``) it may return without a question. It raises :class:`Busy` where that says
    "later", ``Misconfigured`` for a wrong password. ``sign_off`` says good-bye; its answer does not count.

    Without ``lock`` the session is kept from turn to turn; after ``idle_s`` without a message it is signed on anew,
    since a connection that nobody uses may be dead without a sign of it: take less than the system's own limit. Each
    process of the gateway then has a session of its own. With ``lock``, a file that all processes of this machine can
    reach, they take turns, and each turn signs on and hangs up: for a system that lets a terminal in only once.
    """

    def __init__(
        self,
        connect: Callable[[float], Stream],
        framing: Framing,
        sign_on: Callable[[Session[T]], T],
        *,
        sign_off: Callable[[Session[T]], object] | None = None,
        lock: Path | None = None,
        idle_s: float = 30.0,
    ) -> None:
        self._connect, self._sign_on, self._sign_off = connect, sign_on, sign_off
        self._file, self._idle_s = lock, idle_s
        self._mutex = threading.Lock()
        self._line = Line(self._opened, framing, keep=True)
        self._opening, self._state, self._used = False, list[T](), 0.0

    @contextmanager
    def turn(self, seconds: float) -> Iterator[Session[T]]:
        """A session for one or more questions, all within ``seconds``.

        Raises ``NotSent`` if there was no turn, no connection or no sign-on in that time, and what ``sign_on`` says is
        ``Misconfigured``: what had left until then was a sign-on, which changes nothing. Whatever is raised within the
        block ends the session; the next turn signs on anew.
        """
        ends = time.monotonic() + seconds
        if not self._mutex.acquire(timeout=max(seconds, 0)):
            raise NotSent("another call had the session all the time")
        try:
            with _locked(self._file, ends):
                yield from self._signed_on(ends)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Sign off and hang up, once the running turn is over."""
        with self._mutex:
            self._hang_up()

    def _signed_on(self, ends: float) -> Iterator[Session[T]]:
        session = Session[T](self._line, ends)
        try:
            self._ready(session)
            yield session
            self._used = time.monotonic()
        except BaseException:
            self._forget()
            raise
        else:
            if self._file is not None:
                self._hang_up()

    def _ready(self, session: Session[T]) -> None:
        """Signed on: still, or anew. What fails here has changed nothing, whatever the transport thinks of it."""
        idle = time.monotonic() - self._used
        if self._state and idle < self._idle_s and self._line.alive():
            session.state = self._state[0]
            return
        self._forget()
        before = wire.sends()
        try:
            self._admitted(session)
        except Misconfigured:
            wire.harmless(before)
            raise
        except (AdapterError, ValueError) as error:  # a plugin's own ParseError is a ValueError
            wire.harmless(before)
            raise NotSent(f"no sign-on: {error}") from error

    def _admitted(self, session: Session[T]) -> None:
        """Sign on, again and again while the system is busy."""
        while True:
            self._opening = True
            try:
                session.state = self._sign_on(session)
                self._line.open(session.left())  # a sign-on that is still in force from before has asked nothing
            except Busy as error:
                self._line.close()
                if session.left() <= _TRY_EVERY_S:
                    raise NotSent(f"the system lets nobody in: {error}") from None
                time.sleep(_TRY_EVERY_S)
            else:
                self._state = [session.state]
                return
            finally:
                self._opening = False

    def _opened(self, deadline: float) -> Stream:
        """A connection, for a sign-on only: a question on one that nobody signed on would be refused, or worse."""
        if not self._opening:
            raise NotSent("the session has ended: the system hung up")
        return self._connect(deadline)

    def _hang_up(self) -> None:
        if self._sign_off is not None and self._state and self._line.alive():
            with suppress(AdapterError, ValueError):
                session = Session[T](self._line, time.monotonic() + _SIGN_OFF_S)
                session.state = self._state[0]
                self._sign_off(session)
        self._forget()

    def _forget(self) -> None:
        self._state = []
        self._line.close()


@dataclass(frozen=True, slots=True)
class Counter:
    """Sequence numbers from ``first`` to ``last``, and then ``first`` again."""

    first: int
    last: int

    def after(self, number: int) -> int:
        """The number that follows."""
        return self.first if number >= self.last else number + 1

    def reached(self, number: int, newest: int) -> bool:
        """Whether ``number`` was given out by the time the newest was ``newest``: right while fewer than half of all
        numbers lie between them."""
        size = self.last - self.first + 1
        return (newest - number) % size < size - size // 2


@contextmanager
def _locked(path: Path | None, ends: float) -> Iterator[None]:
    """The file's lock, among all processes of this machine; the system lets go of it when its holder dies."""
    if path is None:
        yield
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        while not _taken(descriptor):
            if time.monotonic() >= ends:
                raise NotSent("another process had the session all the time")
            time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _any(answer: bytes) -> bool:
    """Each connection begins with a sign-on, and one that had trouble is closed: what comes answers what was asked."""
    return True
