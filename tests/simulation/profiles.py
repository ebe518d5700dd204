"""What far systems can do after a lost answer, and which hooks an adapter for each of their roles has."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS


@dataclass(frozen=True, slots=True)
class Profile:
    """What a legacy system can do: act once a key, be asked, take back, block a number it never saw, act later."""

    name: str
    idempotent: bool = False
    query: bool = False
    reverse: bool = True
    refund: bool = True
    tombstone: bool = False
    deferred: bool = False


FULL = Profile("full", idempotent=True, query=True)
ASKED = Profile("asked", query=True)
REFUNDING = Profile("refunding", query=True, reverse=False)
REPEATED = Profile("repeated", idempotent=True)
TOMBSTONE = Profile("tombstone", idempotent=True, query=True, tombstone=True)
NOTHING = Profile("nothing", reverse=False, refund=False)
DEFERRED = Profile("deferred", idempotent=True, query=True, deferred=True)
LOCKED = Profile("locked", idempotent=True, query=True, reverse=False)
PAYING = (FULL, ASKED, REFUNDING, REPEATED, TOMBSTONE, NOTHING)
HOLDING = (FULL, ASKED, REPEATED, TOMBSTONE)
REDEEMING = (FULL, ASKED, REPEATED)
#: Coupon systems of others: some never unlock what was locked, nor take back what was redeemed.
FOREIGN = (FULL, ASKED, REPEATED, LOCKED)
POSTING = (FULL, ASKED, REPEATED, NOTHING, DEFERRED)


def hooks_of(role: str, profile: Profile, *, authorises: bool = False) -> frozenset[str]:
    """The hooks of an adapter for a role, in a profile; a channel may also hold money without taking it."""
    found = {hook for hook in _ROLES[role] if profile.reverse or hook not in UNDOES_OF_HOLDS}
    if role == "payment":
        found |= {"payment_reverse"} if profile.reverse else set()
        found |= {"payment_refund"} if profile.refund else set()
        found |= _AUTHORISING if authorises and profile.reverse else set()
    if profile.query:
        found.add(QUERY_HOOKS[FAMILY_OF[_ROLES[role][0]]])
    return frozenset(found)


_ROLES: dict[str, tuple[str, ...]] = {
    "payment": ("payment_charge",),
    "stock": ("stock_reserve", "stock_confirm", "stock_cancel", "stock_return"),
    "coupon": ("coupon_reserve", "coupon_confirm", "coupon_cancel", "coupon_restore"),
    "voucher": ("coupon_redeem", "coupon_restore"),
    "points": ("points_reserve", "points_confirm", "points_cancel", "points_return", "points_earn"),
    "value": ("value_reserve", "value_confirm", "value_cancel", "value_return"),
    "earning": ("points_earn",),
    "till": ("order_post", "order_return"),
    "deposits": ("order_post", "order_return", "deposit_post", "deposit_void"),
}
_AUTHORISING = {"payment_authorize", "payment_capture", "payment_release"}
#: What a system that takes nothing back lacks.
UNDOES_OF_HOLDS = frozenset(
    f"{family}_{verb}"
    for family, back in (("stock", "return"), ("coupon", "restore"), ("points", "return"), ("value", "return"))
    for verb in ("cancel", back)
)
