"""A real server process: gunicorn with two workers, from the settings that production has."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.api.keys import create_key
from gateway.app import build_parts
from gateway.sdk.simulator import start
from plugins.alipay.simulator import AlipaySimulator
from plugins.ktv.simulator import KtvSimulator
from tests.api.kit import password_code, stock_up, write_config
from tests.api.test_checkouts import order

ROOT = Path(__file__).parents[2]
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "config/gunicorn.conf.py", "wsgi:app"]


@dataclass
class Server:
    """gunicorn, and how to talk to it."""

    process: subprocess.Popen[bytes]
    port: int
    key: str
    log: Path

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as peer:
            given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
            given |= {name.replace("_", "-"): value for name, value in headers.items()}
            peer.request(method, path, None if body is None else json.dumps(body), given)
            reply = peer.getresponse()
            return reply.status, dict(reply.headers), reply.read()

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text(encoding="utf-8")
        return [int(pid) for pid in children.split()]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    running = {
        "alipay": start(AlipaySimulator(_made(folder / "alipay"), {"password_after_s": "2"})),
        "ktv": start(KtvSimulator(_made(folder / "ktv"), {})),
    }
    file = write_config(folder, running, port, scale="1.0")
    parts = build_parts(file)
    stock_up(parts, "bun")
    key, _ = create_key(parts.database, merchants=["bun"])
    parts.close()
    environ = {**os.environ, "GATEWAY_CONFIG": str(file)}
    environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
    log = folder / "gunicorn.log"
    with log.open("wb") as output:
        process = subprocess.Popen(GUNICORN, cwd=ROOT, env=environ, stdout=output, stderr=output)
    made = Server(process, port, key, log)
    try:
        _await_ready(made)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
        for run in running.values():
            run.stop()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _await_ready(server: Server) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert server.process.poll() is None, server.log.read_text(encoding="utf-8")
        try:
            if server.ask("GET", "/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(server.log.read_text(encoding="utf-8"))


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
