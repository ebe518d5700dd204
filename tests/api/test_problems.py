"""Every problem that can come today, provoked: its slug, its status, and what it tells."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from werkzeug.test import TestResponse

from gateway.app import create_app
from gateway.engine.problems import PROBLEMS
from tests.api.kit import PHONE, Api, Gateway, build, gone_code, paid_code, payment_code, write_config
from tests.api.test_checkouts import basket, order, settled
from tests.api.test_requests import slug

Number = Callable[[], str]
MEMBER = {"member": {"type": "phone", "value": PHONE}}

#: What other modules of these tests provoke.
ELSEWHERE = {
    "signature-expired",
    "replayed-request",
    "rate-limited",
    "webhook-url-forbidden",
    "malformed-json",
    "idempotency-key-missing",
    "idempotency-key-invalid",
    "idempotency-key-reused",
    "invalid-credentials",
    "invalid-signature",
    "key-revoked",
    "payment-declined",
    "insufficient-scope",
    "not-found",
    "method-not-allowed",
    "out-of-stock",
    "price-changed",
    "invalid-state",
    "body-too-large",
    "unsupported-media-type",
    "unsupported-encoding",
    "validation-error",
    "unknown-field",
    "tenders-mismatch",
    "refund-exceeds-paid",
    "card-data-rejected",
    "internal-error",
}
HERE = {
    "slot-taken",
    "coupon-exhausted",
    "coupon-not-applicable",
    "insufficient-points",
    "insufficient-stored-value",
    "bill-changed",
    "quote-expired",
    "checkout-failed",
    "request-in-progress",
    "duplicate-order",
    "payment-code-unrecognised",
    "adapter-unavailable",
    "storage-full",
    "storage-busy",
}


def test_no_problem_is_left_out() -> None:
    assert PROBLEMS.keys() == ELSEWHERE | HERE


def test_a_number_is_used_once_for_ever(api: Api, number: Number) -> None:
    order_no = number()
    made = api.post("…/checkouts", order(order_no))
    again = api.post("…/checkouts", order(order_no))
    assert (again.status_code, slug(again)) == (409, "duplicate-order")
    assert again.headers["Location"] == made.headers["Location"]
    assert again.json["checkout_id"] == made.json["id"]


@pytest.mark.parametrize("digits", ["1" * 16, "6" * 24, "40" + "1" * 16])
def test_digits_of_no_wallet_are_told_before_anything_is_held(api: Api, number: Number, digits: str) -> None:
    order_no = number()
    response = api.post("…/checkouts", order(order_no, {"method": "payment_code", "auth_code": digits}))
    assert (response.status_code, slug(response)) == (422, "payment-code-unrecognised")
    assert api.get(f"…/checkouts?order_no={order_no}").json["data"] == []


def test_a_quote_is_honoured_until_it_expires(gateway: Gateway, api: Api, number: Number) -> None:
    quote = api.post("…/quotes", basket()).json["quote_id"]
    gateway.parts.database.tx(lambda tx: tx.execute("UPDATE quotes SET expires = 1 WHERE id = :id", {"id": quote}))
    response = api.post("…/checkouts", {"quote_id": quote, "order_no": number(), "tenders": [{"method": "cash"}]})
    assert (response.status_code, slug(response)) == (409, "quote-expired")


@pytest.mark.parametrize("code", ["NONE", "OFF3"])
def test_a_code_that_cannot_be_used_is_no_oracle(api: Api, code: str) -> None:
    """One that does not exist and one that is somebody else's look the same."""
    response = api.post("…/quotes", basket(coupons=[code]))
    assert (response.status_code, slug(response)) == (422, "coupon-not-applicable")
    other = api.post("…/quotes", basket(coupons=["NONE"]))
    assert response.json | {"request_id": ""} == other.json | {"request_id": ""}


def test_a_coupon_that_is_gone_when_it_is_to_be_held(api: Api, number: Number) -> None:
    """Two shoppers with the same last coupon at once: one has it, the other is told and pays nothing."""
    replies = _together(api, [{**order(number()), **MEMBER, "coupons": ["OFF2"]} for _ in range(6)])
    slugs = {slug(reply) for reply in replies if reply.status_code >= 400}
    assert [reply.status_code for reply in replies].count(201) == 1
    assert slugs <= {"coupon-exhausted", "coupon-not-applicable"}


def _together(api: Api, bodies: list[dict[str, Any]]) -> list[TestResponse]:
    replies: list[object] = []
    threads = [
        threading.Thread(target=lambda body=body: replies.append(api.post("…/checkouts", body))) for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return replies


def test_more_points_than_there_are(api: Api, number: Number) -> None:
    body = {**order(number()), **MEMBER, "points": 100_000_000}
    body["lines"] = [{"sku": "milk", "quantity": "1000"}]
    response = api.post("…/checkouts", body)
    assert (response.status_code, slug(response)) == (409, "insufficient-points")


def test_more_stored_value_than_there_is(api: Api, number: Number) -> None:
    body = {**order(number(), {"method": "stored_value", "amount": 600_000}), **MEMBER}
    body["lines"] = [{"sku": "milk", "quantity": "1000"}]
    response = api.post("…/checkouts", {**body, "on_decline": "await_tender"})
    assert (response.status_code, slug(response)) == (409, "insufficient-stored-value")


def test_a_customer_who_never_types_the_password(api: Api, number: Number) -> None:
    body, key = order(number(), {"method": "payment_code", "auth_code": payment_code("9001")}), number()
    response = api.post("…/checkouts", body, key=key)
    location = response.headers["Location"]
    until = time.monotonic() + 20
    while (status := api.get(location).json["status"]) not in ("failed", "completed") and time.monotonic() < until:
        time.sleep(0.05)
    assert status == "failed"
    if response.status_code == 409:
        assert slug(response) == "checkout-failed"
        assert response.json["leg"] == "tender:t1"


def test_a_key_whose_request_is_still_running(api: Api, number: Number) -> None:
    """The customer is typing; the same request comes again meanwhile and is told where the truth is."""
    body, key = order(number(), {"method": "payment_code", "auth_code": payment_code("9001")}), number()
    first = threading.Thread(target=lambda: api.post("…/checkouts", body, key=key))
    first.start()
    time.sleep(0.3)
    again = api.post("…/checkouts", body, key=key)
    assert (again.status_code, slug(again)) == (409, "request-in-progress")
    assert again.headers["Retry-After"]
    assert again.headers["Location"].startswith("/v1/merchants/bun/checkouts/chk_")
    first.join(20)


def test_a_wallet_that_cannot_be_reached(gateway: Gateway, number: Number) -> None:
    """Nothing was sent: the same key and the same number may be tried again, with another way to pay."""
    api = gateway.api("tea")
    body, key = order(number(), {"method": "payment_code", "auth_code": gone_code()}), number()
    response = api.post("…/checkouts", body, key=key)
    assert (response.status_code, slug(response)) == (503, "adapter-unavailable")
    assert int(response.headers["Retry-After"]) > 0
    assert api.post("…/checkouts", {**body, "tenders": [{"method": "cash"}]}, key=key).status_code == 201


def test_a_room_that_is_taken_and_a_bill_that_changed(song: Api, number: Number) -> None:
    """An evening is booked through the gateway; then its room is taken, and its bill moves on from what was read."""
    start = datetime.now().astimezone().replace(second=0, microsecond=0)
    window = {"from": start.isoformat(), "to": (start + timedelta(hours=1)).isoformat()}
    kind = song.get(f"…/slots?store_id=xuhui&{urlencode(window)}").json["data"][0]["resource_class"]
    line = {"slot": {"resource_class": kind, **window}}
    tender = {"method": "payment_code", "auth_code": paid_code()}
    made = song.post("…/checkouts", {"store_id": "xuhui", "order_no": number(), "lines": [line], "tenders": [tender]})
    opened = settled(song, made.headers["Location"])
    bill = song.get(f"…/bills?store_id=xuhui&bill_id={opened['session_id']}").json["data"][0]
    line = {"slot": {"resource_id": bill["resource_id"], **window}}
    response = song.post("…/quotes", {"store_id": "xuhui", "lines": [line]})
    assert (response.status_code, slug(response)) == (409, "slot-taken")
    source = {"kind": "session", "ids": [bill["bill_id"]], "version": "of yesterday"}
    response = song.post("…/quotes", {"store_id": "xuhui", "source": source})
    assert (response.status_code, slug(response)) == (409, "bill-changed")
    source["version"] = response.json["version"]
    paid = song.post("…/quotes", {"store_id": "xuhui", "source": source})
    assert slug(paid) == "validation-error", "its version is right, and nothing on it is left to pay"


# --- the database --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = build(tmp_path_factory.mktemp("other"))
    yield made
    made.stop()


def test_a_disk_that_is_nearly_full_takes_no_new_work(other: Gateway, number: Number) -> None:
    """A second app on the same files that wants more room than any disk has."""
    before = other.api("bun")
    made = before.post("…/checkouts", order(number())).json["id"]
    file = write_config(other.folder, other.running)
    file.write_text(file.read_text(encoding="utf-8") + "\n[database]\nlow_water_bytes = 1000000000000000\n")
    app = create_app(file)
    api = Api(app.test_client(), before.key, "bun", before.contract)
    key, body = number(), order(number())
    response = api.post("…/checkouts", body, key=key)
    assert (response.status_code, slug(response)) == (503, "storage-full")
    assert response.headers["Retry-After"]
    assert api.get(f"…/checkouts/{made}").status_code == 200
    assert api.client.get("/readyz").status_code == 503
    app.extensions["gateway"].close()
    assert before.post("…/checkouts", body, key=key).status_code == 201


#: Takes the database's write lock until its input ends.
HOLD = """
import sqlite3, sys
peer = sqlite3.connect(sys.argv[1], isolation_level=None)
peer.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_database_that_another_process_holds(other: Gateway, number: Number) -> None:
    file = write_config(other.folder, other.running)
    file.write_text(file.read_text(encoding="utf-8") + "\n[database]\nbusy_seconds = 1\n")
    app = create_app(file)
    api = Api(app.test_client(), other.key("bun"), "bun", other.contract)
    assert api.get("/v1/merchants").status_code == 200
    app.extensions["gateway"].start_recovery()
    path = Path(app.extensions["gateway"].config.database.url.removeprefix("sqlite:///"))
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    key, body = number(), order(number(), {"method": "payment_code", "auth_code": paid_code()})
    response = api.post("…/checkouts", body, key=key)
    assert (response.status_code, slug(response)) == (503, "storage-busy")
    assert api.get("…/checkouts").status_code == 200
    holder.communicate(b"", 10)
    done = api.post("…/checkouts", body, key=key)
    assert (done.status_code, json.loads(done.get_data())["status"]) == (201, "completed")
    app.extensions["gateway"].close()
