"""The wire of the group-buy platform: golden replies, both error codes, and garbage that raises only ParseError."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.groupbuy import protocol
from plugins.groupbuy.protocol import (
    ParseError,
    Reply,
    is_code,
    read_certificate,
    read_certificates,
    read_object_id,
    read_pois,
    read_prepared,
    read_records,
    read_reply,
    read_results,
    read_token,
)

SKU = {"sku_id": "17", "title": "欢唱3小时", "groupon_type": 1, "third_sku_id": "TC03"}
AMOUNT = {"original_amount": 26800, "sold_amount": 12800, "platform_ticket_amount": 0, "pay_amount": 12800}
VERIFY = {
    "verify_id": "6",
    "verify_time": 5,
    "poi_id": "71",
    "operator": {"account": "a", "device": "d"},
    "can_cancel": True,
}
CERTIFICATE = {
    "certificate_id": "7",
    "encrypted_code": "Cg",
    "code_tail": "0001",
    "status": 2,
    "order_id": "8",
    "start_time": 1,
    "expire_time": 2,
    "sku": SKU,
    "amount": AMOUNT,
    "verify": VERIFY,
}


def reply(data: dict[str, Any], extra: dict[str, Any] | None = None) -> Reply:
    whole = {"data": {"error_code": 0} | data, "extra": {"error_code": 0, "logid": "L"} | (extra or {})}
    return read_reply(json.dumps(whole, ensure_ascii=False).encode())


def test_both_error_codes_are_looked_at() -> None:
    assert reply({}).code == 0
    assert (reply({"error_code": 1208, "description": "重复"}).code, reply({"error_code": 1208}).logid) == (1208, "L")
    hidden = reply({}, {"error_code": 2100004, "description": "系统繁忙"})
    assert (hidden.code, hidden.message) == (2100004, "系统繁忙")


def test_a_certificate_is_read_whole() -> None:
    certificate = read_certificate(reply({"certificate": CERTIFICATE}))
    assert certificate.verify is not None and certificate.verify.device == "d" and certificate.verify.can_cancel
    assert (certificate.deal.third_sku_id, certificate.amounts.original, certificate.status) == ("TC03", 26800, 2)
    unused = read_certificates(reply({"certificates": [CERTIFICATE | {"verify": None}]}))
    assert unused[0].verify is None


def test_results_are_read_also_beside_an_error() -> None:
    item = {"encrypted_code": "Cg", "certificate_id": "7", "result": 2, "msg": "券已核销", "verify_id": ""}
    (result,) = read_results(reply({"error_code": 1208, "verify_results": [item]}))
    assert (result.result, result.message) == (2, "券已核销")


def test_a_page_of_history_ends() -> None:
    record = {
        **dict.fromkeys(("verify_id", "certificate_id", "code_tail", "order_id", "poi_id", "cancel_token"), "x"),
        "verify_time": 1,
        "cancel_time": 0,
        "fee_amount": 640,
        "operator": {},
        "sku": SKU,
        "amount": AMOUNT,
    }
    records, cursor = read_records(reply({"records": [record], "has_more": True, "cursor": 9}))
    assert (records[0].fee, cursor) == (640, "9")
    assert read_records(reply({"records": [], "has_more": False, "cursor": 9})) == ((), "")


def test_a_short_link_s_object_is_kept_whole() -> None:
    long = "I0ZwZEZpb2U1N0pjQVZxS2NJRTFSQW5WK1c4" * 6 + "="
    address = f"https://x.example/share/?schema_type=13&object_id={long.replace('+', '%2B')}&app=tq"
    assert read_object_id(address) == long
    for nothing in ("https://x.example/?a=1", "https://x.example/?object_id=", "http://[", "?object_id=1&object_id=2"):
        with pytest.raises(ParseError):
            read_object_id(nothing)


@pytest.mark.parametrize(
    ("text", "code"), [("1234567890", True), ("12345", False), ("１２３４５６７８９０", False), ("12345678a0", False)]
)
def test_codes(text: str, code: bool) -> None:
    assert is_code(text) is code


READERS: list[Callable[[Reply], object]] = [
    read_token,
    read_prepared,
    read_results,
    read_certificate,
    read_certificates,
    read_records,
    read_pois,
    protocol.read_cancelled,
]


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_garbage_is_a_parse_error(body: bytes) -> None:
    with pytest.raises(ParseError):
        read_reply(body)


@pytest.mark.parametrize(
    "body", [b'{"data":{},"extra":{"error_code":NaN}}', b"[" * 100_000, b'{"data":{"error_code":true},"extra":{}}']
)
def test_json_that_is_no_reply(body: bytes) -> None:
    with pytest.raises(ParseError):
        read_reply(body)


#: Every name of the wire, with whatever value: what does not fit is a ParseError.
NAMES = st.sampled_from(
    sorted({*CERTIFICATE, *VERIFY, *SKU, *AMOUNT, "certificates", "certificate", "records", "pois"})
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(
        NAMES | st.sampled_from(["verify_results", "has_more", "cursor", "access_token"]), VALUES, max_size=6
    )
)
@settings(max_examples=150)
def test_readers_raise_nothing_else(data: dict[str, Any]) -> None:
    answer = Reply(0, "", "", data)
    for read in READERS:
        try:
            read(answer)
        except ParseError:
            continue


@given(st.sampled_from(sorted(CERTIFICATE)), VALUES)
@settings(max_examples=150)
def test_one_wrong_member_of_a_certificate(name: str, value: Any) -> None:
    try:
        read_certificate(reply({"certificate": CERTIFICATE | {name: value}}))
    except ParseError:
        return
