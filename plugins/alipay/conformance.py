"""What the conformance suite must know of Alipay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from gateway.sdk import Method
from gateway.testing import Far, Profile, charge
from plugins.alipay.adapter import AlipayAdapter
from plugins.alipay.simulator import AlipaySimulator


class AlipayProfile(Profile):
    """Codes of customers are made by the simulator's lever; their last four digits say what happens."""

    adapter = AlipayAdapter
    simulator = AlipaySimulator
    settle_s = 1.0
    options: ClassVar[Mapping[str, str]] = {"bill_ready": "at_once", "password_after_s": "0.2"}

    def settings(self, far: Far) -> Mapping[str, Any]:
        who = json.loads((far.data / "merchant.json").read_text(encoding="utf-8"))
        return {
            "endpoint": f"http://{far.address('gateway')}/gateway.do",
            "app_id": who["app_id"],
            "seller_id": who["seller_id"],
            "app_private_key": f"file:{far.data / 'app_private_key.pem'}",
            "alipay_public_key": f"file:{far.data / 'alipay_public_key.pem'}",
            "timeout_s": 2.0,
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {"an application that Alipay does not know": {"app_id": "2014000000000000"}}

    def payment_charge(self, far: Far) -> Any:
        return charge(far, auth_code=far.control("make_code")["auth_code"])

    def ways(self, far: Far, hook: str) -> Mapping[str, Any]:
        return {"a QR code": charge(far, method=Method.QR_CODE)} if hook == "payment_charge" else {}

    def advance(self, far: Far) -> None:
        """The customer scans what is waited for."""
        if far.asked is not None and getattr(far.asked.request, "method", None) is Method.QR_CODE:
            with suppress(RuntimeError):  # it was closed, or never came
                far.control("scan", out_trade_no=far.asked.key)

    def notice_read(self, far: Far) -> Any:
        made = far.do("payment_charge", self.payment_charge(far))
        far.control("send_notice", out_trade_no=made.key, notify_url=far.listener())
        return far.heard()

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "payment_charge":
            yield "insufficient_funds", charge(far, auth_code=_code(far, "9011"))
            yield "code_invalid", charge(far, auth_code=_code(far, "9013"))

    def trouble(self, far: Far, hook: str) -> Mapping[str, Any]:
        if hook != "payment_charge":
            return {}
        names = {"unknown, then paid": "9014", "unknown, never paid": "9015", "asks for a password": "9002"}
        return {name: charge(far, auth_code=_code(far, ending)) for name, ending in names.items()}

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {"net": books["money"]["net"]}


def _code(far: Far, ending: str) -> str:
    return f"28{far.number('')[-6:]:0>12}00{ending}"
