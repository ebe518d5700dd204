"""Who may see and do what: every route × tenants × scopes; what is not yours is not there."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway.api import auth
from gateway.api.keys import SCOPES, KeyRefused, create_key, list_keys, revoke_key
from gateway.api.operation import OPERATIONS, Operation
from tests.api.kit import Api, Gateway, paid_code
from tests.api.test_checkouts import order
from tests.api.test_requests import slug

BODIES: dict[str, Any] = {
    "create_quote": {"store_id": "s1", "lines": [{"sku": "bun"}]},
    "create_checkout": order("never-made"),
    "add_tender": {"method": "cash"},
    "preview_refund": {},
    "create_refund": {"refund_no": "never-made"},
    "create_deposit": {"store_id": "s1", "amount": 1, "tender": {"method": "cash"}},
    "look_up_member": {"type": "phone", "value": "13800001001"},
    "resolve_task": {"outcome": "done", "evidence": "seen"},
    "create_webhook_endpoint": {"url": "https://198.51.100.1.invalid/hook"},
}
QUERIES = {
    "read_stock": "?sku=bun",
    "list_slots": "?store_id=s1&from=2026-12-01T00:00:00Z&to=2026-12-02T00:00:00Z",
    "list_bills": "?store_id=s1&resource=1",
    "list_stores_nearby": "?latitude=31.2&longitude=121.4",
}


def ask(api: Api, operation: Operation, ids: dict[str, str]) -> Any:
    place = operation.path
    for name, value in ids.items():
        place = place.replace(f"<{name}>", value)
    if operation.method == "DELETE":
        return api.delete(place)
    if operation.method == "GET":
        return api.get(place + QUERIES.get(operation.id, ""))
    return api.post(place, BODIES.get(operation.id))


@pytest.fixture(scope="module")
def ids(gateway: Gateway) -> dict[str, str]:
    """Resources of the shop ``bun``."""
    api = gateway.api("bun")
    made = api.post("…/checkouts", order("of-bun", {"method": "payment_code", "auth_code": paid_code()})).json["id"]
    back = api.post(f"…/checkouts/{made}/refunds", {"refund_no": "of-bun", "amount": 1}).json["id"]
    held = {"store_id": "s1", "amount": 100, "tender": {"method": "payment_code", "auth_code": paid_code()}}
    deposit = api.post("…/deposits", held).json["id"]
    endpoint = api.post("/v1/webhook-endpoints", BODIES["create_webhook_endpoint"]).json["id"]
    names = {"checkout_id": made, "refund_id": back, "deposit_id": deposit, "endpoint_id": endpoint}
    return {**names, "store_id": "s1", "task_id": "tsk_" + "0" * 26}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_every_route_needs_a_key_and_its_scopes(gateway: Gateway, operation: Operation, ids: dict[str, str]) -> None:
    none = Api(gateway.app.test_client(), "", "bun", gateway.contract)
    response = ask(none, operation, {**ids, "merchant": "bun"})
    assert (response.status_code, slug(response)) == (401, "invalid-credentials")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    others = tuple(scope for scope in SCOPES if scope not in operation.scopes)
    response = ask(gateway.api("bun", scopes=others), operation, {**ids, "merchant": "bun"})
    assert (response.status_code, slug(response)) == (403, "insufficient-scope")
    assert operation.scopes, "every route has a scope"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.id)
def test_a_route_needs_no_other_scopes(gateway: Gateway, operation: Operation, ids: dict[str, str]) -> None:
    absent = {**ids, "merchant": "bun"} | {name: f"{ids[name][:4]}{'0' * 26}" for name in ids if name != "store_id"}
    response = ask(gateway.api("bun", scopes=operation.scopes), operation, absent)
    assert response.status_code not in (401, 403, 500)


READABLE = [found for found in OPERATIONS if found.method == "GET"]
#: A shop of the house has neither rooms nor bills, and no task yet.
ABSENT = {"list_slots", "list_bills", "read_task"}


@pytest.mark.parametrize("operation", READABLE, ids=lambda operation: operation.id)
def test_every_reading_route_answers_its_own_merchant(
    gateway: Gateway, operation: Operation, ids: dict[str, str]
) -> None:
    response = ask(gateway.api("bun"), operation, {**ids, "merchant": "bun"})
    assert response.status_code == (404 if operation.id in ABSENT else 200)


def test_a_price_of_ones_own_needs_its_scope(gateway: Gateway) -> None:
    body = {"store_id": "s1", "lines": [{"sku": "bun", "unit_amount": 1}]}
    assert gateway.api("bun").post("…/quotes", body).json["payable_amount"] == 1
    without = gateway.api("bun", scopes=("checkout:read",))
    assert without.post("…/quotes", body).json["payable_amount"] == 300


@pytest.mark.parametrize("operation", [found for found in OPERATIONS if found.tenant], ids=lambda found: found.id)
def test_another_tenant_is_the_same_as_none(gateway: Gateway, operation: Operation, ids: dict[str, str]) -> None:
    api = gateway.api("tea")
    foreign, absent = (ask(api, operation, {**ids, "merchant": name}) for name in ("bun", "nobody"))
    assert foreign.status_code == absent.status_code == 404
    assert foreign.json | {"request_id": ""} == absent.json | {"request_id": ""}


@pytest.mark.parametrize(
    "operation", [found for found in OPERATIONS if "_id>" in found.path], ids=lambda found: found.id
)
def test_another_tenants_id_under_ones_own_name_is_absent(
    gateway: Gateway, operation: Operation, ids: dict[str, str]
) -> None:
    api = gateway.api("tea")
    absent = {name: f"{value[:4]}{'0' * 26}" for name, value in ids.items() if name != "store_id"}
    if operation.id == "read_store":
        return
    foreign = ask(api, operation, {**ids, "merchant": "tea"})
    nothing = ask(api, operation, {**absent, "merchant": "tea"})
    assert foreign.status_code == nothing.status_code == 404
    assert foreign.json | {"request_id": ""} == nothing.json | {"request_id": ""}


def test_lists_hold_only_ones_own(gateway: Gateway, ids: dict[str, str]) -> None:
    api = gateway.api("tea")
    assert [item["id"] for item in api.get("/v1/merchants").json["data"]] == ["tea"]
    assert {item["merchant"] for item in api.get("/v1/events").json["data"]} <= {"tea"}
    assert {item["merchant"] for item in api.get("…/checkouts").json["data"]} <= {"tea"}
    near = api.get("/v1/stores/nearby?latitude=31.23&longitude=121.47").json["data"]
    assert {item["merchant"] for item in near} == {"tea"}
    response = api.get("/v1/events?merchant=bun")
    assert (response.status_code, slug(response)) == (404, "not-found")
    first = gateway.api("bun").get("/v1/events?limit=1&wait=5").json["data"][0]
    assert slug(api.get(f"/v1/events?after={first['id']}")) == "validation-error"


def test_a_key_bound_to_a_store_sees_no_other(gateway: Gateway, ids: dict[str, str]) -> None:
    api = gateway.api("bun", stores=("s2",))
    for place in (
        f"…/checkouts/{ids['checkout_id']}",
        f"…/refunds/{ids['refund_id']}",
        f"…/deposits/{ids['deposit_id']}",
    ):
        assert slug(api.get(place)) == "not-found", place
    assert slug(api.get(f"…/checkouts/{ids['checkout_id']}/timeline")) == "not-found"
    assert api.get("…/checkouts").json["data"] == []
    assert api.get("/v1/events").json["data"] == []
    assert [item["id"] for item in api.get("…/stores").json["data"]] == ["s2"]
    assert slug(api.get("…/stores/s1")) == "not-found"
    place = f"…/checkouts/{ids['checkout_id']}"
    assert slug(api.post(f"{place}/refunds/preview", {})) == "not-found"
    assert slug(api.post(f"{place}/refunds", {"refund_no": "x"})) == "not-found"
    assert slug(api.post(f"{place}/cancel")) == "not-found"
    assert slug(api.post(f"…/deposits/{ids['deposit_id']}/release")) == "not-found"


def test_a_deposit_of_another_store_does_not_pay(gateway: Gateway, ids: dict[str, str]) -> None:
    api = gateway.api("bun", stores=("s2",))
    body = {"store_id": "s2", "lines": [{"sku": "bun"}], "tenders": [{"method": "deposit", "id": ids["deposit_id"]}]}
    foreign = api.post("…/quotes", body)
    body["tenders"] = [{"method": "deposit", "id": f"dep_{'0' * 26}"}]
    absent = api.post("…/quotes", body)
    assert slug(foreign) == "not-found"
    assert foreign.json | {"request_id": ""} == absent.json | {"request_id": ""}


def test_a_store_that_is_not_the_keys_is_the_same_as_none(gateway: Gateway) -> None:
    api, whole = gateway.api("bun", stores=("s2",)), gateway.api("bun")
    foreign = api.post("…/checkouts", {**order("x"), "store_id": "s1"})
    absent = api.post("…/checkouts", {**order("x"), "store_id": "s9"})
    assert foreign.json | {"request_id": ""} == absent.json | {"request_id": ""}
    quote = whole.post("…/quotes", BODIES["create_quote"]).json["quote_id"]
    bought = api.post("…/checkouts", {"quote_id": quote, "order_no": "x", "tenders": [{"method": "cash"}]})
    assert [error["pointer"] for error in bought.json["errors"]] == ["/quote_id"]
    assert slug(api.get("…/stock?sku=bun&store_id=s1")) == "validation-error"
    assert {level["store_id"] for level in api.get("…/stock?sku=bun").json["data"]} == {"s2"}


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer gwk_short", "Bearer gwk_" + "x" * 43, "bearer  gwk_" + "x" * 43],
)
def test_wrong_credentials_are_refused(gateway: Gateway, header: str) -> None:
    response = gateway.app.test_client().get("/v1/merchants", headers={"Authorization": header})
    assert (response.status_code, slug(response)) == (401, "invalid-credentials")


def test_a_revoked_key_is_refused_within_five_seconds(gateway: Gateway) -> None:
    database = gateway.parts.database
    text, key = create_key(database, merchants=["bun"])
    api = Api(gateway.app.test_client(), text, "bun", gateway.contract)
    assert api.get("/v1/merchants").status_code == 200
    revoke_key(database, key.id)
    assert auth.REMEMBERED_S <= 4
    until = time.monotonic() + 5
    while (response := api.get("/v1/merchants")).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert (response.status_code, slug(response)) == (401, "key-revoked")


def test_a_key_is_stored_as_a_hash_and_listed_without_it(gateway: Gateway) -> None:
    database = gateway.parts.database
    text, key = create_key(database, name="cash desk", merchants=["bun"], stores=["s1"], scopes=["checkout:read"])
    listed = next(found for found in list_keys(database) if found.id == key.id)
    assert listed == key
    rows = database.read(lambda tx: [dict(row) for row in tx.all("SELECT * FROM api_keys")])
    assert text not in str(rows)
    assert text not in repr(key)


def test_a_key_with_an_unknown_scope_is_not_made(gateway: Gateway) -> None:
    with pytest.raises(KeyRefused, match="unknown scope checkout:everything"):
        create_key(gateway.parts.database, scopes=["checkout:everything"])
    with pytest.raises(KeyRefused, match="no key"):
        revoke_key(gateway.parts.database, "key_none")
