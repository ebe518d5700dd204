"""A merchant's first day: one file into the house's books; a wrong row is named, and nothing of the file is taken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.sdk import CatalogueRequest, CouponLookup, Identity, IdentityType, LevelsRequest, MemberLookup, Secret
from plugins.house.importing import ImportRefused, check, put
from tests.plugins.house.test_house import Books

FILE = {
    "products": [{"sku": "T1", "name": "龙井茶", "unit_amount": 12_800, "barcodes": ["6900000000012"]}],
    "stock": [{"store_id": "s1", "sku": "T1", "quantity": "12.500"}],
    "members": [{"ref": "m7", "name": "吴先生", "tier": "gold", "phone": "13900000007", "points": 40}],
    "coupons": [{"code": "G100", "kind": "gift_card", "title": "礼品卡", "balance_amount": 10_000}],
}


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    made = Books(tmp_path)
    yield made
    made.database.close()


def test_what_is_imported_can_be_sold_found_and_spent(books: Books) -> None:
    data = check(json.loads(json.dumps(FILE)))
    for _ in range(2):  # importing again changes nothing
        books.database.tx(lambda tx: put(tx, "m1", data, 0))
    products = books.adapter.catalogue_page(request=CatalogueRequest()).items
    assert [(p.sku, p.name, p.unit_amount) for p in products] == [("T1", "龙井茶", 12_800)]
    level = books.adapter.stock_levels(request=LevelsRequest(store_id="s1", skus=("T1",)))[0]
    assert str(level.available) == "12.5"
    phone = Identity(type=IdentityType.PHONE, value=Secret("13900000007"))
    member = books.adapter.member_find(request=MemberLookup(identity=phone))
    assert member is not None and (member.ref, member.points_available) == ("m7", 40)
    card = books.adapter.coupon_find(request=CouponLookup(code="G100"))
    assert card is not None and card.balance_amount == 10_000


def test_every_wrong_row_is_named_with_its_path() -> None:
    wrong = {
        "products": [{"sku": "T1", "name": "茶", "unit_amount": "12.80"}],
        "stock": [{"store_id": "s1", "sku": "T1", "quantity": "-1"}],
        "members": [{"name": "x"}],
        "cupons": [],
    }
    with pytest.raises(ImportRefused) as refused:
        check(wrong)
    paths = {path for path, _ in refused.value.problems}
    assert paths == {"/products/0/unit_amount", "/stock/0/quantity", "/members/0/ref", "/cupons"}
