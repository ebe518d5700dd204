"""The wire, on masked replies of the real system and on rubbish: only ``ParseError``, and no fen is lost."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sdk import CouponKind
from plugins.pretix import mapping
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.sales import shares

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text(encoding="utf-8"))
NOW = datetime(2026, 11, 23, tzinfo=UTC)
READERS: dict[str, Callable[[Any], Any]] = {
    "order": r.read_order, "quotas": r.read_quota, "subevents": r.read_showing, "items": r.read_item,
    "vouchers": r.read_voucher, "giftcards": r.read_card, "transactions": r.read_booking,
    "customers": r.read_customer, "cartpositions": r.read_held,
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def rows(name: str) -> list[Any]:
    return [RECORDED[name]] if name == "order" else list(RECORDED[name]["results"])


@pytest.mark.parametrize("name", READERS)
def test_what_the_real_system_said_is_read(name: str) -> None:
    """A reader that refuses the system's own words would stop every shop at once."""
    assert [READERS[name](row) for row in rows(name)]


@given(st.sampled_from(sorted(READERS)), st.data())
@settings(max_examples=300, deadline=None)
def test_a_spoilt_record_is_a_parse_error_or_a_record(name: str, data: st.DataObject) -> None:
    """One member of a real record replaced by anything: nothing but ``ParseError`` may come of it."""
    row = dict(data.draw(st.sampled_from(rows(name))))
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(JSON)
    with contextlib.suppress(p.ParseError):
        READERS[name](row)


@given(st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=300, deadline=None)
def test_rubbish_is_a_parse_error(body: bytes) -> None:
    for read in (p.read_page, r.read_bulk, r.read_hint, lambda each: r.read_order(p.read_json(each))):
        with contextlib.suppress(p.ParseError):
            read(body)


@given(st.integers(-p.MOST, p.MOST))
def test_an_amount_comes_back_as_it_went(amount: int) -> None:
    assert p.fen(p.yuan(amount)) == amount


@pytest.mark.parametrize("text", ["1.005", "NaN", "1e99", "", None, 1.5, "Infinity", "1" * 30])
def test_an_amount_that_is_none_is_refused(text: object) -> None:
    with pytest.raises(p.ParseError):
        p.fen(text)


@given(st.integers(0, 10**7), st.integers(1, 60))
def test_pieces_add_up_to_their_line(amount: int, count: int) -> None:
    """100.01 yuan over three tickets: the order must come to what was paid."""
    parts = shares(amount, count)
    assert sum(parts) == amount and max(parts) - min(parts) <= 1


def test_an_order_s_code_is_made_of_the_key_and_of_the_letters_allowed() -> None:
    codes = {p.order_code(f"01KEY{number:021d}") for number in range(500)}
    assert len(codes) == 500 and all(len(code) == 16 and set(code) <= set(p.CODE_ALPHABET) for code in codes)


@given(st.integers(1, 10**9), st.none() | st.integers(1, 10**9), st.none() | st.integers(1, 10**9))
def test_a_sku_is_read_as_it_is_written(item: int, variation: int | None, subevent: int | None) -> None:
    sku = mapping.Sku(item, variation, subevent)
    assert mapping.parse_sku(str(sku)) == sku


@pytest.mark.parametrize("text", ["", "@", "1@", "-1", "1-", "１@2", "abc", "1@2@3", "1" * 20])
def test_a_sku_of_another_system_is_none(text: str) -> None:
    assert mapping.parse_sku(text) is None


def test_a_card_that_has_expired_or_is_of_a_test_or_another_currency_may_not_pay() -> None:
    """The system itself would let it."""
    card = r.read_card(rows("giftcards")[0])
    assert mapping.why_not(card, NOW, "CNY") == ""
    for change in ({"expires": "2020-01-01T00:00:00Z"}, {"testmode": True}, {"currency": "EUR"}):
        spoilt = r.read_card({**rows("giftcards")[0], **change})
        assert mapping.why_not(spoilt, NOW, "CNY") and not mapping.card_of(spoilt, NOW, "CNY").usable


def test_a_voucher_for_other_goods_is_shown_and_not_usable() -> None:
    row = {**rows("vouchers")[0], "redeemed": 0}
    coupon = mapping.coupon_of(r.read_voucher(row), NOW, 9, 1)
    assert coupon.usable and coupon.kind == CouponKind.CASH
    for change in ({"item": 5}, {"quota": 1}, {"subevent": 77}, {"redeemed": row["max_usages"]}, {"seat": "A1"}):
        assert not mapping.coupon_of(r.read_voucher({**row, **change}), NOW, 9, 1).usable
    percent = r.read_voucher({**row, "price_mode": "percent", "value": "12.50"})
    assert mapping.coupon_of(percent, NOW, 9, 1).terms == {"rate_bp": 8750}


def test_the_least_that_a_quota_leaves_is_what_may_be_promised() -> None:
    quota = {"items": [1], "variations": [], "subevent": 7, "size": 50, "available": True, "available_number": 20}
    quotas = [r.read_quota(quota), r.read_quota({**quota, "size": 10, "available_number": 3})]
    level = mapping.level_of(mapping.Sku(1, None, 7), quotas, "s", NOW)
    assert level is not None and level.available == Decimal(3)
    assert mapping.level_of(mapping.Sku(2, None, 7), quotas, "s", NOW) is None


def test_what_others_write_on_an_order_is_not_taken_for_ours_and_spoilt_words_of_ours_are_refused() -> None:
    """Another program's notes must not break a day's statement; a torn answer must not post a tender of its own."""
    order = RECORDED["order"]
    assert r.read_order({**order, "api_meta": {"lines": {"a": 1}, "tenders": "none"}}).meta == {}
    ours = {"kind": "sale", "lines": [["1", 2]], "tenders": [["cash", 9000, ""]]}
    assert r.read_order({**order, "api_meta": ours}).meta == ours
    for spoilt in ({"lines": [["1"]]}, {"lines": "1"}, {"tenders": [["cash", "9000", ""]]}, {"tenders": [None]}):
        with pytest.raises(p.ParseError):
            r.read_order({**order, "api_meta": {**ours, **spoilt}})
