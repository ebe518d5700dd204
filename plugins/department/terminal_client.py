"""The gateway's end of the helper process: frames to it, answers from it, and what is still under way in it.

The DLL serves one request at a time and cannot be interrupted. A call that is given up on goes on in the helper; its
answer is read when it comes, and handed to the caller's ``on_late``. Answers come in the order of the requests, and
carry the request's LRC.
"""

from __future__ import annotations

import secrets
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from gateway.sdk import InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire
from plugins.department.protocol import ParseError
from plugins.department.protocol_bankall import (
    BankRequest,
    BankResponse,
    decode_response,
    encode_request,
    read_frame,
    write_frame,
)

_START_S = 10.0
_HOME = Path(__file__).parents[2]

OnLate = Callable[[BankResponse], None]


class TerminalBusyError(NotSent):
    """An earlier call is still under way in the DLL."""


@dataclass(slots=True)
class _Waiting:
    """A request in the helper; ``outcome`` is set when its answer came, or when the helper went away."""

    lrc: str
    on_late: OnLate | None
    since: float = field(default_factory=time.monotonic)
    ended: threading.Event = field(default_factory=threading.Event)
    outcome: BankResponse | OutcomeUnknown | None = None
    given_up: bool = False
    answer: bytes = b""


class _Process:
    """One running helper."""

    def __init__(self, command: Sequence[str], errors: Path) -> None:
        with errors.open("ab") as log:
            # The command stands in the merchant's own configuration; a session of its own keeps our signals away.
            self.process = subprocess.Popen(  # noqa: S603
                list(command),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=_HOME,
                start_new_session=True,
            )
        self.since = time.monotonic()
        self.ready = threading.Event()
        self.gone = threading.Event()
        self.waiting: deque[_Waiting] = deque()
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, name="terminal-helper", daemon=True).start()

    @property
    def _pipes(self) -> tuple[BinaryIO, BinaryIO]:
        source, target = self.process.stdin, self.process.stdout
        if source is None or target is None:
            raise NotSent("the helper has no pipes")
        return source, target  # type: ignore[return-value]

    def send(self, frame: bytes, waiting: _Waiting) -> None:
        """Write a request; from here on its outcome is unknown until it is answered."""
        with self._lock:
            self.waiting.append(waiting)
        wire.left()
        wire.record(wire.SENT, frame)
        try:
            write_frame(self._pipes[0], frame)
        except OSError as error:
            raise OutcomeUnknown(f"the helper went away: {error}") from None

    def _listen(self) -> None:
        """Read answers until the helper leaves, then wait for it to be gone."""
        source, target = self._pipes
        try:
            while (frame := read_frame(target)) is not None:
                if not self.ready.is_set():
                    self.ready.set()
                    continue
                self._answer(frame)
        except (ParseError, OSError):
            pass
        self.gone.set()
        self.ready.set()
        while self.waiting:
            self._end(OutcomeUnknown("the helper left without an answer"))
        target.close()
        with suppress(OSError):
            source.close()
        self.process.wait()

    def _answer(self, frame: bytes) -> None:
        lrc = self.waiting[0].lrc if self.waiting else ""
        if self.waiting:
            self.waiting[0].answer = frame
        try:
            response = decode_response(frame)
        except ParseError as error:
            return self._end(InvalidReply(f"the terminal's answer does not parse: {error}"))
        if response.lrc != lrc:
            return self._end(InvalidReply("the terminal's answer carries another LRC"))
        return self._end(response)

    def _end(self, outcome: BankResponse | OutcomeUnknown) -> None:
        with self._lock:
            if not self.waiting:
                return
            ended = self.waiting.popleft()
            ended.outcome = outcome
            late = ended.given_up
        if late and ended.on_late and isinstance(outcome, BankResponse):
            ended.on_late(outcome)
        ended.ended.set()

    def give_up(self, waiting: _Waiting) -> bool:
        """Stop waiting for an answer; false if it has just come."""
        with self._lock:
            waiting.given_up = waiting.outcome is None
            return waiting.given_up

    def stuck(self, seconds: float) -> bool:
        """Whether the start, or a call in the DLL, has taken longer than any may."""
        with self._lock:
            since = self.waiting[0].since if self.waiting else time.monotonic() if self.ready.is_set() else self.since
        return time.monotonic() - since > seconds

    def kill(self) -> None:
        """End a helper whose DLL never comes back: this is why it is a process of its own."""
        self.process.kill()
        self.gone.wait(2.0)

    def leave(self) -> None:
        """Let the helper end once it has answered what is under way; never kill it in the middle of a payment."""
        source, _ = self._pipes
        with suppress(OSError):
            source.close()


class TerminalClient:
    """Talks to one terminal through its helper, which is started when it is needed. Thread-safe, one call at a time.

    A helper with a call in it for more than ``stuck_s`` seconds is killed and started anew when it is next needed.
    """

    def __init__(self, command: Sequence[str], errors: Path, stuck_s: float = 100.0) -> None:
        self._command, self._errors, self._stuck_s = tuple(command), errors, stuck_s
        self._turn = threading.Lock()
        self._process: _Process | None = None

    def exchange(self, request: BankRequest, seconds: float, on_late: OnLate | None = None) -> BankResponse:
        """Send one request and wait for its answer.

        Raises :class:`TerminalBusyError` (a ``NotSent``) while an earlier call is under way, ``NotSent`` if the helper
        cannot be started, ``OutcomeUnknown`` after ``seconds``: then the call goes on, and ``on_late`` gets its answer.
        """
        end = time.monotonic() + seconds
        if not self._turn.acquire(timeout=max(min(seconds, 1.0), 0.01)):
            raise TerminalBusyError("the terminal is busy with another call")
        try:
            process = self._running(end)
            if process.waiting:
                raise TerminalBusyError("an earlier call is still under way in the terminal")
            waiting = _Waiting(self._new_lrc(), on_late)
            process.send(encode_request(replace(request, lrc=waiting.lrc)), waiting)
            waiting.ended.wait(max(end - time.monotonic(), 0.0))
            if waiting.answer:
                wire.record(wire.RECEIVED, waiting.answer)
            if process.give_up(waiting):
                raise OutcomeUnknown("the terminal has not answered in time; the call goes on")
        finally:
            self._turn.release()
        if isinstance(waiting.outcome, BankResponse):
            return waiting.outcome
        raise waiting.outcome or OutcomeUnknown("the terminal gave no answer")

    def under_way(self) -> bool:
        """Whether a call that was given up on has not been answered yet."""
        process = self._process
        return process is not None and bool(process.waiting)

    def _new_lrc(self) -> str:
        return f"{secrets.randbelow(1000):03d}"

    def _running(self, end: float) -> _Process:
        """A helper that is ready. One that is not ready in time goes on starting: the next call finds it there."""
        if self._process is not None and self._process.stuck(self._stuck_s):
            self._process.kill()
        if self._process is None or self._process.gone.is_set():
            self._process = self._start()
        process = self._process
        if not process.ready.wait(min(max(end - time.monotonic(), 0.1), _START_S)):
            raise NotSent("the helper is not ready yet; it is starting")
        if process.gone.is_set():
            raise NotSent(f"the helper left at once; see {self._errors}")
        return process

    def _start(self) -> _Process:
        try:
            return _Process(self._command, self._errors)
        except OSError as error:
            raise NotSent(f"helper: {self._command[0]} cannot be started: {error}") from None

    def close(self) -> None:
        """Let the helper leave."""
        if self._process is not None:
            self._process.leave()
            self._process.gone.wait(2.0)
