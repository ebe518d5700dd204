"""A process that is not the tests': it starts far systems, and adapters that are to be killed, by fork.

It imports the plugin once; a far system then starts in a few hundredths of a second, as a process of its own. Requests
and replies are pickled over its standard input and output. When the input ends, everything that it started is killed.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import json
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

_START_S = 20.0
_PR_SET_PDEATHSIG = 1


def locate(name: str, file: str = "") -> Any:
    """The object ``module:qualified.name``; a module that is not importable is read from its file."""
    module, _, path = name.partition(":")
    if module not in sys.modules:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError:
            spec = importlib.util.spec_from_file_location(module, file) if file else None
            if spec is None or spec.loader is None:
                raise
            sys.modules[module] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(sys.modules[module])
    found: Any = sys.modules[module]
    for part in path.split("."):
        found = getattr(found, part)
    return found


def name_of(kind: type) -> tuple[str, str]:
    """The name and the file by which another process finds a class. Raises ``ValueError`` for one that is local."""
    if "<locals>" in kind.__qualname__:
        raise ValueError(f"{kind.__qualname__} is defined in a function: other processes can't import it")
    return f"{kind.__module__}:{kind.__qualname__}", str(
        getattr(sys.modules.get(kind.__module__), "__file__", "") or ""
    )


class Host:
    """The process, from the tests' side. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONHASHSEED": "0"}
        self._process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-c", f"from {__name__} import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Have it do something. Raises ``RuntimeError`` with its reason if that fails."""
        with self._lock:
            assert self._process.stdin is not None and self._process.stdout is not None
            _write(self._process.stdin, (verb, arguments))
            done, value = _read(self._process.stdout)
        if not done:
            raise RuntimeError(value)
        return value

    def simulate(self, simulator: type, data: Path, options: Mapping[str, str]) -> dict[str, Any]:
        """Start a far system; what it printed at its start, and its ``pid``."""
        started: dict[str, Any] = self.ask("simulate", *name_of(simulator), str(data), dict(options))
        return started

    def run(self, function: str, *arguments: Any) -> int:
        """Call a function in a process of its own; its pid."""
        pid: int = self.ask("run", function, arguments)
        return pid

    def stop(self, pid: int, number: int = signal.SIGKILL) -> None:
        """End a process that it started, and wait until it is gone."""
        self.ask("stop", pid, number)

    def gone(self, pid: int) -> bool:
        """Whether a process that it started has ended."""
        return bool(self.ask("gone", pid))

    def close(self) -> None:
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _write(to: IO[bytes], value: Any) -> None:
    data = pickle.dumps(value)
    to.write(len(data).to_bytes(8, "big") + data)
    to.flush()


def _read(source: IO[bytes]) -> Any:
    head = source.read(8)
    if len(head) < 8:
        raise EOFError("the process that runs far systems has ended")
    return pickle.loads(source.read(int.from_bytes(head, "big")))  # noqa: S301 - from our own process


# -- in the process -------------------------------------------------------------------------------------------------


class _Server:
    def __init__(self, source: IO[bytes], to: IO[bytes]) -> None:
        self.source, self.to = source, to
        self.children: set[int] = set()

    def serve(self) -> None:
        while True:
            try:
                verb, arguments = _read(self.source)
            except EOFError:
                break
            try:
                answer = (True, getattr(self, f"do_{verb}")(*arguments))
            except Exception as error:
                answer = (False, f"{type(error).__name__}: {error}")
            _write(self.to, answer)
        for pid in self.children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def do_load(self, name: str, file: str) -> None:
        locate(name, file)

    def do_simulate(self, name: str, file: str, data: str, options: dict[str, str]) -> dict[str, Any]:
        kind = locate(name, file)
        inner, outer = os.pipe()
        pid = self._fork(inner)
        if pid == 0:
            os.dup2(outer, 1)
            sys.stdout = os.fdopen(1, "w")
            _simulate(kind, Path(data), options)
        os.close(outer)
        with os.fdopen(inner, "rb") as told:
            ready, _, _ = select.select([told], [], [], _START_S)
            line = told.readline() if ready else b""
        if not line:
            self.do_stop(pid, signal.SIGKILL)
            raise RuntimeError(f"the simulator {name} did not start; run it by itself to see why")
        return {**json.loads(line), "pid": pid}

    def do_run(self, function: str, arguments: tuple[Any, ...]) -> int:
        work = locate(function)
        pid = self._fork()
        if pid == 0:
            code = 1
            try:
                work(*arguments)
                code = 0
            finally:
                os._exit(code)
        return pid

    def _fork(self, *shut: int) -> int:
        pid = os.fork()
        if pid:
            self.children.add(pid)
            return pid
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in shut:
            os.close(descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        return 0

    def do_gone(self, pid: int) -> bool:
        if pid in self.children:
            with suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    return False
            self.children.discard(pid)
        return True

    def do_stop(self, pid: int, number: int) -> None:
        until = time.monotonic() + 3
        with suppress(ProcessLookupError):
            if not self.do_gone(pid):
                os.kill(pid, number)
        while not self.do_gone(pid):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)


def _simulate(kind: Any, data: Path, options: dict[str, str]) -> None:
    """Run a simulator in this process until it is told to stop; never comes back."""
    from gateway.sdk.simulator import run

    code = 1
    try:
        run(kind(data, options))
        code = 0
    except BaseException as error:
        sys.stderr.write(f"{kind.__name__}: {type(error).__name__}: {error}\n")
    finally:
        os._exit(code)


def main() -> None:
    """Serve until the input ends."""
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever is printed is no reply
    _Server(sys.stdin.buffer, outgoing).serve()
