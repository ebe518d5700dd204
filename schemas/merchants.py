"""Merchants and their stores."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields

from schemas.fields import Flag, FreeText, QueryDegrees, QueryWhole, Request, Resource, Text, Whole, Word
from schemas.lists import Page, PageQuery

SYSTEMS = ("WGS-84", "GCJ-02", "BD-09")


class Connected(Resource):
    """One connection, with what its adapter can do: families, hooks and what is declared of each."""

    connection = Text(required=True)
    adapter = Text(required=True)
    families = fields.List(fields.String(), required=True)
    hooks = fields.Dict(keys=fields.String(), values=fields.Dict(), required=True)


class MerchantSummary(Resource):
    """A merchant in a list."""

    id = Text(required=True)
    name = FreeText(1, 64, required=True)
    name_en = fields.String(required=True)
    industry = fields.String(required=True)
    currency = Text(3, 3, required=True)
    timezone = Text(required=True)
    business_day_ends = Text(5, 5, required=True)
    families = fields.List(fields.String(), required=True)


class Merchant(MerchantSummary):
    """A merchant with what its systems can do, derived from the adapters in force."""

    capabilities = fields.List(fields.Nested(Connected), required=True)


class MerchantList(Page):
    """The merchants that a key may see."""

    data = fields.List(fields.Nested(MerchantSummary), required=True)


class Counter(Resource):
    """A counter of a department store."""

    id = Text(required=True)
    name = FreeText(1, 64, required=True)
    name_en = fields.String(required=True)


class Store(Resource):
    """A store. ``hours`` are local windows, which may cross midnight; none: always open."""

    id = Text(required=True)
    merchant = Text(required=True)
    name = FreeText(1, 64, required=True)
    name_en = fields.String(required=True)
    city = fields.String(required=True)
    address = fields.String(required=True)
    latitude = fields.Float(required=True, allow_none=True)
    longitude = fields.Float(required=True, allow_none=True)
    coordinate_system = Word(*SYSTEMS, required=True)
    hours = fields.List(fields.String(), required=True)
    open_now = fields.Boolean(required=True)
    counters = fields.List(fields.Nested(Counter), required=True)


class StoreList(Page):
    """A merchant's stores."""

    data = fields.List(fields.Nested(Store), required=True)


class StoreQuery(PageQuery):
    """Which part of the list."""


class NearbyQuery(Request):
    """A point, and which stores around it."""

    latitude = QueryDegrees(90, required=True)
    longitude = QueryDegrees(180, required=True)
    coordinate_system = Word(*SYSTEMS, load_default="WGS-84", metadata={"description": "of the point"})
    radius_m = QueryWhole(1, 100_000, load_default=3_000)
    industry = Text()
    open_now = Flag(load_default=False)
    limit = QueryWhole(1, 200, load_default=20)

    def across(self, data: dict[str, Any]) -> None:
        """Around a pole every longitude is near; no shop is there."""
        if abs(data["latitude"]) > 89:
            raise ValidationError("must be -89 to 89", "latitude")


class StoreNearby(Store):
    """A store and how far it is."""

    industry = fields.String(required=True)
    distance_m = Whole(0, 40_000_000, required=True)


class NearbyList(Resource):
    """The stores around a point, nearest first."""

    data = fields.List(fields.Nested(StoreNearby), required=True)
