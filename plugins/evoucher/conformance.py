"""What the conformance suite must know of the e-voucher platform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from gateway.sdk import CouponLookup, CouponUse, NoticeRequest
from gateway.testing import Far, Profile
from plugins.evoucher.adapter import EVoucherAdapter
from plugins.evoucher.protocol import read_reply
from plugins.evoucher.simulator import APP_KEY, SELLER_NICK, EVoucherSimulator

MOBILE = "13955501234"
CODE_KEY = "a-key-for-codes-of-the-suite-7f3a"


class EVoucherProfile(Profile):
    """Customers buy by the simulator's lever; its notice is handed over, and followed."""

    adapter = EVoucherAdapter
    simulator = EVoucherSimulator
    faults: ClassVar[Mapping[str, int]] = {"busy_acted": 0}
    unchecked_secrets: ClassVar[Mapping[str, str]] = {"code_key": "it is ours alone: the platform never sees it"}

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            "base_url": f"http://{far.address('platform')}",
            "app_key": APP_KEY,
            "app_secret": f"file:{far.data / 'app_secret'}",
            "session": f"file:{far.data / 'session'}",
            "seller_nick": SELLER_NICK,
            "code_key": far.secret("code_key", CODE_KEY),
            "items": {"EV-CASH50": {"kind": "cash", "face_amount": 5000}},
            "timeout_s": 2.0,
            "repair_every_s": 86_400,
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "an app that the platform does not know": {"app_key": "nobody"},
            "another seller": {"seller_nick": "别人的店"},
        }

    def coupon_find(self, far: Far) -> Any:
        return CouponLookup(code=_bought(far)[1])

    def coupon_redeem(self, far: Far) -> Any:
        return _use(far, _bought(far)[1])

    def notice_read(self, far: Far) -> Any:
        return _notice(far.control("buy", num=2, mobile=MOBILE)["notice"])

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "coupon_redeem":
            (locked, first), (back, second), (old, third) = (_bought(far) for _ in range(3))
            far.control("ask_refund", order_id=locked, num=2)
            far.control("refund", order_id=back, num=3)
            far.control("expire", order_id=old)
            yield "coupon_exhausted", _use(far, first)
            yield "coupon_exhausted", _use(far, second)
            yield "coupon_expired", _use(far, third)
            yield "coupon_unknown", _use(far, "999999999999")

    def parsers(self) -> Iterable[tuple[Callable[[bytes], Any], bytes]]:
        yield _read_consumed, b'{"evoucher_consume_response": {"order_id": "4001", "num": 2, "serial_num": "K1"}}'

    def personal(self) -> Iterable[str]:
        return (MOBILE, "13900001234")

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {"used": books["used"], "uses": len(books["uses"]), "texts": books["texts"]}


def _bought(far: Far) -> tuple[str, str]:
    """An order of three uses on one code, and the code: the notice was taken, and followed."""
    bought = far.control("buy", num=3)
    far.read("notice_read", _notice(bought["notice"]))
    for _ in range(5):  # as the gateway does it: again, if a slow machine's answer was too late
        if far.read("notice_follow", far.profile.request("notice_follow", far)) == 0:
            break
    codes: Mapping[str, Any] = far.panel_books()["codes"]
    order_id = bought["order_id"]
    found = [code for code, row in codes.items() if row["order_id"] == order_id]
    if not found:
        raise RuntimeError("the order got no codes")
    return order_id, found[0]


def _notice(form: str) -> NoticeRequest:
    return NoticeRequest(method="POST", query="", headers={}, body=form.encode("ascii"))


def _use(far: Far, code: str) -> CouponUse:
    return CouponUse(code=code, count=2, amount=10_000, order_no=far.number("WEB"), site=far.site())


def _read_consumed(body: bytes) -> Any:
    return read_reply(body, "consume")
