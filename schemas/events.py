"""The event feed."""

from __future__ import annotations

from marshmallow import fields

from schemas.fields import Moment, QueryWhole, Request, Resource, Text, Whole


class EventQuery(Request):
    """Events after one that is known; ``wait`` (seconds) is how long to wait for the first new one."""

    after = Text(30, 30)
    wait = QueryWhole(0, 30, load_default=0)
    merchant = Text()
    limit = QueryWhole(1, 200, load_default=100)


class Event(Resource):
    """One event; ``seq`` counts per subject without a gap."""

    id = Text(required=True)
    type = Text(required=True)
    occurred_at = Moment(required=True)
    merchant = Text(required=True)
    subject = Text(1, 160, required=True)
    seq = Whole(0, 1_000_000_000, required=True)
    data = fields.Dict(keys=fields.String(), required=True)
    audit_head = Text(66, 90, required=True)


class EventList(Resource):
    """Events in the order in which they happened."""

    data = fields.List(fields.Nested(Event), required=True)
    has_more = fields.Boolean(required=True)
