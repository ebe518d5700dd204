"""Deposits: money held for a room or a booking."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from schemas.basket import IdentityGiven, Operator
from schemas.checkouts import Failure, LegView, NextAction, TaskRef
from schemas.fields import Amount, Moment, OwnNumber, Request, Resource, Text, Word
from schemas.tenders import FOR_DEPOSITS, TenderField, TenderView


class DepositRequest(Request):
    """Hold an amount by one tender."""

    example: ClassVar[dict[str, Any]] = {
        "store_id": "xuhui",
        "amount": 20000,
        "tender": {"method": "payment_code", "auth_code": "281234567890123456"},
        "resource_id": "K01",
    }

    store_id = Text(required=True)
    operator = fields.Nested(Operator)
    amount = Amount(1, required=True)
    tender = TenderField(FOR_DEPOSITS, required=True)
    member = fields.Nested(
        IdentityGiven, metadata={"description": "whom to tell of it, where the merchant writes to its members"}
    )
    session_id = Text()
    resource_id = Text(metadata={"description": "the room or table that it is for"})
    deposit_no = OwnNumber(metadata={"description": "the platform's own number, unique for the merchant"})


class Deposit(Resource):
    """A deposit as it stands: ``held_amount`` is what can still be drawn on or released."""

    id = Text(required=True)
    status = Word(
        "processing",
        "awaiting_customer",
        "resolving",
        "held",
        "released",
        "failed",
        "cancelled",
        "needs_attention",
        required=True,
    )
    merchant = Text(required=True)
    store_id = Text(required=True)
    currency = Text(3, 3, required=True)
    amount = Amount(required=True)
    held_amount = Amount(required=True)
    captured_amount = Amount(required=True)
    released_amount = Amount(required=True)
    created_at = Moment(required=True)
    tenders = fields.List(fields.Nested(TenderView), required=True)
    legs = fields.List(fields.Nested(LegView), required=True)
    tasks = fields.List(fields.Nested(TaskRef), required=True)
    failure = fields.Nested(Failure)
    next_action = fields.Nested(NextAction)


class DepositRelease(Resource):
    """What a release gives back, and how it stands."""

    id = Text(required=True)
    status = Text(required=True)
    deposit_id = Text(required=True)
    merchant = Text(required=True)
    currency = Text(3, 3, required=True)
    amount = Amount(required=True)
    created_at = Moment(required=True)
    legs = fields.List(fields.Nested(LegView), required=True)
    tasks = fields.List(fields.Nested(TaskRef), required=True)
