"""Refunds: lines, units or an amount given back over every system that the checkout touched."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import ValidationError, fields

from schemas.checkouts import LegView, TaskRef
from schemas.fields import Amount, Flag, FreeText, Listed, Moment, OwnNumber, Quantity, Request, Resource, Text, Word


class LineBack(Request):
    """A line, or some of its units, to give back."""

    line_id = Text(required=True)
    quantity = Quantity()


class RefundPreviewRequest(Request):
    """What is to come back: lines, an amount, or nothing for all that is left."""

    lines = Listed(fields.Nested(LineBack), 1, 200)
    amount = Amount(1)
    policy = Word("prorata", "recompute")
    return_stock = Flag(
        metadata={
            "description": "whether goods go back on sale and slots are freed; left out: goods do, slots as the"
            " merchant has set it, which is those that have not begun yet"
        }
    )
    #: Ids or methods of the tenders that give back first; the others follow by what is left of each.
    tender_order = Listed(Text(1, 64), 1, 50)

    def across(self, data: dict[str, Any]) -> None:
        """Lines and an amount contradict each other, and so do an amount and goods."""
        if "lines" in data and "amount" in data:
            raise ValidationError("say lines or amount, not both", "amount")
        if data.get("return_stock") and "amount" in data:
            raise ValidationError("an amount brings back money alone; say which lines", "return_stock")


class RefundRequest(RefundPreviewRequest):
    """A refund under the platform's own number."""

    example: ClassVar[dict[str, Any]] = {
        "refund_no": "P20260301-000123-1",
        "lines": [{"line_id": "1", "quantity": "1"}],
        "reason": "不新鲜",
    }

    refund_no = OwnNumber(1, 64, required=True)
    reason = FreeText(0, 200)


class PlannedLeg(Resource):
    """A change that the refund would ask of a far system."""

    name = Text(required=True)
    adapter = Text(required=True)
    hook = Text(required=True)


class SlotBack(Resource):
    """What becomes of the room, seat or appointment of a line that comes back whole."""

    line_id = Text(required=True)
    resource_id = fields.String(required=True)
    resource_class = fields.String(required=True)
    begins = Moment(data_key="from", required=True)
    ends = Moment(data_key="to", required=True)
    status = Word(
        "returned",
        "returning",
        "booked",
        required=True,
        metadata={"description": "`returned`: it is free again; `returning`: it is to be; `booked`: it stays so"},
    )
    reason = Word(
        "begun",
        "not_wanted",
        "unsupported",
        "refused",
        metadata={
            "description": "why it stays booked: it has begun or is over; the merchant or `return_stock` says so;"
            " its system cannot free it; its system refused"
        },
    )


class RefundPreview(Resource):
    """What each system would give back."""

    checkout_id = Text(required=True)
    currency = Text(3, 3, required=True)
    amount = Amount(required=True)
    gives_back = fields.Dict(keys=fields.String(), required=True)
    slots = fields.List(fields.Nested(SlotBack), required=True)
    legs = fields.List(fields.Nested(PlannedLeg), required=True)


class Refund(Resource):
    """A refund as it stands."""

    id = Text(required=True)
    status = Word(
        "succeeded",
        "processing",
        "awaiting_customer",
        "resolving",
        "failed",
        "cancelled",
        "needs_attention",
        required=True,
    )
    refund_no = Text(required=True)
    checkout_id = Text(required=True)
    merchant = Text(required=True)
    currency = Text(3, 3, required=True)
    amount = Amount(required=True)
    reason = fields.String(required=True)
    created_at = Moment(required=True)
    gives_back = fields.Dict(keys=fields.String(), required=True)
    slots = fields.List(fields.Nested(SlotBack), required=True)
    legs = fields.List(fields.Nested(LegView), required=True)
    tasks = fields.List(fields.Nested(TaskRef), required=True)
    deferred = fields.List(
        Text(), metadata={"description": "legs of a refund that has succeeded that are still to be done, as the till's"}
    )
