"""Protects the wire of the restaurant system: GBK, exact money, the sold-out file, and that garbage is only refused."""

from __future__ import annotations

import contextlib
import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.restaurant import protocol
from plugins.restaurant.protocol import ParseError, SoldOutRow
from plugins.restaurant.protocol_bill import parse_bill, parse_dish, parse_left, parse_page

#: Text that GBK can hold: what the till's staff can type.
GBK_TEXT = st.text(st.characters(codec="gbk", exclude_categories=["Cs", "Cc"]), max_size=30)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


def test_a_form_travels_in_gbk() -> None:
    assert protocol.encode_form({"table": "A01", "waiter": "王芳"}) == b"table=A01&waiter=%CD%F5%B7%BC"
    assert protocol.decode_form(b"table=A01&waiter=%CD%F5%B7%BC") == {"table": "A01", "waiter": "王芳"}


def test_a_reply_is_gbk_whatever_its_header_says() -> None:
    body = b'{"code": 50003, "msg": "\xc7\xeb\xce\xf0\xd6\xd8\xb8\xb4\xbf\xaa\xcc\xa8", "data": {}}'
    reply = protocol.decode_reply(body)
    assert (reply.code, reply.msg) == (50003, "请勿重复开台")


def test_a_gbk_character_whose_second_byte_is_a_backslash_does_not_break_the_json() -> None:
    text = "誠"  # D5 5C in GBK: the second byte is an ASCII backslash
    assert text.encode("gbk")[1:] == b"\\"
    assert protocol.decode_reply(protocol.encode_reply(0, text)).msg == text


@given(st.dictionaries(GBK_TEXT.filter(bool), GBK_TEXT, max_size=6))
def test_forms_come_back_as_they_went(fields: dict[str, str]) -> None:
    assert protocol.decode_form(protocol.encode_form(fields)) == fields


@given(st.integers(0, 99999), GBK_TEXT)
def test_replies_come_back_as_they_went(code: int, msg: str) -> None:
    reply = protocol.decode_reply(protocol.encode_reply(code, msg, {"x": msg}))
    assert (reply.code, reply.msg, reply.data) == (code, msg, {"x": msg})


def test_a_form_refuses_text_that_the_till_cannot_hold() -> None:
    with pytest.raises(ParseError):
        protocol.encode_form({"memo": "🍜"})


@pytest.mark.parametrize(
    ("yuan", "fen"),
    [("268.00", 26800), (Decimal("0.35000000000000003"), 35), (Decimal("356.49999999999994"), 35650), (8, 800)],
)
def test_money_is_exact_in_spite_of_floats(yuan: Decimal | str | int, fen: int) -> None:
    assert protocol.fen_of(yuan) == fen


@given(st.integers(-protocol.MAX_FEN, protocol.MAX_FEN))
def test_money_survives_the_trip_to_yuan(fen: int) -> None:
    assert protocol.fen_of(protocol.yuan_of(fen)) == fen
    assert protocol.fen_of(Decimal(repr(fen * 0.01)) if abs(fen) < 10**9 else protocol.yuan_of(fen)) == fen


@given(st.integers(-999_999_000, 999_999_000))
def test_quantities_survive_the_trip_to_text(thousandths: int) -> None:
    assert protocol.thousandths_of(protocol.quantity_text(thousandths)) == thousandths


@pytest.mark.parametrize("value", [None, True, "", "1e9999", "NaN", "abc", [], Decimal("Infinity"), "9999999999999"])
def test_what_is_no_money_is_refused(value: object) -> None:
    with pytest.raises(ParseError):
        protocol.fen_of(value)


def test_a_memo_is_cut_at_32_bytes_and_never_inside_a_character() -> None:
    assert protocol.cut_memo("GW" + "A" * 40) == "GW" + "A" * 30
    assert protocol.cut_memo("A" * 31 + "汉") == "A" * 31


def test_a_token_request_is_signed_over_its_sorted_fields() -> None:
    # printf 'appKeyKbrandIdBtimestamp1394280000version1.0S' | sha256sum
    expected = "08ac0d346d78bccae3e328f80a4af9f37e40cddec5de6748a30a064f59d42058"
    assert protocol.sign_token_request("K", "B", 1394280000, "S") == expected


# ---- the sold-out file

ROW = SoldOutRow("SH01", "D0118", "松鼠桂鱼", 8000, "025341")
GOLDEN = b"SH01D0118   \xcb\xc9\xca\xf3\xb9\xf0\xd3\xe3               8.0025341\r\n\xba\xcf\xbc\xc6     1\r\n"


def test_the_sold_out_file_has_fixed_columns_in_bytes() -> None:
    assert protocol.encode_sold_out([ROW]) == GOLDEN
    assert protocol.parse_sold_out(GOLDEN) == [ROW]


def test_a_name_cut_inside_a_character_is_no_error() -> None:
    long = SoldOutRow("SH01", "D0001", "桂花糖藕桂花糖藕桂A藕", 0, "120000")
    content = protocol.encode_sold_out([long])
    assert protocol.parse_sold_out(content)[0].name == "桂花糖藕桂花糖藕桂A"


@pytest.mark.parametrize("keep", range(len(GOLDEN)))
def test_a_file_without_its_whole_trailer_is_still_being_written(keep: int) -> None:
    with pytest.raises(ParseError):
        protocol.parse_sold_out(GOLDEN[:keep])


def test_a_trailer_that_counts_other_rows_is_refused() -> None:
    with pytest.raises(ParseError, match="does not count 1 rows"):
        protocol.parse_sold_out(GOLDEN.replace(b"     1\r\n", b"     2\r\n"))


SOLD_OUT_ROWS = st.builds(
    SoldOutRow,
    shop=st.from_regex(r"[A-Z]{2}[0-9]{2}", fullmatch=True),
    dish=st.from_regex(r"[DP][0-9]{4}", fullmatch=True),
    name=st.text(st.sampled_from("鱼肉汤面饭AB"), max_size=6),
    left=st.integers(0, 9999).map(lambda tenths: tenths * 100),
    time=st.times().map(lambda moment: moment.strftime("%H%M%S")),
)


@given(st.lists(SOLD_OUT_ROWS, max_size=8))
def test_sold_out_files_come_back_as_they_went(rows: list[SoldOutRow]) -> None:
    assert protocol.parse_sold_out(protocol.encode_sold_out(rows)) == rows


# ---- garbage


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_garbage_is_only_refused(content: bytes) -> None:
    for parse in (protocol.decode_form, protocol.decode_reply, protocol.parse_sold_out):
        with contextlib.suppress(ParseError):
            parse(content)


@given(st.dictionaries(st.sampled_from(["code", "msg", "data"]), JSON_VALUES))
def test_json_of_the_wrong_shape_is_only_refused(document: dict[str, object]) -> None:
    with contextlib.suppress(ParseError):
        protocol.decode_reply(json.dumps(document).encode("ascii"))


FIELDS = ["bsId", "shopCode", "lines", "payways", "lastTotal", "state", "pageInfo", "list", "dishCode", "dishName"]


@given(st.dictionaries(st.sampled_from(FIELDS), JSON_VALUES))
def test_documents_of_the_wrong_shape_are_only_refused(document: dict[str, object]) -> None:
    content = json.loads(json.dumps(document), parse_float=Decimal)
    for parse in (parse_bill, parse_dish, parse_left, lambda value: parse_page(value, "list")):
        with contextlib.suppress(ParseError):
            parse(content)


def test_deeply_nested_json_is_refused() -> None:
    with pytest.raises(ParseError):
        protocol.decode_reply(b'{"code":0,"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
