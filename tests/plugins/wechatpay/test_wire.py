"""The wire: what is written is read back, real layouts are read, and whatever else comes is a ``ParseError``."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.sdk import ParseError
from gateway.sdk.signers.wechat_v3 import encrypt
from plugins.wechatpay.bill import COLUMNS, FEWER, BillRow, read_bill, unpack, write_bill
from plugins.wechatpay.protocol import (
    dump,
    is_order_number,
    is_payment_code,
    is_refund_number,
    read_certificate,
    read_object,
    read_resource,
)

DAY = datetime(2026, 11, 22)
KEY = b"k" * 32

#: A bill as an account with 24 columns gets it: a full-width colon, a comma in a name, a fee of five decimals.
GOLDEN = "\r\n".join(
    [
        "\ufeff" + ",".join(FEWER),
        "`2026-11-22 10：00：05,`wx8,`1900009191,`0,`T1,`4200001,`A1,`oUp,`MICROPAY,`SUCCESS,`OTHERS,`CNY,`12.00,`0.00,"
        "`0,`0,`0.00,`0.00,`,`,`豆浆,油条,`,`0.07200,`0.60%",
        "`2026-11-22 11:00:00,`wx8,`1900009191,`0,`T1,`4200001,`A1,`oUp,`MICROPAY,`REFUND,`OTHERS,`CNY,`0.00,`0.00,"
        "`5000001,`R1,`4.00,`0.00,`ORIGINAL,`SUCCESS,`豆浆,油条,`,`-0.02400,`0.60%",
        "总交易单数,应结订单总金额,退款总金额,充值券退款总金额,手续费总金额",
        "`2,`12.00,`4.00,`0.00,`0.04800",
        "",
    ]
)


def test_a_real_layout_is_read() -> None:
    sale, refund = read_bill(GOLDEN.encode())
    assert (sale.out_trade_no, sale.total_amount, sale.fee_amount, sale.subject) == ("A1", 1200, 7, "豆浆,油条")
    assert sale.at == datetime(2026, 11, 22, 10, 0, 5)
    assert (refund.out_refund_no, refund.refund_total_amount, refund.fee_amount) == ("R1", 400, -2)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("总交易单数", "别的", "line 4"),
        ("`2,`12.00", "`3,`12.00", "2 rows"),
        ("`2,`12.00", "2,12.00", "breaks off"),
        ("商户订单号", "订单", "商户订单号"),
        ("`4.00", "`4.0x", "line 3"),
        ("2026-11-22 11:00:00", "yesterday", "line 3"),
        ("`-0.02400,`0.60%", "", "line 3"),
        ("`2026-11-22 11", "2026-11-22 11", "line 3"),
    ],
)
def test_a_broken_bill_is_refused_with_its_line(old: str, new: str, message: str) -> None:
    with pytest.raises(ParseError, match=message):
        read_bill(GOLDEN.replace(old, new).encode())


def test_a_bill_that_breaks_off_is_refused_wherever_it_does() -> None:
    whole = GOLDEN.encode()
    end = len(GOLDEN[: GOLDEN.index("`2,`12.00")].encode())
    for cut in range(0, end, 7):
        with pytest.raises(ParseError):
            read_bill(whole[:cut])


TEXT = st.text("中文豆浆abc123 _-.(*)", max_size=12).map(str.strip)
AMOUNT = st.integers(-(10**9), 10**9)
ROWS = st.builds(
    BillRow,
    at=st.integers(0, 10**6).map(lambda seconds: DAY + timedelta(seconds=seconds)),
    **{name: TEXT for name in BillRow.__dataclass_fields__ if not name.endswith("_amount") and name != "at"},
    **{name: AMOUNT for name in BillRow.__dataclass_fields__ if name.endswith("_amount")},
)


@given(st.lists(ROWS, max_size=5), st.permutations(list(COLUMNS)))
@settings(max_examples=50, deadline=None)
def test_what_is_written_is_read_in_any_order_of_columns(rows: list[BillRow], columns: list[str]) -> None:
    assert read_bill(write_bill(rows, columns)) == rows


def test_the_hash_is_that_of_the_bill_itself() -> None:
    import gzip

    plain = GOLDEN.encode()
    told = hashlib.sha1(plain, usedforsecurity=False).hexdigest()
    assert unpack(gzip.compress(plain), told) == plain == unpack(plain, told)
    for packed, sha1 in ((plain, "0" * 40), (gzip.compress(plain)[:-9], told), (b"\x1f\x8bxx", told)):
        with pytest.raises(ParseError):
            unpack(packed, sha1)


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
@settings(max_examples=150, deadline=None)
def test_garbage_is_a_parse_error(content: bytes) -> None:
    for read in (read_bill, lambda data: read_resource(data, KEY), lambda data: unpack(data, "0" * 40)):
        with pytest.raises(ParseError):
            read(content)
    with contextlib.suppress(ParseError):
        read_object(content)
    with pytest.raises(ParseError):
        read_certificate("5A", content.decode("latin-1"))


def notice(**resource: str) -> bytes:
    sealed = {"algorithm": "AEAD_AES_256_GCM", "nonce": "n" * 12, "associated_data": "transaction"}
    sealed["ciphertext"] = encrypt(KEY, "n" * 12, b'{"mchid":"1"}', "transaction")
    return dump({"event_type": "TRANSACTION.SUCCESS", "resource": sealed | resource})


def test_a_notice_is_opened_with_its_own_key_only() -> None:
    assert read_resource(notice(), KEY) == ("TRANSACTION.SUCCESS", {"mchid": "1"})
    for body, key in (
        (notice(), b"x" * 32),
        (notice(nonce="m" * 12), KEY),
        (notice(nonce=""), KEY),
        (notice(associated_data="refund"), KEY),
        (notice(algorithm="NONE"), KEY),
        (notice(ciphertext="***"), KEY),
    ):
        with pytest.raises(ParseError):
            read_resource(body, key)


def test_a_member_that_stands_twice_is_refused() -> None:
    with pytest.raises(ParseError, match="twice"):
        read_object(b'{"trade_state":"SUCCESS","trade_state":"NOTPAY"}')


def test_numbers_of_the_channel() -> None:
    assert is_payment_code("13" + "0" * 16) and is_payment_code("10" + "9" * 16)
    assert not any(map(is_payment_code, ("16" + "0" * 16, "13" + "0" * 15, "13" + "0" * 17, "１3" + "0" * 16, "")))
    assert is_order_number("A" * 32) and not is_order_number("A" * 33) and not is_order_number("A-/1234")
    assert is_refund_number("01JCHK@|*-_R") and not is_refund_number("") and not is_refund_number("A" * 65)
