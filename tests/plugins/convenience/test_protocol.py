"""The wire of 便民365: what its values and files look like, and that garbage only ever raises ParseError."""

from __future__ import annotations

import contextlib
from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.convenience import protocol
from plugins.convenience.files import (
    Accepted,
    OrderFile,
    OrderLine,
    OrderTender,
    PluRow,
    Refused,
    ScaleRow,
    encode_plu,
    encode_scale,
    parse_answer,
    parse_plu,
    parse_scale,
)
from plugins.convenience.labels import DEFAULT_RULES, Label, LabelRule, encode_label, is_scale_label, parse_label
from plugins.convenience.protocol import SHOP_ZONE, FlowNo, ParseError, check_digit, pad, unpad

KEY = "01K7TESTCONVENIENCE0000001"
FUZZ = settings(max_examples=150, deadline=None)


# --- values of the tables --------------------------------------------------------------------------------------------


def test_char_columns_count_bytes_and_never_split_a_character() -> None:
    assert pad("肉包", 6) == "肉包  "
    assert pad("关东煮萝卜", 9) == "关东煮萝 "
    assert unpad("0101  ") == "0101"
    assert unpad(None) == ""


@pytest.mark.parametrize(
    ("value", "fen"), [("3.5000", 350), (3.5, 350), (3, 300), ("0.8333", 83), ("19.355", 1936), ("-1.0000", -100)]
)
def test_yuan_are_never_cut_to_whole_yuan(value: object, fen: int) -> None:
    """The uploader this profile was learnt from cast yuan to int: 3.50 became 3."""
    assert protocol.yuan_to_fen(protocol.decode_numeric(value)) == fen


def test_times_keep_their_zeros() -> None:
    """The same uploader built times without padding: 9:05:03 became 953."""
    early = datetime(2014, 3, 8, 9, 5, 3, tzinfo=SHOP_ZONE)
    assert protocol.encode_datetime(early) == "2014-03-08 09:05:03"
    assert protocol.encode_stamp(early) == "20140308090503"
    assert protocol.decode_stamp("20140308090503") == early
    assert protocol.decode_datetime("2014-03-08 09:05:03.000") == early
    with pytest.raises(ParseError):
        protocol.decode_stamp("20140308953")


def test_bill_numbers_are_branch_till_day_and_sequence() -> None:
    flow_no = FlowNo.parse("0101021403080007  ")
    assert flow_no == FlowNo("0101", "02", date(2014, 3, 8), 7)
    assert str(flow_no) == "0101021403080007"
    for wrong in ("", "010102140308007", "0101021413080007", "01010214030８0007", None, 5):
        with pytest.raises(ParseError):
            FlowNo.parse(wrong)


def test_quantities_beyond_three_places_are_refused() -> None:
    assert protocol.decode_quantity("0.7500") == Decimal("0.750")
    with pytest.raises(ParseError):
        protocol.decode_quantity("0.7505")


@FUZZ
@given(st.one_of(st.text(max_size=30), st.floats(), st.integers(), st.none(), st.binary(max_size=9), st.booleans()))
def test_any_column_value_decodes_or_raises_parse_error(value: object) -> None:
    for decode in (protocol.decode_numeric, protocol.decode_quantity, protocol.decode_datetime, FlowNo.parse, unpad):
        with contextlib.suppress(ParseError):
            decode(value)


# --- labels ----------------------------------------------------------------------------------------------


def test_the_three_layouts_of_labels() -> None:
    assert parse_label("2106013040083") == Label("06013", 4008, None)
    assert parse_label("2201234007508") == Label("01234", None, 750)
    assert parse_label("261234501580006258") == Label("12345", 1580, 625)


def test_a_wrong_check_digit_and_an_unclaimed_prefix_are_refused() -> None:
    for wrong in ("2106013040084", "2306013040083", "6901234567892", "21060130400", "", "二一", "9" * 400):
        with pytest.raises(ParseError):
            parse_label(wrong)


def test_what_a_prefix_means_is_the_shops_choice() -> None:
    """A shop that prints weights under 21 must not be read as if they were amounts."""
    weights = (LabelRule("21", 13, weight=5),)
    assert parse_label("2106013040083", weights) == Label("06013", None, 4008)
    assert not is_scale_label("2201234007508", weights)


def test_a_rule_whose_digits_do_not_add_up_is_refused() -> None:
    for rule in (
        {"prefix": "21", "length": 13},
        {"prefix": "x", "length": 13},
        {"prefix": "21", "length": 3, "plu": 0},
    ):
        with pytest.raises(ValueError, match=r"digits|PLU"):
            LabelRule(**rule)  # type: ignore[arg-type]


@FUZZ
@given(st.integers(0, 99999), st.integers(0, 99999), st.integers(0, 99999), st.sampled_from(DEFAULT_RULES))
def test_labels_round_trip(plu: int, amount: int, grams: int, rule: LabelRule) -> None:
    label = Label(f"{plu:05d}", amount if rule.amount else None, grams if rule.weight else None)
    assert parse_label(encode_label(label, rule)) == label


@FUZZ
@given(st.text(alphabet="0123456789", min_size=1, max_size=20))
def test_one_wrong_digit_never_passes_the_check(digits: str) -> None:
    code = digits + str(check_digit(digits))
    wrong = code[:-1] + str((int(code[-1]) + 1) % 10)
    assert check_digit(wrong[:-1]) != int(wrong[-1])


# --- files -----------------------------------------------------------------------------------------------

ORDER = OrderFile(
    reference=KEY,
    branch="0101",
    kind="A",
    created=datetime(2014, 3, 8, 9, 5, 3, tzinfo=SHOP_ZONE),
    lines=(OrderLine("980001", Decimal("2.000"), Decimal("3.0000"), 600),),
    tenders=(OrderTender("ZFB", 600, "2014030822001"),),
    card="8800000001",
)


def test_an_order_file_is_what_the_till_reads() -> None:
    assert ORDER.encode() == (
        f"H\t{KEY}\t0101\tA\t20140308090503\t8800000001\t\r\n"
        "L\t1\t980001\t2.000\t3.0000\t6.00\t\r\n"
        "P\t1\tZFB\t6.00\t2014030822001\r\n"
        "E\t1\t1\t6.00\r\n"
    ).encode("gbk")


texts = st.text(alphabet=st.characters(codec="gbk", exclude_characters="\t\r\n\x00"), max_size=12)
lines = st.builds(
    OrderLine,
    texts.filter(bool),
    st.integers(1, 10**6).map(lambda n: Decimal(n) / 1000),
    st.integers(0, 10**8).map(lambda n: Decimal(n) / 10000),
    st.integers(0, 10**8),
    texts,
)
tenders = st.builds(OrderTender, st.sampled_from(["RMB", "ZFB", "WX", "COU"]), st.integers(0, 10**8), texts)
times = st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31)).map(
    lambda at: at.replace(microsecond=0, tzinfo=SHOP_ZONE)
)


@FUZZ
@given(st.lists(lines, max_size=4), st.lists(tenders, max_size=4), times, texts, texts)
def test_order_files_round_trip(some: list[OrderLine], paid: list[OrderTender], at: datetime, a: str, b: str) -> None:
    order = OrderFile(KEY, "0101", "B", at, tuple(some), tuple(paid), a, b)
    assert OrderFile.parse(order.encode()) == order


def test_a_half_written_order_file_is_never_taken_for_a_whole_one() -> None:
    whole = ORDER.encode()
    for length in range(len(whole)):
        with pytest.raises(ParseError):
            OrderFile.parse(whole[:length])


def test_a_field_that_would_break_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="tab"):
        OrderFile(KEY, "0101", "A", ORDER.created, (), (OrderTender("ZFB", 1, "a\tb"),)).encode()


def test_answers_round_trip_and_a_wrong_check_digit_is_refused() -> None:
    ok = Accepted(KEY, FlowNo("0101", "01", date(2014, 3, 8), 7), 1200)
    assert parse_answer(ok.encode()) == ok
    assert parse_answer(Refused(KEY, "21").encode()) == Refused(KEY, "21", "商品不存在")
    wrong = ok.encode().replace(b"0007\t", b"0008\t")
    with pytest.raises(ParseError, match="check digit"):
        parse_answer(wrong)


def test_price_and_scale_files_round_trip_and_cut_ones_are_refused() -> None:
    rows = [
        PluRow("980001", "", "鲜肉包", Decimal("3.0000"), "个"),
        PluRow("050001", "", "酱牛肉", Decimal("100.2"), "千克", True),
    ]
    assert parse_plu(encode_plu(rows)) == rows
    scale = [ScaleRow("06013", 10020, "050001", "酱牛肉"), ScaleRow("01234", 2580, "050002", "红心火龙果")]
    assert parse_scale(encode_scale(scale)) == scale
    for cut in (encode_plu(rows)[:-5], encode_plu(rows)[:-1]):
        with pytest.raises(ParseError):
            parse_plu(cut)
    with pytest.raises(ParseError):
        parse_scale(encode_scale(scale)[:-3])


def test_a_price_file_that_a_power_cut_left_full_of_zeros_is_no_price_list() -> None:
    """A barcode with a NUL in it is in no till: what is sold under it would not be found."""
    with pytest.raises(ParseError, match="line 1"):
        parse_plu(b"A001\t69\x00\tbun\t1.5000\tpc\t0\r\n")


@FUZZ
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=120).map(lambda raw: raw + b"\r\n")))
def test_garbage_files_only_raise_parse_error(data: bytes) -> None:
    for parse in (OrderFile.parse, parse_answer, parse_plu, parse_scale):
        with contextlib.suppress(ParseError):
            parse(data)


@FUZZ
@given(st.data())
def test_a_damaged_order_file_only_raises_parse_error(data: st.DataObject) -> None:
    whole = bytearray(ORDER.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ParseError):
        OrderFile.parse(bytes(whole))


def test_the_zone_is_the_shops() -> None:
    assert SHOP_ZONE.utcoffset(None) == timedelta(hours=8)
