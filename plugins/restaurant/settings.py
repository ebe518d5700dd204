"""The settings of both adapters; README.md explains each key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, fields, validate

from gateway.sdk import PathField, SecretField, Settings
from plugins.restaurant.client import OfficeSettings


class ShopSchema(Schema):
    """One shop: its code at the till, and what its till doesn't tell."""

    code = fields.String(required=True, validate=validate.Length(equal=4))
    url = fields.Url(require_tld=False)
    service_basis = fields.String(load_default="net", validate=validate.OneOf(["net", "gross"]))
    rounding = fields.String(load_default="none", validate=validate.OneOf(["none", "jiao", "yuan"]))


class OfficeFields(Settings):
    """How to reach the head office."""

    office_url = fields.Url(required=True, require_tld=False)
    brand_id = fields.String(required=True)
    app_key = fields.String(required=True)
    app_secret = SecretField(required=True)
    timeout_s = fields.Float(load_default=8.0, validate=validate.Range(min=0.1, max=120))


class RestaurantSettings(OfficeFields):
    """Settings of a connection; README.md explains each."""

    till_url = fields.Url(required=True, require_tld=False)
    operator = fields.String(required=True, validate=validate.Length(min=1, max=10))
    password = SecretField(required=True)
    shops = fields.Dict(
        keys=fields.String(), values=fields.Nested(ShopSchema), required=True, validate=validate.Length(min=1)
    )
    sold_out_folder = PathField()
    tender_codes = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    clear_table = fields.Boolean(load_default=True)
    takeaway_seats = fields.List(fields.String(validate=validate.Length(min=1, max=6)), load_default=list)
    unlimited_quantity = fields.Integer(load_default=9999, validate=validate.Range(min=1))
    timeout_s = fields.Float(load_default=8.0, validate=validate.Range(min=0.1, max=120))


def office_settings(settings: Mapping[str, Any]) -> OfficeSettings:
    """What the client of the head office needs, from checked settings."""
    return OfficeSettings(
        settings["office_url"].rstrip("/"),
        settings["brand_id"],
        settings["app_key"],
        settings["app_secret"],
        settings["timeout_s"],
    )
