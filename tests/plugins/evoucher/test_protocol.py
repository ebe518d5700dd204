"""The e-voucher platform's wire: golden signatures, notices in GBK, and garbage that raises only ParseError."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.evoucher import protocol
from plugins.evoucher.protocol import ParseError, read_form, read_notice, read_reply, read_verify_codes

FIELDS = {"method": "send", "order_id": "4001", "token": "t0ken123", "seller_nick": "星海", "mobile": "139", "a": ""}


def notice(secret: str = "s", **more: str) -> bytes:
    fields = FIELDS | more
    return urlencode(fields | {"sign": protocol.sign_notice(fields, secret)}, encoding="gbk").encode()


def test_a_notice_is_signed_over_gbk_bytes_with_the_secret_around() -> None:
    assert protocol.sign_notice(FIELDS, "s") == "D5E59475E5C038C8BA8EC2AFB5B3D1D2"  # by iconv and md5sum
    told = read_notice(notice(), "s")
    assert (told.method, told.order_id, told.token, told.seller) == ("send", "4001", "t0ken123", "星海")


def test_a_call_is_signed_as_openssl_does_it() -> None:
    """printf %s 'a1b二' | openssl dgst -md5 -hmac secret"""
    assert protocol.sign_call({"b": "二", "a": "1", "c": "", "sign": "x"}, "secret") == GOLDEN_CALL
    body = protocol.call_body("consume", {"order_id": "1", "new_code": ""}, "app", "ses", "secret", datetime.now(UTC))
    fields = read_form(body, "utf-8")
    assert fields["method"] == "evoucher.consume" and "new_code" not in fields
    assert fields["sign"] == protocol.sign_call(fields, "secret")


GOLDEN_CALL = "2BB5E397AB0403FA7C826283F9D28486"


@pytest.mark.parametrize(
    "body",
    [
        notice("other"),
        notice().replace(b"4001", b"4002"),
        notice() + b"&order_id=4002",
        notice(method="hack"),
        notice(order_id="40 01"),
        notice(token="short"),
        b"",
        b"\xff\xfe",
        b"sign",
    ],
)
def test_a_notice_that_is_not_genuine_is_refused(body: bytes) -> None:
    with pytest.raises(ParseError):
        read_notice(body, "s")


def test_the_same_notice_again_is_the_same() -> None:
    assert read_notice(notice(), "s").digest == read_notice(notice(), "s").digest
    assert read_notice(notice(), "s").digest != read_notice(notice(timestamp="2"), "s").digest


def test_serial_numbers_and_codes() -> None:
    assert protocol.is_serial("aZ_0" * 25) and not protocol.is_serial("a" * 101) and not protocol.is_serial("a-b")
    assert read_verify_codes("12345678:2,87654321:1") == {"12345678": 2, "87654321": 1}
    for wrong in ("1:1", "12345678", "12345678:0", "12345678:1,12345678:1", "12345678:-1"):
        with pytest.raises(ParseError):
            read_verify_codes(wrong)


READERS: list[Callable[[Any], Any]] = [
    protocol.read_order,
    protocol.read_log,
    protocol.read_tasks,
    protocol.read_echo,
    protocol.read_order_id,
    protocol.read_seller,
]


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_garbage_raises_nothing_but_parse_error(body: bytes) -> None:
    for read in (lambda: read_reply(body, "consume"), lambda: read_notice(body, "s"), lambda: read_form(body, "gbk")):
        with contextlib.suppress(ParseError):
            read()


NAMES = st.sampled_from(["order_id", "codes", "logs", "tasks", "num", "time", "awaits"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["order_id", "codes", "logs", "tasks", "num", "time", "awaits"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_a_reply_of_any_shape_raises_nothing_but_parse_error(value: Any) -> None:
    body = json.dumps({"evoucher_consume_response": value}).encode()
    for read in READERS:
        with contextlib.suppress(ParseError):
            read(read_reply(body, "consume"))
