"""What the conformance suite must know of WeChat Pay."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from gateway.sdk import Method
from gateway.testing import Far, Profile, charge
from gateway.testing.chains import DERIVED, Made
from plugins.wechatpay.adapter import WechatPayAdapter
from plugins.wechatpay.simulator import WechatPaySimulator


class WechatPayProfile(Profile):
    """Codes of customers are made by the simulator's lever; their last four digits say what happens."""

    adapter = WechatPayAdapter
    simulator = WechatPaySimulator
    settle_s = 2.0
    options: ClassVar[Mapping[str, str]] = {
        "bill_ready": "at_once",
        "password_after_s": "0.2",
        "refund_after_s": "0.05",
    }
    faults: ClassVar[Mapping[str, int]] = {"system_error": 0, "stale_signature": 0, "rotate": 0, "reverse_again": 0}

    def settings(self, far: Far) -> Mapping[str, Any]:
        who = json.loads((far.data / "merchant.json").read_text(encoding="utf-8"))
        return {
            "endpoint": f"http://{far.address('gateway')}",
            "mchid": who["mchid"],
            "appid": who["appid"],
            "serial_no": who["serial_no"],
            "private_key": f"file:{far.data / 'private_key.pem'}",
            "api_v3_key": f"file:{far.data / 'api_v3_key.txt'}",
            "timeout_s": 2.0,
            "notify_url": "https://gateway.example/notices/wechat",
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "a merchant that WeChat Pay does not know": {"mchid": "1900000001"},
            "another certificate's serial number": {"serial_no": "00" * 20},
            "another APIv3 key": {"api_v3_key": far.secret("other", "0" * 32)},
        }

    def payment_charge(self, far: Far) -> Any:
        return charge(far, auth_code=far.control("make_code")["auth_code"])

    def ways(self, far: Far, hook: str) -> Mapping[str, Any]:
        return {"a QR code": charge(far, method=Method.QR_CODE)} if hook == "payment_charge" else {}

    def advance(self, far: Far) -> None:
        """The customer scans what is waited for."""
        if far.asked is not None and getattr(far.asked.request, "method", None) is Method.QR_CODE:
            with suppress(RuntimeError):  # it was closed, or never came
                far.control("scan", out_trade_no=far.asked.key)

    def payment_reverse(self, far: Far, made: Made) -> Any:
        """A reversal is refused in the first seconds after a payment: let them pass."""
        far.control("ripen", out_trade_no=made.key)
        return DERIVED["payment_reverse"](made)

    def notice_read(self, far: Far) -> Any:
        made = far.do("payment_charge", self.payment_charge(far))
        far.control("send_notice", out_trade_no=made.key, notify_url=far.listener())
        return far.heard()

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "payment_charge":
            yield "insufficient_funds", charge(far, auth_code=_code(far, "9011"))
            yield "declined", charge(far, auth_code=_code(far, "9012"))
            yield "code_expired", charge(far, auth_code=_code(far, "9013"))

    def trouble(self, far: Far, hook: str) -> Mapping[str, Any]:
        if hook != "payment_charge":
            return {}
        names = {"unknown, then paid": "9014", "unknown, never paid": "9015", "asks for a password": "9002"}
        names |= {"asks, then fails": "9003"}
        return {name: charge(far, auth_code=_code(far, ending)) for name, ending in names.items()}

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {"net": books["money"]["net"]}


def _code(far: Far, ending: str) -> str:
    return f"13{far.number('')[-6:]:0>12}{ending}"
