"""The settings of the two adapters, as they stand in a merchant's file."""

from __future__ import annotations

import sys

from marshmallow import ValidationError, fields, validate, validates_schema

from gateway.sdk import PathField, SecretField, Settings

_CODE = validate.Regexp(r"[A-Za-z0-9]+\Z", error="expected letters and digits")


class DepartmentSettings(Settings):
    """``stores`` maps our store ids to the system's store codes; an id that is not in it is taken as the code.

    ``till`` is a till code that the store gave to the gateway alone, ``receipt_first``..``receipt_last`` the range of
    receipt numbers it may use there. ``tender_codes`` overrides the system's tender code by method, or by
    ``method:channel`` (``payment_code:alipay``).
    """

    soap_url = fields.Url(required=True, schemes={"http", "https"}, require_tld=False)
    user = fields.String(required=True, validate=validate.Length(1, 20))
    password = SecretField(required=True)
    license = SecretField(required=True)
    database = PathField(required=True)
    files = PathField(load_default=None)
    stores = fields.Dict(
        keys=fields.String(), values=fields.String(validate=[validate.Length(1, 4), _CODE]), load_default=dict
    )
    till = fields.String(required=True, validate=[validate.Length(1, 6), _CODE])
    cashier = fields.String(load_default="O2O", validate=[validate.Length(1, 8), _CODE])
    receipt_first = fields.Integer(load_default=1, strict=True, validate=validate.Range(1, 9_999_999_999))
    receipt_last = fields.Integer(load_default=899_999, strict=True, validate=validate.Range(1, 9_999_999_999))
    tender_codes = fields.Dict(
        keys=fields.String(), values=fields.String(validate=[validate.Length(1, 4), _CODE]), load_default=dict
    )
    timeout_s = fields.Float(load_default=10.0, validate=validate.Range(min=0.1, max=60))

    @validates_schema(skip_on_field_errors=True)
    def _range(self, data: dict[str, object], **_: object) -> None:
        if not int(str(data["receipt_first"])) <= int(str(data["receipt_last"])):
            raise ValidationError("must not be below receipt_first", "receipt_last")


class BankTerminalSettings(Settings):
    """``helper`` is the command of the helper process, to which ``folder`` is added as its last argument.

    ``pos`` and ``cashier`` go into every request, at most 8 bytes each; ``details`` is the folder of the DLL's own
    detail files (``MX`` under ``folder`` if absent). ``timeout_s`` is how long one call may block.
    """

    helper = fields.List(
        fields.String(validate=validate.Length(1)),
        load_default=lambda: [sys.executable, "-m", "plugins.department.terminal_helper"],
        validate=validate.Length(1),
    )
    folder = PathField(required=True)
    details = PathField(load_default=None)
    pos = fields.String(load_default="O2O", validate=[validate.Length(1, 8), _CODE])
    cashier = fields.String(load_default="O2O", validate=[validate.Length(1, 8), _CODE])
    timeout_s = fields.Float(load_default=90.0, validate=validate.Range(min=0.1, max=180))
