"""What the conformance suite must know of the group-buy platform."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.sdk import CouponLookup, CouponUse
from gateway.testing import Far, Profile
from plugins.groupbuy.adapter import GroupBuyAdapter
from plugins.groupbuy.simulator import CLIENT_KEY, GroupBuySimulator
from plugins.groupbuy.simulator_seed import KTV


class GroupBuyProfile(Profile):
    """Customers buy by the simulator's lever; a voucher is redeemed at the karaoke."""

    remembers = ("coupon_redeem",)  # which certificates of the order it takes
    adapter = GroupBuyAdapter
    simulator = GroupBuySimulator
    store_id = "K1"

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {
            "base_url": f"http://{far.address('platform')}",
            "client_key": CLIENT_KEY,
            "client_secret": f"file:{far.data / 'client_secret'}",
            "poi_ids": {"K1": KTV},
            "operator_account": "gateway-01",
            "operator_name": "网关",
            "packages": {"TC03": "PKG-3H"},
            "timeout_s": 2.0,
            "retry_after_s": 0.02,
        }

    def wrong_settings(self, far: Far) -> Mapping[str, Mapping[str, Any]]:
        return {
            "a key that the platform does not know": {"client_key": "nobody"},
            "a shop of somebody else": {"poi_ids": {"K1": "7999999999999999999"}},
        }

    def coupon_find(self, far: Far) -> Any:
        return CouponLookup(code=_bought(far), store_id="K1")

    def coupon_redeem(self, far: Far) -> Any:
        return _use(far, _bought(far))

    def declines(self, far: Far, hook: str) -> Iterable[tuple[str, Any]]:
        if hook == "coupon_redeem":
            used, refunded = _bought(far), _bought(far)
            far.control("use_elsewhere", code=used)
            far.control("refund", code=refunded)
            yield "coupon_exhausted", _use(far, used)
            yield "coupon_exhausted", _use(far, refunded)

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        live = [record for record in books["records"] if not record["cancel_time"]]
        return {"redeemed": len(live), "amount": books["redeemed_amount"]}


def _bought(far: Far) -> str:
    return str(far.control("buy", deal="TC03")["codes"][0])


def _use(far: Far, code: str) -> CouponUse:
    return CouponUse(code=code, count=1, amount=26800, order_no=far.number("WEB"), site=far.site())
