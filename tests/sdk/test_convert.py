"""Values of old systems: what is read wrongly here is money, a day, or a name that is wrong in somebody's books."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import convert
from gateway.sdk.parsing import ParseError

CHINA = ZoneInfo("Asia/Shanghai")
TODAY = date(2026, 1, 1)


@pytest.mark.parametrize(
    ("text", "fen"),
    [
        ("268.00", 26800),
        ("268", 26800),
        (" 0.5\t", 50),
        ("1,268.50", 126850),
        ("￥３．００", 300),
        ("-0.05", -5),
        ("-¥3.00", -300),
        ("￥-3.00", -300),
        ("3.00-", -300),
        ("12元", 1200),
        ("0", 0),
    ],
)
def test_yuan_as_text(text: str, fen: int) -> None:
    assert convert.parse_yuan(text) == fen


@pytest.mark.parametrize(
    "text", ["", "-", ".5", "1.234", "1,26.00", "1 2", "0x1", "1e3", "NaN", "٣", "-3-", "--3", "9" * 40, "1.-5"]
)
def test_what_is_no_amount_is_refused(text: str) -> None:
    """A number that is guessed at is booked as money."""
    with pytest.raises(ParseError):
        convert.parse_yuan(text)


def test_a_lost_decimal_is_noticed_where_two_always_stand() -> None:
    with pytest.raises(ParseError, match="1 decimals"):
        convert.parse_yuan("26.8", places=(2,))
    assert convert.parse_yuan("5.0000", places=(4,)) == 500
    with pytest.raises(ParseError, match="finer"):
        convert.parse_yuan("5.0001", places=(4,))


@given(st.integers(-(10**12), 10**12), st.booleans())
def test_amounts_come_back_as_they_went(fen: int, trailing: bool) -> None:
    assert convert.parse_yuan(convert.format_yuan(fen, trailing_sign=trailing), places=(2,)) == fen
    assert convert.parse_implied(convert.format_implied(fen, 15)) == fen


def test_implied_decimals() -> None:
    """The settlement file's 12 columns: zero filled, the sign behind, blanks where nothing was sold."""
    assert convert.parse_implied(b"000000026800") == 26800
    assert convert.parse_implied(b"00000000050-") == -50
    assert convert.parse_implied(b"            ") == 0
    assert convert.parse_implied(b"-5", decimals=0) == -500
    assert convert.parse_implied(b"1230", decimals=3) == 123
    assert convert.format_implied(-50, 12) == b"00000000050-"
    for raw, decimals in ((b"12a", 2), (b"--1", 2), (b"1231", 3), (b"1 2", 2), ("１".encode(), 2)):
        with pytest.raises(ParseError):
            convert.parse_implied(raw, decimals=decimals)
    with pytest.raises(ParseError, match="does not fit"):
        convert.format_implied(-1000, 4)
    with pytest.raises(ParseError, match="amount is not digits"):
        convert.parse_digits(b"1x", "amount")


@pytest.mark.parametrize(
    ("value", "fen"), [(0.29, 29), (19.99, 1999), ("12.345", 1235), (Decimal("-0.005"), -1), (7, 700), (b"1.5", 150)]
)
def test_number_columns(value: object, fen: int) -> None:
    """0.29 * 100 is 28.999… in floats: a fen is lost on every such line."""
    assert convert.fen_of_column(value) == fen


@pytest.mark.parametrize("value", [None, True, "", "x", float("nan"), float("inf"), 10**20, b"\xff"])
def test_number_columns_that_hold_none(value: object) -> None:
    with pytest.raises(ParseError):
        convert.fen_of_column(value)
    assert convert.fen_of_column("268", unit="fen") == 268


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("20140308", date(2014, 3, 8)),
        ("2014-3-8", date(2014, 3, 8)),
        ("2014年3月8日", date(2014, 3, 8)),
        ("２０１４／０３／０８", date(2014, 3, 8)),
        ("140308", date(2014, 3, 8)),
        ("14-03-08", date(2014, 3, 8)),
        ("460101", date(2046, 1, 1)),
        ("470101", date(1947, 1, 1)),
        ("1231", date(2025, 12, 31)),
        ("0101", date(2026, 1, 1)),
        ("0229", date(2024, 2, 29)),
    ],
)
def test_dates(text: str, day: date) -> None:
    """Without a year it is the last such day: the file of 31 December that is read on 1 January is last year's."""
    assert convert.parse_date(text, today=TODAY) == day


def test_dates_of_the_republic() -> None:
    assert convert.parse_date("1030308", roc=True) == date(2014, 3, 8)
    assert convert.parse_date("103/3/8", roc=True) == date(2014, 3, 8)
    assert convert.parse_date("991231", roc=True) == date(2010, 12, 31)


@pytest.mark.parametrize("text", ["", "2014-13-01", "20140230", "0230", "201438", "2014-3", "14o308", "20140308 "[:7]])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        convert.parse_date(text, today=TODAY)


def test_a_date_without_year_needs_a_day_to_complete_it_from() -> None:
    for text in ("0308", "140308"):
        with pytest.raises(ParseError, match="no date to complete it"):
            convert.parse_date(text)


def test_times() -> None:
    """``95:03`` or five digits come from a till that does not fill with zeros: nobody knows the hour."""
    assert convert.parse_time("23:30:00") == time(23, 30)
    assert convert.parse_time("９：０５") == time(9, 5)
    assert convert.parse_time("090503") == time(9, 5, 3)
    assert convert.parse_time("23:59:59.997") == time(23, 59, 59)
    for text in ("90503", "24:00", "953", "", "12:60"):
        with pytest.raises(ParseError):
            convert.parse_time(text)


def test_the_business_day_ends_in_the_night() -> None:
    """A bill of Sunday 02:00 is Saturday's, in the shop's own time, wherever this machine stands."""
    ends = time(6)
    assert convert.business_date(datetime(2026, 11, 21, 18, 0, tzinfo=UTC), ends, CHINA) == date(2026, 11, 21)
    assert convert.business_date(datetime(2026, 11, 21, 21, 59, 59, tzinfo=UTC), ends, CHINA) == date(2026, 11, 21)
    assert convert.business_date(datetime(2026, 11, 21, 22, 0, tzinfo=UTC), ends, CHINA) == date(2026, 11, 22)
    with pytest.raises(ValueError, match="zone"):
        convert.business_date(datetime(2026, 11, 21), ends, CHINA)


def test_the_shops_clock_becomes_a_moment() -> None:
    moment = convert.local(date(2014, 3, 8), time(23, 52), CHINA, skew=timedelta(minutes=-8))
    assert moment == datetime(2014, 3, 8, 16, 0, tzinfo=UTC)
    assert convert.format_compact(moment, CHINA) == "20140309000000"


@given(st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1)).map(lambda at: at.replace(microsecond=0)))
def test_serial_dates_come_back(moment: datetime) -> None:
    """Also by way of a float, which is what a spreadsheet hands over."""
    assert convert.from_serial(convert.to_serial(moment)) == moment
    assert convert.from_serial(float(convert.to_serial(moment))) == moment


def test_serial_dates() -> None:
    assert convert.from_serial(45000) == datetime(2023, 3, 15)
    assert convert.from_serial("41706.979166666664") == datetime(2014, 3, 8, 23, 30)
    for value in ("", "x", -1, 10**9, float("nan"), None):
        with pytest.raises(ParseError):
            convert.from_serial(value)


def test_a_field_cut_through_a_character() -> None:
    """Ten bytes of 海底捞火锅店: the sixth character's first half must not become a question mark, nor an error."""
    raw = "海底捞A火锅店".encode("gb18030")[:10]
    assert convert.decode_cut(raw) == "海底捞A火"
    assert convert.decode_cut(b"\xba\xa3   \0") == "海"
    with pytest.raises(ParseError):
        convert.decode_cut(b"\xff\xffabcdef")
    with pytest.raises(ParseError, match="at byte 2"):
        convert.decode_text("海".encode("gb18030") + b"\xff")


@given(st.text(st.characters(codec="gb18030"), max_size=20), st.integers(0, 30))
def test_what_is_cut_to_bytes_fits_and_is_the_longest_that_does(text: str, width: int) -> None:
    kept = convert.cut_bytes(text, width)
    assert text.startswith(kept)
    assert len(kept.encode("gb18030")) <= width
    rest = text[: len(kept) + 1]
    assert rest == kept or len(rest.encode("gb18030")) > width
    assert len(convert.pad_bytes(kept, width)) == width


def test_a_character_the_till_cannot_hold_is_no_question_mark() -> None:
    assert convert.encode_text("㐀") == b"\x819\xee9"
    for text, charset in (("😀", "gbk"), ("简", "big5"), ("a", "no-such")):
        with pytest.raises(ParseError):
            convert.encode_text(text, "name", charset)
    assert not convert.fits("中文", 3)
    assert convert.decode_text("中".encode("big5"), encoding="big5") == "中"
    with pytest.raises(ParseError, match="more than 3"):
        convert.pad_bytes("中文", 3)


def test_forms_of_letters() -> None:
    assert convert.narrow("Ａ－１２　：￥") == "A-12 :¥"
    assert convert.wide("A-12 :") == "Ａ－１２　："
    assert convert.mend_mojibake("中文".encode("gbk").decode("latin-1")) == "中文"
    assert convert.mend_mojibake("中文") == "中文"
    assert convert.trim("A1  ") == "A1"
    assert convert.trim(None) == ""


def test_labels_of_scales() -> None:
    assert convert.parse_label("2106013040083") == convert.Label("06013", 4008, None)
    assert convert.parse_label("2201234007508") == convert.Label("01234", None, 750)
    assert convert.parse_label("261234501580006258") == convert.Label("12345", 1580, 625)
    for text in ("2106013040084", "29", "x", ""):
        with pytest.raises(ParseError):
            convert.parse_label(text)


def test_a_day_that_ends_in_the_evening_has_the_date_of_most_of_it() -> None:
    """A bank's day from 23:00 to 23:00: half an hour before midnight belongs to the next date."""
    noon, late = datetime(2026, 3, 8, 12, tzinfo=CHINA), datetime(2026, 3, 8, 23, 30, tzinfo=CHINA)
    assert convert.business_date(noon, time(23), CHINA) == date(2026, 3, 8)
    assert convert.business_date(late, time(23), CHINA) == date(2026, 3, 9)
    assert convert.business_date(late + timedelta(hours=1), time(23), CHINA) == date(2026, 3, 9)
