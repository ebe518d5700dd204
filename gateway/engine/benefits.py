"""Who buys and with what benefits: the member, points and coupons of a basket.

Where the merchant's policy says so, a basket goes on without those whose systems are down.
"""

from __future__ import annotations

from typing import Any

from gateway.domain.coupons import Coupon
from gateway.engine.priced import Priced
from gateway.engine.problems import Problem, invalid
from gateway.engine.reading import Reading, required_member
from gateway.engine.terms import coupon_terms
from gateway.runtime import Connection, Merchant

UNAVAILABLE = "adapter-unavailable"


class Benefits:
    """Finds the benefits of one basket. ``without`` names legs that are to be left out, such as ``coupon:C30``."""

    def __init__(self, reading: Reading, merchant: Merchant, without: frozenset[str]) -> None:
        self.reading, self.merchant, self.without = reading, merchant, without
        #: Why the member is not known, if that is because nobody answered.
        self.unknown: Problem | None = None

    def _may_miss(self, part: str) -> bool:
        return self.merchant.policy.when(part) == "without"

    # --- the member --------------------------------------------------------------------------------------------------

    def member(self, priced: Priced, request: dict[str, Any]) -> None:
        """Find the member, and what it has."""
        if request.get("member"):
            priced.identity = request["member"]
            self._find_member(priced, request["member"])
        if priced.member is not None:
            _describe_member(priced)
        self._points(priced, request.get("points") or 0)

    def _find_member(self, priced: Priced, identity: dict[str, str]) -> None:
        try:
            found = self.reading.member(identity, priced.store_id)
        except Problem as problem:
            if problem.slug != UNAVAILABLE or not self._may_miss("member"):
                raise
            self.unknown = problem
            return priced.leave_out("member")
        priced.member, priced.member_connection = required_member(found)
        return None

    def _points(self, priced: Priced, wanted: int) -> None:
        if wanted and (self.unknown is not None or "points" in self.without):
            if self.unknown is not None and not self._may_miss("points"):
                raise self.unknown
            priced.leave_out("points")
            wanted = 0
        rules = self.merchant.pricing.points
        if rules and priced.member is not None:
            if wanted > priced.member.points_available:
                raise Problem("insufficient-points", "the member has fewer points than are to be used")
            priced.document["points"] = {"use": wanted, **rules}
        elif wanted:
            raise invalid("/points", "points are used by a member, at a merchant whose points pay")

    # --- coupons -----------------------------------------------------------------------------------------------------

    def coupons(self, priced: Priced, request: dict[str, Any]) -> None:
        """Find the coupons that are named, or all of the member's."""
        wanted = request.get("coupons") or []
        if wanted == "auto":
            self._members_coupons(priced)
            priced.document["select"] = "auto"
        else:
            named = [self._named(priced, code, f"/coupons/{index}") for index, code in enumerate(wanted)]
            priced.document["select"] = list(dict.fromkeys(filter(None, named)))
        priced.document["coupons"] = [self.terms(coupon) for coupon, _ in priced.coupons.values()]

    def _members_coupons(self, priced: Priced) -> None:
        if priced.member is None:
            return
        missing: list[Connection] = []
        found = self.reading.coupons_of(
            priced.member.ref, priced.store_id, missing if self._may_miss("coupons") else None
        )
        for connection in missing:
            priced.leave_out("coupons", connection.name)
        for coupon, connection in found:
            if f"coupon:{coupon.code}" in self.without:
                priced.leave_out("coupons", coupon.code)
            else:
                priced.coupons[coupon.code] = (coupon, connection)

    def _named(self, priced: Priced, code: str, pointer: str) -> str | None:
        """Find a coupon; its code as its system writes it, ``None`` if the sale goes on without."""
        try:
            found = None if f"coupon:{code}" in self.without else self.usable(priced, code, pointer)
        except Problem as problem:
            if problem.slug != UNAVAILABLE or not self._may_miss("coupons"):
                raise
            found = None
        if found is None or f"coupon:{found[0].code}" in self.without:
            priced.leave_out("coupons", found[0].code if found else code)
            return None
        priced.coupons[found[0].code] = found
        return found[0].code

    def terms(self, coupon: Coupon) -> dict[str, Any]:
        """A coupon as the pricing document has it."""
        return coupon_terms(self.merchant.pricing.coupon_templates, coupon)

    def usable(self, priced: Priced, code: str, pointer: str) -> tuple[Coupon, Connection]:
        """A code that can be used in this basket. Raises ``Problem``, the same for every reason but a silent system."""
        found = self.reading.coupon(code, priced.store_id)
        if found is None or not found[0].usable or found[0].counts.available < 1:
            raise invalid(pointer, "this code cannot be used here", "coupon-not-applicable")
        owner = found[0].member_ref
        if owner and priced.member is None and self.unknown is not None:
            raise self.unknown
        if owner and (priced.member is None or priced.member.ref != owner):
            raise invalid(pointer, "this code cannot be used here", "coupon-not-applicable")
        return found

    def check_value(self, priced: Priced, tender: dict[str, Any], pointer: str) -> None:
        """Stored value is drawn on by its member, and covers what is asked of it."""
        member = priced.member
        if member is None:
            raise self.unknown or invalid(pointer, "stored value is a member's: say which member")
        if tender.get("account") not in (None, member.ref):
            raise invalid(f"{pointer}/account", "is not the account of the member in this basket")
        if (tender.get("amount") or 0) > member.value.total:
            raise Problem("insufficient-stored-value", "the stored value does not cover this amount")


def _describe_member(priced: Priced) -> None:
    member = priced.member
    assert member is not None
    document: dict[str, Any] = {"id": member.ref, "points_available": member.points_available}
    if member.tier:
        document["tier"] = member.tier
    if member.rate_bp is not None:
        document["rate_bp"] = member.rate_bp
    document |= {"tags": list(member.tags), "first_order": member.first_order}
    value = {"real": member.value.real, "gift": member.value.gift, "prepaid": member.value.prepaid}
    priced.document["member"] = document
    priced.document["accounts"] = {"stored_value": {**value, "order": member.value_order.value}}
