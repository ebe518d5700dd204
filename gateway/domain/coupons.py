"""Records and requests of the coupons family: coupons have counts, not a boolean ``used``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from gateway.domain.common import Original, Site


class CouponKind(StrEnum):
    """What a coupon does."""

    CASH = "cash"
    PERCENT = "percent"
    EXCHANGE = "exchange"
    GIFT = "gift"
    COUNT_PASS = "count_pass"  # noqa: S105 - a kind of coupon
    GROUP_BUY = "group_buy"
    GIFT_CARD = "gift_card"
    RED_ENVELOPE = "red_envelope"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How many uses a code was bought for, has left, has on hold and has used."""

    initial: int = 1
    available: int = 1
    held: int = 0
    used: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """A coupon as the far system knows it. ``code`` is its own spelling, which all later calls carry: a lookup may have
    come in other letters.

    ``terms`` are the fields of a coupon in the pricing document (``off_amount``, ``rate_bp``, ``threshold_amount``,
    ``basis``, ``scope``, ``cap_amount``, ``exclusive``, ``stack_group``, ``no_change``, ``face_amount``,
    ``sold_amount``, ``income_amount``, ``platform_fee_bp``, ``funding`` …), as far as they apply. For a gift card or a
    red envelope ``balance_amount`` is what is left on it. ``usable`` is False where the system bars it now.
    """

    code: str
    kind: CouponKind
    template: str = ""
    title: str = ""
    counts: Counts = Counts()
    expires_at: datetime | None = None
    usable: bool = True
    balance_amount: int = 0
    member_ref: str = ""
    terms: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponLookup:
    """Look at one code without changing anything."""

    code: str
    store_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponList:
    """The coupons of one member."""

    member_ref: str
    store_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponIssue:
    """Issue ``count`` uses of a template to a member, or as a bearer code (``member_ref`` empty)."""

    template: str
    count: int = 1
    member_ref: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponVoid:
    """Make a code unusable."""

    original: Original
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponExtend:
    """Move a code's expiry."""

    code: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponUse:
    """Hold (``coupon_reserve``) or use up (``coupon_redeem``) ``count`` uses of a code, or ``amount`` of its balance.

    ``amount`` is what it takes off or pays in this sale, in minor units.
    """

    code: str
    count: int
    amount: int
    order_no: str
    site: Site
    ttl_s: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponHeld:
    """Confirm or cancel what is held under ``original``."""

    original: Original
    code: str
    count: int
    amount: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponRestore:
    """Take a redemption back. It names the redemption (``original``) and its count; ``amount`` for a balance."""

    original: Original
    code: str
    count: int
    amount: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSend:
    """Give a customer something after success: a red envelope, a rebate voucher."""

    kind: str
    amount: int
    order_no: str
    site: Site
    member_ref: str = ""
    payer_ref: str = ""
    template: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRevoke:
    """Take back ``amount`` of a reward that has not been spent."""

    original: Original
    amount: int
    site: Site
