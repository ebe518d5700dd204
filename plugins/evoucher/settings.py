"""Settings of a connection to the e-voucher platform, checked with the path of what is wrong."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate, validates_schema

from gateway.sdk import CouponKind, SecretField, Settings

_NAME = validate.Length(min=1, max=64)
_SECONDS = validate.Range(min=0.1, max=120)
_KINDS = (CouponKind.CASH, CouponKind.EXCHANGE, CouponKind.COUNT_PASS, CouponKind.GIFT, CouponKind.GROUP_BUY)
#: So long a key for codes must be, that nobody can guess codes.
KEY_LENGTH = 24


def _checked_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        loopback = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback:
        raise ValidationError("must be an https address (http only on this machine)")


class ItemSettings(Settings):
    """What one use of an item that is sold at the platform is worth in the shop; amounts in fen."""

    kind = fields.Enum(CouponKind, by_value=True, load_default=CouponKind.GROUP_BUY, validate=validate.OneOf(_KINDS))
    face_amount = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=100_000_000))
    sku = fields.String(load_default="", validate=validate.Length(max=64))
    no_change = fields.Boolean(load_default=True)
    platform_fee_bp = fields.Integer(load_default=0, strict=True, validate=validate.Range(min=0, max=10_000))


class EVoucherSettings(Settings):
    """``items``: the merchant's number of an item at the platform (``outer_iid``) → what one use of it is worth."""

    base_url = fields.Url(required=True, require_tld=False, validate=_checked_address)
    app_key = fields.String(required=True, validate=_NAME)
    app_secret = SecretField(required=True)
    session = SecretField(required=True)
    seller_nick = fields.String(required=True, validate=_NAME)
    code_key = SecretField(required=True)
    items = fields.Dict(
        keys=fields.String(validate=_NAME),
        values=fields.Nested(ItemSettings),
        required=True,
        validate=validate.Length(min=1),
    )
    business_day_starts = fields.String(
        load_default="00:00", validate=validate.Regexp(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
    )
    timeout_s = fields.Float(load_default=8.0, validate=_SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=7.0, validate=_SECONDS)
    page_timeout_s = fields.Float(load_default=25.0, validate=_SECONDS)
    repair_every_s = fields.Float(load_default=600.0, validate=validate.Range(min=0, max=86_400))

    @validates_schema
    def _long_key(self, data: dict[str, Any], **kwargs: Any) -> None:
        key = data.get("code_key")
        if key is not None and len(key.reveal()) < KEY_LENGTH:
            raise ValidationError(f"must be at least {KEY_LENGTH} characters long", "code_key")
