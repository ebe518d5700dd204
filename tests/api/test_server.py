"""A real server process: races over the wire, odd HTTP, a killed worker."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest

from tests.api.kit import password_code
from tests.api.server import Server, serving
from tests.api.test_checkouts import order


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server")) as made:
        yield made


CHECKOUTS = "/v1/merchants/bun/checkouts"


def test_a_checkout_over_the_wire_replays_byte_for_byte(server: Server) -> None:
    status, headers, body = server.ask("POST", CHECKOUTS, order("wire-1"), Idempotency_Key="wire-1")
    assert status == 201
    again = server.ask("POST", CHECKOUTS, order("wire-1"), Idempotency_Key="wire-1")
    assert again[2] == body
    assert again[1]["Idempotency-Replayed"] == "true"
    assert server.ask("GET", headers["Location"])[2] == body


def test_one_key_from_many_clients_makes_one_checkout(server: Server) -> None:
    """The same request side by side on both workers: one is accepted, the others wait their turn or are told so."""

    def ask(_: int) -> tuple[int, bytes]:
        status, _, body = server.ask("POST", CHECKOUTS, order("race-1"), Idempotency_Key="race-1")
        return status, body

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(ask, range(32)))
    made = {body for status, body in replies if status == 201}
    assert len(made) == 1
    assert {status for status, _ in replies} <= {201, 409}
    listed = json.loads(server.ask("GET", f"{CHECKOUTS}?order_no=race-1")[2])
    assert len(listed["data"]) == 1


def test_one_order_number_under_many_keys_makes_one_checkout(server: Server) -> None:
    def ask(index: int) -> int:
        return server.ask("POST", CHECKOUTS, order("race-2"), Idempotency_Key=f"race-2-{index}")[0]

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(ask, range(24)))
    assert statuses.count(201) == 1
    assert set(statuses) == {201, 409}


def test_what_a_killed_worker_left_is_finished_by_another(server: Server) -> None:
    """A customer is typing the password when the worker dies; the checkout completes and is charged once."""
    with ThreadPoolExecutor(1) as pool:
        body = order("killed-1", {"method": "payment_code", "auth_code": password_code()})
        asked = pool.submit(server.ask, "POST", CHECKOUTS, body, Idempotency_Key="killed-1")
        time.sleep(1)
        for pid in server.workers():
            os.kill(pid, signal.SIGKILL)
        with pytest.raises((OSError, http.client.HTTPException)):
            asked.result(20)
    until = time.monotonic() + 30
    found: dict[str, Any] = {}
    while time.monotonic() < until and found.get("status") != "completed":
        try:
            listed = json.loads(server.ask("GET", f"{CHECKOUTS}?order_no=killed-1")[2])["data"]
            found = listed[0]
        except OSError:
            time.sleep(0.2)
        time.sleep(0.1)
    assert found["status"] == "completed", found
    assert [leg["name"] for leg in found["legs"]].count("tender:t1/payment_charge") == 1


def test_odd_http_is_refused_without_a_stack(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(b"POST /v1/merchants/bun/quotes HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n")
        head = f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"
        peer.sendall(head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
        reply = b"".join(iter(lambda: peer.recv(65536), b""))
    assert b" 422 " in reply.split(b"\r\n", 1)[0]
    assert b"/problems/validation-error" in reply


def test_a_chunked_body_that_is_too_large_is_refused(server: Server) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as peer:
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        chunks = iter([b" " * 40_000, b" " * 40_000])
        peer.request("POST", "/v1/merchants/bun/quotes", chunks, headers, encode_chunked=True)
        reply = peer.getresponse()
        assert (reply.status, json.loads(reply.read())["type"]) == (413, "/problems/body-too-large")


def test_metrics_are_of_all_workers(server: Server) -> None:
    for _ in range(20):
        server.ask("GET", "/v1/merchants")
    text = server.ask("GET", "/metrics")[2].decode()
    line = next(line for line in text.splitlines() if 'operation="list_merchants",status="200"' in line)
    assert float(line.split()[-1]) >= 20


def test_a_server_that_is_begun_a_second_time_takes_nothing_from_the_first(server: Server) -> None:
    """A restart that overlaps would lose the counters, and end the workers that were just begun."""
    server.ask("GET", "/v1/merchants")
    counted = 'operation="list_merchants",status="200"'
    before = next(line for line in server.ask("GET", "/metrics")[2].decode().splitlines() if counted in line)
    there = server.workers()
    assert server.second().returncode != 0
    assert server.workers() == there
    assert before in server.ask("GET", "/metrics")[2].decode()
