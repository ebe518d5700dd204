"""Frames over real sockets and a real terminal pair: whole or not at all, and never another question's answer."""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
import tty
from collections.abc import Iterator

import pytest

from gateway.sdk import InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.parsing import ParseError
from gateway.sdk.transports import serial_port as serial_transport
from gateway.sdk.transports import wire
from gateway.sdk.transports.frames import Delimited, FixedSize, Framing, LengthPrefixed, xor, xor_with_end
from gateway.sdk.transports.serial_port import serial_port
from gateway.sdk.transports.stream import Line
from gateway.sdk.transports.tcp import tcp
from tests.sdk.kit import exceptions_of, make, serving

FRAMES = LengthPrefixed(2)


@pytest.mark.parametrize(
    ("framing", "body", "frame"),
    [
        (LengthPrefixed(2), b"hello", b"\0\5hello"),
        (LengthPrefixed(2, counts_itself=True), b"hello", b"\0\7hello"),
        (LengthPrefixed(4, "ascii"), "中".encode("gbk"), b"0002\xd6\xd0"),
        (LengthPrefixed(2, "bcd"), b"x" * 45, b"\x00\x45" + b"x" * 45),
        (LengthPrefixed(4, order="little", before=struct.pack("<II", 0x4D46, 2)), b"{}", b"FM\0\0\2\0\0\0\2\0\0\0{}"),
        (Delimited(b"\r\n"), b"ABC", b"ABC\r\n"),
        (Delimited(b"\x03", start=b"\x02", check=xor), b"AB", b"\x02AB\x03\x03"),
        (Delimited(b"\x03", start=b"\x02", check=xor_with_end), b"AB", b"\x02AB\x03\x00"),
        (FixedSize(3), b"abc", b"abc"),
    ],
)
def test_frames_both_ways(framing: Framing, body: bytes, frame: bytes) -> None:
    """Cut anywhere into packets, and with the next frame glued on."""
    assert framing.encode(body) == frame
    for end in range(len(frame)):
        assert framing.cut(frame[:end]) is None
    assert framing.cut(frame + frame) == (body, len(frame))


def test_a_frame_that_was_broken_off_does_not_take_the_next_one_with_it() -> None:
    assert Delimited(b"\x03", start=b"\x02").cut(b"\xff\x02ab\x02cd\x03") == (b"cd", 8)


@pytest.mark.parametrize(
    ("framing", "buffer"),
    [
        (LengthPrefixed(4, "ascii"), b"12a4"),
        (LengthPrefixed(2, "bcd"), b"\x0a\x00"),
        (LengthPrefixed(2, counts_itself=True), b"\0\1"),
        (LengthPrefixed(4), b"\xff\xff\xff\xff"),
        (LengthPrefixed(4, before=b"MF"), b"X"),
        (Delimited(b"\n", limit=4), b"123456"),
        (Delimited(b"\x03", start=b"\x02", check=xor), b"\x02AB\x03\x04"),
    ],
)
def test_what_can_be_no_frame_is_said_at_once(framing: Framing, buffer: bytes) -> None:
    """Waiting for four gigabytes would hold the line until the deadline."""
    with pytest.raises(ParseError):
        framing.cut(buffer)


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        (LengthPrefixed(1), b"x" * 256),
        (LengthPrefixed(1, "bcd"), b"x" * 100),
        (Delimited(b"\n"), b"a\nb"),
        (FixedSize(2), b"a"),
    ],
)
def test_bodies_that_a_frame_cannot_carry(framing: Framing, body: bytes) -> None:
    with pytest.raises(ParseError):
        framing.encode(body)


def read(client: socket.socket) -> bytes:
    """One frame; nothing at the end."""
    head = client.recv(2, socket.MSG_WAITALL)
    return client.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL) if len(head) == 2 else b""


def test_split_and_joined_packets() -> None:
    def serve(client: socket.socket) -> None:
        frame = FRAMES.encode(b"1|" + read(client))
        for byte in frame[:4]:
            client.sendall(bytes((byte,)))
            time.sleep(0.005)
        client.sendall(frame[4:] + FRAMES.encode(b"2|" + read_later(client)))

    def read_later(client: socket.socket) -> bytes:
        return b"unasked"

    with serving(serve) as port:
        line = Line(tcp("127.0.0.1", port), FRAMES)
        assert line.ask(b"hello", timeout=2) == b"1|hello"


@pytest.mark.parametrize("keep", [True, False])
def test_a_late_answer_is_never_taken_for_the_next_questions(keep: bool) -> None:
    """Question 1 times out; its answer comes just before that of question 2: 268 yuan would be booked for 30."""
    late = threading.Event()

    def serve(client: socket.socket) -> None:
        question = read(client)
        if question == b"1":
            time.sleep(0.3)
            client.sendall(FRAMES.encode(b"1=268"))
            late.set()
        elif question == b"2":
            client.sendall(FRAMES.encode(b"1=again") + FRAMES.encode(b"2=30"))
        time.sleep(0.05)

    with serving(serve) as port:
        line = Line(tcp("127.0.0.1", port), FRAMES, keep=keep)
        with pytest.raises(OutcomeUnknown):
            line.ask(b"1", timeout=0.1, matches=lambda answer: answer.startswith(b"1="))
        assert late.wait(2)
        assert line.ask(b"2", timeout=2, matches=lambda answer: answer.startswith(b"2=")) == b"2=30"
        line.close()


def test_a_kept_connection_is_used_again_and_what_came_unasked_is_not_read() -> None:
    connections = []

    def serve(client: socket.socket) -> None:
        connections.append(client)
        while question := read(client):
            client.sendall(FRAMES.encode(question + b"=ok"))
            if question == b"2":
                client.sendall(FRAMES.encode(b"3=stale"))

    with serving(serve) as port:
        line = Line(tcp("127.0.0.1", port), FRAMES, keep=True)
        for question in (b"1", b"2", b"3"):
            assert (
                line.ask(question, timeout=2, matches=lambda answer, q=question: answer[:1] == q) == question + b"=ok"
            )
            time.sleep(0.05)
        line.close()
    assert len(connections) == 2


def test_a_connection_that_was_closed_meanwhile_is_opened_anew_before_anything_is_sent() -> None:
    """Routers drop idle connections: sent into one, a sale would be unknown for nothing."""
    with serving(lambda client: client.sendall(FRAMES.encode(read(client)))) as port:
        line = Line(tcp("127.0.0.1", port), FRAMES, keep=True)
        for question in (b"1", b"2"):
            assert line.ask(question, timeout=2, matches=lambda _: True) == question
            time.sleep(0.05)
        line.close()


def test_a_half_open_connection_is_unknown_and_in_time() -> None:
    """The other side has gone without a word, as when its power was cut."""
    with serving(lambda client: (read(client), time.sleep(1))) as port:  # type: ignore[arg-type, return-value]
        line = Line(tcp("127.0.0.1", port), FRAMES)
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown, match="no answer"):
            line.ask(b"1", timeout=0.2)
        assert time.monotonic() - began < 0.6


def test_one_question_at_a_time() -> None:
    with serving(lambda client: (read(client), time.sleep(0.4), client.sendall(FRAMES.encode(b"ok")))) as port:  # type: ignore[arg-type, return-value]
        line = Line(tcp("127.0.0.1", port), FRAMES)
        first = threading.Thread(target=line.ask, args=(b"1",), kwargs={"timeout": 2})
        first.start()
        time.sleep(0.1)
        with pytest.raises(NotSent, match="busy"):
            line.ask(b"2", timeout=0.1)
        first.join()


def test_garbage_only_foreign_answers_and_no_deadline() -> None:
    with serving(lambda client: (read(client), client.sendall(b"\0\1x" * 20))) as port:  # type: ignore[arg-type, return-value]
        line = Line(tcp("127.0.0.1", port), FRAMES)
        with pytest.raises(InvalidReply, match="other questions"):
            line.ask(b"1", timeout=1, matches=lambda _: False)
    with serving(lambda client: (client.recv(9), client.sendall(b"12a4"))) as port:  # type: ignore[arg-type, return-value]
        with pytest.raises(InvalidReply, match="not a frame"):
            Line(tcp("127.0.0.1", port), LengthPrefixed(4, "ascii")).ask(b"1", timeout=1)
        wire.begin(time.monotonic() - 1)
        with pytest.raises(NotSent, match="given up"):
            Line(tcp("127.0.0.1", port), FRAMES).ask(b"1", timeout=1)
    with pytest.raises(ValueError, match="matches"), serving(lambda client: None) as port:
        Line(tcp("127.0.0.1", port), FRAMES, keep=True).ask(b"1", timeout=1)


@pytest.fixture
def wire_pair() -> Iterator[tuple[int, str]]:
    """A pair of terminals: the device's end, and the name of ours."""
    pytest.importorskip("serial", reason="pyserial is not installed: make peers")
    device, ours = os.openpty()
    tty.setraw(device)
    tty.setraw(ours)
    yield device, os.ttyname(ours)
    os.close(device)
    os.close(ours)


STX = Delimited(b"\x03", start=b"\x02", check=xor)


def device_reads(device: int) -> bytes:
    data = b""
    while select.select([device], [], [], 0.5)[0] and not (found := STX.cut(data := data + os.read(device, 100))):
        pass
    return found[0] if data and (found := STX.cut(data)) else b""


def test_a_serial_device(wire_pair: tuple[int, str]) -> None:
    """Noise before the frame, an answer to somebody else, ours in two parts."""
    device, name = wire_pair
    os.write(device, STX.encode(b"0=stale"))

    def serve() -> None:
        number = device_reads(device)
        os.write(device, b"\xff\xfe" + STX.encode(b"0=other") + STX.encode(number + b"=ok")[:3])
        time.sleep(0.05)
        os.write(device, STX.encode(number + b"=ok")[3:])

    thread = threading.Thread(target=serve)
    thread.start()
    line = Line(serial_port(name, 9600), STX, keep=True)
    try:
        assert line.ask(b"7", timeout=2, matches=lambda answer: answer.startswith(b"7=")) == b"7=ok"
        with pytest.raises(OutcomeUnknown):
            line.ask(b"8", timeout=0.1, matches=lambda answer: answer.startswith(b"8="))
        with pytest.raises(ValueError, match="matches"):
            line.ask(b"9", timeout=0.1)
    finally:
        line.close()
        thread.join()


def test_a_serial_port_that_is_none(wire_pair: tuple[int, str]) -> None:
    with pytest.raises(NotSent, match="cannot be opened"):
        Line(serial_port("/dev/no-such-port"), STX).ask(b"1", timeout=1)
    with pytest.raises(Misconfigured, match="cannot be set"):
        Line(serial_port(wire_pair[1], 9600, parity="X"), STX).ask(b"1", timeout=1)
    assert wire.sends() == 0


def test_every_exception_class_of_pyserial() -> None:
    serial = pytest.importorskip("serial")
    for cls in exceptions_of(serial):
        assert issubclass(cls, serial_transport.FAILURES), f"{cls} would escape as itself"
        assert type(serial_transport.classify(make(cls), "x")) is NotSent
    assert type(serial_transport.classify(ValueError("x"), "x")) is Misconfigured
