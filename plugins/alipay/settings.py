"""Settings of a connection to Alipay, checked with the path of what is wrong."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from gateway.sdk import Secret, SecretField, Settings
from plugins.alipay.protocol import ParseError, read_private_key, read_public_key

_SECONDS = validate.Range(min=0.1, max=120)


def _checked_endpoint(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        loopback = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback:
        raise ValidationError("must be an https address (http only on this machine)")


def _checked_private_key(secret: Secret) -> None:
    try:
        read_private_key(secret.reveal())
    except ParseError as error:
        raise ValidationError(str(error)) from None


def _checked_public_key(secret: Secret) -> None:
    try:
        read_public_key(secret.reveal())
    except ParseError as error:
        raise ValidationError(f"{error}; take Alipay's key, not the application's") from None


class AlipaySettings(Settings):
    """Settings of a connection to Alipay."""

    endpoint = fields.Url(
        load_default="https://openapi.alipay.com/gateway.do", require_tld=False, validate=_checked_endpoint
    )
    app_id = fields.String(required=True, validate=validate.Regexp(r"[0-9]{16}\Z"))
    seller_id = fields.String(required=True, validate=validate.Regexp(r"2088[0-9]{12}\Z"))
    app_private_key = SecretField(required=True, validate=_checked_private_key)
    alipay_public_key = SecretField(required=True, validate=_checked_public_key)
    app_auth_token = SecretField(load_default=None)
    notify_url = fields.Url(load_default="", require_tld=False)
    store_ids = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    timeout_s = fields.Float(load_default=10.0, validate=_SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=7.0, validate=_SECONDS)
    page_timeout_s = fields.Float(load_default=25.0, validate=_SECONDS)
    wait_minutes = fields.Integer(load_default=5, validate=validate.Range(min=1, max=120))
