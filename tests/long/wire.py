"""Legacy systems of every profile as a real server on plain HTTP, and the adapters that speak to them.

The server keeps one truth for each merchant and system (the simulation's own far systems, under real threads), and its
replies are signed JSON. For each merchant and hook the panel may put one fault on the first message; where the fault is
"refused", that hook has a port of its own on which nobody listens until it is opened.
"""

from __future__ import annotations

import json
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from types import ModuleType, SimpleNamespace
from typing import Any

from marshmallow import fields

from gateway.domain.outcomes import Answer, Change, Declined, DeclineReason, NotFound
from gateway.hookspecs import QUERY_HOOKS
from gateway.sdk import Adapter, AdapterTraits, Call, OutcomeUnknown, Query, Settings, hookimpl
from gateway.sdk.simulator import LOOPBACK, Hangup, HttpReply, HttpRequest, serve_http
from tests.matrix.cells import PROFILES, ROLES
from tests.matrix.faults import LATE, SLOW, SPOILT, Fault, read, reply
from tests.simulation.far import FarSystem, hooks_of

Json = dict[str, Any]


# --- the server ------------------------------------------------------------------------------------------------------


@dataclass
class FarWorld:
    """All far systems of a run, by merchant and system, and the faults on their first messages."""

    systems: dict[tuple[str, str], FarSystem] = field(default_factory=dict)
    faults: dict[tuple[str, str], Fault] = field(default_factory=dict)
    #: What was refused at the socket, still closed: a bound port on which nobody listens.
    closed: dict[tuple[str, str], socket.socket] = field(default_factory=dict)
    sends: dict[tuple[str, str], int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    #: Real time for one of the virtual time's.
    scale: float = 0.2

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._server = serve_http(self._handle)
        self._more: list[ThreadingHTTPServer] = []
        self.port: int = self._server.server_address[1]

    def add(self, merchant: str, role: str, profile: str) -> None:
        found = PROFILES[profile]
        system = FarSystem(ROLES[role], found, hooks_of(role, found), random.Random(0))
        self.systems[merchant, ROLES[role]] = system

    def refuse(self, merchant: str, hook: str) -> int:
        """A port for this hook's messages on which a connection is refused."""
        bound = socket.socket()
        bound.bind((LOOPBACK, 0))
        self.closed[merchant, hook] = bound
        return int(bound.getsockname()[1])

    def open(self, merchant: str, hook: str) -> None:
        """Listen there now."""
        bound = self.closed.pop((merchant, hook))
        port = bound.getsockname()[1]
        bound.close()
        self._more.append(serve_http(self._handle, port))

    def stop(self) -> None:
        for server in (self._server, *self._more):
            server.shutdown()
            server.server_close()
        for bound in self.closed.values():
            bound.close()

    # --- messages ----------------------------------------------------------------------------------------------------

    def _handle(self, request: HttpRequest) -> HttpReply:
        merchant, system, hook = request.path.strip("/").split("/")
        asked = json.loads(request.body)
        if hook.endswith("_query"):
            return HttpReply(200, _signed_answer(asked["key"], self._ask(merchant, system, asked)))
        with self._lock:
            self.sends[merchant, asked["key"]] = self.sends.get((merchant, asked["key"]), 0) + 1
            fault = self.faults.pop((merchant, hook), None)
            sent, far = self.sends[merchant, asked["key"]], self.systems[merchant, system]
            if sent > 1 and not far.resends_are_safe(hook) and not far.queryable(hook):
                self.wrong.append(
                    f"{merchant} {hook}: sent {sent} times to a system that can neither repeat nor be asked"
                )
        return self._carried(fault, merchant, system, hook, asked)

    def _carried(self, fault: Fault | None, merchant: str, system: str, hook: str, asked: Json) -> HttpReply:
        """Carry a message under its fault, by what really happens at the socket."""
        act: Callable[[], Change] = lambda: self._act(merchant, system, hook, asked)  # noqa: E731
        key = asked["key"]
        if fault is Fault.ERROR:
            return HttpReply(500, b"try again later", "text/plain")
        if fault is Fault.TIMEOUT_BEFORE:
            self._hang()
        if fault is Fault.LATE_SUCCESS:
            timer = threading.Timer(LATE / 1000 * self.scale, act)
            timer.daemon = True
            timer.start()
            self._hang()
        result = act()
        if fault is Fault.TIMEOUT_AFTER:
            self._hang()
        if fault is Fault.DUPLICATE:
            act()
        if fault is Fault.SLOW:
            time.sleep(SLOW / 1000 * self.scale)
        if fault is Fault.HALF_BODY:
            whole = reply(key, result)
            return HttpReply(200, whole, truncate=len(whole) // 2)
        return HttpReply(200, SPOILT[fault](key, result) if fault in SPOILT else reply(key, result))

    def _hang(self) -> None:
        """Say nothing for longer than anybody waits."""
        time.sleep(12 * self.scale)
        raise Hangup

    def _act(self, merchant: str, system: str, hook: str, asked: Json) -> Change:
        request = SimpleNamespace(
            amount=asked.get("amount"), original=SimpleNamespace(key=asked.get("original", "")), **_NOTHING
        )
        with self._lock:
            far = self.systems[merchant, system]
            return far.act(hook, asked["key"], request, merchant, time.time_ns() // 1_000_000)

    def _ask(self, merchant: str, system: str, asked: Json) -> Answer:
        with self._lock:
            return self.systems[merchant, system].ask(asked["hook"], asked["key"], time.time_ns() // 1_000_000)

    def books(self, merchant: str) -> dict[str, int]:
        """What stands at the far systems; a hold that was used up counts as a use."""
        with self._lock:
            far = {name: self.systems[merchant, name] for name in ROLES.values()}
            found = {name: 10**9 - far[name].free for name in ("stock", "coupon", "points", "value", "voucher")}
            found["taken"] = sum(charge.net for charge in far["pay"].charges.values())
            found["posted"] = sum(far["till"].posted.values())
            found["earned"] = sum(far["earn"].earned.values())
            return found


_NOTHING: Json = {}


def _signed_answer(key: str, answer: Answer) -> bytes:
    """An answer to a question; "not found" is a refusal with a code of its own."""
    if isinstance(answer, NotFound):
        return reply(key, Declined(reason=DeclineReason.NOT_FOUND, code="final" if answer.final else "not-yet"))
    return reply(key, answer)


# --- the adapters ----------------------------------------------------------------------------------------------------


class WireSettings(Settings):
    """Where the system is; ``refused`` is a hook that has a port of its own."""

    port = fields.Integer(required=True)
    system = fields.String(required=True)
    refused = fields.String(load_default="")
    refused_port = fields.Integer(load_default=0)


class WireAdapter(Adapter):
    """Speaks signed JSON; what it can do is what its profile says."""

    Settings = WireSettings
    about = AdapterTraits(insecure_transport=True, max_parallel=4)

    def send(self, hook: str, request: Any, call: Call) -> Change:
        """One message, one reply. Raises what the transport and the reading raise."""
        original = getattr(request, "original", None)
        body = {"key": call.key, "amount": getattr(request, "amount", None)}
        body["original"] = original.key if original is not None else ""
        return read(call.key, self._post(hook, body, call.remaining()))

    def ask(self, hook: str, query: Query) -> Answer:
        """A question about a change; ``not-yet`` says only that it is not there now."""
        body = self._post(hook, {"key": query.key, "hook": query.hook}, 0.5)
        answer = read(query.key, body)
        if isinstance(answer, Declined) and answer.code in ("final", "not-yet"):
            return NotFound(final=answer.code == "final")
        return answer

    def _post(self, hook: str, body: Json, seconds: float) -> bytes:
        settings, context = self.context.settings, self.context
        port = settings["refused_port"] if hook == settings["refused"] else settings["port"]
        url = f"http://{LOOPBACK}:{port}/{context.merchant}/{settings['system']}/{hook}"
        answer = context.http.send("POST", url, data=json.dumps(body).encode(), timeout=seconds)
        if answer.status != 200:
            raise OutcomeUnknown(f"HTTP {answer.status}")
        return answer.body


def _change(hook: str) -> Any:
    def implementation(self: WireAdapter, request: Any, call: Call) -> Change:
        return self.send(hook, request, call)

    implementation.__name__ = hook
    return hookimpl(implementation)


def _query(hook: str) -> Any:
    def implementation(self: WireAdapter, request: Query) -> Answer:
        return self.ask(hook, request)

    implementation.__name__ = hook
    return hookimpl(implementation)


def adapter_name(role: str, profile: str) -> str:
    return f"{role}-{profile.replace(' ', '-')}"


def _adapter(role: str, profile: str) -> type[WireAdapter]:
    found = PROFILES[profile]
    hooks = hooks_of(role, found)
    far = FarSystem(role, found, hooks, random.Random(0))
    members: Json = {"name": adapter_name(role, profile)}
    members["traits"] = {hook: far.traits(hook) for hook in hooks if hook not in QUERY_HOOKS.values()}
    for hook in hooks:
        members[hook] = _query(hook) if hook in QUERY_HOOKS.values() else _change(hook)
    made: type[WireAdapter] = type(f"{role}_{profile}".replace(" ", "_"), (WireAdapter,), members)
    return made


def plugin() -> ModuleType:
    """A plugin with an adapter for each role and profile."""
    module = ModuleType("tests_long_wire_plugin")
    adapters = tuple(_adapter(role, profile) for role in ROLES for profile in PROFILES)

    def o2o_adapters() -> tuple[type[Adapter], ...]:
        return adapters

    module.o2o_adapters = hookimpl(o2o_adapters)  # type: ignore[attr-defined]
    return module


def merchant_file(merchant: str, port: int, weak: Mapping[str, str], refused: Mapping[str, tuple[str, int]]) -> str:
    """A merchant's file: a connection a role, ``weak`` are the profiles of those that are not full."""
    lines = [f'[merchant]\nid = "{merchant}"\nname = "{merchant}"\n[[stores]]\nid = "s"\nname = "s"']
    for role, system in ROLES.items():
        adapter = adapter_name(role, weak.get(system, "full"))
        lines.append(f'[connections.{system}]\nadapter = "{adapter}"\ninsecure_transport = true\nbreaker_open_s = 0.05')
        lines.append(f'[connections.{system}.settings]\nport = {port}\nsystem = "{system}"')
        if system in refused:
            lines.append('refused = "{}"\nrefused_port = {}'.format(*refused[system]))
    return "\n".join(lines) + "\n"


__all__ = ["FarWorld", "adapter_name", "merchant_file", "plugin"]
