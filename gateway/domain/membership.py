"""Records and requests of the membership family: members, points, three-bucket stored value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from gateway.domain.common import Original, Secret, Site


class IdentityType(StrEnum):
    """What a member is recognised by."""

    PHONE = "phone"
    CARD = "card"
    CODE = "code"
    OPENID = "openid"


class ValueOrder(StrEnum):
    """In which order the buckets of stored value are used."""

    PERCENT = "percent"
    REAL_FIRST = "real_first"
    GIFT_FIRST = "gift_first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A way to recognise a member; the value is personal data."""

    type: IdentityType
    value: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """Stored value by bucket, in minor units: paid in, given on top, paid in advance for something."""

    real: int = 0
    gift: int = 0
    prepaid: int = 0

    @property
    def total(self) -> int:
        return self.real + self.gift + self.prepaid


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A member as the far system knows it. ``rate_bp`` is what is paid (9500 = pay 95 %), ``None``: no member rate."""

    ref: str
    tier: str = ""
    display_name: str = ""
    rate_bp: int | None = None
    tags: tuple[str, ...] = ()
    first_order: bool = False
    points_available: int = 0
    value: Value = Value()
    value_order: ValueOrder = ValueOrder.REAL_FIRST
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLookup:
    """Find one member."""

    identity: Identity
    store_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberPageRequest:
    """Members by cursor (``""`` starts)."""

    cursor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol:
    """Join; a late duplicate is answered ``Done(replayed=True)`` with the member that is there."""

    identities: tuple[Identity, ...]
    display_name: str = ""
    store_id: str = ""
    guide_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Add an identity to a member."""

    member_ref: str
    identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One person twice: ``merged_ref`` goes into ``member_ref``."""

    member_ref: str
    merged_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmerge:
    """Take a merge back."""

    original: Original
    member_ref: str
    merged_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsReserve:
    """Hold points that are worth ``amount`` off a checkout."""

    member_ref: str
    points: int
    amount: int
    order_no: str
    site: Site
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsHeld:
    """Confirm or cancel points held under ``original``: the hold, whose ``ref`` is empty if it was never answered."""

    original: Original
    member_ref: str
    points: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsReturn:
    """Give back some of the points that a checkout spent; ``original`` is their hold."""

    original: Original
    member_ref: str
    points: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsEarn:
    """Add points for a sale of ``basis_amount``."""

    member_ref: str
    points: int
    basis_amount: int
    order_no: str
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class PointsRevoke:
    """Take back points earned under ``original``."""

    original: Original
    member_ref: str
    points: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueReserve:
    """Hold ``amount`` of a stored-value account; which buckets follows from ``order``."""

    account: str
    amount: int
    order: ValueOrder
    order_no: str
    site: Site
    ttl_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueHeld:
    """Confirm or cancel what is held under ``original``: the hold, whose ``ref`` is empty if it was never answered."""

    original: Original
    account: str
    amount: int
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueReturn:
    """Give back ``amount`` of what a checkout took, to the buckets named; ``original`` is the hold, not its confirm."""

    original: Original
    account: str
    amount: int
    buckets: Value
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTopup:
    """Pay in, by bucket."""

    account: str
    value: Value
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueUntopup:
    """Take a payment in back."""

    original: Original
    account: str
    value: Value
    site: Site
