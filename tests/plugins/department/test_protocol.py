"""The wire formats: frames that were worked out by hand, round trips, and garbage that raises only ``ParseError``."""

from __future__ import annotations

import io
from contextlib import suppress
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sdk import InvalidReply
from plugins.department import protocol, protocol_bankall, protocol_detail, protocol_sales
from plugins.department.protocol import CounterDay, ParseError
from plugins.department.protocol_bankall import BankRequest, BankResponse
from plugins.department.protocol_detail import DetailRow
from plugins.department.protocol_sales import Sale, SaleItem, SaleNumber, SaleSplit, SaleTender
from plugins.department.terminal_changes import full_date

SALE_FRAME = b"T901    C001    00000000145700" + b" " * 8 + b" " * 12 + b"000000" + b"417"


def test_a_sale_request_is_the_59_bytes_of_the_dll() -> None:
    request = BankRequest("T901", "C001", "00", 145700, "417")
    assert protocol_bankall.encode_request(request) == SALE_FRAME
    assert len(SALE_FRAME) == 59
    assert protocol_bankall.decode_request(SALE_FRAME) == request


def test_with_industry_data_a_request_is_159_bytes() -> None:
    request = BankRequest("T901", "C001", "02", 100, "001", "20140308", "030800000017", 17, "订单PF1")
    frame = protocol_bankall.encode_request(request)
    assert len(frame) == 159
    assert frame[16:18] == b"02"
    assert frame[30:56] == b"20140308030800000017000017"
    assert protocol_bankall.decode_request(frame) == request


def test_a_response_is_148_bytes_and_its_text_is_cut_by_bytes() -> None:
    text = "发卡行无应答请核对交易是否已经成功后再试一次"
    frame = protocol_bankall.encode_response(BankResponse("98", "417", text="a" + text))
    assert len(frame) == 148
    assert frame[-3:] == b"417"
    assert frame[44:84] == ("a" + text).encode("gb18030")[:40]
    assert protocol_bankall.decode_response(frame).text == "a" + text[:19]  # half a character is dropped


ASCII = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8)
DIGITS3 = st.integers(0, 999).map(lambda n: f"{n:03d}")


@given(pos=ASCII, kind=st.sampled_from(list(protocol_bankall.Kind)), fen=st.integers(0, 10**12 - 1), lrc=DIGITS3)
def test_requests_survive_the_round_trip(pos: str, kind: str, fen: int, lrc: str) -> None:
    request = BankRequest(pos, "收银一", kind, fen, lrc, original_voucher=fen % 10**6, industry=pos)
    assert protocol_bankall.decode_request(protocol_bankall.encode_request(request)) == request


@given(fen=st.integers(0, 10**12 - 1), voucher=st.integers(0, 10**6 - 1), lrc=DIGITS3)
def test_responses_survive_the_round_trip(fen: int, voucher: int, lrc: str) -> None:
    response = BankResponse("00", lrc, "0105", "621700******1688", voucher, fen, "交易成功", "8983", "37", 1, "1231")
    assert protocol_bankall.decode_response(protocol_bankall.encode_response(response)) == response


@settings(max_examples=300)
@given(
    raw=st.one_of(st.binary(max_size=200), st.binary(min_size=59, max_size=59), st.binary(min_size=148, max_size=148))
)
def test_garbage_raises_nothing_but_parse_errors(raw: bytes) -> None:
    for parse in (
        protocol_bankall.decode_request,
        protocol_bankall.decode_response,
        protocol.parse_day_file,
        protocol_detail.parse_details,
        protocol_sales.parse_call,
        lambda data: protocol_bankall.read_frame(io.BytesIO(data)),
    ):
        with suppress(ParseError):
            parse(raw)


@settings(max_examples=200)
@given(text=st.text(max_size=30))
def test_odd_text_raises_nothing_but_parse_errors(text: str) -> None:
    for parse in (protocol.fen, protocol.quantity, protocol.column_fen, protocol.column_quantity):
        with suppress(ParseError):
            parse(text)
    with suppress(ParseError):
        protocol.day_file_date(text, date(2014, 3, 8))


FIELDS = st.recursive(
    st.text(st.characters(min_codepoint=32, max_codepoint=0x9FFF), max_size=8),
    lambda inner: (
        st.dictionaries(
            st.sampled_from(["salestotal", "salesitems", "salesitem", "qty", "netamount", "lineno", "splitpromotion"]),
            inner,
        )
        | st.lists(inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=100)
@given(fields=st.dictionaries(st.sampled_from(["salestotal", "salesitems", "salestenders", "splitpromotions"]), FIELDS))
def test_any_tree_of_fields_is_a_sale_or_a_parse_error(fields: dict[str, object]) -> None:
    with suppress(ParseError):
        protocol_sales.parse_sale(fields)


AMOUNT = st.integers(-(10**11) + 1, 10**11 - 1)


@given(rows=st.lists(st.tuples(*[AMOUNT] * 6), max_size=5))
def test_day_files_survive_the_round_trip(rows: list[tuple[int, ...]]) -> None:
    days = [CounterDay(f"柜{number}", *amounts) for number, amounts in enumerate(rows)]
    assert protocol.parse_day_file(protocol.encode_day_file(days)) == days


def test_a_negative_net_carries_its_sign_behind() -> None:
    line = protocol.encode_day_file([CounterDay("K1", 89900, 15350, 20173, 447, -60070, 60517)])
    assert line == b"K1    000000089900000000015350000000020173000000000447" + b"00000060070-" + b"000000060517\r\n"


def test_a_torn_day_file_is_an_error_with_its_line() -> None:
    whole = protocol.encode_day_file([CounterDay("K1", 1, 0, 0, 0, 1, 1), CounterDay("K2", 1, 0, 0, 0, 1, 1)])
    with pytest.raises(ParseError, match="line 2 is torn"):
        protocol.parse_day_file(whole[:-20])
    with pytest.raises(ParseError, match="twice"):
        protocol.parse_day_file(whole[:80] + whole[:80])


@pytest.mark.parametrize(
    ("name", "run", "expected"),
    [
        ("JS0308.DAT", date(2014, 3, 9), date(2014, 3, 8)),
        ("JS1231.DAT", date(2014, 1, 1), date(2013, 12, 31)),  # the New Year trap
        ("JS0101.DAT", date(2014, 1, 1), date(2014, 1, 1)),
        ("JS0229.DAT", date(2014, 3, 1), date(2012, 2, 29)),
    ],
)
def test_the_year_of_a_day_file_comes_from_the_day_it_is_read(name: str, run: date, expected: date) -> None:
    assert protocol.day_file_date(name, run) == expected


@pytest.mark.parametrize(
    ("month_day", "today", "expected"),
    [
        ("1231", date(2015, 1, 1), "20141231"),
        ("0101", date(2014, 12, 31), "20150101"),
        ("0308", date(2014, 3, 8), "20140308"),
        ("0229", date(2018, 1, 5), ParseError),
    ],
)
def test_the_year_of_a_bank_date_is_the_nearest(month_day: str, today: date, expected: object) -> None:
    if expected is ParseError:
        with pytest.raises(InvalidReply, match="no day"):
            full_date(month_day, today)
    else:
        assert full_date(month_day, today) == expected


def test_money_text_is_exact() -> None:
    assert [protocol.yuan(fen) for fen in (89900, -5, 0, 1)] == ["899.00", "-0.05", "0.00", "0.01"]
    assert [protocol.fen(text) for text in ("899", "899.5", " 899.05 ", "-0.01")] == [89900, 89950, 89905, -1]
    for wrong in ("1.234", "1e3", "", "１", "1,000.00", "NaN"):
        with pytest.raises(ParseError):
            protocol.fen(wrong)
    # what a driver makes of NUMERIC(12,2): integer, float, text
    assert [protocol.column_fen(value) for value in (899, 153.5, "33.98", 0.07)] == [89900, 15350, 3398, 7]


SALE = Sale(
    number=SaleNumber("20140308", "S001", "T901", "0000000017"),
    kind="SR",
    time="142501",
    reference="K" * 26,
    original=SaleNumber("20140307", "S001", "T901", "0000000016"),
    cashier="O2O",
    member="V880001",
    net=-145700,
    paid=-145700,
    change=0,
    items=(
        SaleItem(1, "K1", "K11403080001", "6901000000018", "J1001", Decimal(-1), 89900, 0, -15350, -74550, False),
        SaleItem(2, "K3", "", "6901000000216", "J3001", Decimal("-0.625"), 19900, -100, 0, -71150, True),
    ),
    tenders=(SaleTender(1, "CC", -100000, "112300000001"), SaleTender(2, "AP", -45700, "")),
    splits=(SaleSplit(1, 1, -74550), SaleSplit(2, 1, -25450), SaleSplit(2, 2, -45700)),
)


def test_a_sale_survives_the_round_trip_through_soap() -> None:
    body = protocol_sales.encode_call("postsalescreate", {"astr_request": protocol_sales.encode_sale(SALE)})
    operation, fields = protocol_sales.parse_call(body)
    assert operation == "postsalescreate"
    assert protocol_sales.parse_sale(fields["astr_request"]) == SALE


def test_zeep_writes_the_same_message_from_the_wsdl() -> None:
    """The WSDL and the server's reader agree on every field: nothing is dropped by either."""
    import zeep

    from plugins.department.sales_client import WSDL

    client = zeep.Client(str(WSDL))
    service = client.create_service("{http://tempurl.org}salesSoap", "http://127.0.0.1:1/sales.asmx")
    message = client.create_message(service, "postsalescreate", astr_request=protocol_sales.encode_sale(SALE))
    from lxml import etree

    _, fields = protocol_sales.parse_call(etree.tostring(message))
    assert protocol_sales.parse_sale(fields["astr_request"]) == SALE


def test_entities_and_depth_are_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aa">]><x>&a;</x>'
    with pytest.raises(ParseError):
        protocol_sales.parse_call(bomb)
    deep = protocol_sales.encode_call("getversion", {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": "1"}}}}}}}}})
    with pytest.raises(ParseError, match="deep"):
        protocol_sales.parse_call(deep)


def test_detail_lines_survive_the_round_trip_and_a_line_being_written_waits() -> None:
    row = DetailRow("20140308142501", "00", 17, 145700, "621700******1688", "030800000017", "", 1)
    line = protocol_detail.encode_detail(row)
    assert len(line) == protocol_detail.DETAIL_WIDTH + 2
    assert protocol_detail.parse_details(line + line[:30]) == [row]
    with pytest.raises(ParseError, match="line 1"):
        protocol_detail.parse_details(line[3:])


def test_a_frame_cut_off_in_the_stream_is_an_error() -> None:
    stream = io.BytesIO()
    protocol_bankall.write_frame(stream, b"abc")
    assert protocol_bankall.read_frame(io.BytesIO(stream.getvalue())) == b"abc"
    assert protocol_bankall.read_frame(io.BytesIO(b"")) is None
    with pytest.raises(ParseError):
        protocol_bankall.read_frame(io.BytesIO(stream.getvalue()[:-1]))
