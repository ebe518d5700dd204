"""The plainest far system and its adapter, to measure what the gateway itself adds to a call: one JSON message a hook.

Each hook is one HTTP request to a simulator that answers at once, or after the latency that its panel was told.
Members and coupons can be looked up without a message, so that only holds and confirms travel.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from marshmallow import fields

from gateway.sdk import (
    Adapter,
    AdapterTraits,
    Call,
    Change,
    Coupon,
    CouponHeld,
    CouponKind,
    CouponLookup,
    CouponUse,
    Done,
    InvalidReply,
    Member,
    MemberLookup,
    PointsHeld,
    PointsReserve,
    Settings,
    StockHeld,
    StockReserve,
    Traits,
    hookimpl,
)
from gateway.sdk.simulator import LOOPBACK, HttpReply, HttpRequest, Simulator, run, serve_http

_HOOKS = ("points_reserve", "points_confirm", "points_cancel", "coupon_reserve", "coupon_confirm", "coupon_cancel")
_HOOKS += ("stock_reserve", "stock_confirm", "stock_cancel")
MEMBER = {"ref": "far1", "tier": "gold", "points": 1_000_000}


class FarSettings(Settings):
    """Where the system is, and whether looking up costs a message."""

    url = fields.String(required=True)
    silent = fields.Boolean(load_default=False)


class FarAdapter(Adapter):
    """One JSON message a hook."""

    name: ClassVar[str] = "bench-far"
    Settings = FarSettings
    about = AdapterTraits(exclusive_writer=True, max_parallel=16)
    traits: ClassVar[Mapping[str, Traits]] = dict.fromkeys(_HOOKS, Traits(idempotent=True))

    def _ask(self, path: str, message: Mapping[str, Any], timeout: float = 5.0) -> dict[str, Any]:
        reply = self.context.http.send(
            "POST",
            f"{self.context.settings['url']}/{path}",
            data=json.dumps(message).encode(),
            headers={"Content-Type": "application/json"},
            timeout=timeout,
        )
        if reply.status != 200:
            raise InvalidReply(f"HTTP status {reply.status}")
        answer: dict[str, Any] = json.loads(reply.body)
        return answer

    def _change(self, path: str, call: Call) -> Change:
        answer = self._ask(path, {"key": call.key}, call.remaining())
        return Done(ref=answer["ref"], amount=None)

    @hookimpl
    def member_find(self, request: MemberLookup) -> Member | None:
        identity = request.identity
        asked = {"type": identity.type.value, "value": identity.value.reveal()}
        found = MEMBER if self.context.settings["silent"] else self._ask("member", asked)
        return Member(ref=found["ref"], tier=found["tier"], points_available=found["points"])

    @hookimpl
    def points_reserve(self, request: PointsReserve, call: Call) -> Change:
        return self._change("points/reserve", call)

    @hookimpl
    def points_confirm(self, request: PointsHeld, call: Call) -> Change:
        return self._change("points/confirm", call)

    @hookimpl
    def points_cancel(self, request: PointsHeld, call: Call) -> Change:
        return self._change("points/cancel", call)

    @hookimpl
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        return Coupon(code=request.code, kind=CouponKind.CASH, terms={"off_amount": 500})

    @hookimpl
    def coupon_reserve(self, request: CouponUse, call: Call) -> Change:
        return self._change("coupon/reserve", call)

    @hookimpl
    def coupon_confirm(self, request: CouponHeld, call: Call) -> Change:
        return self._change("coupon/confirm", call)

    @hookimpl
    def coupon_cancel(self, request: CouponHeld, call: Call) -> Change:
        return self._change("coupon/cancel", call)

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        return self._change("stock/reserve", call)

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        return self._change("stock/confirm", call)

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        return self._change("stock/cancel", call)


@hookimpl
def o2o_adapters() -> Sequence[type]:
    """The adapters of this plugin."""
    return (FarAdapter,)


class FarSimulator(Simulator):
    """Answers every message; counts them."""

    name: ClassVar[str] = "bench-far"

    def __init__(self, data: Path) -> None:
        super().__init__(data)
        self._server: ThreadingHTTPServer | None = None
        self._messages = 0

    def start(self) -> dict[str, str]:
        self._server = serve_http(self._answer, self.port("far"))
        return {"far": f"{LOOPBACK}:{self._server.server_address[1]}"}

    def _answer(self, request: HttpRequest) -> HttpReply:
        self._messages += 1
        fault = self.faults.take("latency", request.path)
        if fault is not None:
            time.sleep(fault.value / 1000)
        message = json.loads(request.body)
        answer = MEMBER if request.path == "/member" else {"ref": message["key"]}
        return HttpReply(200, json.dumps(answer).encode())

    def books(self) -> dict[str, Any]:
        return {"messages": self._messages}

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


if __name__ == "__main__":
    run(FarSimulator(Path(sys.argv[1])))
