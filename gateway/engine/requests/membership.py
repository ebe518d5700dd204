"""Requests of membership: points and stored value."""

from __future__ import annotations

from gateway.domain import membership
from gateway.engine.requests.parts import Parts


class Membership(Parts):
    """Builders, one a hook or for hooks of one shape."""

    def points_reserve(self) -> membership.PointsReserve:
        return membership.PointsReserve(
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            amount=self.params["worth_amount"],
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def points_held(self) -> membership.PointsHeld:
        return membership.PointsHeld(
            original=self.original(),
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            site=self.site,
        )

    def points_return(self) -> membership.PointsReturn:
        return membership.PointsReturn(
            original=self.original(),
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            site=self.site,
        )

    def points_earn(self) -> membership.PointsEarn:
        return membership.PointsEarn(
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            basis_amount=self.params["basis_amount"],
            order_no=self.saga.number,
            site=self.site,
        )

    def points_revoke(self) -> membership.PointsRevoke:
        return membership.PointsRevoke(
            original=self.original(),
            member_ref=self.params["member_ref"],
            points=self.params["points"],
            site=self.site,
        )

    def value_reserve(self) -> membership.ValueReserve:
        return membership.ValueReserve(
            account=self.params["account"],
            amount=self.params["amount"],
            order=membership.ValueOrder(self.params.get("order", "real_first")),  # a deposit has one bucket
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
        )

    def value_held(self) -> membership.ValueHeld:
        return membership.ValueHeld(
            original=self.original(), account=self.params["account"], amount=self.params["amount"], site=self.site
        )

    def value_return(self) -> membership.ValueReturn:
        original = self.original()
        buckets = self.params.get("buckets") or original.facts.get("buckets") or {"real": self.params["amount"]}
        return membership.ValueReturn(
            original=original,
            account=self.params["account"],
            amount=self.params["amount"],
            buckets=membership.Value(**buckets),
            site=self.site,
        )
