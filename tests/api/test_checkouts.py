"""Quotes and checkouts over HTTP: what is asked for is settled once, and the reply stays the same for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.api.kit import PHONE, Api, declined_code, paid_code, password_code, unknown_code

Number = Callable[[], str]


def basket(sku: str = "bun", quantity: str = "2", **more: Any) -> dict[str, Any]:
    return {"store_id": "s1", "lines": [{"sku": sku, "quantity": quantity}], **more}


def order(order_no: str, *tenders: dict[str, Any], **more: Any) -> dict[str, Any]:
    return basket(order_no=order_no, tenders=list(tenders) or [{"method": "cash"}], **more)


def test_a_quote_prices_with_member_coupon_and_points(api: Api) -> None:
    body = basket(member={"type": "phone", "value": PHONE}, coupons=["OFF0"], points=100)
    quote = api.post("…/quotes", body).json
    assert quote["gross_amount"] == 600
    assert quote["payable_amount"] == 600 - 60 - 100 - 100
    assert quote["member"]["id"] == "m1"


def test_a_checkout_by_cash_completes(api: Api, number: Number) -> None:
    reply = api.post("…/checkouts", order(number()))
    assert reply.status_code == 201
    assert reply.json["status"] == "completed"
    assert reply.headers["Location"] == f"/v1/merchants/bun/checkouts/{reply.json['id']}"
    assert api.get(f"…/checkouts/{reply.json['id']}").get_data() == reply.get_data()


def test_a_checkout_touches_every_asset(api: Api, number: Number) -> None:
    tenders = ({"method": "stored_value", "amount": 100}, {"method": "payment_code", "auth_code": paid_code()})
    more = {"member": {"type": "phone", "value": PHONE}, "coupons": ["OFF1"], "points": 100}
    done = api.post("…/checkouts", order(number(), *tenders, **more)).json
    assert [tender["status"] for tender in done["tenders"]] == ["paid", "paid"]
    assert {leg["status"] for leg in done["legs"]} == {"ok"}


def test_the_same_key_gives_the_same_bytes(api: Api, number: Number) -> None:
    body, key = order(number(), {"method": "payment_code", "auth_code": paid_code()}), number()
    first = api.post("…/checkouts", body, key=key)
    again = api.post("…/checkouts", {name: body[name] for name in reversed(body)}, key=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.get_data() == first.get_data()
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]


def test_a_decline_is_402_and_replays_as_it_was(api: Api, number: Number) -> None:
    body, key = order(number(), {"method": "payment_code", "auth_code": declined_code()}), number()
    first = api.post("…/checkouts", body, key=key)
    assert first.status_code == 402
    assert first.content_type == "application/problem+json"
    assert first.json["type"] == "/problems/payment-declined"
    assert first.json["request_id"] == first.headers["X-Request-Id"]
    again = api.post("…/checkouts", body, key=key)
    assert again.get_data() == first.get_data()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert api.get(f"…/checkouts/{first.json['checkout_id']}").json["status"] == "failed"


def test_a_password_is_awaited_with_202_which_replays_as_first_sent(api: Api, number: Number) -> None:
    body, key = order(number(), {"method": "payment_code", "auth_code": password_code()}), number()
    first = api.post("…/checkouts", body, key=key)
    if first.status_code == 202:
        assert first.json["next_action"]["type"] == "await_password"
    done = settled(api, first.headers["Location"])
    assert done["status"] == "completed"
    assert api.post("…/checkouts", body, key=key).get_data() == first.get_data()


def test_an_unknown_outcome_is_found_out_and_charged_once(api: Api, number: Number) -> None:
    first = api.post("…/checkouts", order(number(), {"method": "payment_code", "auth_code": unknown_code()}))
    assert first.status_code in (201, 202)
    done = settled(api, first.headers["Location"])
    assert done["status"] == "completed"
    assert [leg["name"] for leg in done["legs"]].count("tender:t1/payment_charge") == 1


def settled(api: Api, location: str, seconds: float = 15) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found: dict[str, Any] = api.get(location).json
        if found["status"] in ("completed", "failed", "cancelled"):
            return found
        time.sleep(0.05)
    raise AssertionError(f"not settled: {found}")


def test_a_quote_is_honoured_by_its_id(api: Api, number: Number) -> None:
    quote = api.post("…/quotes", basket()).json
    body = {"quote_id": quote["quote_id"], "order_no": number(), "tenders": [{"method": "cash"}]}
    assert api.post("…/checkouts", body).json["quote"]["payable_amount"] == quote["payable_amount"]


def test_a_quote_meant_for_a_payment_code_needs_none_but_its_checkout_does(api: Api, number: Number) -> None:
    quote = api.post("…/quotes", basket(tenders=[{"method": "payment_code"}])).json
    body = {"quote_id": quote["quote_id"], "order_no": number()}
    assert api.post("…/checkouts", body).json["type"] == "/problems/tenders-mismatch"


def test_a_quote_fixes_the_basket(api: Api, number: Number) -> None:
    quote = api.post("…/quotes", basket()).json
    reply = api.post("…/checkouts", {**order(number()), "quote_id": quote["quote_id"]})
    assert {error["pointer"] for error in reply.json["errors"]} == {"/lines", "/store_id"}


def test_an_expected_price_that_is_wrong_is_told_with_the_new_one(api: Api, number: Number) -> None:
    reply = api.post("…/checkouts", order(number(), expected_payable_amount=599))
    assert (reply.status_code, reply.json["type"]) == (409, "/problems/price-changed")
    assert reply.json["quote"]["payable_amount"] == 600


def test_the_next_payer_adds_a_tender(api: Api, number: Number) -> None:
    body = order(number(), {"method": "cash", "amount": 200}, on_decline="await_tender")
    first = api.post("…/checkouts", body)
    assert (first.status_code, first.json["status"]) == (202, "awaiting_customer")
    assert first.json["next_action"] | {"expires_at": ""} == {"type": "add_tender", "amount": 400, "expires_at": ""}
    key = number()
    tender = {"method": "payment_code", "auth_code": paid_code()}
    added = api.post(f"{first.headers['Location']}/tenders", tender, key=key)
    assert (added.status_code, added.json["status"]) == (201, "completed")
    again = api.post(f"{first.headers['Location']}/tenders", tender, key=key)
    assert again.get_data() == added.get_data()


def test_cancel_lets_go_and_says_so(api: Api, number: Number) -> None:
    first = api.post("…/checkouts", order(number(), {"method": "cash", "amount": 200}, on_decline="await_tender"))
    key = number()
    gone = api.post(f"{first.headers['Location']}/cancel", key=key)
    assert (gone.status_code, gone.json["status"]) == (200, "cancelled")
    assert api.post(f"{first.headers['Location']}/cancel", key=key).get_data() == gone.get_data()
    late = api.post(f"{first.headers['Location']}/cancel")
    assert (late.status_code, late.json["type"]) == (409, "/problems/invalid-state")


def test_a_list_is_paged_newest_first(api: Api, number: Number) -> None:
    made = [api.post("…/checkouts", order(number())).json["id"] for _ in range(3)]
    first = api.get("…/checkouts?limit=2&status=completed").json
    assert [item["id"] for item in first["data"]] == made[:0:-1]
    assert first["has_more"] is True
    second = api.get(f"…/checkouts?limit=2&status=completed&cursor={first['next_cursor']}").json
    assert second["data"][0]["id"] == made[0]


def test_a_checkout_is_found_by_its_number_and_its_time(api: Api, number: Number) -> None:
    order_no = number()
    made = api.post("…/checkouts", order(order_no)).json
    assert [item["id"] for item in api.get(f"…/checkouts?order_no={order_no}").json["data"]] == [made["id"]]
    later = "2099-01-01T00:00:00Z"
    assert api.get(f"…/checkouts?order_no={order_no}&from={later}").json["data"] == []
    assert api.get(f"…/checkouts?order_no={order_no}&to={later}&status=failed").json["data"] == []


@pytest.mark.parametrize("status", ["processing", "awaiting_customer", "resolving", "needs_attention", "cancelled"])
def test_a_list_holds_only_the_status_asked_for(api: Api, status: str) -> None:
    assert {item["status"] for item in api.get(f"…/checkouts?status={status}").json["data"]} <= {status}


def test_a_refund_gives_back_what_its_preview_said(api: Api, number: Number) -> None:
    made = api.post("…/checkouts", order(number(), {"method": "payment_code", "auth_code": paid_code()})).json
    place, wanted = f"…/checkouts/{made['id']}/refunds", {"lines": [{"line_id": "1", "quantity": "1"}]}
    preview = api.post(f"{place}/preview", wanted).json
    assert preview["amount"] == 300
    key, body = number(), {**wanted, "refund_no": number(), "reason": "冷了"}
    done = api.post(place, body, key=key)
    assert (done.status_code, done.json["status"], done.json["amount"]) == (201, "succeeded", 300)
    assert api.post(place, body, key=key).get_data() == done.get_data()
    assert api.get(f"…/refunds/{done.json['id']}").get_data() == done.get_data()
    rest = api.post(place, {"refund_no": number(), "amount": 301})
    assert (rest.status_code, rest.json["type"]) == (422, "/problems/refund-exceeds-paid")


def test_a_refund_comes_out_of_the_tender_that_was_named(api: Api, number: Number) -> None:
    """A shop that gives cash back over the counter says so; else each tender gives its share."""
    tenders = ({"method": "cash", "amount": 200}, {"method": "payment_code", "auth_code": paid_code()})
    made = api.post("…/checkouts", order(number(), *tenders)).json
    place, wanted = f"…/checkouts/{made['id']}/refunds", {"amount": 150, "tender_order": ["cash"]}
    preview = api.post(f"{place}/preview", wanted).json
    done = api.post(place, {**wanted, "refund_no": number()})
    assert (done.status_code, done.json["gives_back"]) == (201, preview["gives_back"])
    assert preview["gives_back"]["tenders"] == [{"id": "t1", "amount": 150}, {"id": "t2", "amount": 0}]
    unknown = api.post(f"{place}/preview", {"amount": 1, "tender_order": ["cheque"]})
    assert (unknown.status_code, unknown.json["errors"][0]["pointer"]) == (422, "/tender_order/0")


def test_goods_that_cost_nothing_come_back(api: Api, number: Number) -> None:
    """A tender that had nothing to pay is no part of the checkout, and giving it back is no error."""
    body = order(number(), {"method": "payment_code", "auth_code": paid_code()})
    body["lines"] = [{"sku": "bun", "quantity": "1", "unit_amount": 0}]
    made = api.post("…/checkouts", body)
    assert (made.status_code, made.json["tenders"], made.json["quote"]["payable_amount"]) == (201, [], 0)
    place = f"…/checkouts/{made.json['id']}/refunds"
    assert api.post(f"{place}/preview", {}).status_code == 200
    assert api.post(place, {"refund_no": number()}).json["amount"] == 0
    again = api.post(place, {"refund_no": number()})
    assert (again.status_code, again.json["type"]) == (422, "/problems/refund-exceeds-paid")


def test_a_deposit_is_held_drawn_on_and_released(api: Api, number: Number) -> None:
    body = {"store_id": "s1", "amount": 1000, "tender": {"method": "payment_code", "auth_code": paid_code()}}
    held = api.post("…/deposits", body)
    assert (held.status_code, held.json["status"], held.json["held_amount"]) == (201, "held", 1000)
    assert api.post("…/checkouts", order(number(), {"method": "deposit", "id": held.json["id"]})).status_code == 201
    place = f"…/deposits/{held.json['id']}"
    assert api.get(place).json["held_amount"] == 400
    back = api.post(f"{place}/release")
    assert (back.status_code, back.json["amount"], back.json["deposit_id"]) == (201, 400, held.json["id"])
    assert api.get(place).json["status"] == "released"
