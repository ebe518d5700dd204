"""Limits and budgets of campaigns and coupon templates between pricing, which is pure, and the store, which counts.

Before a price what was used goes in; with the plan a leg for each limited benefit that was applied goes to the
gateway's own connection: held, used, given back. A race is decided there, by a guarded update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gateway.engine.campaigns import Campaigns
from gateway.engine.model import Json, Leg, Phase, Saga
from gateway.engine.own import OWN
from gateway.engine.seams import Journal
from gateway.pricing import Benefit, Used, uses_of, with_used
from gateway.pricing.effects import Outcome
from gateway.pricing.kept import PastStep, Replay, Sale, read_sale
from gateway.pricing.returned import read_returned
from gateway.store import uses as sql

#: The hooks of a use's leg, in the words of a coupon: held, then used; its undos give it back.
HOOKS = {Phase.HOLD: "coupon_reserve", Phase.SETTLE: "coupon_confirm"}
#: What the leg of a limited benefit is called, before its key.
PREFIX = "campaign:"
#: Before the key of a coupon template, which is counted like a campaign.
TEMPLATE = "template:"
_LIMITS = ("total", "per_member", "per_day")


def template_key(coupon: Mapping[str, Any]) -> str:
    """Under which key the uses of a limited coupon are counted; empty if it has no limits."""
    limited = coupon.get("limits") or coupon.get("budget_amount") is not None
    return f"{TEMPLATE}{coupon.get('template') or coupon['code']}" if limited else ""


def counted(
    journal: Journal, merchant: str, campaigns: Campaigns, document: Json, member: str
) -> tuple[tuple[Benefit, ...], Json]:
    """The campaigns and the document's coupons with what was used of them; no query where nothing has limits."""
    coupons = document.get("coupons") or []
    keys = [*campaigns.limited, *dict.fromkeys(key for coupon in coupons if (key := template_key(coupon)))]
    if not keys:
        return campaigns.benefits, document
    day = str(document["business_date"])
    found = journal.read(lambda tx: sql.counts(tx, merchant, keys, member, day))
    used = {name: Used(**asdict(found.get(name, sql.Count()))) for name in campaigns.limited}
    filled = [_filled(coupon, found) for coupon in coupons]
    return with_used(campaigns.benefits, used), {**document, "coupons": filled} if coupons else document


def _filled(coupon: Json, found: Mapping[str, sql.Count]) -> Json:
    key = template_key(coupon)
    return {**coupon, "used": asdict(found[key])} if key in found else coupon


def use_legs(
    quote: Json, campaigns: Sequence[Benefit], document: Json, member: str
) -> list[tuple[str, dict[Phase, str], Json]]:
    """Name, hooks and parameters of the leg of each limited benefit that the quote uses, by key."""
    known = {campaign.id: campaign for campaign in campaigns if campaign.limits is not None}
    coupons = {coupon["code"]: coupon for coupon in document.get("coupons") or []}
    legs: dict[str, Json] = {}
    if not known and not any(map(template_key, coupons.values())):
        return []
    own = [applied for applied in quote["applied"] if applied["kind"] in ("campaign", "coupon")]
    for use in uses_of({**quote, "applied": own}):
        if use.source == "campaign" and use.id in known:
            key, limits = use.id, _limits_of(known[use.id])
        elif use.source == "coupon" and (key := template_key(coupons.get(use.id, {"code": ""}))):
            limits = {**(coupons[use.id].get("limits") or {}), "budget_amount": coupons[use.id].get("budget_amount")}
        else:
            continue
        leg = legs.setdefault(key, _params(key, use.version, member, document, limits))
        leg["worth_amount"] += use.budget_amount
        leg["benefits"].append([use.source, use.id])
    return [(f"{PREFIX}{key}", HOOKS, legs[key]) for key in sorted(legs)]


def _params(key: str, version: object, member: str, document: Json, limits: Json) -> Json:
    return {
        "code": key,
        "count": 1,
        "campaign": key,
        "version": "" if version is None else str(version),
        "member": member,
        "business_date": str(document["business_date"]),
        "times": 1,  # a checkout is one use, of however many units or codes
        "worth_amount": 0,
        "benefits": [],
        "limits": {name: value for name, value in limits.items() if value is not None},
    }


def _limits_of(benefit: Benefit) -> Json:
    limits = benefit.limits
    if limits is None:
        return {}
    return {**{name: getattr(limits, name) for name in _LIMITS}, "budget_amount": limits.budget_amount}


# --- refunds ---------------------------------------------------------------------------------------------------------


def limited_legs(parent: Saga) -> list[Leg]:
    """The legs of a checkout that count uses."""
    return [leg for leg in parent.legs() if leg.name.startswith(PREFIX) and leg.connection == OWN]


def back_legs(
    parent: Saga, snapshot: Json, earlier: Sequence[Json], result: Json, policy: str | None, whole: bool
) -> list[Leg]:
    """The legs by which a refund gives uses back: all of it with the last of the sale, else the budget's share.

    ``earlier`` are the documents of the refunds before (``gives_back`` and ``legs``), ``result`` is this refund's,
    ``policy`` what was asked for.
    """
    limited = limited_legs(parent)
    if not limited:
        return []
    sale = read_sale(snapshot)
    returned = read_returned(sale, [*(item["gives_back"] for item in earlier), result]).quantities
    whole = whole or all(back == line.quantity for back, line in zip(returned, sale.basket.lines, strict=True))
    kept = {} if whole else _kept_amounts(sale, returned, policy)
    found = []
    for leg in limited:
        given = sum(
            told["params"]["back_amount"] for item in earlier for told in item["legs"] if told["name"] == leg.name
        )
        worth = sum(kept.get((source, name), 0) for source, name in leg.params["benefits"])
        amount = max(0, leg.params["worth_amount"] - worth - given)
        if whole or amount:
            params = {**leg.params, "held_by": parent.id, "back_amount": amount, "whole": whole}
            found.append(Leg(leg.name, OWN, OWN, {Phase.SETTLE.value: "coupon_restore"}, params))
    return found


def _kept_amounts(sale: Sale, returned: Sequence[int], policy: str | None) -> dict[tuple[str, str], int]:
    """By benefit, how many fen of it stay with what the customer keeps."""
    kept = Replay(sale, returned, policy).run()
    return {
        (step.kind, step.id): _worth(step, outcome) for step, outcome in zip(sale.steps, kept.outcomes, strict=True)
    }


def _worth(step: PastStep, outcome: Outcome) -> int:
    """What a benefit still gives: off the price, as a gift, as a voucher or reward."""
    gift = max(1, outcome.gift.value_amount) if outcome.gift is not None and step.gift is not None else 0
    return outcome.amount + gift + outcome.issued
