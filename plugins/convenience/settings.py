"""The settings of a 便民365 connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import Schema, ValidationError, fields, post_load, validate, validates

from gateway.sdk import PathField, Settings

from .labels import DEFAULT_RULES, LabelRule

#: The till's tender codes by our channel (``payment_code:alipay``) or method.
PAY_WAYS = {
    "alipay": "ZFB",
    "wechat": "WX",
    "unionpay": "CRD",
    "bank_card": "CRD",
    "stored_value": "SAV",
    "voucher": "COU",
    "red_envelope": "COU",
    "gift_card": "COU",
    "cash": "RMB",
}


class LabelRuleSchema(Schema):
    """One layout of scale labels: numbers of digits; prefix + plu + amount + weight + 1 check digit = length."""

    prefix = fields.Str(required=True)
    length = fields.Int(required=True)
    plu = fields.Int(load_default=5)
    amount = fields.Int(load_default=0)
    weight = fields.Int(load_default=0)

    @post_load
    def rule(self, data: Mapping[str, Any], **_: Any) -> LabelRule:
        try:
            return LabelRule(**data)
        except ValueError as error:
            raise ValidationError(str(error)) from error


class ConvenienceSettings(Settings):
    """``database`` the head office's file; ``drop_folder`` with a subfolder a branch; ``branches`` our store id → their
    branch number. The rest has defaults: ``label_rules``, ``encoding`` of the files, ``pay_ways`` (tender codes by
    channel or method, over the usual ones), ``points_pay_way`` (the code that points are booked under), ``fee_item``
    (the article that fees are booked under; without it a sale with fees is refused), ``reread_rows`` (how far before
    the cursor rows may still appear), ``search_rows`` (how far back a bill is looked for when its place is not known),
    ``answers_kept_s`` (how long the shop keeps answered files), ``lock_wait_s``, ``statement_rows`` a page.
    """

    database = PathField(required=True)
    drop_folder = PathField(required=True)
    branches = fields.Dict(
        keys=fields.Str(validate=validate.Length(min=1)),
        values=fields.Str(validate=validate.Regexp(r"\d{4}\Z", error="expected four digits, such as 0101")),
        required=True,
        validate=validate.Length(min=1, error="expected at least one store id = branch number"),
    )
    label_rules = fields.List(fields.Nested(LabelRuleSchema), load_default=lambda: list(DEFAULT_RULES))
    encoding = fields.Str(load_default="gbk", validate=validate.OneOf(["gbk", "gb18030", "utf-8"]))
    pay_ways = fields.Dict(
        keys=fields.Str(),
        values=fields.Str(validate=validate.Regexp(r"[A-Z]{2,3}\Z", error="expected a code such as ZFB")),
        load_default=dict,
    )
    points_pay_way = fields.Str(load_default="COU", validate=validate.Regexp(r"[A-Z]{2,3}\Z"))
    fee_item = fields.Str(load_default="", validate=validate.Length(max=20))
    reread_rows = fields.Int(load_default=500, validate=validate.Range(min=0, max=100_000))
    search_rows = fields.Int(load_default=200_000, validate=validate.Range(min=1_000))
    answers_kept_s = fields.Int(load_default=6 * 3600, validate=validate.Range(min=60))
    lock_wait_s = fields.Float(load_default=1.0, validate=validate.Range(min=0, max=30))
    statement_rows = fields.Int(load_default=500, validate=validate.Range(min=1, max=5_000))

    @validates("branches")
    def one_store_a_branch(self, value: Mapping[str, str], **_: Any) -> None:
        if len(set(value.values())) != len(value):
            raise ValidationError("two stores have the same branch number")
