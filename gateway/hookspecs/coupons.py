"""Coupons: codes with counts, e-vouchers, gift cards, red envelopes and rewards."""

from __future__ import annotations

from gateway.domain.call import Call
from gateway.domain.common import Page, Query, StatementRequest, StatementRow
from gateway.domain.coupons import (
    Coupon,
    CouponExtend,
    CouponHeld,
    CouponIssue,
    CouponList,
    CouponLookup,
    CouponRestore,
    CouponUse,
    CouponVoid,
    RewardRevoke,
    RewardSend,
)
from gateway.domain.outcomes import Answer, Change
from gateway.hookspecs.marker import hookspec


class CouponHooks:
    """Specs of the family ``coupons``; the rules common to all hooks stand in ``gateway.hookspecs``.

    An adapter implements either reserve, confirm and cancel, or redeem alone; both are undone by restore.
    """

    @hookspec(firstresult=True)
    def coupon_find(self, request: CouponLookup) -> Coupon | None:
        """Look at a code without changing anything; ``None``: no such code, or none that may be shown here."""

    @hookspec(firstresult=True)
    def coupon_list(self, request: CouponList) -> tuple[Coupon, ...]:  # type: ignore[empty-body]
        """A member's usable coupons."""

    @hookspec(firstresult=True)
    def coupon_issue(self, request: CouponIssue, call: Call) -> Change:  # type: ignore[empty-body]
        """Issue a coupon; ``Done.ref`` is its code."""

    @hookspec(firstresult=True)
    def coupon_void(self, request: CouponVoid, call: Call) -> Change:  # type: ignore[empty-body]
        """Make a code unusable."""

    @hookspec(firstresult=True)
    def coupon_extend(self, request: CouponExtend, call: Call) -> Change:  # type: ignore[empty-body]
        """Move a code's expiry."""

    @hookspec(firstresult=True)
    def coupon_reserve(self, request: CouponUse, call: Call) -> Change:  # type: ignore[empty-body]
        """Hold ``count`` uses (or ``amount`` of a balance); none left is ``Declined(COUPON_EXHAUSTED)``."""

    @hookspec(firstresult=True)
    def coupon_confirm(self, request: CouponHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Use up what is held."""

    @hookspec(firstresult=True)
    def coupon_cancel(self, request: CouponHeld, call: Call) -> Change:  # type: ignore[empty-body]
        """Let a hold go; a hold that never came to be is ``Done``."""

    @hookspec(firstresult=True)
    def coupon_redeem(self, request: CouponUse, call: Call) -> Change:  # type: ignore[empty-body]
        """Use up ``count`` uses at once; ``Done.ref`` is the redemption's number."""

    @hookspec(firstresult=True)
    def coupon_restore(self, request: CouponRestore, call: Call) -> Change:  # type: ignore[empty-body]
        """Take a redemption back, named by its number and its count; ``facts["new_code"]`` if the code changed."""

    @hookspec(firstresult=True)
    def reward_send(self, request: RewardSend, call: Call) -> Change:  # type: ignore[empty-body]
        """Give something after success; ``Done.ref`` is the reward's number."""

    @hookspec(firstresult=True)
    def reward_revoke(self, request: RewardRevoke, call: Call) -> Change:  # type: ignore[empty-body]
        """Take a reward back; ``Done.amount`` is what had not been spent yet."""

    @hookspec(firstresult=True)
    def coupon_query(self, request: Query) -> Answer:  # type: ignore[empty-body]
        """What became of a change of this family."""

    @hookspec(firstresult=True)
    def coupon_statement(self, request: StatementRequest) -> Page[StatementRow]:  # type: ignore[empty-body]
        """Redemptions and reversals of a business date; kinds ``redeem`` and ``reverse``; ``amount`` in uses."""
