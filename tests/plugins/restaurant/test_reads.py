"""Protects the reads: statements of a day whose pages move, what is sold out, the dishes, settings and the check."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from marshmallow import ValidationError

from gateway.sdk import (
    CatalogueRequest,
    Confidence,
    InvalidReply,
    LevelsRequest,
    Misconfigured,
    NotSent,
    OutcomeUnknown,
    StatementRequest,
    StatementRow,
)
from gateway.sdk.adapter import utc_now
from gateway.sdk.simulator import Fault
from gateway.testing.context import MemoryStore
from plugins.restaurant.adapter import RestaurantAdapter
from plugins.restaurant.notes import Notes
from tests.plugins.restaurant.support import Chain, tender


def today(chain: Chain, shop: str = "SH01") -> date:
    return date.fromisoformat(chain.simulator.till(shop).business_date())


def statement(chain: Chain, store: str = "sh-01") -> list[StatementRow]:
    page = chain.adapter.order_statement(StatementRequest(business_date=today(chain), store_id=store))
    assert page.next_cursor is None
    return list(page.items)


def sell(chain: Chain, count: int, shop: str = "SH01") -> list[str]:
    """So many bills settled in cash by the staff."""
    bills = []
    for _ in range(count):
        opened = chain.pull("seat", shop=shop)
        chain.pull("pay", shop=shop, bill=opened["bsId"], amount=round(opened["lastTotal"] * 100))
        chain.pull("clear", shop=shop, bill=opened["bsId"])
        bills.append(str(opened["bsId"]))
    return bills


# ---- the statement


def test_one_row_a_tender_with_our_key_and_its_income(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    rows = (tender("t1", 1000), tender("t2", bill.due_amount - 1500, channel="alipay"))
    chain.adapter.order_post(chain.sale(bill, tenders=rows), chain.call(key))
    found = statement(chain)
    assert [(row.kind, row.ref, row.amount, row.key, row.facts["tender"]) for row in found] == [
        ("sale", f"{bill.bill_id}/1", 1000, key, "03"),
        ("sale", f"{bill.bill_id}/2", bill.due_amount - 1500, key, "04"),
        ("discount", f"{bill.bill_id}/3", 500, key, "12"),
    ]
    assert found[2].facts["income_amount"] == 0
    assert found[0].at is not None
    assert found[0].at.utcoffset() == timedelta(hours=8)


def test_sales_that_are_not_ours_carry_no_key(chain: Chain) -> None:
    (bill,) = sell(chain, 1)
    (row,) = statement(chain)
    assert (row.ref, row.key) == (f"{bill}/1", "")


def test_a_re_settled_bill_is_a_reversal_and_a_new_version(chain: Chain) -> None:
    bill, key = chain.seat(), chain.key()
    chain.fault("settled_again", "clear")
    chain.adapter.order_post(chain.sale(bill), chain.call(key))
    due = bill.due_amount
    assert [(row.kind, row.amount, row.key, row.status) for row in statement(chain)] == [
        ("sale", due, key, "taken_back"),
        ("return", -due, key, "reversal"),
        ("sale", due, "", "re_settled"),
    ]


def test_a_deleted_bill_counts_nothing(chain: Chain) -> None:
    (bill,) = sell(chain, 1)
    chain.pull("delete_bill", bill=bill)
    assert sum(row.amount for row in statement(chain)) == 0


def test_a_late_bill_appears_when_the_day_is_asked_again(chain: Chain) -> None:
    chain.fault("late_upload", "pay", value=3 * 3600)
    (bill,) = sell(chain, 1)
    assert statement(chain) == []
    assert chain.pull("upload_now")["arrived"] == 1
    assert [row.facts["bill"] for row in statement(chain)] == [bill]


def test_every_shop_is_a_page_and_shops_do_not_mix(chain: Chain) -> None:
    sell(chain, 2, "SH01")
    sell(chain, 1, "SH02")
    cursor: str | None = ""
    counts = []
    while cursor is not None:
        page = chain.adapter.order_statement(StatementRequest(business_date=today(chain), cursor=cursor))
        counts.append(len(page.items))
        cursor = page.next_cursor
    assert counts == [2, 1, 0]
    with pytest.raises(InvalidReply):
        chain.adapter.order_statement(StatementRequest(business_date=today(chain), cursor="elsewhere"))


def test_a_day_of_several_pages_is_read_whole_while_its_pages_shift(chain: Chain) -> None:
    bills = sell(chain, 53)
    assert {row.facts["bill"] for row in statement(chain)} == set(bills)
    chain.fault("page_shift", "office.bills", times=2)
    rows = statement(chain)
    assert {row.facts["bill"] for row in rows} == set(bills)
    assert len({row.ref for row in rows}) == len(rows) == 53
    chain.fault("page_shift", "office.bills", times=None)
    with pytest.raises(OutcomeUnknown, match="shift faster"):
        statement(chain)


def test_a_token_that_expires_between_pages_is_renewed(chain: Chain) -> None:
    bills = sell(chain, 1)
    statement(chain)
    chain.fault("token_expiry", "office.bills", times=2)
    assert {row.facts["bill"] for row in statement(chain)} == set(bills)


def test_the_token_is_kept_and_renewed_before_it_ends(chain: Chain) -> None:
    office = chain.adapter._office
    first = office.token()
    assert office.token() == first
    office.now = lambda: time.time() + 7200 - 60
    chain.fault("clock_skew", times=None, value=7200 - 60)
    assert office.token() != first


@pytest.mark.parametrize("fault", ["garbage", "half_body", "drop_after", "error", "wrong_encoding"])
def test_trouble_at_the_head_office_is_no_empty_day(chain: Chain, fault: str) -> None:
    sell(chain, 1)
    chain.fault(fault, "office.bills")
    with pytest.raises(OutcomeUnknown):
        statement(chain)


def test_clock_and_secret_are_settings_to_mend(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> None:
    adapter = rebuild(app_secret="env:TEST_TILL_PASSWORD")
    with pytest.raises(Misconfigured, match="app_secret"):
        adapter.catalogue_page(CatalogueRequest())
    chain.fault("clock_skew", times=None, value=400)
    with pytest.raises(Misconfigured, match="clock"):
        chain.adapter.catalogue_page(CatalogueRequest())


# ---- sold out


def levels(chain: Chain, *skus: str) -> dict[str, tuple[Decimal, str]]:
    found = chain.adapter.stock_levels(LevelsRequest(store_id="sh-01", skus=skus))
    return {level.sku: (level.available, level.source) for level in found}


def test_limited_dishes_come_from_the_till_and_others_are_plenty(chain: Chain) -> None:
    chain.pull("set_soldout", dish="D0118", left="2")
    assert levels(chain, "D0118", "D0110", "D0101") == {
        "D0118": (Decimal(2), "till"),
        "D0110": (Decimal(0), "till"),
        "D0101": (Decimal(9999), "not limited"),
    }
    assert set(levels(chain)) == {"D0110", "D0118", "D0203", "D0301"}


def test_the_file_serves_while_the_till_cannot_be_asked(
    chain: Chain, rebuild: Callable[..., RestaurantAdapter], caplog: pytest.LogCaptureFixture
) -> None:
    chain.pull("set_soldout", dish="D0118", left="2")
    chain.pull("write_soldout")
    chain.adapter = rebuild(till_url="http://127.0.0.1:9/till")
    with caplog.at_level(logging.WARNING):
        assert levels(chain, "D0118") == {"D0118": (Decimal(2), "sold-out file")}
    assert "demo" not in caplog.text


def test_a_half_written_file_is_not_read_and_the_last_whole_one_is_remembered(
    chain: Chain, rebuild: Callable[..., RestaurantAdapter]
) -> None:
    chain.adapter = rebuild(till_url="http://127.0.0.1:9/till")
    assert levels(chain, "D0118")["D0118"][0] == 8
    chain.pull("set_soldout", dish="D0118", left="1")
    chain.simulator.faults.set([Fault("half_file", "soldout_file", 1)])
    chain.pull("write_soldout")
    assert levels(chain, "D0118")["D0118"][0] == 8
    chain.pull("write_soldout")
    assert levels(chain, "D0118")["D0118"][0] == 1


def test_an_old_file_says_so(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> None:
    adapter = rebuild(till_url="http://127.0.0.1:9/till")
    path = Path(chain.pull("write_soldout")["path"])
    then = (utc_now() - timedelta(minutes=11)).timestamp()
    os.utime(path, (then, then))
    (level,) = adapter.stock_levels(LevelsRequest(store_id="sh-01", skus=("D0118",)))
    assert level.confidence is Confidence.STALE
    assert abs(level.as_of.timestamp() - then) < 1


def test_without_till_and_file_there_is_no_answer(rebuild: Callable[..., RestaurantAdapter], tmp_path: Path) -> None:
    adapter = rebuild(till_url="http://127.0.0.1:9/till", sold_out_folder=str(tmp_path / "nothing"))
    with pytest.raises(NotSent):
        adapter.stock_levels(LevelsRequest(store_id="sh-01"))


# ---- dishes, check, settings


def test_the_catalogue_comes_page_by_page_with_member_prices(chain: Chain) -> None:
    first = chain.adapter.catalogue_page(CatalogueRequest())
    second = chain.adapter.catalogue_page(CatalogueRequest(cursor=str(first.next_cursor)))
    products = {product.sku: product for product in first.items + second.items}
    assert (len(first.items), len(products), second.next_cursor) == (50, 58, None)
    assert (products["D0101"].unit_amount, products["D0101"].member_amount) == (8800, 7920)
    assert (products["D0107"].unit_amount, products["D0107"].member_amount) == (7800, None)
    assert products["D0201"].weighed
    assert products["D0101"].store_ids == ("sh-01", "sh-02", "sh-03")


def test_check_finds_what_is_wrong(chain: Chain, rebuild: Callable[..., RestaurantAdapter]) -> None:
    chain.adapter.check()
    with pytest.raises(Misconfigured, match="operator"):
        rebuild(operator="1").check()
    with pytest.raises(Misconfigured, match="'shops'"):
        rebuild(shops={"x": {"code": "XX99"}}).check()
    with pytest.raises(Misconfigured, match="app_key"):
        rebuild(brand_id="1").check()
    with pytest.raises(NotSent):
        rebuild(office_url="http://127.0.0.1:9").check()


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"shops": {}}, "shops"),
        ({"shops": {"a": {"code": "TOOLONG"}}}, "shops"),
        ({"shops": {"a": {"code": "SH01", "service_basis": "half"}}}, "shops"),
        ({"password": "in the clear"}, "password"),
        ({"till_url": "not a url"}, "till_url"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_settings_are_refused_by_their_path(
    rebuild: Callable[..., RestaurantAdapter], changes: dict[str, Any], path: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        rebuild(**changes)
    assert path in caught.value.messages_dict
    assert "in the clear" not in str(caught.value)


def test_what_is_no_dish_has_no_level(chain: Chain) -> None:
    assert set(levels(chain, "D0101", "D0118", "SOCKS")) == {"D0101", "D0118"}


def test_without_the_head_office_every_sku_is_taken_for_a_dish(rebuild: Callable[..., RestaurantAdapter]) -> None:
    adapter = rebuild(office_url="http://127.0.0.1:9")
    found = adapter.stock_levels(LevelsRequest(store_id="sh-01", skus=("D0101", "D0118")))
    assert [level.sku for level in found] == ["D0101", "D0118"]


def test_the_dishes_are_read_once_in_ten_minutes(chain: Chain) -> None:
    levels(chain, "D0101")
    chain.fault("garbage", "office.dishes", times=None)
    assert set(levels(chain, "D0101", "SOCKS")) == {"D0101"}


def test_notes_are_kept_while_they_may_be_asked_for() -> None:
    store, now = MemoryStore(), utc_now()
    Notes(store, lambda: now - timedelta(days=15)).put("old", 1)
    notes = Notes(store, lambda: now)
    assert notes.get("old") == 1
    notes.put("new", {"a": 1})
    assert (notes.get("old"), notes.get("new")) == (None, {"a": 1})
    notes.delete("new")
    assert store.keys() == []
