"""Checkouts: one call that settles a basket."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from marshmallow import INCLUDE, ValidationError, fields

from schemas.basket import BasketRequest, check_basket
from schemas.fields import Amount, Day, Moment, OwnNumber, Resource, Text, Whole, Word
from schemas.quotes import LeftOut, Price
from schemas.tenders import FULL, TenderView, tenders

QUOTE = re.compile(r"quo_[0-9A-Z]{26}\Z")
STATUSES = ("processing", "awaiting_customer", "resolving", "completed", "failed", "cancelled", "needs_attention")
#: What a quote has fixed already.
_QUOTED = ("store_id", "operator", "business_date", "lines", "source", "member", "coupons", "points")


class CheckoutRequest(BasketRequest):
    """The quote's fields or ``quote_id``; the platform's own number; the tenders in the order in which they pay."""

    example: ClassVar[dict[str, Any]] = {
        "store_id": "wulin",
        "operator": {"till_id": "1", "cashier_id": "007"},
        "order_no": "P20260301-000123",
        "lines": [{"sku": "100231", "quantity": "2"}, {"sku": "100377", "quantity": "1"}],
        "expected_payable_amount": 1200,
        "tenders": [{"method": "payment_code", "auth_code": "281234567890123456"}],
    }

    quote_id = Text(30, 30, QUOTE, metadata={"expected": "must be a quote's id"})
    order_no = OwnNumber(1, 64, required=True, metadata={"description": "unique for the merchant, for ever"})
    expected_payable_amount = Amount()
    tenders = tenders(FULL)
    on_decline = Word("release", "await_tender")

    def across(self, data: dict[str, Any]) -> None:
        """Either a quote or a basket."""
        if "quote_id" not in data:
            check_basket(data)
            return
        twice = {name: ["is fixed by the quote"] for name in _QUOTED if name in data}
        if twice:
            raise ValidationError(twice)


class Split(Resource):
    """How much of a line, or of a fee, a tender pays."""

    line_id = Text()
    fee_id = Text()
    tender_id = Text(required=True)
    amount = Amount(required=True)


class LegView(Resource):
    """One change asked of one far system."""

    name = Text(required=True)
    adapter = Text(required=True)
    connection = Text(required=True)
    status = Word("intent", "ok", "pending", "declined", "not_sent", "unknown", "gone", "task", required=True)
    attempts = Whole(0, 1_000_000, required=True)
    started_at = Moment(required=True)
    finished_at = Moment(required=True, allow_none=True)
    detail = fields.String(required=True)


class TaskRef(Resource):
    """A case for a person."""

    id = Text(required=True)
    leg = Text(required=True)
    kind = Text(required=True)


class Failure(Resource):
    """Why it failed: which leg, and the reason."""

    leg = fields.String(required=True)
    reason = fields.String(required=True)
    code = fields.String(metadata={"description": "the far system's own code"})
    message = fields.String()


class NextAction(Resource):
    """What a person must do next; further fields depend on the type and on the channel."""

    class Meta:
        unknown = INCLUDE

    type = Word("show_qr", "await_password", "add_tender", "ask_cashier", required=True)
    amount = Amount(metadata={"description": "what is still to be paid (add_tender)"})
    expires_at = Moment()
    qr_code = fields.String(metadata={"description": "what to show as a QR code (show_qr)"})


class Checkout(Resource):
    """A checkout as it stands."""

    id = Text(required=True)
    status = Word(*STATUSES, required=True)
    order_no = Text(required=True)
    merchant = Text(required=True)
    store_id = Text(required=True)
    business_date = Day(required=True)
    currency = Text(3, 3, required=True)
    created_at = Moment(required=True)
    expires_at = Moment(required=True)
    quote = fields.Nested(Price, required=True)
    tenders = fields.List(fields.Nested(TenderView), required=True)
    splits = fields.List(fields.Nested(Split), required=True)
    legs = fields.List(fields.Nested(LegView), required=True)
    tasks = fields.List(fields.Nested(TaskRef), required=True)
    receipt = fields.String(required=True)
    refundable_amount = Amount(required=True)
    refunded_amount = Amount(required=True)
    session_id = Text()
    left_out = fields.List(fields.Nested(LeftOut))
    deferred = fields.List(Text(), metadata={"description": "legs of a completed sale that are still to be done"})
    failure = fields.Nested(Failure)
    next_action = fields.Nested(NextAction)
