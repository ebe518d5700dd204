"""What a merchant puts into the house's books at the start: articles, stock, members, coupons, from one file.

The file is TOML or JSON with the lists ``products``, ``stock``, ``members`` and ``coupons``. Importing again changes
articles, stock and the limits of accounts to what the file says, and leaves members and coupons that are there as they
are: their balances belong to the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from gateway.sdk import CouponKind, Identity, IdentityType, Secret, Transaction
from plugins.house import accounts, coupons, members, stock
from plugins.house.adapter import insert_identity, insert_member

_MOST = 999_999_999_999


class _Strict(Schema):
    class Meta:
        unknown: ClassVar[str] = RAISE


def _text(**kwargs: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, 200), **kwargs)


def _amount(**kwargs: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(0, _MOST), **kwargs)


class ProductRow(_Strict):
    """One article; amounts in minor units."""

    sku = _text(required=True)
    name = _text(required=True)
    unit_amount = _amount(required=True)
    name_en = _text()
    barcodes = fields.List(_text())
    category = _text()
    brand = _text()
    counter_id = _text()
    unit = _text()
    weighed = fields.Boolean()
    discountable = fields.Boolean()
    member_amount = _amount()
    open_price = fields.Boolean()
    stocked = fields.Boolean()


class StockRow(_Strict):
    """What a store has of an article, in thousandths of its unit being exact: ``"12.500"``."""

    store_id = _text(required=True)
    sku = _text(required=True)
    quantity = fields.Decimal(places=3, required=True, validate=validate.Range(0, 999_999))


class MemberRow(_Strict):
    """A member and what he is recognised by; points and stored value as they stand at the start.

    ``account_limit_amount`` is how much he may owe; without it nothing can be put on account.
    """

    ref = _text(required=True)
    name = fields.String(load_default="")
    tier = fields.String(load_default="")
    phone = _text()
    card = _text()
    code = _text()
    openid = _text()
    points = _amount(load_default=0)
    real_amount = _amount(load_default=0)
    gift_amount = _amount(load_default=0)
    prepaid_amount = _amount(load_default=0)
    account_limit_amount = _amount()


class CouponRow(_Strict):
    """A code, what it does (``terms`` as in the pricing document), how often, or what is on it."""

    code = _text(required=True)
    kind = fields.Enum(CouponKind, by_value=True, required=True)
    title = fields.String(load_default="")
    terms = fields.Dict(load_default=dict)
    count = fields.Integer(strict=True, load_default=1, validate=validate.Range(1, 1_000_000))
    balance_amount = _amount(load_default=0)
    member_ref = fields.String(load_default="")
    valid_days = fields.Integer(strict=True, validate=validate.Range(1, 36_500))


class HouseFile(_Strict):
    """The whole file."""

    products = fields.List(fields.Nested(ProductRow), load_default=list)
    stock = fields.List(fields.Nested(StockRow), load_default=list)
    members = fields.List(fields.Nested(MemberRow), load_default=list)
    coupons = fields.List(fields.Nested(CouponRow), load_default=list)


@dataclass(frozen=True, slots=True)
class Imported:
    """How many rows of each kind were read."""

    products: int
    stock: int
    members: int
    coupons: int


class ImportRefused(ValueError):
    """The file is wrong; ``problems`` are pairs of the row's path and what was expected."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {text}" for path, text in problems))
        self.problems = problems


def check(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file's content, checked whole. Raises ``ImportRefused`` with every problem and its path."""
    try:
        loaded: dict[str, Any] = HouseFile().load(data)
    except ValidationError as error:
        raise ImportRefused(list(_problems("", error.messages))) from None
    return loaded


def _problems(path: str, messages: Any) -> Any:
    if isinstance(messages, dict):
        for key, inner in messages.items():
            yield from _problems(f"{path}/{key}", inner)
    else:
        yield path or "/", " ".join(str(message) for message in messages)


def put(tx: Transaction, merchant: str, data: Mapping[str, Any], now: int) -> Imported:
    """Put checked content into the books of a merchant, in the caller's transaction; ``now`` in milliseconds."""
    for row in data["products"]:
        _put_product(tx, merchant, row)
    for row in data["stock"]:
        stock.set_level(tx, merchant, row["store_id"], row["sku"], int(row["quantity"] * 1000))
    for row in data["members"]:
        _put_member(tx, merchant, row)
    for row in data["coupons"]:
        template = {**row, "kind": row["kind"].value, "balance": row["balance_amount"]}
        coupons.insert(tx, merchant, row["code"], template, row["count"], row["member_ref"], now)
    return Imported(len(data["products"]), len(data["stock"]), len(data["members"]), len(data["coupons"]))


def _put_product(tx: Transaction, merchant: str, row: Mapping[str, Any]) -> None:
    document = {name: value for name, value in row.items() if name != "sku"}
    tx.execute(
        "INSERT INTO house_products (merchant, sku, doc) VALUES (:merchant, :sku, :doc)"
        " ON CONFLICT (merchant, sku) DO UPDATE SET doc = excluded.doc",
        {"merchant": merchant, "sku": row["sku"], "doc": json.dumps(document, ensure_ascii=False)},
    )


def _put_member(tx: Transaction, merchant: str, row: Mapping[str, Any]) -> None:
    value = {"real": row["real_amount"], "gift": row["gift_amount"], "prepaid": row["prepaid_amount"]}
    insert_member(tx, merchant, row["ref"], row["name"], row["tier"], points=row["points"], **value)
    for kind in IdentityType:
        if row.get(kind.value):
            digest = members.digest_of(Identity(type=kind, value=Secret(row[kind.value])), merchant)
            insert_identity(tx, merchant, row["ref"], kind.value, digest)
    if "account_limit_amount" in row:
        accounts.insert_account(tx, merchant, row["ref"], row["account_limit_amount"])
