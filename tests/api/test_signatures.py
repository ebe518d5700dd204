"""Signed keys: the RFC's own examples, an independent signer, and what a thief of a log can do with it: nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms
from werkzeug.test import TestResponse

from gateway.api.keys import KeyRefused, create_key, ed25519_verifier, signing_secret
from gateway.api.signatures import Message
from gateway.api.structured import Malformed, byte_sequences, covered_lists
from gateway.app import create_app
from tests.api.kit import Gateway
from tests.api.test_checkouts import order
from tests.api.test_requests import slug

COVERED = ("@method", "@target-uri", "content-digest", "idempotency-key")
#: Appendix B of RFC 9421: the request, the keys, and what they signed.
REQUEST = Message(
    "POST",
    "https://example.com/foo?param=Value&Pet=dog",
    {"date": "Tue, 20 Apr 2021 02:07:55 GMT", "content-type": "application/json", "content-length": "18"},
    b'{"hello": "world"}',
)
SHARED = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
ED25519 = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=
-----END PUBLIC KEY-----
"""
P256 = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf
w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==
-----END PUBLIC KEY-----
"""
CERTIFICATE = (
    ":MIIBqDCCAU6gAwIBAgIBBzAKBggqhkjOPQQDAjA6MRswGQYDVQQKDBJMZXQncyBBdXRoZW50aWNhdGUxGzAZBgNVBAMMEkxBIEludGVybWVkaWF0"
    "ZSBDQTAeFw0yMDAxMTQyMjU1MzNaFw0yMTAxMjMyMjU1MzNaMA0xCzAJBgNVBAMMAkJDMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE8YnXXfaU"
    "gmnMtOXU/IncWalRhebrXmckC8vdgJ1p5Be5F/3YC8OthxM4+k1M6aEAEFcGzkJiNy6J84y7uzo9M6NyMHAwCQYDVR0TBAIwADAfBgNVHSMEGDAW"
    "gBRm3WjLa38lbEYCuiCPct0ZaSED2DAOBgNVHQ8BAf8EBAMCBsAwEwYDVR0lBAwwCgYIKwYBBQUHAwIwHQYDVR0RAQH/BBMwEYEPYmRjQGV4YW1w"
    "bGUuY29tMAoGCCqGSM49BAMCA0gAMEUCIBHda/r1vaL6G3VliL4/Di6YK0Q6bMjeSkC3dFCOOB8TAiEAx/kHSB4urmiZ0NX5r5XarmPk0wmuydBV"
    "oU4hBVZ1yhk=:"
)


def base_and_signature(message: Message, inputs: str, signature: str) -> tuple[bytes, bytes]:
    ((label, covered),) = covered_lists(inputs).items()
    return message.base(covered), byte_sequences(signature)[label]


def test_the_rfcs_hmac_example_b_2_5() -> None:
    base, signature = base_and_signature(
        REQUEST,
        'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    )
    assert hmac.digest(SHARED, base, hashlib.sha256) == signature


def test_the_rfcs_ed25519_example_b_2_6() -> None:
    base, signature = base_and_signature(
        REQUEST,
        'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length")'
        ';created=1618884473;keyid="test-key-ed25519"',
        "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
    )
    public = base64.b64decode(ed25519_verifier(ED25519))
    Ed25519PublicKey.from_public_bytes(public).verify(signature, base)


def test_the_rfcs_proxy_example_b_3() -> None:
    """Its algorithm is not one of ours; its base, with address and query, is built as ours are."""
    message = Message(
        "POST", "https://service.internal.example/foo?param=Value&Pet=dog", {"client-cert": CERTIFICATE}, b""
    )
    base, signature = base_and_signature(
        message,
        'ttrp=("@path" "@query" "@method" "@authority" "client-cert");created=1618884473;keyid="test-key-ecc-p256"',
        "ttrp=:xVMHVpawaAC/0SbHrKRs9i8I3eOs5RtTMGCWXm/9nvZzoHsIg6Mce9315T6xoklyy0yzhD9ah4JHRwMLOgmizw==:",
    )
    public = load_pem_public_key(P256)
    assert isinstance(public, ec.EllipticCurvePublicKey)
    numbers = (int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    public.verify(utils.encode_dss_signature(*numbers), base, ec.ECDSA(SHA256()))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sig",
        "sig=",
        "sig=(",
        'sig=("a"',
        'sig=("a" "b"',
        'sig=("a";sf)',
        'sig=("A")',
        'sig=("a"),',
        'sig=("a"),sig=("a")',
        'sig=("a");created=1;created=2',
        'sig=("a");created=1.5',
        'sig=("a");created=9999999999999999',
        'sig=("a\n")',
        'sig=("ä")',
        "sig=(a)",
        "sig=:AAAA:",
        'sig=("a") x',
        "(" * 10_000,
        'sig=("a");' * 5_000,
    ],
)
def test_a_malformed_field_is_only_malformed(text: str) -> None:
    with pytest.raises(Malformed):
        covered_lists(text)


class Keys(HTTPSignatureKeyResolver):  # type: ignore[misc]
    """What the independent library signs with."""

    def __init__(self, key: Any) -> None:
        self.key = key

    def resolve_private_key(self, key_id: str) -> Any:
        return self.key

    def resolve_public_key(self, key_id: str) -> Any:
        return self.key


class Client:
    """A platform with a signed key; what it sends is signed by a library that knows nothing of us."""

    def __init__(self, gateway: Gateway, algorithm: str, public_url: str = "http://localhost") -> None:
        parts = gateway.parts
        self.client, self.public_url, private = gateway.app.test_client(), public_url, Ed25519PrivateKey.generate()
        pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        verifier = ed25519_verifier(pem) if algorithm == "ed25519" else parts.master.fingerprint
        self.text, self.key = create_key(parts.database, merchants=["bun"], signed=algorithm, verifier=verifier)
        if algorithm == "ed25519":
            self.signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=Keys(private))
        else:
            secret = signing_secret(parts.master, self.key.id)
            self.signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=Keys(secret))

    def prepare(
        self,
        path: str = "/v1/merchants/bun/checkouts",
        body: Any = None,
        method: str = "POST",
        covered: tuple[str, ...] = COVERED,
        **how: Any,
    ) -> requests.PreparedRequest:
        headers = {"Authorization": f"Bearer {self.text}"}
        raw = None
        if method == "POST":
            raw = json.dumps(body or order(uuid.uuid4().hex)).encode()
            digest = base64.b64encode(hashlib.sha256(raw).digest()).decode()
            headers |= {"Idempotency-Key": how.pop("key", uuid.uuid4().hex), "Content-Digest": f"sha-256=:{digest}:"}
            headers["Content-Type"] = "application/json"
        else:
            covered = tuple(name for name in covered if name.startswith("@"))
        made = requests.Request(method, self.public_url + path, headers=headers, data=raw).prepare()
        given = {"key_id": self.key.id, "created": datetime.now(), "nonce": uuid.uuid4().hex} | how
        # The library adds a digest of its own; ours is there already, and the same.
        self.signer.sign(made, covered_component_ids=covered, use_existing_digest="Content-Digest" in headers, **given)
        return made

    def send(self, made: requests.PreparedRequest, **more: str) -> TestResponse:
        path = (made.url or "").removeprefix(self.public_url)
        headers = {name: value for name, value in made.headers.items() if name.lower() != "content-length"} | more
        return self.client.open(path, method=made.method, data=made.body, headers=headers)


@pytest.fixture(params=["ed25519", "hmac-sha256"])
def client(gateway: Gateway, request: pytest.FixtureRequest) -> Client:
    return Client(gateway, request.param)


def test_an_independent_signer_is_understood(client: Client) -> None:
    assert client.send(client.prepare()).status_code == 201
    assert client.send(client.prepare("/v1/merchants", method="GET")).status_code == 200
    assert client.send(client.prepare("/v1/merchants/bun/checkouts?limit=1", method="GET")).status_code == 200


def test_the_same_message_again_is_a_replay(client: Client) -> None:
    """A thief of a log sends what he found: it was used."""
    made = client.prepare()
    assert client.send(made).status_code == 201
    again = client.send(made)
    assert (again.status_code, slug(again)) == (401, "replayed-request")


def test_a_retry_is_signed_anew_and_gives_the_stored_reply(client: Client) -> None:
    body, key = order(uuid.uuid4().hex), uuid.uuid4().hex
    first = client.send(client.prepare(body=body, key=key))
    second = client.send(client.prepare(body=body, key=key))
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.get_data() == first.get_data()
    assert second.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("seconds", [-400, 400])
def test_a_signature_of_another_time_has_expired(client: Client, seconds: int) -> None:
    made = client.prepare(created=datetime.now() + timedelta(seconds=seconds))
    response = client.send(made)
    assert (response.status_code, slug(response)) == (401, "signature-expired")


def test_a_signature_that_says_when_it_ends_is_believed(client: Client) -> None:
    begun = datetime.now() - timedelta(seconds=60)
    response = client.send(client.prepare(created=begun, expires=begun + timedelta(seconds=30)))
    assert slug(response) == "signature-expired"


ALTER: dict[str, Callable[[requests.PreparedRequest], Any]] = {
    "body": lambda made: setattr(made, "body", (made.body or b"") + b" "),  # type: ignore[operator]
    "address": lambda made: setattr(made, "url", str(made.url) + "?x=1"),
    "idempotency key": lambda made: made.headers.update({"Idempotency-Key": "other"}),
    "signature": lambda made: made.headers.update({"Signature": made.headers["Signature"][:-4] + "A=:"}),
    "no signature": lambda made: made.headers.pop("Signature"),
    "no input": lambda made: made.headers.pop("Signature-Input"),
    "created": lambda made: made.headers.update(
        {"Signature-Input": made.headers["Signature-Input"].replace("created=1", "created=2")}
    ),
    "digest": lambda made: made.headers.update({"Content-Digest": "sha-256=:AAAA:"}),
    "digest of another kind": lambda made: made.headers.update({"Content-Digest": "md5=:AAAA:"}),
    "no digest": lambda made: made.headers.pop("Content-Digest"),
}


@pytest.mark.parametrize("what", ALTER)
def test_what_was_altered_does_not_verify(client: Client, what: str) -> None:
    made = client.prepare()
    ALTER[what](made)
    response = client.send(made)
    assert (response.status_code, slug(response)) == (401, "invalid-signature")


@pytest.mark.parametrize("left_out", COVERED)
def test_a_signature_must_cover_all_that_matters(client: Client, left_out: str) -> None:
    made = client.prepare(covered=tuple(name for name in COVERED if name != left_out))
    response = client.send(made)
    assert (response.status_code, slug(response)) == (401, "invalid-signature")
    assert left_out in response.json["detail"]


def test_a_nonce_is_needed_and_another_keys_signature_is_worth_nothing(gateway: Gateway, client: Client) -> None:
    assert slug(client.send(client.prepare(nonce=None))) == "invalid-signature"
    other = Client(gateway, "ed25519")
    made = other.prepare()
    made.headers["Authorization"] = f"Bearer {client.text}"
    assert slug(client.send(made)) == "invalid-signature"


def test_a_signed_key_alone_opens_nothing(gateway: Gateway, client: Client) -> None:
    response = client.client.get("/v1/merchants", headers={"Authorization": f"Bearer {client.text}"})
    assert (response.status_code, slug(response)) == (401, "invalid-signature")


def test_a_wrong_signature_uses_up_no_nonce(client: Client) -> None:
    """Somebody who guesses nonces cannot make an honest request look like a replay."""
    made = client.prepare()
    right = made.headers["Signature"]
    made.headers["Signature"] = right[:-4] + "A=:"
    assert slug(client.send(made)) == "invalid-signature"
    made.headers["Signature"] = right
    assert client.send(made).status_code == 201


def test_a_nonce_is_used_once_over_all_processes(gateway: Gateway, client: Client) -> None:
    """Another worker on the same database knows what this one has seen."""
    made = client.prepare()
    assert client.send(made).status_code == 201
    app = create_app(gateway.parts.config.file)
    try:
        client.client = app.test_client()
        assert slug(client.send(made)) == "replayed-request"
    finally:
        app.extensions["gateway"].close()


@pytest.fixture
def public(gateway: Gateway, tmp_path: Path) -> Iterator[Gateway]:
    """The same gateway behind a proxy, under another name."""
    text = gateway.parts.config.file.read_text(encoding="utf-8")
    file = gateway.parts.config.file.with_name(f"public-{uuid.uuid4().hex}.toml")
    file.write_text(text.replace("[server]", '[server]\npublic_url = "https://gateway.example"'), encoding="utf-8")
    app = create_app(file)
    yield Gateway(gateway.folder, app, gateway.running)
    app.extensions["gateway"].close()


def test_behind_a_proxy_the_public_address_is_signed(public: Gateway) -> None:
    """TLS ends at the proxy, which passes on another scheme and host; what the platform wrote counts."""
    client = Client(public, "ed25519", "https://gateway.example")
    assert client.send(client.prepare()).status_code == 201
    elsewhere = Client(public, "ed25519", "https://other.example")
    assert slug(elsewhere.send(elsewhere.prepare())) == "invalid-signature"


def test_what_is_no_ed25519_key_is_refused(gateway: Gateway) -> None:
    for pem in (b"", b"nonsense", P256):
        with pytest.raises(KeyRefused):
            ed25519_verifier(pem)
    with pytest.raises(KeyRefused):
        create_key(gateway.parts.database, signed="rsa", verifier="x")
    with pytest.raises(KeyRefused):
        create_key(gateway.parts.database, signed="ed25519")


def test_nonces_are_forgotten_when_they_are_too_old_to_matter(gateway: Gateway, client: Client) -> None:
    from gateway.store import keys as sql

    database = gateway.parts.database
    client.send(client.prepare())
    database.tx(lambda tx: sql.use_nonce(tx, "old", "old", int(time.time()) - 1))
    assert database.tx(lambda tx: sql.forget_nonces(tx, int(time.time()))) >= 1
    rows = database.read(lambda tx: tx.all("SELECT key_id FROM request_nonces"))
    assert "old" not in {row["key_id"] for row in rows}
    assert client.key.id in {row["key_id"] for row in rows}
