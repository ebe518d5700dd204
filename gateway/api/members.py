"""Members: found by what they show, never by an address."""

from __future__ import annotations

from gateway.api.operation import Ask, operation
from gateway.engine.model import Json
from gateway.engine.problems import Problem
from schemas.members import Member, MemberLookupRequest


@operation(
    "POST",
    "…/members/lookup",
    body=MemberLookupRequest,
    returns={200: Member},
    scopes=("member:read",),
    problems=("adapter-unavailable",),
    guess="member",
)
def look_up_member(ask: Ask) -> Json:
    """Find a member by phone, card, code or openid. Nobody is known by it: 404."""
    store_id = ask.body.get("store_id", "")
    if store_id:
        ask.need_store(store_id, "/store_id")
    identity = {"type": ask.body["type"], "value": ask.body["value"]}
    found = ask.parts.engine.reading(ask.merchant_id).member(identity, store_id)
    if found is None:
        raise Problem("not-found", "nobody is known by this")
    member, connection = found
    return {
        "id": member.ref,
        "tier": member.tier,
        "display_name": member.display_name,
        "rate_bp": member.rate_bp,
        "tags": list(member.tags),
        "points_available": member.points_available,
        "stored_value": {
            "real_amount": member.value.real,
            "gift_amount": member.value.gift,
            "prepaid_amount": member.value.prepaid,
        },
        "currency": ask.merchant.currency,
        "connection": connection.name,
    }
