"""The gateway's side of an adapter in processes of its own: started when needed, one call each, killed when it is time.

What may become of a call: the answer that came back; ``NotSent`` if the process could not be started or was gone before
it had the call in hand; ``OutcomeUnknown`` for everything after that: killed, crashed, garbage on the pipe. A process
that ended badly is started again after a pause that doubles.

This bounds what a driver can do to the gateway: its memory, its hangs, its crashes. It is no sandbox: the process runs
under the same user and may use the network and read what this user may read.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from logging import LoggerAdapter
from typing import Any, NoReturn

from gateway.domain import errors
from gateway.domain.call import Call
from gateway.domain.common import Step
from gateway.domain.errors import AdapterError, Misconfigured, NotSent, OutcomeUnknown, PluginError
from gateway.runtime.runner.channel import Channel, Gone, Late
from gateway.runtime.runner.codec import CodecError
from gateway.sdk.adapter import KeyValue
from gateway.sdk.transports import wire

Message = dict[str, Any]
#: All of the gateway's environment that a runner gets.
ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_LIBRARY_PATH", "ODBCSYSINI")
#: Open files that a runner may have.
OPEN_FILES = 256
#: The first pause before a process that ended badly is started again, and the longest, in seconds.
PAUSE_FIRST_S, PAUSE_MOST_S = 0.2, 30.0
#: How long a process may take to be started, in seconds.
START_S = 10.0
#: A call waits for this share of its time for a process to be started; the rest is the call's own.
START_SHARE = 0.7
#: By how much later than the gateway the kernel ends a call that goes on for too long, in seconds.
KERNEL_LATER_S = 2.0

_TROUBLE = {name: getattr(errors, name) for name in errors.__dict__ if isinstance(getattr(errors, name), type)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a runner is to run, and its bounds: times in seconds.

    ``patience_s``: for how long after its deadline a change may go on before its process is killed; the gateway waits
    no longer for it, its outcome is asked for. ``most``: processes at a time. ``read_s`` gives the time of a hook that
    reads.
    """

    adapter: type
    name: str
    context: Message
    grace_s: float
    patience_s: float
    memory_bytes: int
    cpu_s: float
    most: int
    read_s: Callable[[str], float]


class Process:
    """One process, ready to serve."""

    def __init__(self, spec: Spec, serve: Callable[[Message], Message | None], until: float) -> None:
        """Start it. Raises ``NotSent`` or ``Misconfigured`` if it does not come up."""
        ours, theirs = socket.socketpair()
        try:
            command = [sys.executable, "-m", "gateway.runtime.runner.child", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise NotSent(f"a process for {spec.name} cannot be started: {error.strerror}") from None
        finally:
            theirs.close()
        self.channel, self._serve = Channel(ours), serve
        try:
            self._greet(spec, until)
        except BaseException:
            self.kill()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def _greet(self, spec: Spec, until: float) -> None:
        limits = {"memory_bytes": spec.memory_bytes, "open_files": OPEN_FILES}
        kind = spec.adapter
        hello = {"module": kind.__module__, "name": kind.__qualname__, "adapter": spec.name}
        try:
            self.channel.send({**hello, "limits": limits, "context": spec.context}, until)
            reply = self._converse(until)
        except CodecError as error:
            raise Misconfigured(f"{spec.name} cannot run in a process of its own: {error}") from None
        except Gone:
            raise NotSent(f"the process of {spec.name} ended while it started ({self.ending()})") from None
        except Late:
            raise NotSent(f"the process of {spec.name} did not start in time") from None
        if reply["do"] == "trouble":
            kind_of = _TROUBLE.get(str(reply.get("kind")))
            wrong = Misconfigured if kind_of is Misconfigured else NotSent
            raise wrong(f"{spec.name} cannot be built: {reply.get('text')}")

    def call(self, message: Message, until: float) -> Message:
        """Hand a call over and serve the process until it answers. Raises ``NotSent`` or ``OutcomeUnknown``."""
        taken = threading.Event()
        try:
            self.channel.send(message, until)
        except CodecError as error:
            raise NotSent(f"this request cannot be handed over: {error}") from None
        except Gone:
            raise NotSent(f"its process had ended ({self.ending()})") from None
        except Late:
            raise OutcomeUnknown("its process does not take the call") from None
        try:
            return self._converse(until, taken)
        except Gone:
            text = f"its process ended ({self.ending()})"
            raise (OutcomeUnknown(text) if taken.is_set() else NotSent(f"{text} before it had the call")) from None
        except Late:
            raise OutcomeUnknown("its process was killed, because it did not come back in time") from None
        except CodecError as error:
            raise OutcomeUnknown(f"garbage came from its process: {error}") from None

    def _converse(self, until: float, taken: threading.Event | None = None) -> Message:
        """Do what the process asks for until it says how it ended."""
        while True:
            said = self.channel.receive(until)
            match said.get("do"):
                case "answer" | "trouble" | "ready":
                    return said
                case "got" if taken is not None:
                    taken.set()
                case _:
                    reply = self._serve(said)
                    if reply is not None:
                        self.channel.send(reply, until)

    def ending(self) -> str:
        """How the process ended, for a message; it is killed if it has not."""
        self.kill()
        code = self._process.returncode
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def kill(self) -> None:
        """End the process and all that it started."""
        if self._process.poll() is None:
            # What closes its end is about to exit by itself: its status tells more than our signal would.
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self.channel.close()


class _Start:
    """A process that is being started; ``left`` once nobody waits for it any more."""

    __slots__ = ("done", "error", "left", "process")

    def __init__(self) -> None:
        self.done = threading.Event()
        self.process: Process | None = None
        self.error: AdapterError | None = None
        self.left = False


class Runner:
    """An adapter that lives in processes of its own: as many as calls run side by side."""

    def __init__(self, spec: Spec, store: KeyValue, log: LoggerAdapter[Any]) -> None:
        self.spec, self._store, self._log = spec, store, log
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._call = threading.local()
        self._ended_badly, self._not_before = 0, 0.0
        self._starting, self._closed = 0, False

    def relay(self, hooks: frozenset[str]) -> Mapping[str, Callable[..., Any]]:
        """A caller for each hook, with the arguments that the hook has."""
        return {hook: partial(self._run, hook) for hook in hooks}

    def check(self) -> None:
        """The adapter's own check."""
        self._run("check")

    def close(self) -> None:
        """End the processes; those at work end with their call."""
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for process in idle:
            process.kill()

    # --- a call ------------------------------------------------------------------------------------------------------

    def _run(self, hook: str, request: Any = None, call: Call | None = None) -> Any:
        spec = self.spec
        seconds = call.remaining() if call is not None else spec.read_s(hook)
        until = time.monotonic() + seconds + spec.grace_s + (spec.patience_s if call is not None else 0.0)
        message: Message = {"hook": hook, "request": request, "call": _handed(call), "seconds": seconds}
        message |= {"grace": spec.grace_s, "cpu_seconds": spec.cpu_s, "tape": wire.recorded()}
        message["longest"] = until - time.monotonic() + KERNEL_LATER_S
        process = self._take(time.monotonic() + min(seconds * START_SHARE, START_S))
        self._call.journal = call.journal if call is not None else None
        try:
            reply = process.call(message, until)
        except AdapterError:
            self._bad(process)
            raise
        except BaseException:
            process.kill()
            raise
        return self._result(process, reply)

    def _result(self, process: Process, reply: Message) -> Any:
        if reply["do"] == "answer":
            self._ended_badly = 0
            self._give_back(process)
            return reply.get("value")
        kind = _TROUBLE.get(str(reply.get("kind")), PluginError)
        if not issubclass(kind, AdapterError) or kind is PluginError:
            process.kill()  # whatever it was, the next call begins with a process that nothing is wrong with
            raise PluginError(str(reply.get("text")))
        self._give_back(process)
        raise kind(str(reply.get("text")))

    def _take(self, until: float) -> Process:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            wait = self._not_before - time.monotonic()
            if wait > 0:
                text = (
                    f"the process of {self.spec.name} ended badly {self._ended_badly} times; next start in {wait:.1f} s"
                )
                raise NotSent(text)
            if self._starting >= self.spec.most:
                raise NotSent(f"the process of {self.spec.name} is starting")
            self._starting += 1
        start = _Start()
        threading.Thread(target=self._bring_up, args=(start,), daemon=True, name=f"start/{self.spec.name}").start()
        return self._started(start, until)

    def _bring_up(self, start: _Start) -> None:
        """Start a process, whose first call may not be able to wait for it: then it is there for the next."""
        try:
            start.process = Process(self.spec, self._serve, time.monotonic() + START_S)
        except AdapterError as error:
            start.error = error
            self._bad(None)
        except Exception as error:
            start.error = NotSent(f"the process of {self.spec.name} cannot be started: {type(error).__name__}")
            self._bad(None)
        with self._lock:
            self._starting -= 1
            start.done.set()
            unwanted = start.process if start.left else None
        if unwanted is not None:
            self._give_back(unwanted)

    def _started(self, start: _Start, until: float) -> Process:
        start.done.wait(max(0.0, until - time.monotonic()))
        with self._lock:
            start.left = not start.done.is_set()
        if start.process is not None and not start.left:
            return start.process
        raise start.error or NotSent(f"the process of {self.spec.name} is starting")

    def _give_back(self, process: Process) -> None:
        with self._lock:
            if not self._closed:
                return self._idle.append(process)
        return process.kill()

    def _bad(self, process: Process | None) -> None:
        if process is not None:
            process.kill()
        with self._lock:
            self._ended_badly += 1
            pause = min(PAUSE_FIRST_S * 2 ** min(self._ended_badly - 1, 10), PAUSE_MOST_S)
            self._not_before = time.monotonic() + pause

    # --- what a process asks for -------------------------------------------------------------------------------------

    def _serve(self, said: Message) -> Message | None:
        """Answer one question of the process whose call this thread has in hand; ``None``: none is awaited."""
        try:
            match said:
                case {"do": "log", "level": int(level), "text": str(text)}:
                    self._log.log(min(level, 50), "%s", text)
                    return None
                case {"do": "frame", "direction": str(direction), "data": bytes(data), "head": str(head)}:
                    wire.record(direction, data, head)
                    return None
                case {"do": "step", "step": Step() as step}:
                    return self._step(step)
                case {"do": "get", "key": str(key)}:
                    return {"value": self._store.get(key)}
                case {"do": "put", "key": str(key), "value": value}:
                    self._store.put(key, value)
                case {"do": "put_new", "key": str(key), "value": value}:
                    return {"value": self._store.put_new(key, value)}
                case {"do": "delete", "key": str(key)}:
                    self._store.delete(key)
                case {"do": "keys", "prefix": str(prefix)}:
                    return {"value": self._store.keys(prefix)}
                case _:
                    _garbage()
        except CodecError:
            raise
        except Exception as error:
            return {"stop": f"the gateway could not do this: {type(error).__name__}"}
        return {"value": None}

    def _step(self, step: Step) -> Message:
        """Journal a step before the process goes on; one that comes too late is stopped."""
        journal = getattr(self._call, "journal", None)
        if journal is None:
            return {"stop": "no change is being made"}
        try:
            journal(step)
        except AdapterError as error:
            return {"stop": str(error)}
        return {"value": None}


def _garbage() -> NoReturn:
    raise CodecError("not one of the things that may be asked for")


def _handed(call: Call | None) -> Message | None:
    """A call as it is handed over: without the gateway's own transaction and journal."""
    if call is None:
        return None
    return {"key": call.key, "attempt": call.attempt, "trace": call.trace, "steps": call.steps}


def _environment() -> dict[str, str]:
    """The system's part of our environment, and where Python finds the same modules: no secret of ours."""
    own = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    return {**own, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
