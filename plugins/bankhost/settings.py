"""Settings of a connection to a bank's host: one terminal."""

from __future__ import annotations

from marshmallow import ValidationError, fields, validate

from gateway.sdk import PathField, Secret, SecretField, Settings

_SECONDS = validate.Range(min=0.1, max=120)


def _checked_key(secret: Secret) -> None:
    try:
        size = len(bytes.fromhex(secret.reveal()))
    except ValueError:
        size = 0
    if size != 16:
        raise ValidationError("a master key is 32 hex digits")


class BankHostSettings(Settings):
    """Settings of a connection to a bank's host."""

    host = fields.String(required=True)
    port = fields.Integer(required=True, validate=validate.Range(min=1, max=65535))
    terminal = fields.String(required=True, validate=validate.Regexp(r"[0-9A-Za-z]{8}\Z"))
    merchant = fields.String(required=True, validate=validate.Regexp(r"[0-9A-Za-z]{15}\Z"))
    master_key = SecretField(load_default=None, validate=_checked_key)
    mac = fields.Boolean(load_default=True)
    packing = fields.String(load_default="bcd", validate=validate.OneOf(("bcd", "ascii")))
    tpdu = fields.String(load_default="6000060000", validate=validate.Regexp(r"([0-9A-Fa-f]{10})?\Z"))
    header = fields.String(load_default="603100000000", validate=validate.Regexp(r"([0-9A-Fa-f]{2}){0,12}\Z"))
    files = PathField(load_default=None)
    timeout_s = fields.Float(load_default=30.0, validate=_SECONDS)
    query_timeout_s = fields.Float(load_default=5.0, validate=_SECONDS)
