"""Frames over TCP: whole or not at all, and proof of what had left when something went wrong."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gateway.sdk import InvalidReply, NotSent, OutcomeUnknown
from gateway.sdk.transports import wire
from gateway.sdk.transports.tcp import TcpConnection
from tests.runtime.kit import host


@contextmanager
def connected(serve: Callable[[socket.socket], None], seconds: float = 2.0) -> Iterator[TcpConnection]:
    wire.begin()
    with host(serve) as port, TcpConnection("127.0.0.1", port, deadline=time.monotonic() + seconds) as connection:
        yield connection


def answers(*parts: bytes | float) -> Callable[[socket.socket], None]:
    def serve(client: socket.socket) -> None:
        client.recv(1000)
        for part in parts:
            if isinstance(part, bytes):
                client.sendall(part)
            else:
                time.sleep(part)

    return serve


@pytest.mark.parametrize("name", ["127.0.0.1", "no-such-host.invalid", "a" * 300, "a..b"])
def test_what_never_was_a_connection_is_not_sent(name: str) -> None:
    wire.begin()
    with pytest.raises(NotSent):
        TcpConnection(name, 1, deadline=time.monotonic() + 2)
    assert wire.sends() == 0


def test_a_port_that_is_none_is_not_sent() -> None:
    with pytest.raises(NotSent):
        TcpConnection("127.0.0.1", 70_000, deadline=time.monotonic() + 2)


def test_frames_are_joined_from_packets_and_split_from_each_other() -> None:
    with connected(answers(b"\x00", 0.02, b"\x05hel", 0.02, b"lo\x00\x02", b"OK\n")) as host_:
        host_.send(b"?")
        assert host_.read_exactly(2) == b"\x00\x05"
        assert host_.read_exactly(5) == b"hello"
        assert host_.read_exactly(2) == b"\x00\x02"
        assert host_.read_until(b"\n") == b"OK\n"


def test_nothing_sent_yet_is_not_sent_whatever_happens() -> None:
    """A host that greets first, and does not: our change has not begun."""
    with connected(lambda client: client.close()) as host_, pytest.raises(NotSent):
        host_.read_until(b"\n")
    with connected(lambda client: time.sleep(0.3), 0.1) as host_, pytest.raises(NotSent):
        host_.read_until(b"\n")


@pytest.mark.parametrize(
    "parts", [pytest.param((), id="closed"), pytest.param((b"hal",), id="half"), pytest.param((0.4,), id="silent")]
)
def test_after_the_first_byte_every_failure_is_unknown(parts: tuple[bytes | float, ...]) -> None:
    with connected(answers(*parts), 0.2) as host_:
        host_.send(b"?")
        assert wire.sends() == 1
        with pytest.raises(OutcomeUnknown):
            host_.read_exactly(10)


def test_a_host_that_drips_is_bounded_by_the_deadline() -> None:
    began = time.monotonic()
    with connected(answers(*[part for _ in range(20) for part in (b".", 0.05)]), 0.2) as host_:
        host_.send(b"?")
        with pytest.raises(OutcomeUnknown):
            host_.read_exactly(100)
        assert time.monotonic() - began < 0.8


def test_a_frame_that_is_too_long_is_refused_before_it_is_read() -> None:
    with connected(answers(b"x" * 200)) as host_:
        host_.send(b"?")
        with pytest.raises(InvalidReply, match="announced"):
            host_.read_exactly(2_000_000)
        with pytest.raises(InvalidReply, match="no end of frame within 100 bytes"):
            host_.read_until(b"\n", limit=100)
