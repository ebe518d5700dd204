"""The wire of Alipay: golden texts, round trips, and garbage that raises nothing but ParseError."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.alipay.protocol import (
    ParseError,
    SignatureError,
    build_request,
    content_to_sign,
    cut_node,
    fen,
    is_payment_code,
    node_name,
    read_notice,
    read_private_key,
    read_public_key,
    read_reply,
    sign,
    verify,
    yuan,
)

PAY = "alipay.trade.pay"

#: A reply as Alipay writes it: escaped slashes, a brace and a quote in a text, the signature last.
GOLDEN = (
    '{"alipay_trade_pay_response":{"code":"10000","msg":"Success","store_name":"A\\"}{店",'
    '"qr_code":"https:\\/\\/qr.alipay.com\\/bax","fund_bill_list":[{"amount":"1.00"}]},"sign":"SIGN"}'
)
NODE = GOLDEN[len('{"alipay_trade_pay_response":') : -len(',"sign":"SIGN"}')]


@pytest.fixture(scope="module")
def alipay(keys: Path) -> Any:
    return read_private_key((keys / "alipay_private_key.pem").read_text())


def test_the_signed_content_is_sorted_and_leaves_out_what_is_empty() -> None:
    params = {
        "method": "m",
        "app_id": "1",
        "sign": "x",
        "notify_url": "",
        "biz_content": '{"a":"中"}',
        "charset": "utf-8",
    }
    assert content_to_sign(params) == 'app_id=1&biz_content={"a":"中"}&charset=utf-8&method=m'
    assert content_to_sign({"b": "2", "sign_type": "RSA2", "sign": "x"}, ("sign", "sign_type")) == "b=2"


def test_a_request_is_signed_by_the_merchant(alipay: Any) -> None:
    form = build_request("2021", PAY, {"out_trade_no": "A1", "subject": "豆浆"}, alipay, "2026-11-22 18:00:00")
    assert form["biz_content"] == '{"out_trade_no":"A1","subject":"豆浆"}'
    assert (form["charset"], form["sign_type"], form["version"]) == ("utf-8", "RSA2", "1.0")
    assert "notify_url" not in form and "app_auth_token" not in form
    assert verify(content_to_sign(form), form["sign"], alipay.public_key())


def test_the_node_is_cut_out_as_it_stands() -> None:
    assert cut_node(GOLDEN, "alipay_trade_pay_response") == NODE
    assert json.dumps(json.loads(NODE), ensure_ascii=False, separators=(",", ":")) != NODE  # why it is never remade


def test_a_reply_is_verified_over_the_raw_node(alipay: Any) -> None:
    reply = read_reply(GOLDEN.replace("SIGN", sign(NODE, alipay)).encode(), PAY, alipay.public_key())
    assert reply.code == "10000"
    assert reply.text("qr_code") == "https://qr.alipay.com/bax"


def test_a_node_named_inside_a_text_or_deeper_is_not_taken() -> None:
    text = '{"a":"alipay_trade_pay_response:{}","b":{"alipay_trade_pay_response":{"code":"1"}},"c":[{"x":{}}]}'
    assert cut_node(text, "alipay_trade_pay_response") is None


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (GOLDEN, SignatureError),
        (GOLDEN.replace(',"sign":"SIGN"', ""), SignatureError),
        (GOLDEN.replace('"SIGN"', "null"), SignatureError),
        (GOLDEN.replace("pay_response", "query_response"), ParseError),
        ("[]", ParseError),
        ("", ParseError),
        ("[" * 100_000, ParseError),
        ('{"alipay_trade_pay_response":{"code":"1"},"alipay_trade_pay_response":{"code":"2"},"sign":"x"}', ParseError),
    ],
)
def test_a_reply_that_is_not_proved_is_refused(body: str, error: type[ParseError], alipay: Any) -> None:
    with pytest.raises(error):
        read_reply(body.encode(), PAY, alipay.public_key())


def test_one_changed_byte_breaks_the_signature(alipay: Any) -> None:
    body = GOLDEN.replace("SIGN", sign(NODE, alipay)).replace('"1.00"', '"1.01"')
    with pytest.raises(SignatureError):
        read_reply(body.encode(), PAY, alipay.public_key())


def test_an_error_response_is_read_under_its_own_name(alipay: Any) -> None:
    node = '{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.invalid-method","sub_msg":"不存在的方法名"}'
    reply = read_reply(f'{{"error_response":{node},"sign":"{sign(node, alipay)}"}}'.encode(), PAY, alipay.public_key())
    assert (reply.code, reply.sub_code, reply.message) == ("40002", "isv.invalid-method", "不存在的方法名")


def test_a_notice_is_verified_over_its_decoded_fields(alipay: Any) -> None:
    fields = {"out_trade_no": "A1", "subject": "豆浆 & 油条=1", "total_amount": "12.00", "empty": ""}
    signature = sign("out_trade_no=A1&subject=豆浆 & 油条=1&total_amount=12.00", alipay)
    body = urlencode(fields | {"sign": signature, "sign_type": "RSA2"}).encode()
    assert read_notice(body, alipay.public_key())["subject"] == "豆浆 & 油条=1"
    with pytest.raises(SignatureError):
        read_notice(body.replace(b"12.00", b"13.00"), alipay.public_key())
    with pytest.raises(ParseError):
        read_notice(body + b"&out_trade_no=A2", alipay.public_key())


@pytest.mark.parametrize(
    ("text", "amount"), [("0.01", 1), ("12", 1200), ("12.3", 1230), ("-0.05", -5), ("100000000.00", 10_000_000_000)]
)
def test_amounts(text: str, amount: int) -> None:
    assert fen(text) == amount


@pytest.mark.parametrize("text", ["", "1.234", "1e3", "１２", "0x1", " 1", "1 ", "01", ".5", "5.", "--1", "1,000.00"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(ParseError):
        fen(text)


@given(st.integers(-(10**12), 10**12))
def test_an_amount_survives_the_wire(amount: int) -> None:
    assert fen(yuan(amount)) == amount


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("2512345678901234", True),
        ("301234567890123456789012", True),
        ("311234567890123456", False),
        ("134567890123456789", False),
        ("28123456789012", False),
        ("28123456789012345678901234", False),
        ("２８12345678901234", False),
    ],
)
def test_payment_codes(code: str, ours: bool) -> None:
    assert is_payment_code(code) is ours


TEXT = st.text('{}[]":\\\\,/中a', max_size=8) | st.just("alipay_trade_pay_response")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 10**18) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(TEXT, JSON, max_size=4)


@given(OBJECT, OBJECT, st.booleans())
@settings(max_examples=60)
def test_the_cut_node_is_always_what_the_parser_sees(
    node: dict[str, Any], others: dict[str, Any], spaced: bool
) -> None:
    """The text that is verified and the text that is read are the same, whatever stands around it."""
    name = node_name(PAY)
    outer = {**others, name: node, "sign": "x"}
    text = json.dumps(outer, ensure_ascii=False, indent=1 if spaced else None)
    raw = cut_node(text, name)
    assert raw is not None and raw in text
    assert json.loads(raw) == node


@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_garbage_is_a_parse_error(keys: Path, body: bytes) -> None:
    key = read_public_key((keys / "alipay_public_key.pem").read_text())
    for read in (lambda: read_reply(body, PAY, key), lambda: read_notice(body, key)):
        with pytest.raises(ParseError):
            read()


@given(JSON, JSON)
@settings(max_examples=60)
def test_json_that_is_no_reply_is_a_parse_error(keys: Path, node: Any, signature: Any) -> None:
    key = read_public_key((keys / "alipay_public_key.pem").read_text())
    with pytest.raises(ParseError):
        read_reply(json.dumps({node_name(PAY): node, "sign": signature}).encode(), PAY, key)


@given(st.text(max_size=200) | st.text("ABCDabcd0123+/= \n", max_size=200))
@settings(max_examples=50)
def test_keys_that_are_none(text: str) -> None:
    for read in (read_private_key, read_public_key):
        with pytest.raises(ParseError):
            read(text)
        with pytest.raises(ParseError):
            read(f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")


def test_keys_are_read_from_pem_and_from_bare_base64(keys: Path) -> None:
    for name, read in (("app_private_key", read_private_key), ("app_public_key", read_public_key)):
        pem = (keys / f"{name}.pem").read_text()
        bare = "".join(line for line in pem.splitlines() if "-----" not in line)
        assert read(bare).key_size == read(pem).key_size == 2048  # type: ignore[attr-defined]
    with pytest.raises(ParseError):
        read_public_key((keys / "app_private_key.pem").read_text())
