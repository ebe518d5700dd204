"""A payment channel, members, coupons, goods and a till in one, whose answers follow from magic amounts.

Its books lie in the connection's own folder: nothing has to be started. README.md lists the amounts.
"""

from __future__ import annotations

from gateway.sdk import (
    Authorize,
    Call,
    Capture,
    Change,
    Charge,
    CouponHeld,
    CouponIssue,
    CouponRestore,
    CouponUse,
    CouponVoid,
    Enrol,
    Message,
    NotSupported,
    OrderPost,
    OrderReturn,
    OrderVoid,
    PaymentRefund,
    PointsEarn,
    PointsHeld,
    PointsReserve,
    PointsReturn,
    PointsRevoke,
    Release,
    Reverse,
    StockHeld,
    StockReserve,
    StockReturn,
    ValueHeld,
    ValueReserve,
    ValueReturn,
    ValueTopup,
    ValueUntopup,
    hookimpl,
)
from plugins.sandbox.machine import Machine
from plugins.sandbox.magic import ending_of, thousandths


class SandboxAdapter(Machine):
    """See the module."""

    name = "sandbox"

    # -- payments ------------------------------------------------------------------------------------------------------

    @hookimpl
    def payment_charge(self, request: Charge, call: Call) -> Change:
        self._own_currency(request.currency)
        return self.begin("payment_charge", call, request.amount, "", request)

    @hookimpl
    def payment_authorize(self, request: Authorize, call: Call) -> Change:
        self._own_currency(request.currency)
        return self.begin("payment_authorize", call, request.amount, "", request)

    def _own_currency(self, currency: str) -> None:
        if currency not in self.about.currencies:
            raise NotSupported(f"the sandbox takes {', '.join(self.about.currencies)}, not {currency}")

    @hookimpl
    def payment_reverse(self, request: Reverse, call: Call) -> Change:
        return self.follow("payment_reverse", call, request.amount, request.original.key, request)

    @hookimpl
    def payment_refund(self, request: PaymentRefund, call: Call) -> Change:
        return self.follow("payment_refund", call, request.amount, request.original.key, request)

    @hookimpl
    def payment_capture(self, request: Capture, call: Call) -> Change:
        return self.follow("payment_capture", call, request.amount, request.original.key, request)

    @hookimpl
    def payment_release(self, request: Release, call: Call) -> Change:
        return self.follow("payment_release", call, request.amount, request.original.key, request)

    # -- members -------------------------------------------------------------------------------------------------------

    @hookimpl
    def member_enrol(self, request: Enrol, call: Call) -> Change:
        return self.begin("member_enrol", call, 100, "", request)

    @hookimpl
    def points_reserve(self, request: PointsReserve, call: Call) -> Change:
        return self.begin("points_reserve", call, request.points, request.member_ref, request)

    @hookimpl
    def points_confirm(self, request: PointsHeld, call: Call) -> Change:
        return self.follow("points_confirm", call, request.points, request.original.key, request)

    @hookimpl
    def points_cancel(self, request: PointsHeld, call: Call) -> Change:
        return self.follow("points_cancel", call, request.points, request.original.key, request)

    @hookimpl
    def points_return(self, request: PointsReturn, call: Call) -> Change:
        return self.follow("points_return", call, request.points, request.original.key, request)

    @hookimpl
    def points_earn(self, request: PointsEarn, call: Call) -> Change:
        return self.begin("points_earn", call, request.points, request.member_ref, request)

    @hookimpl
    def points_revoke(self, request: PointsRevoke, call: Call) -> Change:
        return self.follow("points_revoke", call, request.points, request.original.key, request)

    @hookimpl
    def value_reserve(self, request: ValueReserve, call: Call) -> Change:
        return self.begin("value_reserve", call, request.amount, request.account, request)

    @hookimpl
    def value_confirm(self, request: ValueHeld, call: Call) -> Change:
        return self.follow("value_confirm", call, request.amount, request.original.key, request)

    @hookimpl
    def value_cancel(self, request: ValueHeld, call: Call) -> Change:
        return self.follow("value_cancel", call, request.amount, request.original.key, request)

    @hookimpl
    def value_return(self, request: ValueReturn, call: Call) -> Change:
        return self.follow("value_return", call, request.amount, request.original.key, request)

    @hookimpl
    def value_topup(self, request: ValueTopup, call: Call) -> Change:
        return self.begin("value_topup", call, request.value.total, request.account, request)

    @hookimpl
    def value_untopup(self, request: ValueUntopup, call: Call) -> Change:
        return self.follow("value_untopup", call, request.value.total, request.original.key, request)

    # -- coupons -------------------------------------------------------------------------------------------------------

    @hookimpl
    def coupon_issue(self, request: CouponIssue, call: Call) -> Change:
        return self.begin("coupon_issue", call, request.count * 100, request.template, request)

    @hookimpl
    def coupon_void(self, request: CouponVoid, call: Call) -> Change:
        return self.follow("coupon_void", call, 0, request.original.key, request)

    @hookimpl
    def coupon_reserve(self, request: CouponUse, call: Call) -> Change:
        return self.begin("coupon_reserve", call, request.amount, request.code, request)

    @hookimpl
    def coupon_confirm(self, request: CouponHeld, call: Call) -> Change:
        return self.follow("coupon_confirm", call, request.amount, request.original.key, request)

    @hookimpl
    def coupon_cancel(self, request: CouponHeld, call: Call) -> Change:
        return self.follow("coupon_cancel", call, request.amount, request.original.key, request)

    @hookimpl
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:
        return self.follow("coupon_restore", call, request.amount, request.original.key, request)

    # -- goods ---------------------------------------------------------------------------------------------------------

    @hookimpl
    def stock_reserve(self, request: StockReserve, call: Call) -> Change:
        magic = next((ending for item in request.items if (ending := ending_of(item.sku))), 0)
        return self.begin("stock_reserve", call, thousandths(request.items), "", request, magic=magic)

    @hookimpl
    def stock_confirm(self, request: StockHeld, call: Call) -> Change:
        return self.follow("stock_confirm", call, thousandths(request.items), request.original.key, request)

    @hookimpl
    def stock_cancel(self, request: StockHeld, call: Call) -> Change:
        return self.follow("stock_cancel", call, thousandths(request.items), request.original.key, request)

    @hookimpl
    def stock_return(self, request: StockReturn, call: Call) -> Change:
        return self.follow("stock_return", call, thousandths(request.items), request.original.key, request)

    # -- sales and messages --------------------------------------------------------------------------------------------

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        amount = request.payable_amount
        return self.begin("order_post", call, amount, request.order_no, request, magic=ending_of(request.order_no))

    @hookimpl
    def order_void(self, request: OrderVoid, call: Call) -> Change:
        return self.follow("order_void", call, request.amount, request.original.key, request)

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        return self.follow("order_return", call, request.amount, request.original.key, request)

    @hookimpl
    def message_send(self, request: Message, call: Call) -> Change:
        return self.begin("message_send", call, 100, request.channel, request)
