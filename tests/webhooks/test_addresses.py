"""A webhook's address is written by somebody outside: it must not become a way to what is inside."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.engine.problems import Problem
from gateway.webhooks.addresses import Forbidden, Unresolved, addresses_of, is_public, parse
from tests.webhooks.kit import EVERYBODY, Post, Receiver


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "100::1",
        "2001::1",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "nonsense",
        "",
    ],
)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_what_is_public_is_taken(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/hook",
        "//platform.example/hook",
        "http://platform.example/hook",
        "ftp://platform.example/hook",
        "file:///etc/passwd",
        "gopher://platform.example:443/_x",
        "https://",
        "https:///hook",
        "https://platform.example:80/hook",
        "https://platform.example:22/hook",
        "https://platform.example:0/hook",
        "https://platform.example:99999/hook",
        "https://platform.example:443x/hook",
        "https://user@platform.example/hook",
        "https://user:word@platform.example/hook",
        "https://platform.example#@inside/hook",
        "https://platform.example/hook#x",
        "https://platform.example\\@inside/hook",
        "https://platform.example/ho ok",
        "https://platform.example/hook\r\nX: y",
        "https://platform.example/hook\x00",
        "https://platform。example/hook",
        "https://плат.example/hook",
        "https://-platform.example/hook",
        "https://platform..example/hook",
        "https://[::1/hook",
        "https://[fe80::1%25eth0]/hook",
        "https://platform.example/" + "a" * 2048,
        "https://" + "a" * 64 + ".example/",
    ],
)
def test_what_is_no_address_for_webhooks_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        parse(url)


def test_an_address_is_taken_apart() -> None:
    target = parse("https://Platform.Example.:8443?a=b")
    assert (target.host, target.port, target.path, target.authority) == (
        "platform.example",
        8443,
        "/?a=b",
        "platform.example:8443",
    )
    assert parse("https://[2606:4700::1111]/x").authority == "[2606:4700::1111]"


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_every_way_to_write_loopback_is_refused(post: Post, host: str) -> None:
    """By what it resolves to on this very machine, not by how it is written."""
    with pytest.raises(Problem) as refused:
        post.endpoint(f"https://{host}/hook")
    assert refused.value.slug == "webhook-url-forbidden"


def test_one_inner_address_among_public_ones_is_enough() -> None:
    with pytest.raises(Forbidden):
        addresses_of(parse("https://platform.example/"), lambda host, port: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(Unresolved):
        addresses_of(parse("https://platform.example/"), lambda host, port: [])


def test_allowed_hosts_are_exact() -> None:
    """An allowed host is that host and port, and nothing that looks like it."""
    allowed = ("erp.internal", "10.0.0.5:9000")
    inside = lambda host, port: ["10.0.0.5"]  # noqa: E731
    assert addresses_of(parse("https://erp.internal/x", allowed), inside) == ["10.0.0.5"]
    assert parse("http://10.0.0.5:9000/x", allowed).inside
    for url in ("http://erp.internal/x", "https://erp.internal:9000/x", "http://10.0.0.5:9001/x"):
        with pytest.raises(Forbidden):
            parse(url, allowed)
    with pytest.raises(Forbidden):
        addresses_of(parse("https://10.0.0.5/x", allowed), inside)
    with pytest.raises(Forbidden):
        addresses_of(parse("https://erp.internal.attacker.example/x", allowed), inside)


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    made = Post(tmp_path)
    yield made
    made.database.close()


def test_a_name_that_turns_inward_after_it_was_checked(post: Post) -> None:
    """DNS rebinding: public when the endpoint is made, inside when the message is sent. Nobody inside hears a byte."""
    answers = ["93.184.216.34"]
    asked: list[str] = []

    def resolver(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers

    post.resolver = resolver
    with socket.create_server(("127.0.0.1", 0)) as inside:
        inside.settimeout(0.3)
        post.endpoint("https://rebind.example/hook")
        answers[:] = ["127.0.0.1"]
        post.happen("a")
        post.relay.run_once()
        with pytest.raises(TimeoutError):
            inside.accept()
    assert asked == ["rebind.example"] * 2, "once when it is made, once for the delivery"
    rows = post.database.read(lambda tx: tx.all("SELECT trouble, state FROM webhook_deliveries"))
    assert [(row["trouble"], row["state"]) for row in rows] == [("the host is not a public one", "waiting")]


class Tls:
    """A receiver behind TLS, with a certificate for one name, from an authority of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(who)
            .issuer_name(who)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.authority, secret = folder / "authority.pem", folder / "key.pem"
        self.authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        secret.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.authority, secret)
        context.sni_callback = lambda peer, sni, _: self.names.append(sni)
        self.names: list[str | None] = []
        self.receiver = Receiver()
        self.receiver.server.socket = context.wrap_socket(self.receiver.server.socket, server_side=True)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[Tls]:
    made = Tls(tmp_path, "hooks.example")
    yield made
    made.receiver.stop()


def test_the_connection_goes_to_the_address_that_was_checked_under_the_right_name(post: Post, tls: Tls) -> None:
    """Resolved once; a resolver that would answer otherwise the second time is not asked again."""
    port = tls.receiver.port
    answers = iter([["127.0.0.1"], ["127.0.0.1"], ["192.0.2.1"]])
    post.resolver = lambda host, port: next(answers)
    post.settings = replace(post.settings, allow_hosts=(f"hooks.example:{port}",), ca_bundle=str(tls.authority))
    post.endpoint(f"https://hooks.example:{port}/hook?a=b")
    post.happen("a")
    post.relay.run_once()
    (seen,) = tls.receiver.seen
    assert (seen.path, seen.headers["host"]) == ("/hook?a=b", f"hooks.example:{port}")
    assert tls.names == ["hooks.example"]
    assert json.loads(seen.body)["subject"] == "a"
    assert next(answers) == ["192.0.2.1"]


def test_a_certificate_of_another_name_or_authority_is_refused(post: Post, tls: Tls) -> None:
    port = tls.receiver.port
    post.resolver = lambda host, port: ["127.0.0.1"]
    post.settings = replace(
        post.settings, allow_hosts=(f"other.example:{port}", f"hooks.example:{port}"), ca_bundle=str(tls.authority)
    )
    post.endpoint(f"https://other.example:{port}/")
    post.happen("a")
    post.relay.run_once()
    post.settings = replace(post.settings, ca_bundle="")
    post.endpoint(f"https://hooks.example:{port}/")
    post.happen("b")
    post.relay.run_once()
    assert tls.receiver.seen == []
    rows = post.database.read(lambda tx: tx.all("SELECT trouble FROM webhook_deliveries"))
    assert all(row["trouble"].startswith("its certificate does not verify") for row in rows)
    assert len(rows) == 3


def test_a_resolver_that_hangs_does_not_hold_the_answer(post: Post) -> None:
    """A name server that never answers costs the one who asks three seconds, and no thread of the server for long."""
    stop = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        stop.wait(20)
        raise OSError

    post.resolver = resolver
    try:
        assert post.endpoint("https://slow.example/hook", EVERYBODY)["status"] == "enabled"
    finally:
        stop.set()
