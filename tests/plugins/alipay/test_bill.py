"""The daily bill: what Alipay writes is read back whole, and a file that is not one is refused with its line."""

from __future__ import annotations

import dataclasses
import io
import time
import zipfile
from datetime import datetime, timedelta
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.alipay.bill import (
    COLUMNS,
    REFUND,
    SALE,
    BillRow,
    pack,
    read_bill,
    read_detail,
    read_page,
    unpack,
    write_detail,
    write_summary,
)
from plugins.alipay.protocol import ParseError

DAY = datetime(2026, 11, 22)

#: Two rows as they stand in a real file: tabs after numbers, padded amounts, a fee with its sign, full-width colons.
GOLDEN = "\r\n".join(
    [
        "#支付宝业务明细查询",
        "#账号：[20881021702088550156]",
        "#起始日期：[2026年11月22日 00:00:00]   终止日期：[2026年11月23日 00:00:00]",
        "#-----------------------------------------业务明细列表----------------------------------------",
        ",".join(COLUMNS),
        "2026112222001\t,A1\t,交易,豆浆,2026-11-22 10:00:00,2026-11-22 10：00：05,S1,一店,C1,T1,*三(138***),"
        "    1.00,    1.00,    0.96,0.00,0.00,0.00,0.00,,0.00,0.00,,   -0.01,0.00,",
        "2026112222001\t,A1\t,退款,豆浆,2026-11-22 10:00:00,2026-11-22 11:00:00,S1,一店,C1,T1,*三(138***),"
        "   -0.40,   -0.40,   -0.38,0.00,0.00,0.00,0.00,,0.00,0.00,R1\t,    0.00,0.00,凉了",
        "#-----------------------------------------业务明细列表结束------------------------------------",
        "#交易合计：1笔，商家实收共1.00元，商家优惠共0.00元",
        "#导出时间：[2026年11月23日 09:00:00]",
        "",
    ]
)


def table(text: str) -> BinaryIO:
    return io.BytesIO(text.encode("gb18030"))


def test_a_real_layout_is_read() -> None:
    sale, refund = read_detail(table(GOLDEN))
    assert (sale.kind, sale.out_trade_no, sale.total_amount, sale.fee_amount) == (SALE, "A1", 100, -1)
    assert sale.finished_at == datetime(2026, 11, 22, 10, 0, 5)
    assert sale.red_envelope_amount == 96 and sale.receipt_amount == 100  # the platform's envelope costs us nothing
    assert (refund.kind, refund.out_request_no, refund.total_amount, refund.note) == (REFUND, "R1", -40, "凉了")


def test_columns_are_found_by_their_names() -> None:
    """An account with more features has more columns; the order is not promised either."""
    lines = GOLDEN.split("\r\n")
    moved = [",".join(["新栏目", *line.split(",")]) if not line.startswith("#") and line else line for line in lines]
    assert [row.total_amount for row in read_detail(table("\r\n".join(moved)))] == [100, -40]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("业务明细列表结束", ""), "breaks off"),
        (lambda text: text[: text.index("退款") + 40], "line 6"),
        (lambda text: text[: text.index("#-----------------------------------------业务明细列表结束")], "breaks off"),
        (lambda text: text.replace("商户订单号", "订单"), "out_trade_no"),
        (lambda text: text.replace("   -0.40", "   -0.4x", 1), "line 7"),
        (lambda text: text.replace("2026-11-22 11:00:00", "yesterday"), "line 7"),
        (lambda text: text.replace("豆浆,2026-11-22 10:00:00,2026-11-22 11:00:00", "豆浆"), "line 7"),
        (lambda text: "#-业务明细列表结束-", "no header"),
    ],
)
def test_a_broken_table_is_refused(change: Any, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        read_detail(table(change(GOLDEN)))


TEXT = st.text("中文豆浆abc123 _-.(*)", max_size=12).map(str.strip)
AMOUNT = st.integers(-(10**9), 10**9)
TIME = st.integers(0, 10**6).map(lambda seconds: DAY + timedelta(seconds=seconds))
ROWS = st.builds(
    BillRow,
    **{name: TEXT for name in BillRow.__dataclass_fields__ if not name.endswith(("_amount", "_at"))},
    **{name: AMOUNT for name in BillRow.__dataclass_fields__ if name.endswith("_amount")},
    created_at=TIME | st.none(),
    finished_at=TIME,
)


@given(st.lists(ROWS, max_size=5))
@settings(max_examples=60)
def test_what_is_written_is_read(rows: list[BillRow]) -> None:
    detail = write_detail(rows, "2088", DAY, DAY)
    assert read_bill(pack("2088", "20261122", detail, write_summary(rows, "2088", DAY, DAY))) == rows


def test_the_detail_is_found_whatever_the_member_is_called() -> None:
    """Old zips carry GBK names that come out as mojibake."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as bundle:
        bundle.writestr("a.csv", write_summary([], "2088", DAY, DAY).encode("gbk"))
        bundle.writestr("20880156_20261122_╥╡╬ё├≈╧╕.csv", GOLDEN.encode("gbk"))
    assert len(read_bill(out.getvalue())) == 2


@given(st.binary(max_size=400))
def test_garbage_is_a_parse_error(content: bytes) -> None:
    with pytest.raises(ParseError):
        read_bill(content)


@given(st.data())
@settings(max_examples=150)
def test_a_damaged_zip_is_a_parse_error_or_a_bill(data: st.DataObject) -> None:
    whole = bytearray(pack("2088", "20261122", GOLDEN, "#"))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    for content in (bytes(whole), bytes(whole[:cut])):
        try:
            read_bill(content)
        except ParseError:
            continue


def test_pages_add_up_to_the_whole() -> None:
    rows = [dataclasses.replace(read_detail(table(GOLDEN))[0], out_trade_no=f"A{number}") for number in range(7)]
    file = table(write_detail(rows, "2088", DAY, DAY))
    found, cursor, sizes = [], "", []
    while True:
        page, cursor = read_page(file, cursor, 3)
        found += page
        sizes.append(len(page))
        if not cursor:
            break
    assert found == rows and sizes == [3, 3, 1]
    for wrong in ("x", "1", "-1:2", "1:2:3", "９:1", "9" * 50 + ":1"):
        with pytest.raises(ParseError):
            read_page(file, wrong, 3)


def test_a_zip_that_unpacks_to_more_than_a_bill_is_refused_in_little_memory() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle, bundle.open("a.csv", "w", force_zip64=True) as file:
        file.write("#业务明细列表\r\n".encode("gbk"))
        for _ in range(1100):
            file.write(b"," * 65_536)
    sink = Counted()
    began = time.monotonic()
    with pytest.raises(ParseError, match="too long"):
        unpack(out.getvalue(), sink)
    assert sink.count <= 64_000_000 and time.monotonic() - began < 3
    with pytest.raises(ParseError, match="line 2 of the bill is too long"):
        read_detail(io.BytesIO("#业务明细列表\r\n".encode("gbk") + b"," * 10_000_000))


class Counted(io.BytesIO):
    """A file that counts, and keeps nothing."""

    count = 0

    def write(self, data: Any) -> int:
        self.count += len(data)
        return len(data)
