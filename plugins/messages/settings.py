"""Settings of a connection to an official account, checked with the path of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from gateway.sdk import SecretField, Settings

LANGUAGES = ("zh", "en")
_SECONDS = validate.Range(min=0.1, max=120)


def _checked_endpoint(url: str) -> None:
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ValidationError("must be an address without a query")
    if parts.scheme == "https" and parts.hostname:
        return
    try:
        loopback = parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
    except ValueError:
        loopback = False
    if parts.scheme != "http" or not loopback:
        raise ValidationError("must be an https address (http only on this machine)")


class TemplateSettings(Schema):
    """One template in one language: ``fields`` says which of our fields stands under each of its keywords."""

    class Meta:
        unknown = RAISE

    id = fields.String(required=True, validate=validate.Regexp(r"[0-9A-Za-z_-]{8,64}\Z"))
    kind = fields.String(load_default="template", validate=validate.OneOf(("template", "subscription")))
    fields_ = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"[0-9A-Za-z_]{1,32}\Z")),
        values=fields.String(validate=validate.Length(1, 64)),
        data_key="fields",
        required=True,
        validate=validate.Length(1, 20),
    )
    link = fields.Url(load_default="", schemes={"https", "http"})


class OfficialAccountSettings(Settings):
    """Settings of a connection to an official account."""

    endpoint = fields.Url(load_default="https://api.weixin.qq.com", require_tld=False, validate=_checked_endpoint)
    app_id = fields.String(required=True, validate=validate.Regexp(r"wx[0-9A-Za-z]{6,30}\Z"))
    app_secret = SecretField(required=True)
    templates = fields.Dict(
        keys=fields.String(validate=validate.Regexp(r"[a-z][a-z0-9_.-]{0,63}\Z")),
        values=fields.Dict(
            keys=fields.String(validate=validate.OneOf(LANGUAGES)),
            values=fields.Nested(TemplateSettings),
            validate=validate.Length(1),
        ),
        required=True,
    )
    language = fields.String(load_default="zh", validate=validate.OneOf(LANGUAGES))
    timeout_s = fields.Float(load_default=5.0, validate=_SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=_SECONDS)

    @validates_schema
    def _has_its_language(self, data: Mapping[str, Any], **_: Any) -> None:
        """A template without the language that is used for want of another could not be sent to some."""
        language = data.get("language", "zh")
        for name, by_language in data.get("templates", {}).items():
            if language not in by_language:
                raise ValidationError({"templates": {name: [f"has no {language}, which is the account's language"]}})
