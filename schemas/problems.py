"""Errors, as RFC 9457 has them."""

from __future__ import annotations

from marshmallow import fields

from schemas.fields import Resource, Text, Whole


class ProblemError(Resource):
    """One thing that is wrong: a JSON pointer into the body, or ``?name`` for a parameter of the query."""

    pointer = fields.String(required=True)
    detail = fields.String(required=True)


class Problem(Resource):
    """A refusal. ``type`` is the address of a page that explains it; further members depend on it."""

    type = Text(required=True)
    title = Text(required=True)
    status = Whole(400, 599, required=True)
    detail = fields.String(required=True)
    request_id = Text(required=True)
    errors = fields.List(fields.Nested(ProblemError))
    checkout_id = Text(metadata={"description": "the checkout that the problem is about"})
    refund_id = Text()
    deposit_id = Text()
    leg = fields.String(metadata={"description": "the leg that failed"})
    reason = fields.String(metadata={"description": "why it failed, as a word"})
    version = fields.String(metadata={"description": "of the bill, as it is now"})
    quote = fields.Dict(metadata={"description": "the price as it is now"})
