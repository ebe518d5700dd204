"""A shop whose five systems are five hosts on real sockets: each can be down, refuse, or be told what to answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from marshmallow import fields

from gateway import sdk
from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    Counts,
    Coupon,
    CouponKind,
    Declined,
    DeclineReason,
    Done,
    Member,
    NotFound,
    Pending,
    Traits,
    Value,
    hookimpl,
)
from tests.engine.conftest import seed
from tests.engine.kit import House, build
from tests.runtime.kit import plugin

Json = dict[str, Any]

COUPON = {"off_amount": 1_000, "threshold_amount": 0, "basis": "after_member"}
SYSTEMS = ("wallet", "club", "codes", "depot", "till")


class System:
    """A far system: it does what it is asked once a key, unless it was told to refuse a hook, and keeps books."""

    def __init__(self) -> None:
        self.refuses: dict[str, str] = {}
        self.pends: set[str] = set()
        self.done: dict[str, tuple[str, Json]] = {}
        self.undone: set[str] = set()
        self._lock = threading.Lock()
        self._server = self._listen(0)
        self.port = self._server.server_address[1]

    def _listen(self, port: int) -> ThreadingHTTPServer:
        system = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body = json.dumps(system.answer(**asked)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Connection", "close")
                with suppress(OSError):  # a client that has given up
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return server

    def down(self) -> None:
        """Refuse connections from now on."""
        self._server.shutdown()
        self._server.server_close()

    def up(self) -> None:
        self._server = self._listen(self.port)

    def answer(self, hook: str, key: str, about: Json) -> Json:
        with self._lock:
            if about.get("query"):
                if key in self.undone:
                    return {"declined": "closed"}
                if hook in self.pends:
                    return {"pending": True}
                return {"found": self.done[key][1]} if key in self.done else {}
            if hook in self.refuses:
                return {"declined": self.refuses[hook]}
            if hook in self.pends:
                return {"pending": True}
            self.done.setdefault(key, (hook, about))
            self.undone.add(about.get("undoes", ""))
            return {"ref": f"R{len(self.done)}", "amount": about.get("amount")}

    def did(self, hook: str) -> int:
        """How often a hook has been done."""
        return sum(done == hook for done, _ in self.done.values())


def change_hook(name: str) -> Callable[..., Any]:
    """The hook of this name, one message."""

    def hook(self: BranchAdapter, request: Any, call: Call) -> Any:
        return self.change(name, call.key, request)

    hook.__name__ = name
    return hookimpl(hook)


def query_hook(name: str) -> Callable[..., Any]:
    """The query hook of this name."""

    def hook(self: BranchAdapter, request: Any) -> Any:
        answer = self.post(request.hook, request.key, {"query": True})
        if "found" in answer:
            return Done(amount=getattr(request.request, "amount", None))
        return self.read(answer) if answer else NotFound(final=True)

    hook.__name__ = name
    return hookimpl(hook)


_CHANGES = (
    *("payment_charge", "payment_reverse", "payment_refund", "points_reserve", "points_confirm", "points_cancel"),
    *(
        "points_return",
        "points_earn",
        "points_revoke",
        "value_reserve",
        "value_confirm",
        "value_cancel",
        "value_return",
    ),
    *("coupon_redeem", "coupon_restore", "reward_send", "stock_reserve", "stock_confirm", "stock_cancel"),
    *("stock_return", "order_post", "order_void", "order_return"),
)


class BranchAdapter(Adapter):
    """One message a hook, over HTTP."""

    name = "branch"
    about = AdapterTraits(max_parallel=4, insecure_transport=True)
    traits: ClassVar = {hook: Traits(idempotent=True, max_in_flight_s=1, close_after_s=4) for hook in _CHANGES}

    class Settings(sdk.Settings):
        port = fields.Integer(required=True)

    def post(self, hook: str, key: str, about: Json) -> Json:
        body = json.dumps({"hook": hook, "key": key, "about": about}).encode()
        reply = self.context.http.send(
            "POST", f"http://127.0.0.1:{self.context.settings['port']}/", data=body, timeout=2
        )
        answer: Json = json.loads(reply.body)
        return answer

    def change(self, hook: str, key: str, request: Any) -> Any:
        about = {"amount": getattr(request, "amount", None)}
        if hook == "payment_reverse":
            about["undoes"] = request.original.key
        if hook in ("order_post", "order_return"):
            about |= {
                "nets": [line.net_amount for line in request.lines],
                "grosses": [line.gross_amount for line in request.lines],
                "discounts": [line.discount_amount for line in request.lines],
                "tenders": [tender.amount for tender in request.tenders],
                "points": getattr(request, "points_returned", 0),
                "points_amount": request.points_amount,
                "rounding_amount": request.rounding_amount,
            }
        return self.read(self.post(hook, key, about))

    def read(self, answer: Json) -> Any:
        if "declined" in answer:
            return Declined(reason=DeclineReason(answer["declined"]), code="no", message="refused by the test")
        if "pending" in answer:
            return Pending(ref="P")
        return Done(ref=answer["ref"], amount=answer["amount"])

    @hookimpl
    def member_find(self, request: Any) -> Any:
        self.post("member_find", "", {"query": True})
        return Member(ref="mem1", tier="gold", rate_bp=9000, points_available=5_000, value=Value(real=10_000))

    @hookimpl
    def coupon_find(self, request: Any) -> Any:
        self.post("coupon_find", "", {"query": True})
        if request.code.startswith("V"):
            terms = {"face_amount": 2_000, "sold_amount": 1_500}
            return Coupon(code=request.code, kind=CouponKind.CASH, counts=Counts(), terms=terms)
        return Coupon(code=request.code, kind=CouponKind.CASH, counts=Counts(), terms=COUPON)

    payment_query, member_query, coupon_query = (
        query_hook("payment_query"),
        query_hook("member_query"),
        query_hook("coupon_query"),
    )
    stock_query, order_query = query_hook("stock_query"), query_hook("order_query")


for _name in _CHANGES:
    setattr(BranchAdapter, _name, change_hook(_name))


_FILE = """
[merchant]
id = "m1"
name = "分店"
[[stores]]
id = "s1"
name = "一店"
{connections}
[[routes]]
family = "payments"
connection = "wallet"
[[routes]]
family = "membership"
connection = "club"
[[routes]]
family = "coupons"
connection = "codes"
[[routes]]
family = "stock"
connection = "depot"
[[routes]]
family = "orders"
connection = "till"
[pricing.points]
rule = {{ points = 100, amount = 100 }}
earn = {{ per_amount = 100, points = 1 }}
[policy]
{policy}
"""


@contextmanager
def branch(
    folder: Path,
    policy: str = "",
    breaker_open_s: float = 0.2,
    others: Mapping[str, type[Adapter]] = MappingProxyType({}),
) -> Iterator[tuple[House, dict[str, System]]]:
    """The shop, open, and its systems by name; ``others`` are systems with another adapter than the rest."""
    kinds: dict[str, type[Adapter]] = {name: others.get(name, BranchAdapter) for name in SYSTEMS}
    systems = {name: System() for name in SYSTEMS}
    connections = "".join(
        f'[connections.{name}]\nadapter = "{kinds[name].name}"\ninsecure_transport = true\n'
        f"breaker_open_s = {breaker_open_s}\n"
        f"[connections.{name}.settings]\nport = {system.port}\n"
        for name, system in systems.items()
    )
    installed = {adapter.name: adapter for adapter in kinds.values()}
    plugins = [plugin(name, adapter) for name, adapter in installed.items()]
    house = build(folder, _FILE.format(connections=connections, policy=policy), {}, plugins=plugins)
    house.database.tx(seed)
    try:
        yield house, systems
    finally:
        house.stop()
        for system in systems.values():
            system.down()


def basket(order_no: str = "O1", **more: Any) -> Json:
    """One article at 128.00, paid by a wallet's bar code."""
    return {
        "store_id": "s1",
        "order_no": order_no,
        "lines": [{"line_id": "A", "sku": "A", "quantity": "1"}],
        "tenders": [{"method": "payment_code", "auth_code": "281234567890123456"}],
        **more,
    }


MEMBER: Json = {"member": {"type": "phone", "value": "13800001001"}}
