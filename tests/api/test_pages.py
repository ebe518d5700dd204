"""The OpenAPI document, the pages, health, metrics, callbacks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.api.openapi import document, slugs_of
from gateway.api.operation import OPERATIONS
from gateway.api.pages import problem_texts
from gateway.engine.problems import PROBLEMS
from gateway.store import journal
from plugins.alipay.protocol import content_to_sign, sign
from plugins.alipay.simulator import AlipaySimulator
from tests.api.kit import Api, Gateway, paid_code
from tests.api.test_checkouts import order


def test_the_openapi_document_is_valid(api: Api) -> None:
    served = json.loads(api.client.get("/openapi.json").get_data())
    assert served["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(served).iter_errors()] == []
    assert served == json.loads(json.dumps(document()))


def test_every_route_is_documented_once_and_nothing_else_is(gateway: Gateway) -> None:
    described = {
        (method.upper(), re.sub(r"\{(\w+)\}", r"<\1>", path))
        for path, item in document()["paths"].items()
        for method in item
    }
    served = {
        (method, str(rule))
        for rule in gateway.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if str(rule).startswith("/v1/") and "callbacks" not in str(rule)
    }
    assert described == served
    assert len(OPERATIONS) == len(served)


def test_every_operation_says_what_it_is_for_and_which_problems_it_has() -> None:
    for operation in OPERATIONS:
        assert (operation.view.__doc__ or "").strip(), operation.id
        assert set(slugs_of(operation)) <= PROBLEMS.keys()


def test_every_example_validates() -> None:
    shown = [operation for operation in OPERATIONS if operation.body is not None and operation.body.example]
    assert len(shown) >= 5
    for operation in shown:
        assert operation.body_schema is not None
        assert operation.body_schema.load(operation.body.example)


def test_every_problem_has_a_page_in_both_languages(api: Api) -> None:
    assert problem_texts().keys() == PROBLEMS.keys()
    for slug, (status, _) in PROBLEMS.items():
        page = api.client.get(f"/problems/{slug}")
        text = page.get_data(as_text=True)
        assert page.status_code == 200
        assert f"HTTP {status}" in text
        assert 'lang="en"' in text
        assert re.search("[\u4e00-\u9fff]", text)
    assert api.client.get("/problems/none").status_code == 404


@pytest.mark.parametrize("place", ["/docs", "/problems", "/problems/out-of-stock"])
def test_pages_take_nothing_from_another_host(api: Api, place: str) -> None:
    page = api.client.get(place)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "http" not in policy
    text = page.get_data(as_text=True)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text)
    for name in re.findall(r'(?:src|href)="(/[^"]+)"', text):
        assert api.client.get(name).status_code == 200, name


def test_health(api: Api) -> None:
    assert api.client.get("/healthz").get_json() == {"status": "ok"}
    ready = api.client.get("/readyz")
    document: Any = ready.get_json()
    assert (ready.status_code, document["ready"]) == (200, True)
    assert document["database"]["ok"] is True
    durable = document["database"]["dialect"] == "sqlite"  # the server of the tests does not sync
    assert document["database"]["durable"] is durable
    assert "bun" not in ready.get_data(as_text=True)


def test_metrics_count_requests_by_operation(api: Api) -> None:
    api.get("/v1/merchants")
    text = api.client.get("/metrics").get_data(as_text=True)
    assert re.search(r'gateway_http_requests_total\{operation="list_merchants",status="200"\} \d', text)
    assert "bun" not in text


def test_no_reply_is_kept_by_caches_and_each_has_an_id(api: Api) -> None:
    one, other = api.get("/v1/merchants"), api.get("/v1/merchants")
    assert one.headers["Cache-Control"] == "no-store"
    assert one.headers["X-Request-Id"] != other.headers["X-Request-Id"]


def test_a_callback_is_verified_by_the_adapter_and_answered_in_its_words(
    gateway: Gateway, api: Api, number: Callable[[], str]
) -> None:
    """A signed notice is taken at the connection's address alone; a forged one is refused."""
    path = gateway.parts.notices.path("bun", "alipay")
    assert path == gateway.parts.notices.path("bun", "alipay")
    assert path != gateway.parts.notices.path("tea", "alipay")
    for wrong in (path[:-1] + ("A" if path[-1] != "A" else "B"), path.replace("/bun/", "/tea/"), path + "x"):
        assert api.client.post(wrong, data={"sign": "x"}).status_code == 404, wrong
    forged = api.client.post(path, data={"out_trade_no": "1", "sign": "x", "sign_type": "RSA2"})
    assert (forged.status_code, forged.get_json()["type"]) == (401, "/problems/invalid-signature")
    genuine = notice_of(gateway, api, number())
    taken = api.client.post(path, data=genuine)
    assert (taken.status_code, taken.get_data()) == (200, b"success")
    assert api.client.post(path, data=genuine | {"total_amount": "0.01"}).status_code == 401
    house = gateway.parts.notices.path("bun", "house")
    assert api.client.post(house, data={}).status_code == 404


def notice_of(gateway: Gateway, api: Api, order_no: str) -> dict[str, str]:
    """What the wallet would post about a payment."""
    tender = {"method": "payment_code", "auth_code": paid_code()}
    done = api.post("…/checkouts", order(order_no, tender)).json
    simulator = gateway.running["alipay"].simulator
    assert isinstance(simulator, AlipaySimulator)
    who = simulator.main.who
    ops = gateway.parts.database.read(lambda tx: journal.ops(tx, done["id"]))
    key = next(op["key"] for op in ops if op["leg"] == "tender:t1")
    fields = {"app_id": who.app_id, "seller_id": who.seller_id, "out_trade_no": key, "total_amount": "6.00"}
    fields |= {"trade_no": done["tenders"][0]["channel_ref"], "trade_status": "TRADE_SUCCESS", "notify_id": "1"}
    return {
        **fields,
        "sign": sign(content_to_sign(fields, ("sign", "sign_type")), who.alipay_private_key),
        "sign_type": "RSA2",
    }


def test_a_bug_of_ours_is_a_problem_without_a_stack(
    gateway: Gateway, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that nothing could have written stands for a bug that nobody foresaw."""
    made = api.post("…/checkouts", order("broken")).json["id"]
    gateway.parts.database.tx(lambda tx: tx.execute("UPDATE sagas SET state = 'nonsense' WHERE id = :id", {"id": made}))
    response = api.get(f"…/checkouts/{made}")
    assert (response.status_code, response.json["type"]) == (500, "/problems/internal-error")
    assert "nonsense" not in response.get_data(as_text=True)
    assert response.json["request_id"] in str([record.__dict__ for record in caplog.records])
    gateway.parts.database.tx(
        lambda tx: tx.execute("UPDATE sagas SET state = 'completed' WHERE id = :id", {"id": made})
    )
