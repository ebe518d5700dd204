"""Byte streams to legacy systems, and asking one question over them.

A stream knows whether anything has left it: what goes wrong before is ``NotSent``, afterwards ``OutcomeUnknown``. Its
times are measured against ``deadline``, a value of ``time.monotonic()``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import ClassVar, Self

from gateway.domain.errors import AdapterError, InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.parsing import ParseError
from gateway.sdk.transports import wire
from gateway.sdk.transports.frames import Framing


class Stream:
    """Base of the streams, for one thread; a context manager. Subclasses give ``_put``, ``_get`` and ``close``."""

    #: Whether a newly opened stream can hold nothing that was meant for an earlier one: so for TCP, not for a wire.
    clean_when_opened: ClassVar[bool] = True

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.sent = False
        self._buffer = b""

    def _put(self, data: bytes) -> None:
        """Send all of it. Raises ``OSError``."""
        raise NotImplementedError

    def _get(self) -> bytes:
        """Some bytes that came, at least one; nothing at the end. Raises ``OSError`` when none came in time."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the stream."""
        raise NotImplementedError

    def stale(self) -> bool:
        """Whether something has come that nobody asked for, or the other side has hung up."""
        raise NotImplementedError

    def _left(self) -> float:
        return max(self.deadline - time.monotonic(), 0.001)

    def trouble(self, text: str) -> AdapterError:
        """The right class for something that went wrong now."""
        return OutcomeUnknown(text) if self.sent else NotSent(text)

    def send(self, data: bytes) -> None:
        """Send all of ``data``."""
        wire.left()
        self.sent = True
        wire.record(wire.SENT, data)
        try:
            self._put(data)
        except OSError as error:
            raise OutcomeUnknown(f"connection lost while sending: {error}") from None

    def read_exactly(self, count: int, limit: int = 1 << 20) -> bytes:
        """Read ``count`` bytes, joined from as many packets as it takes."""
        if count > limit:
            raise InvalidReply(f"a frame of {count} bytes is announced, over {limit}")
        return self._read(lambda: count if len(self._buffer) >= count else -1, limit)

    def read_until(self, delimiter: bytes, limit: int = 1 << 16) -> bytes:
        """Read up to and with ``delimiter``."""

        def end() -> int:
            found = self._buffer.find(delimiter)
            return -1 if found < 0 else found + len(delimiter)

        return self._read(end, limit)

    def read_frame(self, framing: Framing) -> bytes:
        """Read one message; what comes after it stays for the next. ``InvalidReply`` if it can't be one."""
        try:
            while (found := framing.cut(self._buffer)) is None:
                self._buffer += self._receive()
        except ParseError as error:
            raise InvalidReply(f"not a frame: {error}") from None
        body, taken = found
        self._buffer = self._buffer[taken:]
        return body

    def _read(self, end: Callable[[], int], limit: int) -> bytes:
        while (stop := end()) < 0:
            if len(self._buffer) > limit:
                raise InvalidReply(f"no end of frame within {limit} bytes")
            self._buffer += self._receive()
        frame, self._buffer = self._buffer[:stop], self._buffer[stop:]
        return frame

    def _receive(self) -> bytes:
        if time.monotonic() >= self.deadline:
            raise self.trouble("no answer in time")
        try:
            data = self._get()
        except OSError as error:
            raise self.trouble(f"no answer: {error or type(error).__name__}") from None
        if not data:
            raise self.trouble("connection closed before the answer was whole")
        wire.record(wire.RECEIVED, data)
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Line:
    """Questions to a system that answers one after the other; thread-safe, one question at a time.

    ``connect`` opens a stream, given its deadline. With ``keep`` the connection is kept from one question to the next,
    and opened anew when the other side has hung up or has said something unasked; then, and on a wire that has no
    connections, ``matches`` is needed with every question. A question is sent once, whatever happens.

    **A late answer is never taken for another question's**: after any trouble the connection is closed, and the late
    answer with it; and an answer for which ``matches`` is false is passed over.
    """

    #: So many answers to other questions are passed over while waiting for the right one.
    FOREIGN_MOST = 8

    def __init__(self, connect: Callable[[float], Stream], framing: Framing, *, keep: bool = False) -> None:
        self._connect, self._framing, self._keep = connect, framing, keep
        self._lock = threading.Lock()
        self._stream: Stream | None = None

    def ask(self, body: bytes, *, timeout: float, matches: Callable[[bytes], bool] | None = None) -> bytes:
        """Send one message and return the body of its answer. ``timeout`` in seconds, for all of it.

        ``matches`` says whether an answer is about this question, by the number that both carry. Raises ``NotSent`` or
        ``OutcomeUnknown`` as a stream does, ``InvalidReply`` for what is no frame or answers only other questions;
        ``ParseError`` for a body that the framing cannot carry.
        """
        data = self._framing.encode(body)
        deadline = time.monotonic() + timeout
        if not self._lock.acquire(timeout=max(timeout, 0)):
            raise NotSent("the line is busy")
        try:
            stream = self._open(deadline)
            if matches is None and (self._keep or not stream.clean_when_opened):
                raise ValueError("answers on a line that stays open need matches=")
            stream.send(data)
            answer = self._answer(stream, matches)
        except BaseException:
            self._hang_up()
            raise
        else:
            if not self._keep:
                self._hang_up()
            return answer
        finally:
            self._lock.release()

    def open(self, timeout: float) -> None:
        """Connect now, if no connection is kept that is alive. Raises ``NotSent`` as a question does."""
        with self._lock:
            self._open(time.monotonic() + timeout)

    def close(self) -> None:
        """Hang up, once the running question is answered."""
        with self._lock:
            self._hang_up()

    def alive(self) -> bool:
        """Whether a kept connection is there that the other side has not ended, and on which nothing came unasked.

        One whose other end vanished without a word looks alive: only the next question shows it.
        """
        with self._lock:
            return self._stream is not None and not self._stream.stale()

    def _answer(self, stream: Stream, matches: Callable[[bytes], bool] | None) -> bytes:
        for _ in range(self.FOREIGN_MOST):
            answer = stream.read_frame(self._framing)
            if matches is None or matches(answer):
                return answer
        raise InvalidReply("only answers to other questions")

    def _open(self, deadline: float) -> Stream:
        if self._stream is not None and self._stream.stale():
            self._hang_up()
        if self._stream is None:
            self._stream = self._connect(deadline)
        self._stream.deadline, self._stream.sent = deadline, False
        return self._stream

    def _hang_up(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
