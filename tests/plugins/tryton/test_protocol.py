"""The wire and the mapping, on recorded and masked replies of a Tryton 8.2: no server is needed."""

from __future__ import annotations

import contextlib
import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sdk import CouponKind, DeclineReason, InvalidReply
from plugins.tryton import mapping, o2o_adapters, protocol
from plugins.tryton.adapter import TrytonAdapter
from plugins.tryton.protocol import Failure, ParseError
from tests.plugins.tryton.support import DAY, line, sale, tenders

SALE = (
    b'{"id": 1, "result": [{"id": 9, "number": "7", "state": "processing", "reference": "K1", "description": "T1",'
    b' "comment": "tender t0 cash 100000\\ntender t1 gift_card 39000", "warehouse": 10, "sale_date": {"__class__":'
    b' "date", "year": 2026, "month": 11, "day": 20}, "total_amount": {"__class__": "Decimal", "decimal": "1390.00"},'
    b' "write_date": {"__class__": "datetime", "year": 2026, "month": 11, "day": 20, "hour": 3, "minute": 4,'
    b' "second": 5, "microsecond": 6}}]}'
)
NUMBER: dict[str, Any] = {
    "id": 4,
    "number": "TEN1",
    "active": True,
    "end_date": date(2026, 12, 31),
    "coupon.": {"number_of_use": 1, "per_party": False, "promotion.": {"name": "九折", "formula": "0.9 * unit_price"}},
}


def test_the_plugin_offers_its_adapter() -> None:
    assert tuple(o2o_adapters()) == (TrytonAdapter,)


def test_a_sale_is_read_as_one_row_a_tender() -> None:
    """Reconciliation matches tenders, not totals."""
    row = protocol.decode(SALE)[0]
    assert (row["sale_date"], row["total_amount"]) == (date(2026, 11, 20), Decimal("1390.00"))
    rows = mapping.rows_of(row)
    assert [(found.ref, found.amount, found.facts["tender"]) for found in rows] == [
        ("7/t0", 100_000, "cash"),
        ("7/t1", 39_000, "gift_card"),
    ]
    assert {found.key for found in rows} == {"K1"}


def test_tenders_that_do_not_add_up_are_not_believed() -> None:
    """Somebody edited the comment, or the sale: then the total is what Tryton's books say."""
    row = {**protocol.decode(SALE)[0], "total_amount": Decimal("1389.99")}
    assert [found.amount for found in mapping.rows_of(row)] == [138_999]


@pytest.mark.parametrize(
    ("body", "failure"),
    [
        (b'{"id":1,"error":["UserError",["You can not call","",null]]}', Failure("UserError", "You can not call")),
        (b'{"id":1,"error":["ConcurrencyException","Record"]}', Failure("ConcurrencyException", "Record")),
        (b'{"id":1,"error":["\'\'",""]}', Failure("''", "")),
    ],
)
def test_an_error_that_the_server_means_is_told_from_one_that_it_does_not(body: bytes, failure: Failure) -> None:
    """Only the first kind proves that nothing was changed."""
    found = protocol.decode(body)
    assert found == failure
    assert found.meant is (failure.name != "''")


@settings(deadline=None)
@given(st.binary(max_size=200) | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_garbage_raises_only_parse_errors(body: bytes | str) -> None:
    """A proxy's error page must not crash the adapter."""
    with contextlib.suppress(ParseError):
        protocol.decode(body if isinstance(body, bytes) else body.encode())


@pytest.mark.parametrize(
    "value",
    [
        {"__class__": "Decimal", "decimal": "x"},
        {"__class__": "Decimal"},
        {"__class__": "date", "year": 2026, "month": 13, "day": 1},
        {"__class__": "datetime", "year": "x"},
    ],
)
def test_a_value_that_holds_none_is_a_parse_error(value: object) -> None:
    with pytest.raises(ParseError):
        protocol.decode(json.dumps({"result": value}).encode())


@settings(deadline=None)
@given(st.decimals(allow_nan=False, allow_infinity=False) | st.dates())
def test_values_come_back_as_they_were_sent(value: Decimal | date) -> None:
    sent = json.loads(protocol.encode("model.x.read", [value]))["params"][0]
    assert protocol.decode(json.dumps({"result": sent}).encode()) == value


def test_a_value_of_another_kind_does_not_travel() -> None:
    with pytest.raises(TypeError, match="datetime"):
        protocol.encode("model.x.read", [datetime(2026, 1, 1, tzinfo=ZoneInfo("UTC"))])


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 400_000), st.integers(1, 5_000_000)), min_size=1, max_size=5),
    st.integers(0, 500),
    st.sampled_from([1, -1]),
)
def test_the_lines_add_up_to_what_was_paid(goods: list[tuple[int, int]], points: int, sign: int) -> None:
    """Whatever the quantities and discounts: Tryton rounds each line, and the total must be the money taken."""
    rows = [line("RC1", str(Decimal(count) / 1000), 100, net) for count, net in goods]
    request = sale(*rows, points=min(points, sum(row.net_amount for row in rows)))
    lines = mapping.sale_lines(request, {"RC1": (1, 1)}, sign)
    assert sum(mapping.amount_of(row) for row in lines) == sign * request.payable_amount


def test_amounts_are_whole_cents_or_trouble() -> None:
    assert mapping.fen(Decimal("12.3400")) == 1234
    for wrong in (Decimal("0.001"), None, "x", Decimal("NaN")):
        with pytest.raises(InvalidReply):
            mapping.fen(wrong)


def test_a_coupon_is_priced_by_its_formula_or_by_the_settings_or_not_offered() -> None:
    """A discount that is guessed is money given away."""
    zone = ZoneInfo("Asia/Shanghai")
    found = mapping.coupon_of(NUMBER, 0, 0, {}, zone, DAY)
    assert (found.kind, found.terms, found.usable) == (CouponKind.PERCENT, {"rate_bp": 9000}, True)
    assert found.expires_at is not None
    assert found.expires_at.isoformat() == "2026-12-31T23:59:59+08:00"
    odd = {
        **NUMBER,
        "coupon.": {
            "number_of_use": 1,
            "per_party": False,
            "promotion.": {"name": "满减", "formula": "unit_price - 1"},
        },
    }
    assert not mapping.coupon_of(odd, 0, 0, {}, zone, DAY).usable
    known = {"满减": {"kind": CouponKind.CASH, "terms": {"off_amount": 2000}}}
    assert mapping.coupon_of(odd, 0, 0, known, zone, DAY).terms == {"off_amount": 2000}
    assert mapping.coupon_of(NUMBER, 1, 0, {}, zone, DAY).counts.available == 0
    per_party = {**NUMBER, "coupon.": {**NUMBER["coupon."], "per_party": True}}
    assert not mapping.coupon_of(per_party, 0, 0, {}, zone, DAY).usable


def asking(**more: Any) -> dict[str, Any]:
    """The coupon's number with a promotion that asks for more."""
    promotion = {**NUMBER["coupon."]["promotion."], **more}
    return {**NUMBER, "coupon.": {**NUMBER["coupon."], "promotion.": promotion}}


@pytest.mark.parametrize(
    "condition",
    [{"amount": Decimal(500)}, {"quantity": 3.0}, {"products": [7]}, {"categories": [2]}, {"price_list": 1}],
)
def test_a_promotion_that_asks_for_more_than_its_coupon_is_not_offered(condition: dict[str, Any]) -> None:
    """A coupon for 500 yuan and more would be taken off a bottle of water: Tryton's sales never see it."""
    zone = ZoneInfo("Asia/Shanghai")
    assert not mapping.coupon_of(asking(**condition), 0, 0, {}, zone, DAY).usable
    known = {"九折": {"kind": CouponKind.PERCENT, "terms": {"rate_bp": 9000, "threshold_amount": 50_000}}}
    assert mapping.coupon_of(asking(**condition), 0, 0, known, zone, DAY).usable


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**NUMBER, "end_date": date(2026, 11, 19)}, DeclineReason.COUPON_EXPIRED),
        (asking(end_date=date(2026, 11, 19)), DeclineReason.COUPON_EXPIRED),
        ({**NUMBER, "start_date": date(2026, 11, 21)}, DeclineReason.COUPON_NOT_APPLICABLE),
        (asking(start_date=date(2026, 11, 21)), DeclineReason.COUPON_NOT_APPLICABLE),
        (asking(active=False), DeclineReason.COUPON_NOT_APPLICABLE),
        ({**NUMBER, "active": False}, DeclineReason.COUPON_EXHAUSTED),
    ],
)
def test_a_number_is_good_from_its_first_day_to_its_last(row: dict[str, Any], reason: DeclineReason) -> None:
    """Tryton calls a number active that begins next year, and one whose promotion is over."""
    refusal = mapping.barred(row, DAY)
    assert refusal is not None
    assert refusal[0] is reason
    assert mapping.barred({**NUMBER, "start_date": DAY, "end_date": DAY}, DAY) is None


def test_the_tenders_are_written_so_that_they_can_be_read() -> None:
    assert mapping.comment_of(tenders(100, 250), -1) == "tender t0 cash -100\ntender t1 gift_card -250"


def test_an_answer_to_another_call_is_no_answer() -> None:
    """An answer that came late on a connection would be taken for this one's: another customer's record."""
    assert protocol.decode(SALE, 1)[0]["id"] == 9
    with pytest.raises(ParseError, match="another call"):
        protocol.decode(SALE, 2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": 3},
        {"total_amount": {}},
        {"lines": ["x"]},
        {"coupon.": None},
        {"coupon.": {"promotion.": {}}},
        {"id": "9"},
    ],
)
def test_a_record_without_what_was_asked_for_is_trouble(wrong: dict[str, Any]) -> None:
    """A field that is missing or of another kind is no state, no amount: it must not end in an error of our own."""
    row = {
        "id": 9,
        "state": "draft",
        "total_amount": Decimal(1),
        "lines": [1],
        "coupon.": {"promotion.": {"name": "x"}},
    }
    names = ("state", "total_amount", "lines", "coupon.promotion.name")
    assert protocol.checked(row, names) == row
    with pytest.raises(ParseError):
        protocol.checked({**row, **wrong}, names)
