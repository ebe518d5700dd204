"""Files and messages of old systems: bytes first, characters after; half of anything is refused by its line."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk import NotSent
from gateway.sdk.formats.fixed import DIGITS, FEN, RAW, TEXT, YUAN, Column, Layout
from gateway.sdk.formats.iso8583 import CHINA_POS, CardData, Iso8583, mask_pan
from gateway.sdk.formats.separated import Separated
from gateway.sdk.parsing import ParseError
from gateway.sdk.signers import mac

DAY = Layout((Column("counter", 6), Column("name", 10, TEXT), Column("lines", 4, DIGITS), Column("net", 12, FEN)))
TRAILER = "合计".encode("gbk")


def test_columns_are_bytes_and_names_may_be_cut_in_a_character() -> None:
    raw = b"K1    " + "银座百货商场".encode("gbk")[:9] + b" " + b"0003" + b"00000000050-"
    assert DAY.parse(raw + b"\r\n") == [{"counter": "K1", "name": "银座百货", "lines": 3, "net": -50}]
    row = {"counter": "K1", "name": "银座百货", "lines": 3, "net": -50}
    assert DAY.parse(DAY.build([row], trailer=TRAILER), trailer=TRAILER) == [row]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"K1", "line 1 is torn"),
        (b"K1\r\n", "line 1 is 2 bytes, not 32"),
        (b"K1".ljust(16) + b"000x" + b"0" * 12 + b"\r\n", "line 1, lines"),
        (b"K1    " + b"\xff" * 10 + b"0003" + b"0" * 12 + b"\r\n", "line 1, name"),
    ],
)
def test_fixed_width_that_is_wrong_names_its_place(data: bytes, why: str) -> None:
    with pytest.raises(ParseError, match=why):
        DAY.parse(data)


def test_a_file_without_its_trailer_is_not_read() -> None:
    with pytest.raises(ParseError, match="may still be written"):
        DAY.parse(DAY.build([]), trailer=TRAILER)
    with pytest.raises(ParseError, match="name"):
        DAY.build([{"counter": "K1", "name": "银座百货商场", "lines": 1, "net": 0}])
    with pytest.raises(ParseError, match="lines"):
        DAY.build([{"counter": "K1", "name": "", "lines": -1, "net": 0}])


def test_records_that_follow_one_another() -> None:
    layout = Layout((Column("no", 2, RAW), Column("price", 8, YUAN)), line_end=b"")
    assert layout.parse(b"01  268.0002   -3.50") == [{"no": b"01", "price": 26800}, {"no": b"02", "price": -350}]
    with pytest.raises(ParseError, match="line 2 is 3 bytes"):
        layout.parse(b"01  268.0002 ")


ROWS = st.lists(
    st.fixed_dictionaries({
        "counter": st.text("ABC019", max_size=6),
        "name": st.text("银座百货a", max_size=5),
        "lines": st.integers(0, 9999),
        "net": st.integers(-(10**11) + 1, 10**12 - 1),
    }),
    max_size=4,
)  # fmt: skip


@given(ROWS)
def test_fixed_width_comes_back(rows: list[dict[str, object]]) -> None:
    assert DAY.parse(DAY.build(rows)) == rows


WECHAT_BILL = (
    "﻿交易时间,商户订单号,应结订单金额\r\n`2014-03-08 23：30：00,`k1,`268.00\r\n`2014-03-09,`k2,`-1.00\r\n"
    "总交易单数,应结订单总金额\r\n`2,`267.00\r\n"
)
ALIPAY_BILL = (
    '#支付宝业务明细\r\n#账号：[2088]\r\n支付宝交易号,商品名称,订单金额\r\n2014\t,"茶,大 ", 1.00 \r\n#合计\r\n'
)


def test_bills_of_payment_channels() -> None:
    bill = Separated(encoding="utf-8", summary="总交易单数", quoted=False)
    rows = bill.parse(WECHAT_BILL.encode(), needed=["商户订单号"])
    assert [row["应结订单金额"] for row in rows] == ["268.00", "-1.00"]
    rows = Separated(comment="#").parse(ALIPAY_BILL.encode("gbk"))
    assert rows == [{"支付宝交易号": "2014", "商品名称": "茶,大", "订单金额": "1.00"}]
    with pytest.raises(ParseError, match="no column 手续费"):
        bill.parse(WECHAT_BILL.encode(), needed=["手续费"])


@pytest.mark.parametrize(
    ("layout", "data", "why"),
    [
        (Separated(), b"a,b\r\n1,2", "line 2 is torn"),
        (Separated(), b"a,b\r\n1\r\n", "line 2 has 1 values, not 2"),
        (Separated(), b"a,a\r\n", "line 1: a column"),
        (Separated(), b'a,b\r\n"1,2\r\n', "line"),
        (Separated(summary="总"), b"a\r\n1\r\n", "may still be written"),
        (Separated(), b"a\r\n" + "茶".encode("gbk")[:1] + b"\r\n", "line 2: not gb18030 at byte 0"),
        (Separated(separator="|", columns=["a", "b"], quoted=False), b"\xba|1\r\n", "line 1 has 1 values"),
    ],
)
def test_separated_values_that_are_wrong_name_their_line(layout: Separated, data: bytes, why: str) -> None:
    with pytest.raises(ParseError, match=why):
        layout.parse(data)


@given(st.lists(st.tuples(st.text("茶,\"a'|", max_size=5), st.text("1.0", max_size=5)), max_size=4), st.booleans())
def test_separated_values_come_back(values: list[tuple[str, str]], quoted: bool) -> None:
    layout = Separated(quoted=quoted)
    rows = [{"a": first, "b": f"{second}x"} for first, second in values]
    try:
        data = layout.build(rows, ["a", "b"])
    except ParseError:
        assert not quoted
        return
    assert layout.parse(data) == rows


def test_values_that_a_file_cannot_hold() -> None:
    for value in ("a\nb", " a", "`a"):
        with pytest.raises(ParseError):
            Separated().build([{"a": value}], ["a"])


# ------------------------------------------------------------------ DBF


def table(tmp_path: Path) -> Path:
    """A table that the library ``dbf`` wrote, as a DOS till does: cp936, a name cut in a character, a deleted row."""
    dbf = pytest.importorskip("dbf")
    path = tmp_path / "sale.dbf"
    made = dbf.Table(str(path), "item_no C(6); name C(10); price N(12,2); qty N(5,0); on D; gift L", codepage="cp936")
    made.open(mode=dbf.READ_WRITE)
    with made:
        for number, name in enumerate(("茶", "海底捞火锅", "删除")):
            made.append((f"{number}", name, Decimal("0.29"), number, datetime.date(2014, 3, 8), number == 1))
        dbf.delete(made[2])
    made.close()
    return path


def test_dbf_by_another_library(tmp_path: Path) -> None:
    from gateway.sdk.formats.dbf import read_dbf

    path = table(tmp_path)
    rows = read_dbf(path)
    assert [row["name"] for row in rows] == ["茶", "海底捞火锅"]
    assert rows[0]["price"] == Decimal("0.29")
    assert (rows[1]["on"], rows[1]["gift"], rows[1]["qty"]) == (datetime.date(2014, 3, 8), True, 1)
    raw = path.read_bytes().replace("海底捞火锅".encode("gbk"), "a海底捞火锅".encode("gbk")[:10])
    path.write_bytes(raw.replace(b"        0.29", b"************", 1))
    rows = read_dbf(path)
    assert (rows[1]["name"], rows[0]["price"]) == ("a海底捞火", None)
    for cut in (2, 3, 30, len(raw) - 40):
        path.write_bytes(raw[:-cut])
        with pytest.raises(ParseError):
            read_dbf(path)
    path.write_bytes(raw[:10] + b"\0\0" + raw[12:].replace(b" ", b"*"))  # records of no bytes hold dbfread for ever
    with pytest.raises(ParseError, match="add up"):
        read_dbf(path)
    path.write_bytes(b"not a table")
    with pytest.raises(ParseError):
        read_dbf(path)
    with pytest.raises(NotSent):
        read_dbf(tmp_path / "none.dbf")


def test_dbf_both_ways(tmp_path: Path) -> None:
    pytest.importorskip("dbf")
    from gateway.sdk.formats.dbf import read_dbf, write_dbf

    rows = [{"item_no": "1", "name": "茶", "price": Decimal("-3.50")}]
    write_dbf(tmp_path / "plu.dbf", "item_no C(6); name C(10); price N(12,2)", rows)
    assert read_dbf(tmp_path / "plu.dbf") == rows
    with pytest.raises(ParseError):
        write_dbf(tmp_path / "plu.dbf", "item_no C(2)", [{"item_no": "123"}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plu.dbf"]


# ------------------------------------------------------------------ ISO 8583

TPDU, HEADER = bytes.fromhex("6000060000"), bytes.fromhex("603100000000")
SALE = {
    "t": "0200",
    "3": "000000",
    "4": "000000026800",
    "11": "000017",
    "22": "051",
    "25": "00",
    "41": "10000001",
    "42": "898310058120001",
    "49": "156",
    "55": "9F2608AABBCCDDEEFF0011",
    "60": "22000001000",
}


@pytest.fixture
def host() -> Iso8583:
    pytest.importorskip("iso8583")
    return Iso8583(CHINA_POS, tpdu=TPDU, header=HEADER)


def test_a_sale_byte_by_byte(host: Iso8583) -> None:
    """Written out by hand: bitmap, packed lengths, an odd number of digits filled at the right end."""
    expected = (
        "6000060000" "603100000000" "0200" "3020048000C08210"
        "000000" "000000026800" "000017" "0510" "00"
    )  # fmt: skip
    raw = host.encode(SALE)
    assert raw.hex().upper().startswith(expected)
    assert raw.endswith(b"156" + bytes.fromhex("00119F2608AABBCCDDEEFF00110011220000010000"))
    assert host.decode(raw) == SALE


def test_card_data_never_goes_through(host: Iso8583) -> None:
    """A card number in the gateway's journal would make the whole shop a subject of the card schemes' audits."""
    clear = {"2": "6222021234567890128", "35": "6222021234567890128D1512", "52": "0123456789ABCDEF"}
    for name, value in clear.items():
        with pytest.raises(CardData) as caught:
            host.encode({**SALE, name: value})
        assert value not in str(caught.value)
    spec = {**CHINA_POS}
    masked = host.decode(host.encode({**SALE, "2": "622202*********0128", "35": "*" * 20, "52": "*" * 16}))
    assert (masked["2"], masked["35"], masked["52"]) == ("622202*********0128", "*" * 20, "*" * 16)
    iso8583 = pytest.importorskip("iso8583")
    raw, _ = iso8583.encode({"h": "", "t": "0210", **clear, "35": "62220212345678901281"}, spec)
    found = host.decode(TPDU + HEADER + bytes(raw))
    assert found == {"t": "0210", "2": "622202*********0128", "35": "*" * 20, "52": "*" * 16}
    assert mask_pan("12345678") == "********"


def test_an_answer_is_matched_by_type_trace_and_terminal(host: Iso8583) -> None:
    """The late 0210 of the sale before must not settle this one."""
    matches = host.answers(SALE)
    reply = {"t": "0210", "11": "000017", "39": "00", "41": "10000001"}
    assert matches(host.encode(reply))
    for other in ({"t": "0410"}, {"11": "000016"}, {"41": "10000002"}):
        assert not matches(host.encode({**reply, **other}))
    assert not matches(b"\0")


def test_messages_with_a_mac(host: Iso8583) -> None:
    key = bytes(range(16))

    def code(message: bytes) -> bytes:
        return mac.ecb(key, message)

    raw = host.sign(SALE, code)
    assert host.check(raw, code)["4"] == "000000026800"
    with pytest.raises(ParseError, match="MAC"):
        host.check(raw.replace(b"10000001", b"10000002"), code)
    with pytest.raises(ParseError, match="MAC"):
        host.check(host.encode(SALE), code)


@pytest.mark.parametrize(
    "fields",
    [
        {"t": "0200", "127": "x"},
        {"t": "0200", "4": "1"},
        {"4": "000000000001"},
        {"t": "0200", "3": "abcxyz"},
        {"t": "0200", "h": "1"},
    ],
)
def test_messages_that_cannot_be_written(host: Iso8583, fields: dict[str, str]) -> None:
    with pytest.raises(ParseError):
        host.encode(fields)


def test_every_byte_that_is_missing_is_noticed(host: Iso8583) -> None:
    raw = host.encode(SALE)
    for end in range(len(raw)):
        with pytest.raises(ParseError):
            host.decode(raw[:end])
    with pytest.raises(ParseError):
        host.decode(raw + b"\0")
