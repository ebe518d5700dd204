"""Quotes: a basket with its price."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from schemas.basket import BasketRequest, check_basket
from schemas.fields import AMOUNT_MOST, Amount, Moment, Quantity, Resource, Text, Whole, Word
from schemas.tenders import MEANT, tenders


class QuoteRequest(BasketRequest):
    """Price a basket. ``tenders`` are those meant: some campaigns depend on them."""

    example: ClassVar[dict[str, Any]] = {
        "store_id": "wulin",
        "lines": [{"sku": "100231", "quantity": "2"}, {"sku": "100377", "quantity": "1"}],
        "member": {"type": "phone", "value": "13800001001"},
        "coupons": "auto",
    }

    tenders = tenders(MEANT)

    def across(self, data: dict[str, Any]) -> None:
        """See ``check_basket``."""
        check_basket(data)


class Funding(Resource):
    """How much of a discount a party bears."""

    party = Text(required=True)
    amount = Amount(required=True)


class Allocation(Resource):
    """What one benefit took off one line."""

    kind = Text(required=True)
    id = Text(required=True)
    amount = Amount(required=True)
    funding = fields.List(fields.Nested(Funding), required=True)


class Component(Resource):
    """A part of a package, with its share of the package's price."""

    sku = Text(required=True)
    quantity = Quantity(required=True)
    net_amount = Amount(required=True)


class QuotedLine(Resource):
    """A priced line."""

    line_id = Text(required=True)
    sku = Text(required=True)
    quantity = Quantity(required=True)
    unit_amount = Amount(required=True)
    gross_amount = Amount(required=True)
    discount_amount = Amount(required=True)
    net_amount = Amount(required=True)
    allocations = fields.List(fields.Nested(Allocation), required=True)
    components = fields.List(fields.Nested(Component))


class Segment(Resource):
    """A part of a time fee, at one rate."""

    begins = Moment(data_key="from", required=True)
    ends = Moment(data_key="to", required=True)
    amount = Amount(required=True)


class QuotedFee(Resource):
    """A fee: time, service, minimum spend, packing. ``basis_amount`` is what it is reckoned from."""

    fee_id = Text(required=True)
    kind = Text(required=True)
    basis_amount = Amount(required=True)
    amount = Amount(required=True)
    line_id = Text()
    segments = fields.List(fields.Nested(Segment), required=True)


class Gift(Resource):
    """What is handed over beside the goods."""

    id = Text(required=True)
    sku = Text(required=True)
    quantity = Quantity(required=True)
    value_amount = Amount(required=True)


class Reward(Resource):
    """What is given after success."""

    id = Text(required=True)
    kind = Text(required=True)
    amount = Amount(required=True)


class Applied(Resource):
    """A benefit that was applied."""

    kind = Word("member", "campaign", "coupon", "till", required=True)
    id = Text(required=True)
    amount = Amount(required=True)
    times = Whole(0, 1_000_000, required=True)
    rule = fields.String(metadata={"description": "the benefit's kind of rule"})
    version = fields.Raw(metadata={"description": "of the campaign's definition"})
    funding = fields.List(fields.Nested(Funding), required=True)


class Rejected(Resource):
    """A benefit that was not applied, and why."""

    id = Text(required=True)
    kind = Text(required=True)
    reason = Text(required=True)
    missing_amount = Amount()
    missing_quantity = Text()


class LeftOut(Resource):
    """A part that the merchant does without while its system is down."""

    part = Text(required=True)
    id = fields.String(required=True, metadata={"description": "which one of several: a coupon's code, a reward"})


class PointsQuoted(Resource):
    """Points used, what they take off, and what will be earned."""

    used = Whole(0, 1_000_000_000, required=True)
    amount = Amount(required=True)
    earned = Whole(0, AMOUNT_MOST, required=True)


class MemberQuoted(Resource):
    """The member for whom it was priced."""

    id = Text(required=True)
    tier = fields.String(required=True)
    points_available = Whole(0, 1_000_000_000_000, required=True)


class Price(Resource):
    """What a basket costs, and why."""

    currency = Text(3, 3, required=True)
    inputs_hash = Text(required=True)
    gross_amount = Amount(required=True)
    discount_amount = Amount(required=True)
    fee_amount = Amount(required=True)
    payable_amount = Amount(required=True)
    lines = fields.List(fields.Nested(QuotedLine), required=True)
    fees = fields.List(fields.Nested(QuotedFee), required=True)
    gifts = fields.List(fields.Nested(Gift), required=True)
    rewards = fields.List(fields.Nested(Reward), required=True)
    applied = fields.List(fields.Nested(Applied), required=True)
    rejected = fields.List(fields.Nested(Rejected), required=True)
    points = fields.Nested(PointsQuoted, required=True)
    rounding_amount = Whole(-1_000_000, 1_000_000, required=True)
    forfeited_amount = Amount(required=True)
    member = fields.Nested(MemberQuoted)
    left_out = fields.List(fields.Nested(LeftOut))


class Quote(Price):
    """A price that is honoured until ``expires_at``."""

    quote_id = Text(required=True)
    expires_at = Moment(required=True)
