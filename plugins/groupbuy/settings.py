"""Settings of a connection to the group-buy platform, checked with the path of what is wrong."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from gateway.sdk import SecretField, Settings

_NAME = validate.Length(min=1, max=64)
_SECONDS = validate.Range(min=0.1, max=120)
_TIME = validate.Regexp(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")


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


class GroupBuySettings(Settings):
    """``poi_ids``: our store → the platform's shop. ``packages``: deal (the platform's number or ours) → local sku."""

    base_url = fields.Url(required=True, require_tld=False, validate=_checked_address)
    client_key = fields.String(required=True, validate=_NAME)
    client_secret = SecretField(required=True)
    poi_ids = fields.Dict(
        keys=fields.String(validate=_NAME),
        values=fields.String(validate=validate.Regexp(r"[0-9]{1,24}\Z")),
        required=True,
        validate=validate.Length(min=1),
    )
    operator_account = fields.String(required=True, validate=_NAME)
    operator_name = fields.String(required=True, validate=_NAME)
    packages = fields.Dict(keys=fields.String(validate=_NAME), values=fields.String(validate=_NAME), load_default=dict)
    short_link_hosts = fields.List(fields.String(validate=_NAME), load_default=list)
    business_day_starts = fields.String(
        load_default="00:00", validate=validate.Regexp(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z")
    )
    timeout_s = fields.Float(load_default=8.0, validate=_SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=7.0, validate=_SECONDS)
    page_timeout_s = fields.Float(load_default=25.0, validate=_SECONDS)
    retry_after_s = fields.Float(load_default=1.0, validate=validate.Range(min=0, max=40))
