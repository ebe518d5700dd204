"""Settings of a connection to a processor of Stripe's kind."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate

from gateway.sdk import SecretField, Settings

_SECONDS = validate.Range(min=0.1, max=120)


def _checked_endpoint(url: str) -> None:
    parts = urlsplit(url)
    try:
        own = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        own = False
    if parts.scheme != "https" and not own:
        raise ValidationError("must be an https address (http only on this machine)")


class StripeSettings(Settings):
    """Settings of a connection to the processor."""

    endpoint = fields.Url(load_default="https://api.stripe.com", require_tld=False, validate=_checked_endpoint)
    secret_key = SecretField(required=True)
    webhook_secret = SecretField(load_default=None)
    old_webhook_secret = SecretField(load_default=None)
    api_version = fields.String(load_default="", validate=validate.Regexp(r"([0-9]{4}-[0-9]{2}-[0-9]{2}[.a-z]*)?\Z"))
    timeout_s = fields.Float(load_default=20.0, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=5.0, validate=_SECONDS)
