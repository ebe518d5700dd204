"""What the adapter reads: catalogue, stock, members, labels, and the day's statement, row by row."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from marshmallow import ValidationError

from gateway.sdk import (
    CatalogueRequest,
    Confidence,
    Identity,
    IdentityType,
    InvalidReply,
    Level,
    LevelsRequest,
    MemberLookup,
    Misconfigured,
    NotSent,
    Product,
    Secret,
    StatementRequest,
    StatementRow,
)
from gateway.testing.context import build
from plugins.convenience import o2o_adapters
from plugins.convenience.adapter import ConvenienceAdapter
from plugins.convenience.protocol import SHOP_ZONE, ParseError, check_digit
from tests.plugins.convenience.conftest import BRANCHES, Shop, connect, key, sale, tender

SITE_DAY = timedelta(days=1)


def catalogue(adapter: ConvenienceAdapter, limit: int = 20) -> dict[str, Product]:
    found: dict[str, Product] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = adapter.catalogue_page(request=CatalogueRequest(cursor=cursor, limit=limit))
        assert not found.keys() & {item.sku for item in page.items}
        found |= {item.sku: item for item in page.items}
        cursor = page.next_cursor
    return found


def level(shop: Shop, sku: str, store: str = "wulin") -> Level:
    (found,) = shop.adapter.stock_levels(request=LevelsRequest(store_id=store, skus=(sku, "nothing")))
    return found


def today(shop: Shop) -> datetime:
    return datetime.now(SHOP_ZONE)


def statement(
    shop: Shop, day: datetime | None = None, store: str = "", adapter: ConvenienceAdapter | None = None
) -> list[StatementRow]:
    rows: list[StatementRow] = []
    cursor: str | None = ""
    while cursor is not None:
        date = (day or today(shop)).date()
        request = StatementRequest(business_date=date, cursor=cursor, store_id=store)
        page = (adapter or shop.adapter).order_statement(request=request)
        rows += page.items
        cursor = page.next_cursor
    return rows


# --- settings -------------------------------------------------------------------------------------------------------


def test_the_plugin_offers_its_adapter_and_check_passes(shop: Shop) -> None:
    assert o2o_adapters() == [ConvenienceAdapter]
    shop.adapter.check()


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "database"),
        ({"branches": {"a": "12"}}, "branches"),
        ({"branches": {"a": "0101", "b": "0101"}}, "branches"),
        ({"label_rules": [{"prefix": "21", "length": 12, "amount": 5}]}, "label_rules"),
        ({"encoding": "latin-1"}, "encoding"),
        ({"pay_ways": {"alipay": "zfb!"}}, "pay_ways"),
        ({"databse": "x"}, "databse"),
    ],
)
def test_wrong_settings_are_named_by_their_path(tmp_path: Path, settings: dict[str, object], path: str) -> None:
    base = (
        {"drop_folder": "drop", "branches": BRANCHES}
        if path == "database"
        else {
            "database": "x.db",
            "drop_folder": "drop",
            "branches": BRANCHES,
        }
    )
    with pytest.raises(ValidationError) as error:
        build(ConvenienceAdapter, {**base, **settings}, tmp_path)
    assert path in error.value.normalized_messages()


def test_check_says_what_to_do(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="not a file"):
        connect(shop.simulator, tmp_path, database="nowhere.db").check()
    with pytest.raises(Misconfigured, match=r"branches\.moon.*0909"):
        connect(shop.simulator, tmp_path, branches={"moon": "0909"}).check()
    (tmp_path / "text.db").write_text("this is no database at all, and long enough to be looked at" * 40)
    with pytest.raises(NotSent, match="not a database"):
        connect(shop.simulator, tmp_path, database="text.db").check()


# --- catalogue ------------------------------------------------------------------------------------------------------


def test_the_catalogue_comes_whole_page_by_page(shop: Shop) -> None:
    found = catalogue(shop.adapter, 7)
    assert len(found) == 62 and found == catalogue(shop.adapter, 500)
    bun = found["980001"]
    assert (bun.name, bun.name_en, bun.unit_amount, bun.barcodes, bun.category) == ("鲜肉包", "Meat bun", 300, (), "98")
    assert found["040007"].deleted and not bun.deleted


def test_quirks_of_articles_are_kept_and_said(shop: Shop) -> None:
    found = catalogue(shop.adapter)
    old, new = found["010003"], found["010004"]
    assert old.barcodes == new.barcodes and old.facts["shared_barcode"] and new.facts["shared_barcode"]
    assert old.member_amount == 320 and new.member_amount is None
    assert (found["980018"].unit_amount, found["980018"].facts["exact_price"]) == (83, "0.8333")
    assert (found["010012"].unit_amount, found["010012"].facts["list_amount"]) == (590, 650)
    assert found["050001"].weighed and found["050001"].facts["plu"] == "06013"
    assert (found["060001"].facts["case_of"], found["060001"].facts["case_count"]) == ("010001", 24)


# --- labels ---------------------------------------------------------------------------------------------------------


def test_scale_labels_give_article_weight_and_amount(shop: Shop) -> None:
    assert shop.adapter.read_label("2106013040083") == ("050001", "0.400", 4008)
    assert shop.adapter.read_label("2201234007508") == ("050002", "0.75", None)
    assert shop.adapter.read_label("261234501580006258") == ("050003", "0.625", 1580)
    with pytest.raises(ParseError, match="PLU 99999 names 0"):
        shop.adapter.read_label("219999904008" + str(check_digit("219999904008")))


def test_labels_are_read_by_the_shops_own_rules(shop: Shop, tmp_path: Path) -> None:
    rules = [{"prefix": "21", "length": 13, "weight": 5}]
    assert connect(shop.simulator, tmp_path, label_rules=rules).read_label("2106013040083") == ("050001", "4.008", None)


# --- stock ----------------------------------------------------------------------------------------------------------


def test_stock_is_the_last_day_end_plus_what_was_uploaded_since(shop: Shop) -> None:
    shop.do("sell", branch="0101", lines=[{"item_no": "010001", "quantity": "3"}])
    assert level(shop, "010001").on_hand == 200
    shop.do("upload")
    shop.do("deliver", branch="0101", item_no="010001", quantity="10")
    assert level(shop, "010001").on_hand == 207
    shop.do("day_end")
    assert level(shop, "010001").on_hand == 207
    assert level(shop, "010001", "wensan").on_hand == 200


def test_a_sale_of_yesterday_that_arrives_after_the_day_end_still_counts(shop: Shop) -> None:
    """By date it would be taken for counted; only its place of arrival tells."""
    shop.do("set_till", branch="0101", online=0)
    shop.do("sell", branch="0101", lines=[{"item_no": "010001"}], days_ago=1)
    shop.do("day_end")
    assert level(shop, "010001").on_hand == 200
    shop.do("upload", branch="0101")
    assert level(shop, "010001").on_hand == 199


def test_returns_go_back_and_a_case_counts_as_its_singles(shop: Shop) -> None:
    shop.do("sell", branch="0101", lines=[{"item_no": "060001"}])
    sold = shop.do("sell", branch="0101", lines=[{"item_no": "010001", "quantity": "6"}])["flow_no"]
    shop.do("return", flow_no=sold)
    shop.do("upload")
    assert level(shop, "010001").on_hand == 176
    assert level(shop, "060001").on_hand == 7


def test_a_bill_uploaded_again_across_the_day_end_counts_once(shop: Shop) -> None:
    sold = shop.do("sell", branch="0101", lines=[{"item_no": "050002", "quantity": "0.750"}])["flow_no"]
    shop.do("upload")
    shop.do("day_end")
    shop.do("upload_again", flow_no=sold)
    found = level(shop, "050002")
    assert found.on_hand == Decimal("199.250") == found.available


def test_as_of_is_what_the_slowest_till_has_told(shop: Shop) -> None:
    before = level(shop, "010001").as_of
    shop.do("set_till", branch="0101", till="02", skew=86400)
    shop.do("sell", branch="0101", till="02", lines=[{"item_no": "010001"}])
    time.sleep(1.1)
    shop.do("sell", branch="0101", till="01", lines=[{"item_no": "010001"}])
    shop.do("upload")
    after = level(shop, "010001")
    assert before < after.as_of <= datetime.now(UTC) and after.confidence is Confidence.RECENT


def test_an_old_answer_is_called_stale(shop: Shop, tmp_path: Path) -> None:
    settings = {"database": str(shop.simulator.head_office.path), "drop_folder": "x", "branches": BRANCHES}
    later = build(ConvenienceAdapter, settings, tmp_path, clock=lambda: datetime.now(UTC) + timedelta(hours=9))
    (found,) = later.stock_levels(request=LevelsRequest(store_id="wulin", skus=("010001",)))
    assert found.confidence is Confidence.STALE


def test_stock_adds_up_with_the_shops_own_books(shop: Shop) -> None:
    for number in range(5):
        shop.do(
            "sell", branch="0201", lines=[{"item_no": "980011", "quantity": str(number + 1)}, {"item_no": "060002"}]
        )
    shop.do("upload")
    levels = shop.adapter.stock_levels(request=LevelsRequest(store_id="jingan"))
    books = shop.simulator.books()["stock"]["0201"]
    singles = {found.sku: f"{found.on_hand:.3f}" for found in levels if not found.sku.startswith("06")}
    assert singles == books


# --- members --------------------------------------------------------------------------------------------------------


def member(shop: Shop, kind: IdentityType, value: str) -> object:
    identity = Identity(type=kind, value=Secret(value))
    return shop.adapter.member_find(request=MemberLookup(identity=identity))


def test_members_are_found_by_card_and_phone_with_last_nights_points(shop: Shop) -> None:
    found = shop.adapter.member_find(
        request=MemberLookup(identity=Identity(type=IdentityType.PHONE, value=Secret("13800001001")))
    )
    assert found is not None and found == member(shop, IdentityType.CARD, "8800000001")
    assert (found.ref, found.tier, found.rate_bp, found.points_available) == ("8800000001", "02", 9500, 1280)
    assert found.display_name == "王*" and "13800001001" not in repr(found)
    shop.do("sell", branch="0101", lines=[{"item_no": "060001"}], card="8800000001")
    shop.do("upload")
    assert member(shop, IdentityType.CARD, "8800000001") == found
    shop.do("day_end")
    assert getattr(member(shop, IdentityType.CARD, "8800000001"), "points_available", 0) == 1322


def test_unknown_members_and_unknown_kinds_are_none(shop: Shop) -> None:
    for kind, value in (
        (IdentityType.CARD, "8800000009"),
        (IdentityType.OPENID, "o1"),
        (IdentityType.PHONE, "' OR '1'='1"),
    ):
        assert member(shop, kind, value) is None


# --- the day's statement --------------------------------------------------------------------------------------------


def test_the_statement_has_one_row_a_tender_signed_as_the_merchant_sees_it(shop: Shop) -> None:
    shop.post(1, sale(tenders=(tender(700), tender(500, channel="wechat", ref="420000"))))
    shop.answered(1)
    tenders = [{"pay_way": "RMB", "amount": 1000}]
    sold = shop.do("sell", branch="0102", lines=[{"item_no": "010003"}], tenders=tenders)["flow_no"]
    shop.do("return", flow_no=sold)
    shop.do("upload")
    rows = statement(shop)
    ours = [row for row in rows if row.key == key(1)]
    assert [(row.facts["tender"], row.amount) for row in ours] == [("ZFB", 700), ("WX", 500)]
    theirs = [(row.kind, row.status, row.amount, row.facts["store_id"]) for row in rows if not row.key]
    assert theirs == [
        ("sale", "booked", 1000, "wensan"),
        ("sale", "change", -650, "wensan"),
        ("return", "booked", -350, "wensan"),
    ]
    assert rows[-1].original_ref == sold
    assert [row.key for row in statement(shop, store="wulin")] == [key(1)] * 2


def test_the_statement_adds_up_with_the_tills_whatever_the_page_size(shop: Shop, tmp_path: Path) -> None:
    """The known uploader set its cursor to the batch's maximum after the first success and lost the rest."""
    for number in range(9):
        shop.do(
            "sell",
            branch="0101",
            till=f"0{number % 3 + 1}",
            lines=[{"item_no": "010003"}],
            tenders=[{"pay_way": "ZFB", "amount": 150}, {"pay_way": "RMB", "amount": 500}],
        )
        if number % 4 == 3:
            shop.do("upload")
    shop.do("upload")
    whole = statement(shop)
    assert len(whole) == 27 and len({row.ref for row in whole}) == 27
    money = Counter(dict.fromkeys(("ZFB", "RMB"), 0))
    for row in whole:
        money[row.facts["tender"]] += row.amount
    assert dict(money) == shop.simulator.books()["money"]
    for size in (1, 2, 5):
        assert statement(shop, adapter=connect(shop.simulator, tmp_path, statement_rows=size)) == whole


def test_a_late_upload_of_yesterday_is_in_yesterdays_statement(shop: Shop) -> None:
    shop.do("sell", branch="0101", till="02", lines=[{"item_no": "010003"}], days_ago=1)
    shop.do("sell", branch="0101", till="01", lines=[{"item_no": "980001"}])
    shop.do("upload", till="01")
    assert statement(shop, today(shop) - SITE_DAY) == []
    shop.do("upload", till="02")
    assert [row.amount for row in statement(shop, today(shop) - SITE_DAY)] == [350]
    assert [row.amount for row in statement(shop)] == [300]


def test_rows_uploaded_again_count_once_and_an_added_tender_is_seen(shop: Shop, tmp_path: Path) -> None:
    sold = shop.do("sell", branch="0101", lines=[{"item_no": "010003"}])["flow_no"]
    shop.do("upload")
    shop.do("upload_again", flow_no=sold)
    shop.do("upload_again", flow_no=sold, tender={"pay_way": "COU", "amount": 200})
    for size in (1, 500):
        rows = statement(shop, adapter=connect(shop.simulator, tmp_path, statement_rows=size))
        assert [(row.ref, row.amount) for row in rows] == [(f"{sold}-1", 350), (f"{sold}-2", 200)]
        assert sum(row.amount for row in rows) != rows[0].facts["bill_amount"]


def test_two_bills_with_one_number_after_a_till_reset_are_both_there(shop: Shop) -> None:
    shop.do("sell", branch="0101", lines=[{"item_no": "010003"}])
    time.sleep(1.1)
    shop.do("set_till", branch="0101", reset=True)
    shop.do("sell", branch="0101", lines=[{"item_no": "980001"}])
    shop.do("upload")
    rows = statement(shop)
    assert [row.amount for row in rows] == [350, 300] and rows[0].facts["bill"] == rows[1].facts["bill"]


def test_a_row_that_makes_no_sense_is_shown_and_hides_no_other(shop: Shop) -> None:
    for _ in range(3):
        shop.do("sell", branch="0101", lines=[{"item_no": "980001"}])
    shop.do("upload")
    with shop.simulator.head_office.transaction() as db:
        db.execute("UPDATE payflow SET pay_amount = '3,00' WHERE com_no = 2")
        db.execute("UPDATE payflow SET flow_no = X'FFFE', oper_date = NULL WHERE com_no = 3")
    rows = statement(shop)
    assert [(row.status, row.amount) for row in rows] == [("booked", 300), ("unreadable", 0), ("unreadable", 0)]


def test_values_that_make_no_sense_are_invalid_replies_and_one_bad_article_stops_no_other(shop: Shop) -> None:
    shop.do("sell", branch="0101", lines=[{"item_no": "980001"}])
    shop.do("upload")
    with shop.simulator.head_office.transaction() as db:
        db.execute("UPDATE item SET price = 'n/a' WHERE item_no LIKE '980002%'")
        db.execute("UPDATE saleflow SET sale_qnty = '1.00055'")
        db.execute("UPDATE vip SET acc_num = 'x' WHERE card_id LIKE '8800000001%'")
        db.execute("UPDATE item SET item_name = CAST(X'C8E2B0FC' AS TEXT) WHERE item_no LIKE '980001%'")
    found = catalogue(shop.adapter)
    assert len(found) == 61 and found["980001"].name == "肉包"
    with pytest.raises(InvalidReply):
        level(shop, "980001")
    with pytest.raises(InvalidReply):
        member(shop, IdentityType.CARD, "8800000001")


def test_a_new_day_starts_reading_where_the_day_before_was_seen(shop: Shop) -> None:
    for _ in range(4):
        shop.do("sell", branch="0101", lines=[{"item_no": "980001"}])
    shop.do("upload")
    shop.post(1)
    mark = shop.adapter.context.store.get(f"mark:{today(shop).date()}")
    assert mark == 4
    assert shop.adapter._day_start((today(shop) + SITE_DAY).date()) == 0
    shop.adapter._settings["reread_rows"] = 1  # type: ignore[index]
    assert shop.adapter._day_start((today(shop) + SITE_DAY).date()) == 3
    assert shop.adapter._day_start(today(shop).date()) == 0
