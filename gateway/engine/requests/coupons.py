"""Requests of coupons and rewards."""

from __future__ import annotations

from gateway.domain import coupons
from gateway.engine.model import OpState
from gateway.engine.requests.parts import Parts


class Coupons(Parts):
    """Builders, one a hook or for hooks of one shape."""

    def coupon_use(self) -> coupons.CouponUse:
        return coupons.CouponUse(
            code=self.params["code"],
            count=self.params["count"],
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def coupon_held(self) -> coupons.CouponHeld:
        return coupons.CouponHeld(
            original=self.original(),
            code=self.params["code"],
            count=self.params["count"],
            amount=self.params["worth_amount"],
            site=self.site,
        )

    def coupon_restore(self) -> coupons.CouponRestore:
        return coupons.CouponRestore(
            original=self.original(),
            code=self.params["code"],
            count=self.params["count"],
            amount=self.params["worth_amount"],
            site=self.site,
        )

    def reward_send(self) -> coupons.RewardSend:
        payer = next(
            (op.facts.get("buyer", "") for op in self.ops if op.hook == "payment_charge" and op.state is OpState.OK), ""
        )
        return coupons.RewardSend(
            kind=self.params["kind"],
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            site=self.site,
            member_ref=self.params.get("member_ref", ""),
            payer_ref=payer,
            template=self.params.get("template", ""),
        )

    def reward_revoke(self) -> coupons.RewardRevoke:
        return coupons.RewardRevoke(original=self.original(), amount=self.params["worth_amount"], site=self.site)
