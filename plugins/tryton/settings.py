"""The settings of a connection; README.md explains each key."""

from __future__ import annotations

from marshmallow import fields, validate

from gateway.sdk import CouponKind, SecretField, Settings


class PromotionTerms(Settings):
    """What a promotion's coupon does, for promotions whose formula does not tell."""

    kind = fields.Enum(CouponKind, by_value=True, load_default=CouponKind.CASH)
    terms = fields.Dict(keys=fields.String(), load_default=dict)


class TrytonSettings(Settings):
    """How to reach the server, and who is who in its database."""

    url = fields.Url(required=True, require_tld=False)
    database = fields.String(required=True, validate=validate.Regexp(r"[A-Za-z0-9_-]{1,63}\Z"))
    user = fields.String(required=True, validate=validate.Length(min=1, max=100))
    password = SecretField(required=True)
    company = fields.Integer(strict=True, load_default=1, validate=validate.Range(min=1))
    walk_in = fields.String(required=True, validate=validate.Length(min=1, max=100))
    gift_card_product = fields.String(load_default="")
    stores = fields.Dict(
        keys=fields.String(), values=fields.String(), required=True, validate=validate.Length(min=1, max=1000)
    )
    promotions = fields.Dict(keys=fields.String(), values=fields.Nested(PromotionTerms), load_default=dict)
    timeout_s = fields.Float(load_default=8.0, validate=validate.Range(min=0.1, max=120))
