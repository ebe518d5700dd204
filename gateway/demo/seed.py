"""The merchants' own members and coupons, where they have no system for them: they live in the house's books."""

from __future__ import annotations

from gateway.domain.common import Secret
from gateway.domain.membership import Identity, IdentityType
from gateway.store.port import Database, Tx
from plugins.house import coupons, members
from plugins.house.adapter import insert_identity, insert_member

#: merchant → (member, phone, name, tier, points, stored value)
MEMBERS = (
    ("yinhu", "y1", "13800138001", "沈同学", "", 0, 0),
    ("qinghe", "q1", "13800138002", "周先生", "gold", 3000, 0),
    ("hubin", "h1", "13800138003", "林女士", "silver", 800, 30_000),
)
COUPON = {
    "kind": "cash",
    "template": "spring50",
    "title": "春装满1000减50",
    "terms": {"off_amount": 5000, "threshold_amount": 100_000},
}


def seed_house(database: Database) -> None:
    """Put members and a coupon into the house's books. Idempotent."""
    database.tx(_seed)


def _seed(tx: Tx) -> None:
    for merchant, ref, phone, name, tier, points, value in MEMBERS:
        insert_member(tx, merchant, ref, name, tier, points=points, real=value)
        identity = Identity(type=IdentityType.PHONE, value=Secret(phone))
        insert_identity(tx, merchant, ref, "phone", members.digest_of(identity, merchant))
    coupons.insert(tx, "hubin", "SPRING50", COUPON, 1, "h1", 0)
