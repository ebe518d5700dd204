"""Tasks: what a machine cannot decide."""

from __future__ import annotations

from typing import Any, ClassVar

from marshmallow import fields

from schemas.fields import Amount, FreeText, Moment, Request, Resource, Text, Word
from schemas.lists import Page, PageQuery


class TaskQuery(PageQuery):
    """Which tasks."""

    status = Word("open", "resolved")
    subject = Text(metadata={"description": "the checkout, refund or deposit that they are about"})


class Resolution(Request):
    """What a person has found out about a task."""

    example: ClassVar[dict[str, Any]] = {
        "outcome": "done",
        "evidence": "slip 000124 of terminal T01, seen by the shift leader",
    }

    outcome = Word(
        "done",
        "not_done",
        required=True,
        metadata={
            "description": "done: it happened (or: it has been given back, or was never taken); not_done: it did not "
            "happen, the gateway may do it or try again"
        },
    )
    evidence = FreeText(
        low=1,
        high=2000,
        required=True,
        metadata={"description": "what this rests on: a slip number, a statement's line"},
    )


class Said(Resource):
    """What somebody has said of a task. `by` is the gateway itself where the far system has answered in the end."""

    outcome = Word("done", "not_done", "settled", required=True)
    evidence = fields.String(required=True)
    by = fields.String(required=True)
    at = Moment()


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
    amount = Amount(required=True, allow_none=True, metadata={"description": "the money that it decides"})
    words = fields.List(fields.Nested(Said), required=True)
    resolution = fields.Nested(Said, required=True, allow_none=True)


class TaskList(Page):
    """Tasks, newest first."""

    data = fields.List(fields.Nested(Task), required=True)
