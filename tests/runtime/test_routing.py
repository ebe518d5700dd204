"""Which connection serves what follows from the merchant's file alone; payment codes from their ranges."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.runtime import Discovery, Runtime, UnknownConnection, UnknownMerchant
from gateway.runtime.config import load_merchant
from gateway.runtime.merchant import Merchant
from gateway.runtime.payment_codes import channel_of

ROUTES = """
[merchant]
id = "m1"
name = "Shop"
[[stores]]
id = "s1"
name = "One"
[[stores]]
id = "s2"
name = "Two"
[connections.a]
adapter = "pay"
[connections.b]
adapter = "pay"
[connections.c]
adapter = "pay"
[[routes]]
family = "payments"
connection = "a"
methods = ["payment_code", "qr_code"]
channels = ["alipay"]
stores = ["s1"]
[[routes]]
family = "payments"
connection = "b"
methods = ["payment_code"]
[[routes]]
family = "membership"
connection = "c"
kinds = ["group_buy"]
code_pattern = "^91\\\\d{10}$"
[[routes]]
family = "membership"
connection = "a"
tenders = ["gift_card"]
[[payment_codes]]
prefix_from = "28"
prefix_to = "29"
length_min = 18
length_max = 18
channel = "aggregator"
"""


@pytest.fixture
def merchant(tmp_path: Path, discovery: Discovery) -> Merchant:
    (tmp_path / "m.toml").write_text(ROUTES)
    return load_merchant(tmp_path / "m.toml", discovery)


@pytest.mark.parametrize(
    ("family", "case", "expected"),
    [
        ("payments", {"method": "payment_code", "channel": "alipay", "store_id": "s1"}, ("a", "b")),
        ("payments", {"method": "payment_code", "channel": "alipay", "store_id": "s2"}, ("b",)),
        ("payments", {"method": "payment_code", "channel": "wechat", "store_id": "s1"}, ("b",)),
        ("payments", {"method": "qr_code"}, ("a",)),
        ("payments", {"method": "bank_card"}, ()),
        ("payments", {}, ("a", "b")),
        ("membership", {"kind": "group_buy", "code": "911234567890"}, ("c", "a")),
        ("membership", {"code": "551234567890"}, ("a",)),
        ("membership", {"method": "gift_card", "code": "5"}, ("a",)),
        ("membership", {"method": "voucher", "code": "5"}, ()),
        ("stock", {}, ()),
    ],
)
def test_the_first_route_that_matches_wins(
    merchant: Merchant, family: str, case: dict[str, str], expected: tuple[str, ...]
) -> None:
    """What a route does not name matches all; what the caller does not know rules nothing out."""
    assert merchant.matching(family, **case) == expected


def test_a_route_leads_to_a_connection(runtime: Runtime) -> None:
    connection = runtime.route("m1", "payments", method="qr_code")
    assert connection is runtime.connection("m1", "pay")
    assert runtime.route("m1", "orders") is None
    assert [c.name for c in runtime.routes("m1", "stock")] == ["house"]
    assert [c.name for c in runtime.connections("m1")] == ["pay", "house"]
    with pytest.raises(UnknownMerchant):
        runtime.route("m9", "payments")
    with pytest.raises(UnknownConnection):
        runtime.connection("m1", "nil")


@pytest.mark.parametrize(
    ("code", "channel"),
    [
        ("100000000000000000", "wechat"),
        ("159999999999999999", "wechat"),
        ("160000000000000000", None),
        ("10000000000000000", None),
        ("2500000000000000", "alipay"),
        ("300000000000000000000000", "alipay"),
        ("3100000000000000", None),
        ("250000000000000", None),
        ("3000000000000000000000000", None),
        ("6200000000000000000", "unionpay"),
        ("620000000000000000", None),
        ("6300000000000000000", None),
        ("", None),
        ("25000000000000 0", None),
        ("２５００００００００００００００", None),
    ],
)
def test_the_default_ranges_of_payment_codes(code: str, channel: str | None) -> None:
    assert channel_of(code) == channel


def test_a_merchant_may_send_a_range_elsewhere(merchant: Merchant) -> None:
    assert merchant.channel_of("280000000000000000") == "aggregator"
    assert merchant.channel_of("2800000000000000") == "alipay"
    assert merchant.channel_of("134567890123456789") == "wechat"
