"""The suite must give this no grade, and say why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.sdk import Enrol, Identity, IdentityType, MemberLookup, PointsEarn, Secret
from gateway.testing import Far, Profile, charge
from plugins.hostile.adapter import HostileAdapter


class HostileProfile(Profile):
    """Requests as for any other adapter."""

    adapter = HostileAdapter

    def settings(self, far: Far) -> Mapping[str, Any]:
        return {"password": far.secret("password", "open-sesame-42")}

    def books(self, far: Far) -> Mapping[str, Any]:
        return {"money": far.store.get("money") or 0}

    def tally(self, books: Mapping[str, Any]) -> Mapping[str, int]:
        return {"money": books["money"]}

    def payment_charge(self, far: Far) -> Any:
        return charge(far, auth_code="281234567890123456")

    def points_earn(self, far: Far) -> Any:
        return PointsEarn(member_ref="M1", points=5, basis_amount=500, order_no="W1", site=far.site())

    def member_find(self, far: Far) -> Any:
        return MemberLookup(identity=_phone())

    def member_enrol(self, far: Far) -> Any:
        return Enrol(identities=(_phone(),))


def _phone() -> Identity:
    return Identity(type=IdentityType.PHONE, value=Secret("13800001001"))
