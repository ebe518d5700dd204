"""Queries and pages of lists."""

from __future__ import annotations

from marshmallow import fields

from schemas.checkouts import STATUSES, Checkout
from schemas.fields import Moment, QueryWhole, Request, Resource, Text, Word


class PageQuery(Request):
    """Which part of a list: ``limit`` items from ``cursor`` on."""

    limit = QueryWhole(1, 200, load_default=50)
    cursor = Text(1, 256)


class Page(Resource):
    """A part of a list; ``next_cursor`` is null at the end."""

    has_more = fields.Boolean(required=True)
    next_cursor = Text(required=True, allow_none=True)


class CheckoutQuery(PageQuery):
    """Which checkouts; ``from`` is included, ``to`` is not."""

    order_no = Text()
    status = Word(*STATUSES)
    begins = Moment(data_key="from", attribute="from")
    ends = Moment(data_key="to", attribute="to")


class CheckoutList(Page):
    """Checkouts, newest first."""

    data = fields.List(fields.Nested(Checkout), required=True)
