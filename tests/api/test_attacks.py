"""What an ill-meaning client tries over the wire, and a confused one: refused, never guessed, and no server error."""

from __future__ import annotations

import json
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.api import arrivals
from tests.api.kit import Api, Gateway
from tests.api.server import Server, serving
from tests.api.test_checkouts import basket, order
from tests.api.test_requests import slug

QUOTES, CHECKOUTS = "/v1/merchants/bun/quotes", "/v1/merchants/bun/checkouts"
JSON = "Content-Type: application/json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("attacked")) as made:
        yield made


def raw(server: Server, data: bytes, *, half: bool = False, timeout: float = 5) -> bytes:
    """What comes back for these very bytes; ``half``: the sender has ended."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as peer:
        peer.sendall(data)
        if half:
            peer.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while piece := peer.recv(65536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
    return found


def ask(server: Server, line: str, *headers: str, body: bytes = b"", half: bool = False) -> tuple[int, str, bytes]:
    """Status, slug and all bytes of the reply."""
    head = [line, "Host: localhost", f"Authorization: Bearer {server.key}", "Connection: close", *headers, "", ""]
    found = raw(server, "\r\n".join(head).encode("latin-1") + body, half=half)
    status = re.match(rb"HTTP/1\.[01] (\d{3})", found)
    problem = re.search(rb'"type":"/problems/([a-z-]+)"', found)
    return int(status.group(1)) if status else 0, problem.group(1).decode() if problem else "", found


@pytest.mark.parametrize(
    "path",
    [
        "//v1/merchants",
        "/v1//merchants",
        "/v1/merchants/",
        "/v1/merchants/../merchants",
        "/v1/merchants/%2e%2e/merchants",
        "/v1/merchants/bun%2Fcheckouts",
        "/v1/merchants/bun%2fcheckouts",
        "/v1/merchants/bun%5Ccheckouts",
        "/v1/merchants/bun%00",
        "/v1/merchants/bun%0a",
        "/V1/Merchants",
        "/v1/merchants;x=1",
        "/docs/../../etc/passwd",
        "/docs/%2e%2e%2fpages.py",
        "/problems/%3Cscript%3E",
        "/v1/merchants/" + "a" * 7000 + "%",
    ],
)
def test_a_path_means_one_thing(server: Server, path: str) -> None:
    """What a proxy in front may read as another address is no address here."""
    began = time.monotonic()
    status, problem, _ = ask(server, f"GET {path} HTTP/1.1")
    assert (status, problem) == (404, "not-found")
    assert time.monotonic() - began < 2, "a pattern that goes back and forth over it holds a thread"


@pytest.mark.parametrize("method", ["TRACE", "FOO", "PUT", "PATCH", "PROPFIND"])
def test_other_methods_are_refused(server: Server, method: str) -> None:
    assert ask(server, f"{method} {CHECKOUTS} HTTP/1.1")[:2] == (405, "method-not-allowed")


def test_a_method_cannot_be_overridden(server: Server) -> None:
    made = json.loads(
        server.ask("POST", "/v1/webhook-endpoints", {"url": "https://h.invalid/"}, Idempotency_Key="m")[2]
    )
    place = f"/v1/webhook-endpoints/{made['id']}"
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        assert ask(server, f"GET {place}?_method=DELETE HTTP/1.1", f"{name}: DELETE")[0] == 422
        assert ask(server, f"GET {place} HTTP/1.1", f"{name}: DELETE")[0] == 200
    assert ask(server, f"GET {place} HTTP/1.1")[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: -1",
        "Content-Length: +1",
        "Content-Length: 1e3",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding : chunked",
        " folded: x",
        "Bad Header: x",
        "X: a\x00b",
        "Host: evil",
        "X: " + "a" * 9000,
        "\r\n".join(f"X{number}: y" for number in range(200)),
    ],
)
def test_headers_that_two_servers_may_read_differently_are_refused(server: Server, header: str) -> None:
    status, _, found = ask(server, "GET /v1/merchants HTTP/1.1", header)
    assert 400 <= status < 500
    assert b"Traceback" not in found


@pytest.mark.parametrize(
    "header",
    [
        "Range: bytes=0-1",
        "If-None-Match: *",
        "If-Match: x",
        "If-Modified-Since: Sun, 22 Nov 2026 00:00:00 GMT",
        "Accept: text/html",
        "Cookie: session=admin",
        "X-Forwarded-For: 127.0.0.1",
        "X-Original-URL: /metrics",
        "Transfer_Encoding: chunked",
    ],
)
def test_headers_that_mean_nothing_here_change_nothing(server: Server, header: str) -> None:
    status, _, found = ask(server, "GET /v1/merchants HTTP/1.1", header)
    assert status == 200
    assert b'"id":"bun"' in found


QUOTE = json.dumps(basket()).encode()


def chunked(server: Server, body: bytes) -> tuple[int, str, bytes]:
    line = f"POST {QUOTES} HTTP/1.1"
    return ask(server, line, JSON, "Transfer-Encoding: chunked", body=body, half=True)


def test_chunks_are_taken_when_they_are_right(server: Server) -> None:
    whole = b"%x\r\n%s\r\n0\r\n\r\n" % (len(QUOTE), QUOTE)
    assert chunked(server, whole)[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n{}\r\n0\r\n\r\n",
        b"-5\r\n{}\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\n{}",
        b"ff\r\n{}",
        b"2\r\n{}XX0\r\n\r\n",
        b"2\r\n{}\r\n0\r\nAuthorization: x\r\nBad Name: y\r\n\r\n",
        b"",
    ],
)
def test_broken_chunks_are_no_server_error(server: Server, body: bytes) -> None:
    status, problem, found = chunked(server, body)
    assert status in (0, 400, 413)
    assert problem in ("", "malformed-json", "body-too-large"), found


def test_a_body_that_broke_off_is_not_taken_for_whole(server: Server) -> None:
    """What came is JSON by chance; the rest, which may have said otherwise, is missing."""
    length = f"Content-Length: {len(QUOTE) + 10}"
    assert ask(server, f"POST {QUOTES} HTTP/1.1", JSON, length, body=QUOTE, half=True)[:2] == (400, "malformed-json")


def test_a_megabyte_of_idempotency_key_is_refused(server: Server) -> None:
    status, _, _ = ask(server, f"POST {CHECKOUTS} HTTP/1.1", JSON, "Idempotency-Key: " + "a" * 1_000_000)
    assert status in (0, 400, 431)


@pytest.mark.slow
def test_dribbling_clients_do_not_hold_the_server(server: Server) -> None:
    """More stalled senders than there are threads: after some seconds all are shut, and honest requests are served."""
    half = (
        f"POST {QUOTES} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n{JSON}\r\nContent-Length: 50\r\n"
    )
    peers = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(24)]
    try:
        for number, peer in enumerate(peers):
            peer.sendall(half.encode() + (b"\r\n{" if number % 2 else b""))
        began = time.monotonic()
        answers = []
        while not answers and time.monotonic() - began < 4 * arrivals.ARRIVE_S:
            try:
                answers.append(server.ask("GET", "/healthz")[0])
            except OSError:
                time.sleep(0.2)
        assert answers == [200]
    finally:
        for peer in peers:
            peer.close()


def test_a_flood_on_one_key_makes_one_checkout(server: Server) -> None:
    body = order("flood-1")

    def one(_: int) -> int:
        return server.ask("POST", CHECKOUTS, body, Idempotency_Key="flood")[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = set(pool.map(one, range(48)))
    assert statuses <= {201, 409}
    listed = json.loads(server.ask("GET", f"{CHECKOUTS}?order_no=flood-1")[2])["data"]
    assert len(listed) == 1


def test_callbacks_of_strangers_learn_nothing(server: Server) -> None:
    """A wrong token, a wrong connection and a wrong merchant look the same, whatever is sent."""
    replies = set()
    for place in ("bun/alipay/guess", "bun/none/guess", "none/alipay/guess"):
        for body in (b"", b"\xff" * 1000, b"a=b&sign=x", b"<x/>"):
            line = f"POST /v1/callbacks/{place} HTTP/1.1"
            status, problem, found = ask(server, line, f"Content-Length: {len(body)}", body=body)
            document = json.loads(found.partition(b"\r\n\r\n")[2])
            replies.add((status, problem, document["detail"]))
    assert replies == {(404, "not-found", "there is nothing at this address")}
    big = ask(server, "POST /v1/callbacks/bun/alipay/x HTTP/1.1", "Content-Length: 600000", body=b"a" * 600_000)
    assert big[0] in (0, 413)


def test_the_log_holds_no_secret(server: Server) -> None:
    """Whatever was attacked above, neither a key nor a body stands in what the server wrote."""
    text = server.log.read_text(encoding="utf-8", errors="replace")
    assert server.key not in text
    assert "Bearer gwk_" not in text
    assert "sign=x" not in text


# --- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "1e3",
        "-0",
        "-1",
        "0.0001",
        "0",
        "0.000",
        "00",
        "01",
        "1.",
        ".5",
        "+1",
        "１",
        "٣",
        "1 ",
        "0x10",
        "NaN",
        "",
        "1,5",
    ],
)
def test_a_quantity_is_never_guessed(api: Api, text: str) -> None:
    assert slug(api.post("…/quotes", basket(quantity=text))) == "validation-error"


@pytest.mark.parametrize("number", ["1e400", "-1", "1.5", "1e3", "1E2", "9" * 300, "0x1", "1_000", "٣"])
def test_a_number_is_never_guessed(api: Api, number: str) -> None:
    body = json.dumps(basket(points=0)).replace('"points": 0', f'"points": {number}').encode()
    assert slug(api.post("…/quotes", raw=body)) in ("validation-error", "malformed-json")


@pytest.mark.parametrize("code", ["ＯＦＦ0", "ОFF0", "off0", "OFF0 ", "OFF0\u200b", "OFF%30", "OFF0'--", "*", "%"])
def test_a_code_that_only_looks_like_another_is_another(api: Api, code: str) -> None:
    """Full width, Cyrillic, invisible characters: no likeness is enough to spend somebody's coupon."""
    response = api.post("…/quotes", basket(coupons=[code]))
    assert slug(response) in ("coupon-not-applicable", "validation-error")


@pytest.mark.parametrize("store", ["ѕ1", "s1 ", "S1", "s1\u200b", "s1/../s2", "*"])
def test_a_store_that_only_looks_like_one_is_none(api: Api, store: str) -> None:
    assert slug(api.post("…/quotes", {**basket(), "store_id": store})) == "validation-error"


@pytest.mark.parametrize("place", ["…/checkouts", "…/tasks", "…/products", "/v1/webhook-endpoints"])
@pytest.mark.parametrize("cursor", ["A" * 256, "Li4vLi4", "JyBPUiAxPTEtLQ", "AA", "%00", "8J-YgA"])
def test_a_forged_cursor_shows_nothing_of_others(gateway: Gateway, place: str, cursor: str) -> None:
    """A cursor is a place in one's own list; whatever is written into it, others' rows stay away."""
    response = gateway.api("tea").get(f"{place}?cursor={cursor}")
    assert response.status_code in (200, 422)
    for item in response.json.get("data", ()):
        assert item.get("merchant", "tea") == "tea"
        assert "bun bun" not in str(item)


def test_a_cursor_of_another_tenant_gives_ones_own_rows(gateway: Gateway, number: Callable[[], str]) -> None:
    mine, theirs = gateway.api("bun"), gateway.api("tea")
    for _ in range(2):
        mine.post("…/checkouts", order(number()))
    cursor = mine.get("…/checkouts?limit=1").json["next_cursor"]
    found = theirs.get(f"…/checkouts?cursor={cursor}").json["data"]
    assert {item["merchant"] for item in found} <= {"tea"}


def endpoint_of(api: Api, **more: Any) -> dict[str, Any]:
    reply = api.post("/v1/webhook-endpoints", {"url": "https://hooks.invalid/", **more})
    assert reply.status_code == 201, reply.json
    made: dict[str, Any] = reply.json
    return made


def test_webhooks_of_others_are_not_there(gateway: Gateway) -> None:
    """Whoever sees less than an endpoint is told sees nothing of it; a key can have told only what it sees."""
    wide, bun, tea = gateway.api("bun", "tea"), gateway.api("bun"), gateway.api("tea")
    store = gateway.api("bun", stores=("s1",))
    whole, narrow, part = endpoint_of(wide), endpoint_of(wide, merchants=["bun"]), endpoint_of(store)
    assert whole["merchants"] == ["bun", "tea"]
    seen = {
        name: {item["id"] for item in api.get("/v1/webhook-endpoints?limit=200").json["data"]}
        for name, api in (("wide", wide), ("bun", bun), ("tea", tea), ("store", store))
    }
    assert {whole["id"], narrow["id"], part["id"]} <= seen["wide"]
    assert whole["id"] not in seen["bun"] and {narrow["id"], part["id"]} <= seen["bun"]
    assert not {whole["id"], narrow["id"], part["id"]} & seen["tea"]
    assert narrow["id"] not in seen["store"] and part["id"] in seen["store"]
    for api, foreign in ((tea, narrow), (bun, whole), (store, narrow)):
        place = f"/v1/webhook-endpoints/{foreign['id']}"
        absent = f"/v1/webhook-endpoints/whe_{'0' * 26}"
        for one, other in ((api.get(place), api.get(absent)), (api.delete(place), api.delete(absent))):
            assert one.status_code == 404
            assert one.json | {"request_id": ""} == other.json | {"request_id": ""}
        assert slug(api.post(f"{place}/rotate-secret")) == "not-found"
    reply = bun.post("/v1/webhook-endpoints", {"url": "https://hooks.invalid/", "merchants": ["bun", "tea"]})
    absent = bun.post("/v1/webhook-endpoints", {"url": "https://hooks.invalid/", "merchants": ["bun", "nobody"]})
    assert reply.json | {"request_id": ""} == absent.json | {"request_id": ""}
    assert reply.json["errors"][0]["pointer"] == "/merchants/1"


def test_a_webhooks_secret_is_shown_once_and_kept_nowhere(gateway: Gateway) -> None:
    """Neither a later answer nor the database tells it; only the same request again does, byte for byte."""
    api, key, body = gateway.api("bun"), uuid.uuid4().hex, {"url": "https://hooks.invalid/"}
    made = api.post("/v1/webhook-endpoints", body, key=key)
    secret = made.json["secret"]
    again = api.post("/v1/webhook-endpoints", body, key=key)
    assert again.get_data() == made.get_data()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "secret" not in api.get(f"/v1/webhook-endpoints/{made.json['id']}").json
    rows = gateway.parts.database.read(
        lambda tx: [*tx.all("SELECT * FROM webhook_endpoints"), *tx.all("SELECT * FROM idempotency")]
    )
    assert secret.removeprefix("whsec_") not in str([dict(row) for row in rows])
    other = api.post("/v1/webhook-endpoints", {**body, "description": "x"}, key=key)
    assert slug(other) == "idempotency-key-reused"


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://10.0.0.1/", "http://h.invalid/"]
)
def test_a_webhook_inside_is_forbidden(api: Api, url: str) -> None:
    response = api.post("/v1/webhook-endpoints", {"url": url})
    assert (response.status_code, slug(response)) == (422, "webhook-url-forbidden")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": "https://h.invalid/", "event_types": ["checkout.complete"]}, "/event_types/0"),
        ({"url": "https://h.invalid/", "event_types": ["*"]}, "/event_types/0"),
        ({"url": "https://h.invalid/", "event_types": ["checkout.*", "checkout.*"]}, "/event_types"),
        ({"url": "https://h.invalid/", "merchants": []}, "/merchants"),
        ({"url": 1}, "/url"),
        ({}, "/url"),
    ],
)
def test_a_wrong_webhook_is_named_by_its_pointer(api: Api, body: dict[str, Any], pointer: str) -> None:
    response = api.post("/v1/webhook-endpoints", body)
    assert slug(response) == "validation-error"
    assert pointer in {error["pointer"] for error in response.json["errors"]}
