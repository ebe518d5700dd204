"""Limits and budgets between the store, which counts, and the engine, which is pure: what was used goes in, what a
quote uses comes out.

The store adds a quote's uses under a guard (`used + times <= total`, `used + amount <= budget`) when the checkout is
accepted, and takes them off again when it fails or is returned.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gateway.pricing.model import Benefit, Limits


@dataclass(frozen=True, slots=True)
class Used:
    """How often a campaign was used so far, altogether, by the member, by the member today, and for how many fen."""

    total: int = 0
    member: int = 0
    member_today: int = 0
    budget_amount: int = 0


@dataclass(frozen=True, slots=True)
class Use:
    """What one quote uses of a campaign or coupon: `times` counts, `budget_amount` fen of discount, gift, voucher or
    reward."""

    source: str
    id: str
    version: int | str | None
    times: int
    budget_amount: int


def with_used(campaigns: Sequence[Benefit], used: Mapping[str, Used]) -> tuple[Benefit, ...]:
    """Ready campaigns with what was used of them; those without limits and budget stay as they are."""
    return tuple(_with(campaign, used.get(campaign.id)) for campaign in campaigns)


def _with(campaign: Benefit, used: Used | None) -> Benefit:
    limits = campaign.limits
    if limits is None or used is None:
        return campaign
    return replace(campaign, limits=_counted(limits, used))


def _counted(limits: Limits, used: Used) -> Limits:
    return replace(
        limits,
        used_total=used.total,
        used_member=used.member,
        used_member_today=used.member_today,
        used_budget_amount=used.budget_amount,
    )


def uses_of(document: Mapping[str, Any]) -> tuple[Use, ...]:
    """What a priced document uses of its campaigns and coupons, in the order of application.

    A campaign counts once a checkout, a count pass as many times as it paid for units.
    """
    beside: dict[str, int] = {}
    for gift in document["gifts"]:
        beside[gift["id"]] = beside.get(gift["id"], 0) + max(1, gift["value_amount"])
    for reward in document["rewards"]:
        beside[reward["id"]] = beside.get(reward["id"], 0) + reward["amount"]
    return tuple(
        Use(
            source=applied["kind"],
            id=applied["id"],
            version=applied["version"],
            times=applied["times"] if applied["rule"] == "count_pass" else 1,
            budget_amount=applied["amount"] + beside.get(applied["id"], 0),
        )
        for applied in document["applied"]
        if applied["kind"] != "member"
    )
