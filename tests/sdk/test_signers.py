"""Signatures against vectors that others published, and against OpenSSL: a platform refuses what is one byte off."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.sdk.parsing import ParseError
from gateway.sdk.signers import mac, rsa, shared, sorted_params, wechat_v3

DATA = Path(__file__).parent / "data"
KEY = rsa.read_private_key((DATA / "key.pem").read_text(), checked=True)
PUBLIC = rsa.read_public_key((DATA / "key.pub.pem").read_text())
NOW = datetime(2018, 4, 2, 12, 34, 20, tzinfo=UTC)

#: The examples of the platforms' own documents.
TOP = {
    "method": "taobao.item.seller.get",
    "app_key": "12345678",
    "session": "test",
    "timestamp": "2016-01-01 12:00:00",
    "format": "json",
    "v": "2.0",
    "sign_method": "md5",
    "fields": "num_iid,title,nick,price,num",
    "num_iid": "11223344",
}
WECHAT = {
    "appid": "wxd930ea5d5a258f4f",
    "mch_id": "10000100",
    "device_info": "1000",
    "body": "test",
    "nonce_str": "ibuaiVcKdpRxkhJA",
}
WECHAT_KEY = "192006250b4c09247ec02edce69f6a2d"


def vectors() -> dict[str, str]:
    """Made with ``openssl dgst -sha256 -sign key.pem``."""
    found: dict[str, str] = json.loads((DATA / "rsa_vectors.json").read_text())
    return found


@pytest.mark.parametrize(
    ("scheme", "params", "secret", "expected"),
    [
        (sorted_params.TOP_MD5, TOP, "helloworld", "66987CB115214E59E6EC978214934FB8"),
        (sorted_params.WECHAT_V2_MD5, WECHAT, WECHAT_KEY, "9A0A8659F005D6984697E2CA0A9CF3B7"),
        (
            sorted_params.WECHAT_V2_HMAC,
            WECHAT,
            WECHAT_KEY,
            "6A9AE1657590FD6257D693A078E1C3E4BB6BA4DC30B23E0EE2496E54170DACD6",
        ),
        # These three by md5sum, sha1sum and openssl dgst -hmac.
        (sorted_params.DIANPING, {"b": "1", "a": "2", "c": ""}, "k", "2f5a4de4b5fb56063a540da37d806b9c"),
        (sorted_params.MEITUAN_SHA1, {"b": "1", "a": "2"}, "k", "df6228d4c4798c8fe2f2f82762a695e0be18d868"),
        (sorted_params.TOP_HMAC, {"b": "1", "a": "2"}, "k", "88004D76471121DC9045954017F433F5"),
    ],
    ids=["top", "wechat v2", "wechat v2 hmac", "dianping", "meituan", "top hmac"],
)
def test_sorted_parameters(scheme: sorted_params.Scheme, params: dict[str, str], secret: str, expected: str) -> None:
    assert scheme.sign(params, secret) == expected
    assert scheme.verify({**params, "sign": expected}, secret)
    assert not scheme.verify({**params, "sign": expected}, f"{secret}x")
    assert not scheme.verify({**params, "sign": expected, "new": "1"}, secret)
    assert not scheme.verify(params, secret)


def test_a_value_that_looks_like_a_placeholder_is_a_value() -> None:
    """Otherwise a customer's nickname could take another parameter's place."""
    assert sorted_params.WECHAT_V2_MD5.content({"a": "{name}{value}", "b": "{secret}"}) == "a={name}{value}&b={secret}"


def test_hmac_and_freshness() -> None:
    expected = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"  # RFC 4231, case 1
    assert shared.hmac_hex(b"\x0b" * 20, b"Hi There") == expected
    assert shared.hmac_base64(b"\x0b" * 20, b"Hi There") == "sDRMYdjbOFNcqK/OrwvxK4gdwgDJgz2nJuk3bC4yz/c="
    assert shared.same(expected, expected)
    assert not shared.same(expected, None)
    stamp = str(int(NOW.timestamp()))
    assert shared.fresh(stamp, NOW + timedelta(seconds=299))
    assert not shared.fresh(stamp, NOW + timedelta(seconds=300))
    assert not shared.fresh("-5", NOW)
    with pytest.raises(ValueError, match="no such digest"):
        shared.hmac_hex(b"", b"", "md6000")


def test_rsa_of_sorted_parameters() -> None:
    params = {"c": "x y", "b": "中文", "a": "1", "sign": "old", "empty": ""}
    assert rsa.content_of(params) == "a=1&b=中文&c=x y".encode()
    signature = rsa.sign(rsa.content_of(params), KEY)
    assert signature == vectors()["params"]
    assert rsa.verify(rsa.content_of(params), signature, PUBLIC)
    for wrong in ("", "*", "中", signature[:-8], signature.replace("A", "B")):
        assert not rsa.verify(rsa.content_of(params), wrong, PUBLIC)


def test_rsa_of_a_digest() -> None:
    params = {"txnAmt": "100", "accNo": "1", "signature": "old"}
    assert rsa.sign(rsa.digest_of(params), KEY) == vectors()["digest"]


def test_the_raw_node_is_cut_and_never_written_anew() -> None:
    """``1.0`` and a brace in a text would come out otherwise, and the signature would fit no longer."""
    node = '{"code":"10000", "n":1.0 ,"who":"a}\\"{b"}'
    text = '{"sign":"x", "alipay_trade_pay_response" :' + node + ',"other":{"alipay_trade_pay_response":{}}}'
    assert rsa.cut_node(text, "alipay_trade_pay_response") == node
    assert rsa.cut_node(text, "sign") is None


@pytest.mark.parametrize("text", ["", "-----BEGIN x", "AAAA", "中"])
def test_keys_that_are_none(text: str) -> None:
    with pytest.raises(ParseError):
        rsa.read_private_key(text)
    with pytest.raises(ParseError):
        rsa.read_public_key(text)


def test_wechat_v3_request() -> None:
    merchant = wechat_v3.Merchant("1900009191", "1DDE55AD98ED71D6EDD4A4A16996DE7B47773A8C", KEY)
    header = wechat_v3.authorization(
        merchant,
        "get",
        "https://api.example/v3/certificates?x=1",
        b"",
        timestamp="1554208460",
        nonce="593BEC0C930BF1AFEB40B4A08C8FB242",
    )
    assert header == (
        'WECHATPAY2-SHA256-RSA2048 mchid="1900009191",nonce_str="593BEC0C930BF1AFEB40B4A08C8FB242",'
        f'signature="{vectors()["wechat"]}",timestamp="1554208460",serial_no="{merchant.serial}"'
    )


def signed(body: bytes, at: datetime = NOW) -> dict[str, str]:
    stamp = str(int(at.timestamp()))
    return {
        "wechatpay-timestamp": stamp,
        "wechatpay-nonce": "n",
        "wechatpay-serial": "S",
        "wechatpay-signature": rsa.sign(f"{stamp}\nn\n".encode() + body + b"\n", KEY),
    }


def test_wechat_v3_reply() -> None:
    wechat_v3.check(signed(b"{}"), b"{}", {"S": PUBLIC}, NOW)
    bad = [
        (signed(b"{}"), b"{ }", {"S": PUBLIC}, "does not fit"),
        (signed(b"{}"), b"{}", {"T": PUBLIC}, "a key that we do not have"),
        (signed(b"{}", NOW - timedelta(seconds=301)), b"{}", {"S": PUBLIC}, "from now"),
        (signed(b"{}") | {"wechatpay-signature": wechat_v3.PROBE + "x"}, b"{}", {"S": PUBLIC}, "does not fit"),
        ({}, b"{}", {"S": PUBLIC}, "not signed"),
    ]
    for headers, body, keys, why in bad:
        with pytest.raises(wechat_v3.SignatureError, match=why):
            wechat_v3.check(headers, body, keys, NOW)


def test_wechat_v3_resource() -> None:
    """Test case 14 of the GCM specification; a changed byte, another key or other data is refused."""
    cipher = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    nonce = "\0" * 12
    assert wechat_v3.encrypt(bytes(32), nonce, bytes(16)) == wechat_v3.base64.b64encode(cipher).decode()
    text = wechat_v3.encrypt(b"k" * 32, "n" * 12, b"plain", "transaction")
    assert wechat_v3.decrypt(b"k" * 32, "n" * 12, text, "transaction") == b"plain"
    for key, data, changed in ((b"j" * 32, "transaction", text), (b"k" * 32, "x", text), (b"k" * 32, "", text[4:])):
        with pytest.raises(ParseError):
            wechat_v3.decrypt(key, "n" * 12, changed, data)


def test_codes_of_bank_terminals() -> None:
    """The annex of ISO 9797-1, and for the ECB kind a computation with OpenSSL."""
    single, double = bytes.fromhex("0123456789ABCDEF"), bytes.fromhex("0123456789ABCDEFFEDCBA9876543210")
    assert mac.x9_9(single, b"Now is the time for all ").hex() == "70a30640cc76dd8b"
    assert mac.x9_19(double, b"Now is the time for all ").hex() == "a1c72e74ea3fa9b6"
    message = b"0200 7024048020C09A11 sale 100"
    assert mac.ecb(single, message) == b"1CBB7237"
    assert mac.ecb(double, message) == b"4F661CDD"
    for function in (mac.x9_9, mac.x9_19, mac.ecb):
        with pytest.raises(ValueError, match="a key of"):
            function(b"short", b"x")


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5), st.binary(max_size=64))
def test_no_input_breaks_a_check(params: dict[str, str], body: bytes) -> None:
    """What comes from outside is answered with no, never with an exception of another kind."""
    for scheme in (sorted_params.TOP_MD5, sorted_params.WECHAT_V2_HMAC):
        assert not scheme.verify(params, "secret") or "sign" in params
    with pytest.raises(ParseError):
        wechat_v3.check({f"wechatpay-{name}": "1" for name in params}, body, {}, NOW)
