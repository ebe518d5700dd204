"""The runner: a process that holds one adapter of one connection and serves one call at a time.

Started by ``runner.py`` as ``python -m gateway.runtime.runner.child FD``. It has the connection's own settings and
nothing else of the gateway: no database, no other secret, no environment but the system's. It ends with its socket.
"""

from __future__ import annotations

import importlib
import logging
import math
import resource
import signal
import socket
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

from gateway.domain.call import Call
from gateway.domain.common import Step
from gateway.domain.errors import AdapterError, NotSupported, OutcomeUnknown
from gateway.runtime.guard import outcome
from gateway.runtime.runner.channel import Channel, Gone
from gateway.runtime.runner.codec import CodecError
from gateway.sdk import Adapter, Context, Http
from gateway.sdk.adapter import utc_now

Message = dict[str, Any]
#: Characters of one line of the log.
_LINE_MOST = 2_000
#: Bytes of a message that are handed over for the evidence; the gateway keeps fewer.
_FRAME_MOST = 8_192


class Gateway:
    """What the gateway does for the adapter while it is at work: steps, its store, the log, the evidence."""

    def __init__(self, channel: Channel) -> None:
        self.channel, self._thread = channel, threading.get_ident()

    def ask(self, message: Message) -> Any:
        """Ask, and wait for the answer; only the thread that runs the call may, for only then somebody listens."""
        if threading.get_ident() != self._thread:
            raise NotSupported("only the thread that was called may do this")
        self.channel.send(message)
        answer = self.channel.receive()
        if "stop" in answer:
            raise OutcomeUnknown(str(answer["stop"]))
        return answer.get("value")

    def step(self, step: Step) -> None:
        self.ask({"do": "step", "step": step})

    # --- the adapter's store -----------------------------------------------------------------------------------------

    def get(self, key: str) -> Any:
        return self.ask({"do": "get", "key": key})

    def put(self, key: str, value: Any) -> None:
        self.ask({"do": "put", "key": key, "value": value})

    def put_new(self, key: str, value: Any) -> bool:
        return bool(self.ask({"do": "put_new", "key": key, "value": value}))

    def delete(self, key: str) -> None:
        self.ask({"do": "delete", "key": key})

    def keys(self, prefix: str = "") -> list[str]:
        return list(self.ask({"do": "keys", "prefix": prefix}))

    # --- what is only told -------------------------------------------------------------------------------------------

    def add(self, direction: str, data: bytes | bytearray, head: str = "") -> None:
        """One message on the wire, for the evidence: the gateway masks and keeps it."""
        self.tell({"do": "frame", "direction": direction, "data": bytes(data[:_FRAME_MOST]), "head": head})

    def tell(self, message: Message) -> None:
        """Tell the gateway; what another thread says is not heard."""
        if threading.get_ident() == self._thread:
            self.channel.send(message)


class _Log(logging.Handler):
    def __init__(self, gateway: Gateway) -> None:
        super().__init__(logging.INFO)
        self._gateway = gateway

    def emit(self, record: logging.LogRecord) -> None:
        self._gateway.tell({"do": "log", "level": record.levelno, "text": record.getMessage()[:_LINE_MOST]})


def limit(limits: Message) -> None:
    """Take away what the process may not use; a lowered hard limit cannot be raised again."""
    memory, files = int(limits["memory_bytes"]), int(limits["open_files"])
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def build(hello: Message, gateway: Gateway) -> Adapter:
    """The adapter, by the name of its class."""
    found: Any = importlib.import_module(hello["module"])
    for name in str(hello["name"]).split("."):
        found = getattr(found, name)
    about = hello["context"]
    log = logging.getLogger(f"gateway.adapter.{hello['adapter']}")
    log.addHandler(_Log(gateway))
    log.propagate = False
    http = Http(verify=about["verify"], pool=about["pool"], plain_text=about["plain_text"])
    adapter: Adapter = found(
        Context(
            merchant=about["merchant"],
            connection=about["connection"],
            settings=about["settings"],
            http=http,
            log=logging.LoggerAdapter(log, {}),
            store=gateway,
            spool=Path(about["spool"]),
            currency=about["currency"],
            timezone=ZoneInfo(about["timezone"]),
        )
    )
    return adapter


def answer(adapter: Adapter, message: Message, gateway: Gateway) -> Message:
    """Run one hook. Whatever it does, the answer is a value or the class of trouble that the engine knows."""
    hook, seconds = str(message["hook"]), float(message["seconds"])
    _watch(float(message["longest"]), float(message["cpu_seconds"]))
    arguments: Message = {} if hook == "check" else {"request": message["request"]}
    if (call := message.get("call")) is not None:
        deadline = utc_now() + timedelta(seconds=seconds)
        arguments["call"] = Call(**{**call, "deadline": deadline, "journal": gateway.step})
    work = getattr(adapter, hook)
    until = time.monotonic() + seconds + float(message["grace"])
    try:
        value = outcome(adapter.name, hook, lambda: work(**arguments), until=until, tape=_tape(message, gateway))
    except AdapterError as error:
        return {"do": "trouble", "kind": type(error).__name__, "text": str(error)}
    finally:
        _watch(0, math.inf)
    return {"do": "answer", "value": value}


def _tape(message: Message, gateway: Gateway) -> Any:
    return gateway if message.get("tape") else None


def _watch(seconds: float, cpu: float) -> None:
    """The kernel ends this process if a call goes on for longer, though nobody be left to do it."""
    signal.setitimer(signal.ITIMER_REAL, seconds)
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = used.ru_utime + used.ru_stime
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = hard if math.isinf(cpu) else math.ceil(spent + cpu)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def serve(channel: Channel) -> None:
    """Say hello, then one call after the other until the gateway has gone."""
    gateway = Gateway(channel)
    hello = channel.receive()
    limit(hello["limits"])
    try:
        adapter = build(hello, gateway)
    except AdapterError as error:
        return channel.send({"do": "trouble", "kind": type(error).__name__, "text": str(error)})
    except (Exception, SystemExit) as error:
        return channel.send({"do": "trouble", "kind": "PluginError", "text": type(error).__name__})
    channel.send({"do": "ready"})
    while True:
        message = channel.receive()
        channel.send({"do": "got"})
        _reply(channel, answer(adapter, message, gateway))


def _reply(channel: Channel, message: Message) -> None:
    try:
        channel.send(message)
    except CodecError as error:
        channel.send({"do": "trouble", "kind": "PluginError", "text": f"answered wrongly: {error}"})


def main() -> NoReturn:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel(socket.socket(fileno=int(sys.argv[1])))
    try:
        serve(channel)
    except Gone:
        sys.exit(0)
    sys.exit(1)


if __name__ == "__main__":
    main()
