"""The KTV till's wire: golden frames, what half a character does to separators, and garbage that must not surprise."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.ktv import protocol as p
from plugins.ktv import replies
from plugins.ktv.price_list import parse_price_list

FIELD = st.text(st.characters(codec="gbk", exclude_categories=("Cc", "Cs")), max_size=12).filter(
    lambda text: not set(text.encode("gbk")) & {p.PIPE, p.CARET}
)


def reply(text: str | bytes, command: str = "RS") -> p.Reply:
    raw = text if isinstance(text, bytes) else text.encode("gbk")
    return p.parse_reply(f"{command}|7|0|".encode() + raw)


def test_a_request_is_counted_in_bytes_and_not_in_characters():
    assert p.encode_request("RS", 7, ["*"]) == b"0006RS|7|*"
    assert p.encode_request("BK", 8, ["801", "星海"]) == b"0013BK|8|801|" + "星海".encode("gbk")


def test_a_field_the_till_would_tear_apart_is_refused():
    for field in ("a|b", "a^b", "a\nb", "\x00"):
        with pytest.raises(p.ParseError):
            p.encode_request("PY", 1, [field])


def test_a_character_whose_second_byte_is_the_separator_is_refused_in_requests_and_left_out_of_safe_text():
    char = b"\x83|".decode("gbk")  # a real character: 0x83 0x7C
    with pytest.raises(p.ParseError):
        p.encode_request("BK", 1, [char])
    assert p.cut_text(f"甲{char}乙", 10) == "甲乙"


def test_safe_text_is_cut_between_characters():
    assert p.cut_text("8楼银河大包", 10) == "8楼银河大"
    assert p.cut_text("a|b^c\n😀d", 10) == "abcd"


@given(st.lists(st.integers(1, 9)), st.lists(FIELD, max_size=6), st.integers(1, 999_999_999))
@settings(max_examples=150)
def test_frames_survive_however_the_network_splits_them(splits, fields, seq):
    stream = p.encode_request("DK", seq, fields) * 2
    reader, bodies, at = p.FrameReader(), [], 0
    for size in [*splits, len(stream)]:
        reader.feed(stream[at : at + size])
        at += size
        while (body := reader.take()) is not None:
            bodies.append(p.parse_request(body))
    assert bodies == [p.Request("DK", seq, tuple(fields))] * 2
    assert reader.pending == 0


@given(FIELD, st.lists(FIELD, min_size=1, max_size=5))
@settings(max_examples=150)
def test_fields_are_counted_from_the_right_because_text_may_hold_a_pipe(text, fields):
    got = reply(f"成功|{text}|" + "|".join(fields)).read(lambda rows: rows[0], len(fields))
    assert got == fields


def test_a_name_cut_in_the_middle_of_a_character_does_not_swallow_the_separator_after_it():
    cut = "8楼银河大包".encode("gbk")[:10]
    assert cut.decode("gbk", "ignore") + "包" == "8楼银河大包", "the cut goes through the last character"
    row = b"812|" + cut + b"|L|0|||||0|0.00|0.00"
    (room,) = replies.read_rooms(reply(b"ok|" + row))
    assert (room.room, room.name, room.room_class, room.state) == ("812", "8楼银河大", "L", p.IDLE)


def test_half_a_character_anywhere_else_is_read_byte_by_byte():
    lone = "的".encode("gbk")[:1]
    got = reply("成功".encode("gbk") + lone + b"|K1403080017", "OP")
    assert replies.read_number(got) == "K1403080017"


def test_a_real_character_with_the_separator_as_second_byte_stays_whole():
    body = b"\x83|x|1"  # one character, then two fields
    assert p.split_rows(body) == [[b"\x83|x", b"1"]]


def test_rows_of_rooms_and_an_area_without_rooms():
    rows = (
        "成功|801|星光801|S|2|K1403080017||14-03-08 23:30:00|14-03-09 02:30:00|4|0.00|128.00"
        "^802|星光802|S|1||Y140308017|||0|0.00|0.00"
    )
    first, second = replies.read_rooms(reply(rows))
    assert first.bill == "K1403080017" and first.spent == 12800 and first.guests == 4
    assert first.opened == datetime(2014, 3, 8, 23, 30, tzinfo=p.LOCAL)
    assert second.state == p.BOOKED and second.booking == "Y140308017" and second.opened is None
    assert replies.read_rooms(reply("成功|3号打印机缺纸|")) == []


def test_prices_have_slots_of_three_fields_and_packages_of_four():
    slots, packages = replies.read_prices(reply("成功|缺纸|1300-1800|48.00|H^TC03|通宵欢唱|268.00|180", "PL"))
    assert slots == [replies.PriceSlot(780, 1080, 4800)]
    assert packages == [replies.Package("TC03", "通宵欢唱", 26800, 180)]


@pytest.mark.parametrize(("text", "fen"), [("268.00", 26800), ("0.05", 5), ("-48.50", -4850), ("7.00", 700)])
def test_money_is_read_exactly(text, fen):
    assert p.parse_money(text) == fen


@given(st.integers(-(10**12), 10**12))
def test_money_round_trip(fen):
    assert p.parse_money(p.format_money(fen)) == fen


@pytest.mark.parametrize("text", ["", "1e3", "12.345", "12.3", "12", "１２.00", "nan", "1,000.00", "--1", "9" * 13])
def test_what_is_not_money_is_refused(text):
    with pytest.raises(p.ParseError):
        p.parse_money(text)


@pytest.mark.parametrize("text", ["2014-03-08 23:30:00", "14-13-08 23:30:00", "14-3-8 1:2:3", ""])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(p.ParseError):
        p.parse_time(text)


def test_times_round_trip_over_midnight_and_leap_days():
    for text in ("14-03-08 23:59:59", "16-02-29 00:00:00", "99-12-31 06:00:00"):
        assert p.format_time(p.parse_time(text)) == text


READERS = [
    replies.read_rooms,
    replies.read_prices,
    replies.read_bill,
    replies.read_member,
    replies.read_change,
    replies.read_number,
    replies.read_refund,
]


@given(st.binary(max_size=200))
@settings(max_examples=400)
def test_garbage_raises_only_parse_error(raw):
    reader = p.FrameReader()
    reader.feed(raw)
    for act in (reader.take, lambda: p.parse_request(raw), lambda: p.parse_reply(raw)):
        try:
            act()
        except p.ParseError:
            continue
    for read in READERS:
        try:
            read(p.parse_reply(b"BL|1|0|" + raw))
        except p.ParseError:
            continue


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_a_garbled_price_list_raises_only_parse_error(raw):
    for data in (raw, "编码,名称,单价,不计低消\r\n".encode("gbk") + raw):
        try:
            parse_price_list(data)
        except p.ParseError:
            continue


PLAUSIBLE = st.lists(
    st.sampled_from(["|", "^", "K1403080017", "12.00", "是", "否", "14-03-08 23:30:00", "L", "P", "H", "1", "", "月"]),
    max_size=60,
)


@given(PLAUSIBLE)
@settings(max_examples=400)
def test_almost_right_replies_raise_only_parse_error(parts):
    for read in READERS:
        try:
            read(p.parse_reply(b"BL|1|0|" + "".join(parts).encode("gbk")))
        except p.ParseError:
            continue
