"""A plugin as one would rather not have: what it does is told by a request's subject. It comes as any plugin does."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from typing import Any, ClassVar

from marshmallow import fields

from gateway import sdk
from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    Charge,
    Done,
    NotFound,
    NotSent,
    Pending,
    Query,
    SecretField,
    Traits,
    hookimpl,
)


class Cancelled(BaseException):
    """No ``Exception``, as a cancelled task's is not."""


class RoughAdapter(Adapter):
    """Hangs, exits, crashes, floods, leaks: ``payment_charge`` does what ``request.subject`` names, or its settings'
    ``note`` where that begins with "always"."""

    name = "rough"
    about = AdapterTraits(max_parallel=2)
    traits: ClassVar = {"payment_charge": Traits(max_in_flight_s=1, close_after_s=120)}

    class Settings(sdk.Settings):
        note = fields.String(load_default="")
        key = SecretField()
        broken = fields.String(load_default="")

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        if context.settings["broken"] == "exit":
            os._exit(3)
        if context.settings["broken"]:
            raise RuntimeError("cannot be built")

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Any:
        note = self.context.settings["note"]
        wanted = note.removeprefix("always ") if note.startswith("always ") else request.subject
        name, _, argument = wanted.partition(" ")
        if name == "steps":
            return self._steps(call, float(argument or 0))
        answer = getattr(self, f"do_{name}")(argument)
        return Done(ref=f"R-{os.getpid()}", amount=request.amount) if answer is None else answer

    @hookimpl
    def payment_query(self, request: Query) -> Any:
        return Done(ref="asked", amount=request.request.amount) if self.context.store.get("done") else NotFound()

    def check(self) -> None:
        """Reachable."""

    def do_done(self, _: str) -> None:
        """At once."""

    def do_sleep(self, seconds: str) -> None:
        time.sleep(float(seconds))

    def do_terminal(self, seconds: str) -> None:
        """A bank terminal's driver: blocks until the card has been read, and notes that it was."""
        time.sleep(float(seconds))
        self.context.store.put("done", True)

    def do_exit(self, _: str) -> None:
        sys.exit(3)

    def do_os_exit(self, _: str) -> None:
        os._exit(7)

    def do_segfault(self, _: str) -> None:
        ctypes.string_at(0)

    def do_hold_gil(self, _: str) -> None:
        """Blocks in C and does not let the interpreter go."""
        ctypes.PyDLL(None).sleep(30)

    def do_spin(self, _: str) -> None:
        while True:
            pass

    def do_hog(self, _: str) -> None:
        hoard = []
        while True:
            hoard.append(bytearray(32 << 20))

    def do_garbage(self, _: str) -> None:
        """Writes to every descriptor that it finds."""
        for descriptor in range(3, 256):
            try:
                os.write(descriptor, b"\xff" * 64)
            except OSError:
                continue
        time.sleep(1)

    def do_keyboard_interrupt(self, _: str) -> None:
        raise KeyboardInterrupt

    def do_generator_exit(self, _: str) -> None:
        raise GeneratorExit

    def do_cancelled(self, _: str) -> None:
        raise Cancelled

    def do_recursion(self, _: str) -> None:
        self.do_recursion("")

    def do_nonsense(self, _: str) -> Any:
        return {"ok": True}

    def do_pending(self, _: str) -> Any:
        return Pending(ref="P")

    def do_not_sent(self, _: str) -> None:
        raise NotSent("refused")

    def do_secret_error(self, _: str) -> None:
        raise ValueError(self.context.settings["key"].reveal())

    def do_leak_threads(self, count: str) -> None:
        for _ in range(int(count)):
            threading.Thread(target=time.sleep, args=(3,), daemon=True).start()

    def do_environment(self, _: str) -> Any:
        return Done(facts={"names": sorted(os.environ), "database": self.context.database is not None})

    def do_store(self, value: str) -> Any:
        self.context.store.put("k", value)
        self.context.log.warning("kept %s", value)
        again = self.context.store.put_new("k", "another")
        return Done(facts={"k": self.context.store.get("k"), "keys": self.context.store.keys(), "again": again})

    def do_settings(self, _: str) -> Any:
        settings = self.context.settings
        return Done(facts={"note": settings["note"], "key": settings["key"].last4()})

    def _steps(self, call: Call, pause: float) -> Any:
        with call.step("open", "r1"):
            pass
        time.sleep(pause)
        with call.step("tender", "r2"):
            pass
        return Done(ref="both")
