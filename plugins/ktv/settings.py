"""The settings of one till: where it listens, which store it is, and what its codes mean to the merchant."""

from __future__ import annotations

import codecs
import re

from marshmallow import ValidationError, fields, validate

from gateway.sdk import PathField, SecretField, Settings

SECONDS = validate.Range(min=0.05, max=120, error="expected 0.05 to 120 seconds")


def known_encoding(name: str) -> None:
    """Refuse a character set that Python does not know, or in which ASCII is not ASCII."""
    try:
        plain = codecs.lookup(name).encode("0|^")[0]
    except LookupError:
        raise ValidationError(f"no character set {name!r}; the till speaks gb18030 or gbk") from None
    if plain != b"0|^":
        raise ValidationError(f"{name!r} is not a superset of ASCII; the till speaks gb18030 or gbk")


def valid_pattern(text: str) -> None:
    """Refuse what is no regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValidationError(f"not a regular expression: {error}") from None


class KtvSettings(Settings):
    """Settings of the adapter ``ktv``; one connection is one till, which is one store."""

    host = fields.String(required=True)
    port = fields.Integer(required=True, strict=True, validate=validate.Range(1, 65535))
    store_id = fields.String(required=True, validate=validate.Length(1, 64))
    manager_code = SecretField(required=True)
    encoding = fields.String(load_default="gb18030", validate=known_encoding)
    areas = fields.List(fields.String(validate=validate.Length(1, 10)), load_default=lambda: ["*"])
    connect_timeout_s = fields.Float(load_default=3.0, validate=SECONDS)
    command_timeout_s = fields.Float(load_default=4.5, validate=SECONDS)
    read_timeout_s = fields.Float(load_default=4.5, validate=SECONDS)
    query_timeout_s = fields.Float(load_default=7.5, validate=SECONDS)
    page_timeout_s = fields.Float(load_default=25.0, validate=SECONDS)
    book_ahead_minutes = fields.Integer(load_default=30, strict=True, validate=validate.Range(0, 100_000))
    price_cache_s = fields.Float(load_default=3600.0, validate=validate.Range(0, 86400))
    packages = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    tenders = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    drinks = fields.Dict(keys=fields.String(), values=fields.String(), load_default=dict)
    drink_pattern = fields.String(load_default=r"D\d{3}", validate=valid_pattern)
    price_list = PathField(load_default=None, allow_none=True)
    capacity = fields.Dict(keys=fields.String(), values=fields.Integer(strict=True), load_default=dict)
    member_rates = fields.Dict(
        keys=fields.String(), values=fields.Integer(strict=True, validate=validate.Range(1, 10_000)), load_default=dict
    )
