"""Clients that are slow, silent, greedy or too many: others are served meanwhile, and the workers live."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from gateway.api.arrivals import LEAVE_S
from gateway.api.gathering import Arriving
from tests.api.server import Server, serving

HEAD = b"POST /v1/merchants/bun/quotes HTTP/1.1\r\nHost: x\r\n"
BODIES = {
    "none": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "length": HEAD + b"Content-Length: 4\r\n\r\n{ } ",
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n{ }\r\n1\r\n \r\n0\r\n\r\n",
    "trailer": HEAD + b"transfer-encoding:chunked\r\n\r\n2\r\n{}\r\n0\r\nX: y\r\n\r\n",
}


@pytest.mark.parametrize("name", BODIES)
def test_a_request_is_whole_at_its_last_byte_however_it_comes(name: str) -> None:
    """Taken too early a thread waits for the rest, taken too late the client waits for its reply for ever."""
    text = BODIES[name]
    arriving = Arriving(0, 100)
    assert [arriving.take(bytes([byte])) for byte in text] == [False] * (len(text) - 1) + [True]
    for cut in range(len(text)):
        arriving = Arriving(0, 100)
        assert arriving.take(text[:cut]) is False
        assert arriving.take(text[cut:] + b"GET /next HTTP/1.1\r\n") is True
        assert arriving.whole


@pytest.mark.parametrize(
    "text",
    [
        HEAD + b"Content-Length: 101\r\n\r\n",
        HEAD + b"Content-Length: 1e3\r\n\r\n",
        HEAD + b"Content-Length: \r\n\r\n",
        HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX",
        HEAD + b"X: " + b"a" * 900_000,
    ],
)
def test_what_is_wrong_or_too_large_is_not_waited_for(text: bytes) -> None:
    arriving = Arriving(0, 100)
    assert arriving.take(text) is True
    assert not arriving.whole


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("crowded")) as made:
        yield made


def opened(stack: ExitStack, server: Server, count: int, data: bytes, buffer: int = 0) -> list[socket.socket]:
    """So many clients that have sent this and go on to do nothing."""
    peers = []
    for _ in range(count):
        peer = stack.enter_context(closing(socket.socket()))
        if buffer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        peer.settimeout(10)
        peer.connect(("127.0.0.1", server.port))
        peer.sendall(data)
        peers.append(peer)
    return peers


def answers_within(server: Server, seconds: float) -> bool:
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=seconds)) as peer:
                peer.request("GET", "/healthz")
                return peer.getresponse().status == 200 and time.monotonic() - began < seconds
        except OSError:
            time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"\r\n\r\n", id="empty lines"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-", id="half a head"),
        pytest.param(HEAD + b"Content-Length: 50\r\n\r\n{", id="half a body"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{", id="half a chunk"),
        pytest.param(HEAD + b"Expect: 100-continue\r\nContent-Length: 50\r\n\r\n", id="expecting"),
        pytest.param(HEAD + b"Content-Length: 70000\r\n\r\n{", id="more than is taken"),
        pytest.param(b"GET /healthz HTTP/1.0\r\n\r\n", id="answered and stays"),
        pytest.param(b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n", id="a body nobody reads"),
        pytest.param(b"NO\r\n\r\n", id="no request"),
    ],
)
def test_a_crowd_that_is_slow_holds_nobody_up(server: Server, data: bytes) -> None:
    """Four times as many as there are threads, each of which does what used to hold a thread or the worker's loop."""
    before = server.workers()
    with ExitStack() as stack:
        opened(stack, server, 64, data)
        assert answers_within(server, 3)
    assert server.workers() == before


@pytest.mark.slow
def test_those_who_read_nothing_are_shut(server: Server) -> None:
    """Replies pile up until the threads cannot write: after some seconds the threads are free again."""
    with ExitStack() as stack:
        request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
        opened(stack, server, 20, request * 40, 2048)
        assert answers_within(server, 2 * LEAVE_S + 10)


def test_a_body_that_is_far_too_large_is_told_so(server: Server) -> None:
    """A client that sends all of it before it reads finds the problem and no broken connection."""
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)) as peer:
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        peer.request("POST", "/v1/merchants/bun/quotes", b" " * 5_000_000, headers)
        reply = peer.getresponse()
        assert (reply.status, json.loads(reply.read())["type"]) == (413, "/problems/body-too-large")


def test_requests_one_after_the_other_without_waiting_are_answered_in_order(server: Server) -> None:
    with ExitStack() as stack:
        get = b"GET /problems/%s HTTP/1.1\r\nHost: x\r\n\r\n"
        slugs = [b"not-found", b"rate-limited", b"none", b"bill-changed"]
        last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        (peer,) = opened(stack, server, 1, b"".join(get % slug for slug in slugs) + last)
        found = b""
        while piece := peer.recv(65536):
            found += piece
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404", b"200", b"200"]


def test_who_asks_first_is_told_to_go_on_once(server: Server) -> None:
    with ExitStack() as stack:
        key = f"Authorization: Bearer {server.key}\r\nContent-Type: application/json\r\n".encode()
        head = HEAD + key + b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
        (peer,) = opened(stack, server, 1, head)
        assert peer.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        peer.sendall(b"{}")
        assert peer.recv(100).startswith(b"HTTP/1.1 422 ")


def test_more_connections_than_there_are_files_end_no_worker(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A worker that ends takes the checkouts in its hands with it; who has said nothing for longest is shut instead."""
    with serving(tmp_path_factory.mktemp("poor")) as poor, ExitStack() as stack:
        before = poor.workers()
        for pid in before:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (64, 64))
        opened(stack, poor, 300, b"")
        assert answers_within(poor, 5)
        assert poor.workers() == before
