"""Members, as far as the platform is told."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from schemas.basket import IdentityGiven
from schemas.fields import Amount, Resource, Text, Whole


class MemberLookupRequest(IdentityGiven):
    """Find one member. Personal data is in the body and never in an address."""

    example: ClassVar[dict[str, Any]] = {"type": "phone", "value": "13800001001"}

    store_id = Text()


class StoredValue(Resource):
    """Stored value by bucket: paid in, given on top, paid in advance."""

    real_amount = Amount(required=True)
    gift_amount = Amount(required=True)
    prepaid_amount = Amount(required=True)


class Member(Resource):
    """A member. ``rate_bp`` is what a member pays, in basis points; null: no member rate."""

    id = Text(required=True)
    tier = fields.String(required=True)
    display_name = fields.String(required=True)
    rate_bp = Whole(0, 10_000, required=True, allow_none=True)
    tags = fields.List(fields.String(), required=True)
    points_available = Whole(0, 1_000_000_000_000, required=True)
    stored_value = fields.Nested(StoredValue, required=True)
    currency = Text(3, 3, required=True)
    connection = Text(required=True, metadata={"description": "the system that knows the member"})
