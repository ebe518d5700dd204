"""The settings of one connection: one event (or series of showings) of one organizer, which is one store."""

from __future__ import annotations

from marshmallow import fields, validate

from gateway.sdk import SecretField, Settings

_SLUG = validate.Regexp(r"[A-Za-z0-9.\-_]{1,50}\Z")
_SECONDS = validate.Range(min=0.1, max=120)
_NUMBER = validate.Range(min=1)


class PretixSettings(Settings):
    """``redemption_item`` and ``redemption_date``: the free product, and its date, on which vouchers are redeemed.

    ``member_rates``: what members of a membership type (its number) pay, in basis points. ``grace_s``: how much longer
    than the checkout a hold lives, so that the sale still finds it.
    """

    base_url = fields.Url(required=True, require_tld=False)
    token = SecretField(required=True)
    organizer = fields.String(required=True, validate=_SLUG)
    event = fields.String(required=True, validate=_SLUG)
    store_id = fields.String(required=True, validate=validate.Length(1, 64))
    redemption_item = fields.Integer(load_default=None, allow_none=True, strict=True, validate=_NUMBER)
    redemption_date = fields.Integer(load_default=None, allow_none=True, strict=True, validate=_NUMBER)
    payment_provider = fields.String(load_default="manual", validate=_SLUG)
    sales_channel = fields.String(load_default="web", validate=_SLUG)
    member_rates = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"[0-9]{1,12}\Z")),
        values=fields.Integer(strict=True, validate=validate.Range(1, 10_000)),
        load_default=dict,
    )
    member_pages = fields.Integer(load_default=20, strict=True, validate=validate.Range(1, 1000))
    grace_s = fields.Integer(load_default=3600, strict=True, validate=validate.Range(0, 86_400))
    timeout_s = fields.Float(load_default=8.0, validate=_SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=7.0, validate=_SECONDS)
    page_timeout_s = fields.Float(load_default=25.0, validate=_SECONDS)
