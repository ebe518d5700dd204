"""What counts as not sent is proved at a real socket; every exception of the libraries has its class."""

from __future__ import annotations

import gzip
import inspect
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from http import client as http_client
from pathlib import Path

import pytest
import requests.exceptions
import urllib3.exceptions

from gateway.demo.stage import free_port
from gateway.sdk import Http, InvalidReply, Misconfigured, NotSent, OutcomeUnknown
from gateway.sdk.transports import http as transport
from gateway.sdk.transports import wire
from gateway.sdk.transports.http import FAILURES, classify
from tests.runtime.kit import host

OK = b"HTTP/1.1 200 OK\r\n"


def exceptions_of(*modules: object) -> list[type[Exception]]:
    found = {
        cls
        for module in modules
        for cls in vars(module).values()
        if inspect.isclass(cls) and issubclass(cls, Exception) and not issubclass(cls, Warning)
    }
    return sorted(found, key=lambda cls: (cls.__module__, cls.__name__))


ALL = exceptions_of(requests.exceptions, urllib3.exceptions, http_client)


def make(cls: type[Exception]) -> Exception:
    """An instance, whatever its constructor asks for."""
    error = cls.__new__(cls)
    error.args = ("trouble",)
    return error


@pytest.mark.parametrize("cls", ALL, ids=lambda cls: f"{cls.__module__}.{cls.__name__}")
def test_every_exception_class_is_caught_and_classified(cls: type[Exception]) -> None:
    """Before the first byte all are not sent, from the first byte on none is. A header's defect is no failure."""
    if cls.__name__ == "MessageDefect":
        return
    assert issubclass(cls, FAILURES), f"{cls} would escape as itself"
    assert type(classify(make(cls), sent=True)) is OutcomeUnknown
    assert isinstance(classify(make(cls), sent=False), NotSent)


def read_request(client: socket.socket) -> bytes:
    """A request to its end, head and body: what is left unread when a socket is closed turns into a reset."""
    data = b""
    while not data.endswith(b"\r\n\r\n" if data.startswith(b"GET") else b"\r\n\r\nx"):
        part = client.recv(65536)
        if not part:
            break
        data += part
    return data


def replies(*parts: bytes | float) -> Callable[[socket.socket], None]:
    """A host that reads a request and sends these bytes; a number is a pause in seconds."""

    def serve(client: socket.socket) -> None:
        read_request(client)
        for part in parts:
            if isinstance(part, bytes):
                client.sendall(part)
            else:
                time.sleep(part)

    return serve


def send(serve: Callable[[socket.socket], None], timeout: float = 2.0, scheme: str = "http") -> transport.HttpReply:
    client = Http()
    with host(serve) as port:
        try:
            return client.send("POST", f"{scheme}://127.0.0.1:{port}/pay?key=secret", data=b"x", timeout=timeout)
        finally:
            client.close()


def closes_at_once(client: socket.socket) -> None:
    client.close()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((), id="closed without an answer"),
        pytest.param((b"HTTP/1.1 20",), id="half a status line"),
        pytest.param((b"\x00\x01garbage\r\n\r\n",), id="garbage"),
        pytest.param((OK + b"Content-Length: 20\r\n\r\nhalf",), id="half a body"),
        pytest.param((OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nha",), id="half a chunk"),
        pytest.param((OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",), id="no last chunk"),
        pytest.param((OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",), id="chunk of no length"),
        pytest.param((OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",), id="no gzip"),
        pytest.param((OK + b"a: b\r\n" * 200 + b"\r\n",), id="too many headers"),
    ],
)
def test_after_the_request_every_bad_answer_is_unknown(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(OutcomeUnknown):
        send(replies(*parts))


def test_a_silent_host_is_unknown() -> None:
    with pytest.raises(OutcomeUnknown, match="ReadTimeoutError"):
        send(replies(0.4), timeout=0.1)


def test_a_reply_that_drips_is_bounded_as_a_whole() -> None:
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="did not end in time"):
        send(replies(OK + b"Content-Length: 99\r\n\r\n", *[part for _ in range(12) for part in (b".", 0.06)]), 0.2)
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"HTTP/1.1 200 ", id="the status line"),
        pytest.param(OK + b"X: ", id="a header"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n5;", id="the line of a chunk"),
        pytest.param(OK + b"\r\n", id="a body that ends with the connection"),
    ],
)
def test_a_host_that_sends_a_byte_at_a_time_is_not_waited_for(begin: bytes) -> None:
    """Each byte begins a socket's time limit anew: the call would keep one of the adapter's few slots for hours."""
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        send(replies(begin, *[part for _ in range(60) for part in (b".", 0.05)]), 0.3)
    assert time.monotonic() - began < 2


def test_informal_answers_without_end_are_not_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(OutcomeUnknown):
        send(replies(*[part for _ in range(60) for part in (b"HTTP/1.1 100 Continue\r\n\r\n", 0.05)]), 0.3)
    assert time.monotonic() - began < 2


def test_a_reply_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_REPLY_BYTES", 1000)
    with pytest.raises(InvalidReply, match="over 1000 bytes"):
        send(replies(OK + b"\r\n" + b"x" * 5000))
    with pytest.raises(InvalidReply, match="over 1000 bytes"):  # also where it is small on the wire
        send(replies(OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 100_000)))


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param((OK + b"Content-Length: 2\r\n\r\nok",), id="length"),
        pytest.param((OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",), id="chunks"),
        pytest.param((b"HTTP/1.0 200 OK\r\n\r\no", 0.02, b"k"), id="until closed"),
    ],
)
def test_whole_answers_are_read(parts: tuple[bytes, ...]) -> None:
    assert send(replies(*parts)).body == b"ok"


def test_statuses_and_redirects_are_answers() -> None:
    assert send(replies(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")).status == 503
    moved = send(replies(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"))
    assert (moved.status, moved.headers["location"]) == (302, "http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:{free}/", NotSent),
        ("https://127.0.0.1:{free}/", NotSent),
        ("https://no-such-host.invalid/", NotSent),
        ("http://192.0.2.1/", Misconfigured),
        ("http://localhost.example/", Misconfigured),
        ("no-scheme", Misconfigured),
        ("ftp://127.0.0.1/", Misconfigured),
        ("http://127.0.0.1:99999/", Misconfigured),
        ("http://[::1/", Misconfigured),
    ],
)
def test_what_never_was_a_connection_is_not_sent(url: str, expected: type[NotSent]) -> None:
    wire.begin()
    with pytest.raises(NotSent) as caught:
        Http().send("POST", url.format(free=free_port()), data=b"x", timeout=2)
    assert type(caught.value) is expected
    assert wire.sends() == 0


def test_a_host_that_never_accepts_is_not_sent() -> None:
    """A connect time-out: the backlog is full, so that nothing is ever accepted."""
    with socket.socket() as server, socket.socket() as first, socket.socket() as second:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        with pytest.raises(NotSent, match="ConnectTimeoutError"):
            Http().send("POST", f"http://127.0.0.1:{server.getsockname()[1]}/", data=b"x", timeout=0.2)


def test_a_header_that_would_break_the_request_is_refused() -> None:
    with pytest.raises(Misconfigured):
        Http().send("POST", "http://127.0.0.1:1/", headers={"a": "b\r\nc: d"}, timeout=1)


def test_tls_that_fails_in_the_handshake_is_not_sent() -> None:
    with pytest.raises(NotSent, match="no TLS with"):
        send(lambda client: client.sendall(b"this is no TLS"), scheme="https")
    with pytest.raises(NotSent):
        send(lambda client: time.sleep(0.4), timeout=0.1, scheme="https")
    with pytest.raises(NotSent):
        send(closes_at_once, scheme="https")


def test_a_ca_bundle_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(Misconfigured, match="not there"):
        Http(verify="/no/such/bundle.pem")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem "
    command += "-days 2 -subj /CN=host -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=30)
    return folder


def secure(
    folder: Path, then: Callable[[ssl.SSLSocket], None], demand: bool = False
) -> Callable[[socket.socket], None]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    if demand:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(folder / "cert.pem")

    def serve(client: socket.socket) -> None:
        with context.wrap_socket(client, server_side=True) as wrapped:
            then(wrapped)

    return serve


def test_an_unknown_certificate_is_not_sent_and_a_known_one_works(certificate: Path) -> None:
    serve = secure(certificate, lambda tls: replies(OK + b"Content-Length: 2\r\n\r\nok")(tls))
    with pytest.raises(NotSent, match="certificate"):
        send(serve, scheme="https")
    with host(serve) as port:
        client = Http(verify=str(certificate / "cert.pem"))
        assert client.send("GET", f"https://127.0.0.1:{port}/", timeout=2).body == b"ok"
        client.close()


def test_a_tls_alert_after_the_request_is_unknown(certificate: Path) -> None:
    """TLS 1.3 tells of a missing client certificate only after the request has left, in a handshake's words."""
    with host(secure(certificate, lambda tls: None, demand=True)) as port:
        client = Http(verify=str(certificate / "cert.pem"))
        with pytest.raises(OutcomeUnknown):
            client.send("POST", f"https://127.0.0.1:{port}/", data=b"x", timeout=2)
        client.close()


def test_messages_hold_neither_path_nor_query() -> None:
    with pytest.raises(OutcomeUnknown) as caught:
        send(replies())
    assert "secret" not in str(caught.value) and "127.0.0.1:" in str(caught.value)


def test_nothing_is_sent_twice() -> None:
    """Not even where a pooled connection turns out to be closed: the second request is made once, on a new one."""
    seen: list[bytes] = []

    def serve(client: socket.socket) -> None:
        seen.append(read_request(client))
        client.sendall(OK + b"Content-Length: 2\r\n\r\nok")

    with host(serve) as port:
        client = Http()
        for _ in range(3):
            client.send("POST", f"http://127.0.0.1:{port}/", data=b"x", timeout=2)
            time.sleep(0.05)
        client.close()
    assert len(seen) == 3
