"""What is nearly right is refused and never guessed: JSON, types, fields, headers, sizes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from tests.api.kit import Api
from tests.api.test_checkouts import basket, order

QUOTES, CHECKOUTS = "/v1/merchants/bun/quotes", "/v1/merchants/bun/checkouts"


def slug(response: TestResponse) -> str:
    document = response.json
    assert response.content_type == "application/problem+json"
    assert document["status"] == response.status_code
    assert document["request_id"] == response.headers["X-Request-Id"]
    return str(document["type"]).removeprefix("/problems/")


def pointers(response: TestResponse) -> set[str]:
    return {error["pointer"] for error in response.json["errors"]}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"{}x",
        b'{"store_id": "s1", "store_id": "s2"}',
        b'{"lines": [{"sku": "a", "sku": "b"}]}',
        b'{"points": NaN}',
        b'{"points": -Infinity}',
        b'{"store_id": "\xff"}',
        b'\xef\xbb\xbf{"store_id": "s1"}',
        b'{"store_id": "\\ud800"}',
        '{"store_id": "s1"}'.encode("utf-16"),
        b"[" * 100_00 + b"]" * 100_00,
        b'{"points": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_not_strict_json_is_malformed(api: Api, raw: bytes) -> None:
    assert slug(api.post("…/quotes", raw=raw)) == "malformed-json"


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"text"', b"5", b"true"])
def test_a_body_that_is_no_object_does_not_validate(api: Api, raw: bytes) -> None:
    assert slug(api.post("…/quotes", raw=raw)) == "validation-error"
    assert slug(api.post(f"…/checkouts/chk_{'0' * 26}/refunds/preview", raw=raw)) == "validation-error"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"store_id": 1}, "/store_id"),
        ({"store_id": None}, "/store_id"),
        ({"store_id": ""}, "/store_id"),
        ({"store_id": "s\x00"}, "/store_id"),
        ({"store_id": "nowhere"}, "/store_id"),
        ({"points": 1.0}, "/points"),
        ({"points": True}, "/points"),
        ({"points": "1"}, "/points"),
        ({"points": -1}, "/points"),
        ({"points": 10**12}, "/points"),
        ({"coupons": "best"}, "/coupons"),
        ({"coupons": [1]}, "/coupons/0"),
        ({"coupons": ["a", "a"]}, "/coupons"),
        ({"lines": {}}, "/lines"),
        ({"lines": []}, "/lines"),
        ({"lines": [{"sku": "bun", "quantity": 1}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "bun", "quantity": "0"}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "bun", "quantity": "-1"}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "bun", "quantity": "1.0005"}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "bun", "quantity": "1e3"}]}, "/lines/0/quantity"),
        ({"lines": [{"sku": "bun", "unit_amount": 1_000_000_000_000}]}, "/lines/0/unit_amount"),
        ({"lines": [{"quantity": "1"}]}, "/lines/0/sku"),
        ({"lines": [{"sku": "bun"}, {"sku": "none"}]}, "/lines/1/sku"),
        ({"lines": [{"line_id": "1", "sku": "bun"}, {"line_id": "1", "sku": "bun"}]}, "/lines"),
        (
            {"lines": [{"slot": {"from": "2026-01-01", "to": "2026-01-02T00:00:00Z", "extends": "x"}}]},
            "/lines/0/slot/from",
        ),
        ({"lines": [{"slot": {"from": "2026-02-30T00:00:00Z", "to": "2026-03-02T00:00:00Z"}}]}, "/lines/0/slot/from"),
        ({"source": {"kind": "bill", "ids": ["1"]}}, "/lines"),
        ({"member": {"type": "iris", "value": "1"}}, "/member/type"),
        ({"member": {"type": "phone"}}, "/member/value"),
        ({"member": {"type": "phone", "value": "10000000000"}}, "/member/value"),
        ({"business_date": "2026-13-01"}, "/business_date"),
        ({"business_date": f"{date.today() - timedelta(days=368)}"}, "/business_date"),
        ({"business_date": f"{date.today() + timedelta(days=4)}"}, "/business_date"),
        ({"store_id": "s\u200b1"}, "/store_id"),
        ({"lines": [{"sku": "bun\u00ad"}]}, "/lines/0/sku"),
        ({"tenders": [{"method": "voucher", "code": "x\u202e"}]}, "/tenders/0/code"),
        ({"tenders": [{"method": "shells"}]}, "/tenders/0/method"),
        ({"tenders": [{"method": ["cash"]}]}, "/tenders/0/method"),
        ({"tenders": [{"method": "cash", "amount": 0}]}, "/tenders/0/amount"),
        ({"tenders": ["cash"]}, "/tenders/0"),
        ({"tenders": [{"method": "voucher"}]}, "/tenders/0/code"),
        ({"operator": {"till_id": "1"}}, "/operator/cashier_id"),
    ],
)
def test_a_wrong_field_is_named_by_its_pointer(api: Api, change: dict[str, Any], pointer: str) -> None:
    response = api.post("…/quotes", {**basket(), **change})
    assert slug(response) == "validation-error"
    assert pointer in pointers(response)


@pytest.mark.parametrize("days", [-300, 0, 1])
def test_a_business_date_that_may_be_meant_is_taken(api: Api, days: int) -> None:
    response = api.post("…/quotes", {**basket(), "business_date": str(date.today() + timedelta(days=days))})
    assert response.status_code == 200, response.json


@pytest.mark.parametrize("number", ["N1 ", " N1", "N1\u00a0", "N\u30001", "Ne\u0301", " ", "\u3000"])
def test_a_space_or_an_accent_makes_no_second_number(api: Api, number: str) -> None:
    """N1 and N1 with a space after it, é in one character and in two: a till's repeat would be paid twice."""
    for place, body in (
        ("…/checkouts", {**order("N1"), "order_no": number}),
        (f"…/checkouts/chk_{'0' * 26}/refunds", {"refund_no": number}),
    ):
        response = api.post(place, body)
        assert slug(response) == "validation-error" and pointers(response) <= {"/order_no", "/refund_no"}


def test_a_number_may_hold_a_space_and_any_script(api: Api) -> None:
    assert api.post("…/checkouts", {**order("N1"), "order_no": "网购 é-17"}).status_code == 201


@pytest.mark.parametrize(
    "raw",
    [
        b'{"lines": [%s]}' % b",".join([b"1"] * 30_000),
        b'{"coupons": [%s]}' % b",".join([b'"a"'] * 16_000),
        b"{%s}" % b",".join(b'"k%d":1' % each for each in range(6_000)),
        b'{"lines": [%s]}' % b",".join([b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}'] * 200),
    ],
)
def test_thousands_of_mistakes_make_no_long_reply(api: Api, raw: bytes) -> None:
    """A small body must not cost seconds, nor a reply of megabytes."""
    response = api.post("…/quotes", raw=raw)
    assert response.status_code == 422
    assert 0 < len(response.json["errors"]) <= 100


@pytest.mark.parametrize("unseen", ["\u200b", "\u200d", "\u2066", "\ufeff", "\u00ad", "\u2028", "\u0085", "\U000e0041"])
def test_numbers_that_look_the_same_are_the_same(api: Api, unseen: str) -> None:
    """A character that nobody sees would make of one order number two, and of a till's repeat a second sale."""
    response = api.post("…/checkouts", {**order("N1"), "order_no": f"N1{unseen}"}, key="k1")
    assert slug(response) == "validation-error" and "/order_no" in pointers(response)
    response = api.post(f"…/checkouts/chk_{'0' * 26}/refunds", {"refund_no": f"R{unseen}1"}, key="k2")
    assert slug(response) == "validation-error" and "/refund_no" in pointers(response)


def test_words_of_a_person_may_hold_an_emoji_that_is_joined(api: Api) -> None:
    place = f"…/checkouts/chk_{'0' * 26}/refunds"
    assert slug(api.post(place, {"refund_no": "1", "reason": "谢谢 👨\u200d👩\u200d👧"})) == "not-found"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"colour": 1}, "/colour"),
        ({"lines": [{"sku": "bun", "price": 1}]}, "/lines/0/price"),
        ({"tenders": [{"method": "cash", "auth_code": "1"}]}, "/tenders/0/auth_code"),
        ({"a/b~c": 1}, "/a~1b~0c"),
    ],
)
def test_a_field_that_does_not_exist_is_refused(api: Api, change: dict[str, Any], pointer: str) -> None:
    response = api.post("…/quotes", {**basket(), **change})
    assert slug(response) == "unknown-field"
    assert pointer in pointers(response)


def test_values_are_never_shown_back(api: Api) -> None:
    response = api.post("…/quotes", {**basket(), "points": "a-secret", "tenders": [{"method": "a-secret"}]})
    assert "a-secret" not in response.get_data(as_text=True)


@pytest.mark.parametrize("field", ["pan", "card_number", "cvv", "track2"])
def test_a_field_for_card_data_is_refused_as_such(api: Api, field: str) -> None:
    response = api.post("…/quotes", {**basket(), field: "4111111111111111"})
    assert slug(response) == "card-data-rejected"
    assert "4111" not in response.get_data(as_text=True)


@pytest.mark.parametrize("text", ["4111111111111111", "卡号 6222-0210 0111 6245 702 谢谢", "pay 5555 5555 5555 4444"])
def test_a_card_number_in_free_text_is_refused(api: Api, text: str) -> None:
    place = f"…/checkouts/chk_{'0' * 26}/refunds"
    assert slug(api.post(place, {"refund_no": "1", "reason": text})) == "card-data-rejected"


@pytest.mark.parametrize("text", ["4111111111111112", "order 281234567890123456", "9111111111111111"])
def test_other_digits_in_free_text_are_taken(api: Api, text: str) -> None:
    place = f"…/checkouts/chk_{'0' * 26}/refunds"
    assert slug(api.post(place, {"refund_no": "1", "reason": text})) == "not-found"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/xml", "application/json; charset=gbk"])
def test_a_body_of_another_type_is_refused(api: Api, content_type: str | None) -> None:
    response = api.post("…/quotes", basket(), headers={"Content-Type": content_type})
    assert (response.status_code, slug(response)) == (415, "unsupported-media-type")


def test_a_charset_of_utf8_is_taken(api: Api) -> None:
    assert (
        api.post("…/quotes", basket(), headers={"Content-Type": "application/json; charset=UTF-8"}).status_code == 200
    )


def test_a_content_encoding_is_refused(api: Api) -> None:
    response = api.post("…/quotes", basket(), headers={"Content-Encoding": "gzip"})
    assert (response.status_code, slug(response)) == (415, "unsupported-encoding")


def test_a_body_that_is_too_large_is_refused(api: Api) -> None:
    response = api.post("…/quotes", raw=b" " * 70_000)
    assert (response.status_code, slug(response)) == (413, "body-too-large")


def test_a_body_where_none_is_expected_is_refused(api: Api) -> None:
    place = f"…/checkouts/chk_{'0' * 26}/cancel"
    assert slug(api.post(place, {"why": "so"})) == "unknown-field"
    assert slug(api.post(place, {})) == "not-found"
    assert slug(api.post(place)) == "not-found"


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=201", "?limit"),
        ("limit=1.5", "?limit"),
        ("limit=", "?limit"),
        ("limit=%EF%BC%95", "?limit"),
        ("limit=5&limit=5", "?limit"),
        ("status=done", "?status"),
        ("from=yesterday", "?from"),
        ("cursor=%00", "?cursor"),
        ("cursor=!!!", "?cursor"),
        ("cursor=bm90LW91cnM", "?cursor"),
        ("order_no=%FF", "?"),
        ("order_no", "?"),
        ("limit=5&&limit=5", "?"),
    ],
)
def test_a_wrong_query_is_named(api: Api, query: str, pointer: str) -> None:
    response = api.get(f"…/checkouts?{query}")
    assert slug(response) == "validation-error"
    assert pointers(response) == {pointer}


def test_an_unknown_parameter_is_refused_everywhere(api: Api) -> None:
    for place in ("…/checkouts?page=1", f"…/checkouts/chk_{'0' * 26}?expand=1", "/v1/merchants?x=", "…/stores/s1?x=1"):
        response = api.get(place)
        assert slug(response) == "unknown-field", place


# --- idempotency keys ------------------------------------------------------------------------------------------------


def test_a_missing_key_is_told(api: Api) -> None:
    for missing in (None, ""):
        response = api.post("…/checkouts", order("x"), headers={"Idempotency-Key": missing})
        assert (response.status_code, slug(response)) == (400, "idempotency-key-missing")


@pytest.mark.parametrize("key", ["x" * 256, "a\tb", "a\x7fb", "a,b", "ключ", "\x01"])
def test_a_malformed_key_is_told(api: Api, key: str) -> None:
    environ = {"HTTP_IDEMPOTENCY_KEY": key.encode().decode("latin-1"), "HTTP_AUTHORIZATION": f"Bearer {api.key}"}
    response = api.client.post(CHECKOUTS, json=order("x"), environ_overrides=environ)
    assert (response.status_code, slug(response)) == (400, "idempotency-key-invalid")


def test_a_key_sent_twice_is_malformed(api: Api) -> None:
    headers = [("Authorization", f"Bearer {api.key}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    response = api.client.post(CHECKOUTS, json=order("x"), headers=headers)
    assert (response.status_code, slug(response)) == (400, "idempotency-key-invalid")


def test_the_longest_key_is_taken(api: Api, number: Callable[[], str]) -> None:
    assert api.post("…/checkouts", order(number()), key=uuid.uuid4().hex.ljust(255, "~")).status_code == 201


def test_a_key_with_another_body_or_place_is_reused(api: Api, number: Callable[[], str]) -> None:
    key, body = number(), order(number())
    assert api.post("…/checkouts", body, key=key).status_code == 201
    other = api.post("…/checkouts", {**body, "order_no": number()}, key=key)
    assert (other.status_code, slug(other)) == (422, "idempotency-key-reused")
    elsewhere = api.post("…/deposits", {"store_id": "s1", "amount": 1, "tender": {"method": "cash"}}, key=key)
    assert slug(elsewhere) == "idempotency-key-reused"


def test_white_space_and_order_do_not_count(api: Api, number: Callable[[], str]) -> None:
    key, body = number(), order(number())
    first = api.post("…/checkouts", body, key=key)
    raw = json.dumps({name: body[name] for name in sorted(body)}, indent=4, ensure_ascii=True).encode()
    assert api.post("…/checkouts", raw=raw, key=key).get_data() == first.get_data()


def test_a_refused_body_leaves_key_and_number_free(api: Api, number: Callable[[], str]) -> None:
    key, body = number(), order(number())
    assert api.post("…/checkouts", {**body, "points": 1.5}, key=key).status_code == 422
    assert api.post("…/checkouts", body, key=key).status_code == 201


def test_keys_are_a_merchants_own(gateway: Any, api: Api, number: Callable[[], str]) -> None:
    key, body = number(), order(number())
    assert api.post("…/checkouts", body, key=key).status_code == 201
    other = gateway.api("tea").post("…/checkouts", body, key=key)
    assert other.status_code == 201
    assert "Idempotency-Replayed" not in other.headers


# --- addresses and methods -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["/", "/v1", "/v1/nothing", "…/nothing", "…/checkouts/", "/v1/merchants/", "/docs/x"])
def test_an_address_that_is_not_there_is_a_problem(api: Api, place: str) -> None:
    response = api.get(place)
    assert (response.status_code, slug(response)) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "place", "allow"),
    [
        ("DELETE", CHECKOUTS, {"GET", "HEAD", "OPTIONS", "POST"}),
        ("GET", QUOTES, {"OPTIONS", "POST"}),
        ("PATCH", "/v1/merchants", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/openapi.json", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_method_that_is_not_taken_names_those_that_are(api: Api, method: str, place: str, allow: set[str]) -> None:
    response = api.client.open(place, method=method, headers=api.headers())
    assert (response.status_code, slug(response)) == (405, "method-not-allowed")
    assert {name.strip() for name in response.headers["Allow"].split(",")} == allow
