"""Tasks: what a machine cannot decide."""

from __future__ import annotations

from marshmallow import fields

from schemas.fields import Moment, Resource, Text, Word
from schemas.lists import Page, PageQuery


class TaskQuery(PageQuery):
    """Which tasks."""

    status = Word("open", "resolved")
    subject = Text(metadata={"description": "the checkout, refund or deposit that they are about"})


class Task(Resource):
    """A case for a person, with its deadline."""

    id = Text(required=True)
    merchant = Text(required=True)
    subject = Text(required=True)
    leg = Text(required=True)
    kind = Text(required=True)
    status = Word("open", "resolved", required=True)
    owner = Text(required=True)
    detail = fields.String(required=True)
    opened_at = Moment(required=True)
    deadline = Moment(required=True)
    resolved_at = Moment(required=True, allow_none=True)
    resolution = fields.String(required=True, allow_none=True)


class TaskList(Page):
    """Tasks, newest first."""

    data = fields.List(fields.Nested(Task), required=True)
