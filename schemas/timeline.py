"""The timeline of a checkout: what was sent, what was said, what became of it, and who did what."""

from __future__ import annotations

from marshmallow import fields

from schemas.fields import Amount, Moment, Resource, Text, Whole, Word
from schemas.refunds import SlotBack

_COUNT = 1_000_000_000


class Frame(Resource):
    """One message on the wire, masked: secrets and signatures are never in it, of numbers at most the last digits."""

    direction = fields.String(metadata={"description": "`sent` or `received`"})
    ms = fields.Float(metadata={"description": "milliseconds since the attempt began"})
    size = Whole(0, _COUNT, metadata={"description": "bytes of the whole message"})
    head = fields.String(metadata={"description": "what it is: a method and path, a status, a file"})
    text = fields.String()
    cut = fields.Boolean(metadata={"description": "there was more of it than is kept"})
    left_out = Whole(0, _COUNT, metadata={"description": "in place of a message: so many more were not kept"})


class Attempt(Resource):
    """One attempt: a change that was sent, or a question about one."""

    verb = fields.String(required=True, metadata={"description": "`send` or `query`"})
    number = Whole(0, _COUNT, required=True, metadata={"description": "counts per verb; 0: it came too late"})
    began_at = Moment(required=True)
    took_ms = fields.Float(required=True, allow_none=True)
    outcome = fields.String(required=True, metadata={"description": "the class of the outcome, as `done` or `unknown`"})
    said = fields.Dict(keys=fields.String(), required=True)
    frames = fields.List(fields.Nested(Frame), required=True)


class StepView(Resource):
    """One message of a change that takes several."""

    name = fields.String(required=True)
    ref = fields.String(required=True)
    done = fields.Boolean(required=True)


class Operation(Resource):
    """One change asked of one far system, under one key, with all its attempts."""

    key = fields.String(required=True)
    hook = fields.String(required=True)
    turn = Whole(0, _COUNT, required=True)
    status = fields.String(required=True)
    by_hand = fields.Boolean(required=True, metadata={"description": "a person has said what became of it"})
    steps = fields.List(fields.Nested(StepView), required=True)
    attempts = fields.List(fields.Nested(Attempt), required=True)
    unrecorded = Whole(0, _COUNT, required=True, metadata={"description": "attempts whose worker died before a note"})


class TimelineLeg(Resource):
    """One leg, with what was asked for it."""

    name = fields.String(required=True)
    adapter = fields.String(required=True)
    connection = fields.String(required=True)
    operations = fields.List(fields.Nested(Operation), required=True)


class TimelineEvent(Resource):
    """One event, with the head of the chain that it was sealed with."""

    id = Text(required=True)
    type = Text(required=True)
    seq = Whole(0, _COUNT, required=True)
    occurred_at = Moment(required=True)
    audit_head = fields.String(required=True, allow_none=True)


class TimelineTask(Resource):
    """One case for a person."""

    id = Text(required=True)
    leg = fields.String(required=True)
    kind = Text(required=True)
    status = Text(required=True)
    owner = fields.String(required=True)
    detail = fields.String(required=True)
    opened_at = Moment(required=True)
    resolved_at = Moment(required=True, allow_none=True)


class Act(Resource):
    """What a person did."""

    kind = Text(required=True)
    who = fields.String(required=True)
    at = Moment(required=True)
    said = fields.Dict(keys=fields.String(), required=True)


class TimelineMessage(Resource):
    """A message to the member: about which event, by which template, and how it went."""

    key = fields.String(required=True)
    event = Text(required=True)
    template = fields.String(required=True)
    connection = fields.String(required=True)
    status = Word("open", "sent", "refused", "unknown", "expired", "skipped", required=True)
    attempts = fields.List(fields.Nested(Attempt), required=True)


class Part(Resource):
    """The checkout itself, or a refund of it."""

    id = Text(required=True)
    kind = Text(required=True)
    number = fields.String(required=True)
    status = Text(required=True)
    amount = Amount(required=True)
    created_at = Moment(required=True)
    legs = fields.List(fields.Nested(TimelineLeg), required=True)
    slots = fields.List(fields.Nested(SlotBack), required=True, metadata={"description": "of a refund"})
    events = fields.List(fields.Nested(TimelineEvent), required=True)
    tasks = fields.List(fields.Nested(TimelineTask), required=True)
    acts = fields.List(fields.Nested(Act), required=True)
    messages = fields.List(fields.Nested(TimelineMessage), required=True)


class Timeline(Resource):
    """Everything that is known of one checkout; its refunds are parts of their own."""

    id = Text(required=True)
    merchant = Text(required=True)
    order_no = fields.String(required=True)
    parts = fields.List(fields.Nested(Part), required=True)
    audit_head = fields.String(required=True)
