"""Settings of a connection to WeChat Pay, checked with the path of what is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from marshmallow import ValidationError, fields, validate, validates_schema

from gateway.sdk import ParseError, Secret, SecretField, Settings
from gateway.sdk.signers.rsa import read_private_key, read_public_key

_SECONDS = validate.Range(min=0.1, max=120)
_SERIAL = validate.Regexp(r"[0-9A-Fa-f]{8,40}\Z", error="must be the certificate's serial number, in hex")


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


def _checked_private_key(secret: Secret) -> None:
    try:
        read_private_key(secret.reveal())
    except ParseError as error:
        raise ValidationError(f"{error}; take apiclient_key.pem") from None


def _checked_public_key(secret: Secret) -> None:
    try:
        read_public_key(secret.reveal())
    except ParseError as error:
        raise ValidationError(f"{error}; take pub_key.pem of WeChat Pay's") from None


def _checked_api_v3_key(secret: Secret) -> None:
    if len(secret.reveal().encode()) != 32:
        raise ValidationError("the APIv3 key has 32 characters")


class WechatPaySettings(Settings):
    """Settings of a connection to WeChat Pay."""

    endpoint = fields.Url(load_default="https://api.mch.weixin.qq.com", require_tld=False, validate=_checked_endpoint)
    mchid = fields.String(required=True, validate=validate.Regexp(r"[0-9]{8,32}\Z"))
    appid = fields.String(required=True, validate=validate.Regexp(r"wx[0-9A-Za-z]{6,30}\Z"))
    serial_no = fields.String(required=True, validate=_SERIAL)
    private_key = SecretField(required=True, validate=_checked_private_key)
    api_v3_key = SecretField(required=True, validate=_checked_api_v3_key)
    public_key_id = fields.String(load_default="", validate=validate.Regexp(r"(PUB_KEY_ID_[0-9A-Za-z]{1,53})?\Z"))
    public_key = SecretField(load_default=None, validate=_checked_public_key)
    notify_url = fields.Url(load_default="", require_tld=False)
    device_ip = fields.IP(load_default=None)
    store_ids = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    timeout_s = fields.Float(load_default=10.0, validate=_SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=7.0, validate=_SECONDS)
    page_timeout_s = fields.Float(load_default=25.0, validate=_SECONDS)
    wait_minutes = fields.Integer(load_default=5, validate=validate.Range(min=5, max=120))

    @validates_schema
    def _both_or_none(self, data: Mapping[str, Any], **_: Any) -> None:
        if bool(data.get("public_key_id")) != bool(data.get("public_key")):
            raise ValidationError("public_key_id and public_key belong together", "public_key_id")
