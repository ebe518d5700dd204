"""Signed requests: what is altered, repeated, too old or another key's opens nothing, and the refusal says why."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Request
from werkzeug.test import EnvironBuilder

from gateway.api import signatures
from gateway.api.keys import ApiKey, ed25519_verifier, signing_secret
from gateway.api.signatures import Message, SignatureCheck, message_of
from gateway.api.structured import Covered, Malformed
from gateway.engine.problems import Problem
from gateway.store import keys as sql
from gateway.store.port import Database
from tests.rules.ground import fresh, master

NOW = 1_800_000_000
URL = "https://gateway.example/v1/merchants/bun/checkouts?x=1"
BODY = b'{"a": 1}'
MASTER = master()
PRIVATE = Ed25519PrivateKey.generate()
PEM = PRIVATE.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def api_key(algorithm: str = "hmac-sha256", name: str = "key_1", **more: Any) -> ApiKey:
    verifier = MASTER.fingerprint if algorithm == "hmac-sha256" else ed25519_verifier(PEM)
    given: dict[str, Any] = {
        "id": name,
        "name": "",
        "merchants": None,
        "stores": None,
        "scopes": frozenset(),
        "verifier": verifier,
    }
    return ApiKey(**{**given, "created": datetime.now(UTC), "signed": algorithm, **more})


HMAC, ED25519 = api_key(), api_key("ed25519")


def digest_field(body: bytes = BODY, name: str = "sha256") -> str:
    label = {"sha256": "sha-256", "sha512": "sha-512"}[name]
    return f"{label}=:{base64.b64encode(hashlib.new(name, body).digest()).decode()}:"


ALL = ("@method", "@target-uri", "content-digest", "idempotency-key")


class Sender:
    """Signs as the standard says, word by word: the base is written here, not taken from the gateway."""

    def __init__(self, key: ApiKey) -> None:
        self.key = key

    def sign(self, base: str) -> str:
        if self.key.signed == "ed25519":
            made = PRIVATE.sign(base.encode())
        else:
            made = hmac.digest(signing_secret(MASTER, self.key.id), base.encode(), hashlib.sha256)
        return base64.b64encode(made).decode()

    def send(
        self,
        covered: tuple[str, ...] = ALL,
        params: str | None = None,
        label: str = "sig1",
        body: bytes = BODY,
        headers: dict[str, str] | None = None,
    ) -> Message:
        """A signed POST; ``headers`` are added, an empty one is left out."""
        given = {"content-digest": digest_field(body), "idempotency-key": "idem-1", **(headers or {})}
        given = {name: value for name, value in given.items() if value}
        text = "(" + " ".join(f'"{name}"' for name in covered) + ")"
        text += params if params is not None else f';created={NOW};keyid="{self.key.id}";nonce="n1"'
        values = {"@method": "POST", "@target-uri": URL, "@authority": "gateway.example", **given}
        lines = [f'"{name}": {values.get(name, "")}' for name in covered]
        signature = self.sign("\n".join([*lines, f'"@signature-params": {text}']))
        signed = {"signature-input": f"{label}={text}", "signature": f"{label}=:{signature}:"}
        return Message("POST", URL, {**given, **signed}, body)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh(tmp_path)
    yield made
    made.close()


def check(database: Database, now: float = NOW) -> SignatureCheck:
    return SignatureCheck(database, MASTER, lambda: now)


def refused(check: SignatureCheck, key: ApiKey, message: Message) -> tuple[str, str]:
    with pytest.raises(Problem) as found:
        check(key, message)
    return found.value.slug, found.value.detail


def invalid(database: Database, message: Message, key: ApiKey = HMAC) -> str:
    slug, detail = refused(check(database), key, message)
    assert slug == "invalid-signature"
    return detail


# --- what is believed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [HMAC, ED25519], ids=["hmac", "ed25519"])
def test_what_is_signed_as_the_standard_says_is_believed_once(database: Database, key: ApiKey) -> None:
    message, checking = Sender(key).send(), check(database)
    checking(key, message)
    again = ("replayed-request", "this nonce was used before; sign anew, with the same Idempotency-Key")
    assert refused(checking, key, message) == again
    assert refused(check(database), key, message) == again, "another worker knows it too"


def test_another_key_may_use_the_same_nonce(database: Database) -> None:
    """Else one platform could make another one's requests look like replays."""
    other = api_key(name="key_2")
    check(database)(HMAC, Sender(HMAC).send())
    check(database)(other, Sender(other).send())


def test_a_request_without_a_body_signs_less(database: Database) -> None:
    bare = {"content-digest": "", "idempotency-key": ""}
    check(database)(HMAC, Sender(HMAC).send(("@method", "@target-uri"), body=b"", headers=bare))


def test_both_digests_are_known_and_all_that_are_known_must_fit(database: Database) -> None:
    long = digest_field(name="sha512")
    for number, field in enumerate((long, f"{digest_field()}, {long}", f"md5=:AAAA:, {long}")):
        params = f';created={NOW};keyid="key_1";nonce="n{number}"'
        check(database)(HMAC, Sender(HMAC).send(params=params, headers={"content-digest": field}))
    half = f"{digest_field()}, {digest_field(b'other', 'sha512')}"
    told = invalid(database, Sender(HMAC).send(headers={"content-digest": half}))
    assert told == "Content-Digest is not this body's"


def test_the_signature_that_names_the_key_is_the_one_that_counts(database: Database) -> None:
    """A proxy on the way may have added a signature of its own."""
    ours = Sender(HMAC).send()
    names = dict(ours.headers)
    names["signature-input"] = 'proxy=("@path");keyid="proxy", ' + names["signature-input"]
    names["signature"] = "proxy=:AAAA:, " + names["signature"]
    check(database)(HMAC, Message("POST", URL, names, BODY))
    alone = Sender(HMAC).send(params=f';created={NOW};nonce="n2"')
    check(database)(HMAC, alone)
    named = Sender(HMAC).send(params=f';created={NOW};nonce="n3";alg="hmac-sha256"')
    check(database)(HMAC, named)


# --- what is not -----------------------------------------------------------------------------------------------------


def without(message: Message, *names: str) -> Message:
    kept = {name: value for name, value in message.headers.items() if name not in names}
    return Message(message.method, message.target_uri, kept, message.body)


@pytest.mark.parametrize("missing", [("signature",), ("signature-input",), ("signature", "signature-input")])
def test_without_a_signature_a_signed_key_opens_nothing(database: Database, missing: tuple[str, ...]) -> None:
    told = invalid(database, without(Sender(HMAC).send(), *missing))
    assert told == "this key is marked signed: send Signature-Input and Signature (RFC 9421)"


def test_a_signature_that_cannot_be_told_to_be_this_keys_is_none(database: Database) -> None:
    one = "there must be one signature whose keyid is this key's id"
    other = f';created={NOW};keyid="key_2";nonce="n"'
    assert invalid(database, Sender(HMAC).send(params=other)) == one
    ours = Sender(HMAC).send()
    elsewhere = dict(ours.headers) | {"signature": ours.headers["signature"].replace("sig1", "sig2")}
    assert invalid(database, Message("POST", URL, elsewhere, BODY)) == one
    twice = dict(ours.headers)
    twice["signature-input"] += ", b" + twice["signature-input"][4:]
    twice["signature"] += ", b" + twice["signature"][4:]
    assert invalid(database, Message("POST", URL, twice, BODY)) == one
    nameless = dict(Sender(HMAC).send(params=f';created={NOW};nonce="n"').headers)
    nameless["signature-input"] += ', b=("@method");nonce="x"'
    assert invalid(database, Message("POST", URL, nameless, BODY)) == one


@pytest.mark.parametrize(("key", "alg"), [(HMAC, "ed25519"), (ED25519, "hmac-sha256")], ids=["hmac", "ed25519"])
def test_the_algorithm_is_the_keys_not_the_senders(database: Database, key: ApiKey, alg: str) -> None:
    """Else a public key, which anybody may know, could be used as an HMAC's secret."""
    params = f';created={NOW};keyid="key_1";nonce="n";alg="{alg}"'
    assert invalid(database, Sender(key).send(params=params), key) == f"this key signs with {key.signed}"


@pytest.mark.parametrize("left_out", ALL)
def test_a_signature_must_cover_all_that_matters(database: Database, left_out: str) -> None:
    """What is not covered a proxy could change: another address, another body, another order's key."""
    message = Sender(HMAC).send(tuple(name for name in ALL if name != left_out))
    assert invalid(database, message) == f"the signature must cover {left_out}"


def test_everything_that_is_missing_is_named_at_once(database: Database) -> None:
    told = invalid(database, Sender(HMAC).send(("@authority",)))
    assert told == "the signature must cover @method, @target-uri, content-digest, idempotency-key"


@pytest.mark.parametrize(
    "params",
    [
        ';keyid="key_1";nonce="n"',
        f';created="{NOW}";keyid="key_1";nonce="n"',
        ';created;keyid="key_1";nonce="n"',
        f';created={NOW};expires="1";keyid="key_1";nonce="n"',
        f';created={NOW};expires;keyid="key_1";nonce="n"',
    ],
)
def test_a_signature_says_when_it_was_made(database: Database, params: str) -> None:
    assert invalid(database, Sender(HMAC).send(params=params)) == "created must be there, in seconds"


@pytest.mark.parametrize(
    "nonce", ["", ';nonce=""', ";nonce=1", ";nonce", ";nonce=:AAAA:", ';nonce="a b"', f';nonce="{"n" * 129}"']
)
def test_a_signature_has_a_nonce(database: Database, nonce: str) -> None:
    """Without one, a leaked log could be sent again for five minutes."""
    told = invalid(database, Sender(HMAC).send(params=f';created={NOW};keyid="key_1"{nonce}'))
    assert told == "nonce must be there: 1 to 128 visible characters, new for each request"


def test_a_nonce_may_be_long(database: Database) -> None:
    check(database)(HMAC, Sender(HMAC).send(params=f';created={NOW};keyid="key_1";nonce="{"n" * 128}"'))


def test_a_digest_must_be_this_bodys_and_of_a_known_kind(database: Database) -> None:
    wrong = Sender(HMAC).send(headers={"content-digest": digest_field(b"other")})
    assert invalid(database, wrong) == "Content-Digest is not this body's"
    weak = Sender(HMAC).send(headers={"content-digest": "md5=:AAAA:"})
    assert invalid(database, weak) == "Content-Digest must be sha-256 or sha-512"
    empty = Sender(HMAC).send(body=b"", headers={"content-digest": digest_field(b"other")})
    assert invalid(database, empty) == "Content-Digest is not this body's"
    lost = Sender(HMAC).send(headers={"content-digest": ""})
    assert invalid(database, lost) == "the request has no content-digest"


@pytest.mark.parametrize("key", [HMAC, ED25519], ids=["hmac", "ed25519"])
def test_what_was_altered_on_the_way_does_not_verify(database: Database, key: ApiKey) -> None:
    sent = Sender(key).send()
    for altered in (
        Message("PUT", sent.target_uri, sent.headers, sent.body),
        Message("POST", sent.target_uri + "1", sent.headers, sent.body),
        Message("POST", sent.target_uri, {**sent.headers, "idempotency-key": "idem-2"}, sent.body),
        Message("POST", sent.target_uri, {**sent.headers, "signature": "sig1=:AAAA:"}, sent.body),
    ):
        assert invalid(database, altered, key) == "the signature does not verify"
    check(database)(key, sent)


def test_another_keys_secret_signs_nothing_here(database: Database) -> None:
    message = Sender(api_key(name="key_2")).send(params=f';created={NOW};keyid="key_1";nonce="n"')
    assert invalid(database, message) == "the signature does not verify"


def test_a_key_of_another_master_key_says_so(database: Database) -> None:
    """After a restore with another master key every signature would fail, and nobody could tell why."""
    lost = api_key(verifier=master("n" * 40).fingerprint)
    told = invalid(database, Sender(HMAC).send(), lost)
    assert told == "this key was made under another master key of the gateway; ask its operator"


def test_a_malformed_field_is_refused_as_such(database: Database) -> None:
    sent = Sender(HMAC).send()
    assert (
        invalid(database, Message("POST", URL, {**sent.headers, "signature": "sig1=x"}, BODY))
        == "sig1 is no byte sequence"
    )


# --- its time --------------------------------------------------------------------------------------------------------


def expired(now: float) -> tuple[str, str]:
    return "signature-expired", f"the signature's time is more than 300 s from ours; ours is {int(now)}"


@pytest.mark.parametrize(("apart", "believed"), [(300.0, True), (-300.0, True), (300.5, False), (-300.5, False)])
def test_a_signature_is_believed_for_five_minutes(database: Database, apart: float, believed: bool) -> None:
    checking = check(database, NOW + apart)
    if believed:
        checking(HMAC, Sender(HMAC).send())
    else:
        assert refused(checking, HMAC, Sender(HMAC).send()) == expired(NOW + apart)


def test_a_signature_that_says_when_it_ends_ends_then(database: Database) -> None:
    def until(expires: int, nonce: str) -> Message:
        return Sender(HMAC).send(params=f';created={NOW - 60};expires={expires};keyid="key_1";nonce="{nonce}"')

    check(database)(HMAC, until(NOW, "a"))
    assert refused(check(database, NOW + 0.5), HMAC, until(NOW, "b")) == expired(NOW)
    assert refused(check(database), HMAC, until(0, "c")) == expired(NOW)


def test_what_does_not_verify_uses_up_no_nonce(database: Database) -> None:
    """Somebody who guesses nonces could make honest requests look like replays."""
    sent = Sender(HMAC).send()
    refused(check(database), HMAC, Message("PUT", URL, sent.headers, BODY))
    refused(check(database, NOW + 301), HMAC, sent)
    check(database)(HMAC, sent)


def nonces(database: Database) -> dict[str, int]:
    return {row["nonce"]: row["expires"] for row in database.read(lambda tx: tx.all("SELECT * FROM request_nonces"))}


def test_a_nonce_is_kept_for_as_long_as_its_request_could_be_believed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.tx(lambda tx: sql.use_nonce(tx, "key_1", "old-1", NOW - 1))
    database.tx(lambda tx: sql.use_nonce(tx, "key_1", "old-2", NOW - 2))
    monkeypatch.setattr(signatures, "FORGET_EVERY", 2**62)
    params = f';created={NOW - 10};keyid="key_1";nonce="n1"'
    check(database, NOW + 0.9)(HMAC, Sender(HMAC).send(params=params))
    assert nonces(database) == {"n1": NOW - 10 + 600, "old-1": NOW - 1, "old-2": NOW - 2}
    monkeypatch.setattr(signatures, "FORGET_EVERY", 1)
    check(database, NOW + 0.9)(HMAC, Sender(HMAC).send(params=params.replace("n1", "n2")))
    assert set(nonces(database)) == {"n1", "n2", "old-1"}


def test_the_time_is_the_worlds_if_nothing_else_is_said(database: Database) -> None:
    assert refused(SignatureCheck(database, MASTER), HMAC, Sender(HMAC).send())[0] == "signature-expired"


# --- the signature base ----------------------------------------------------------------------------------------------


def covered(*names: str) -> Covered:
    return Covered(names, {}, "(…)")


def test_the_base_is_written_as_the_standard_says() -> None:
    message = Message("GET", "https://A.example:443/p?q=1&r", {"date": "\t now ", "x": ""}, b"")
    names = ("date", "@method", "@target-uri", "@authority", "@scheme", "@path", "@query", "x")
    assert message.base(covered(*names)).decode() == (
        '"date": now\n"@method": GET\n"@target-uri": https://A.example:443/p?q=1&r\n"@authority": a.example\n'
        '"@scheme": https\n"@path": /p\n"@query": ?q=1&r\n"x": \n"@signature-params": (…)'
    )


def test_only_blanks_and_tabs_around_a_value_are_taken_off() -> None:
    """Anything more, and what the platform signed is another text than what is verified."""
    message = Message("GET", URL, {"x": "\t\u00a0X1X\x0b ", "y": "X"}, b"")
    assert (message.component("x"), message.component("y")) == ("\u00a0X1X\x0b", "X")


@pytest.mark.parametrize(
    ("url", "authority", "path", "query"),
    [
        ("http://h:80/", "h", "/", "?"),
        ("http://h:443/a", "h:443", "/a", "?"),
        ("https://H:80", "h:80", "/", "?"),
        ("https://h", "h", "/", "?"),
        ("http://h:8080/a?b", "h:8080", "/a", "?b"),
        ("ws://Host:80/", "host:80", "/", "?"),
    ],
)
def test_an_address_is_taken_apart_as_both_sides_write_it(url: str, authority: str, path: str, query: str) -> None:
    message = Message("GET", url, {}, b"")
    assert [message.component(name) for name in ("@authority", "@path", "@query")] == [authority, path, query]


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("x", "@method", "x"), "a component is covered twice"),
        (("date",), "the request has no date"),
        (("@status",), "@status is not known here"),
    ],
)
def test_what_cannot_be_covered_is_refused(names: tuple[str, ...], why: str) -> None:
    with pytest.raises(Malformed, match=f"^{why}$"):
        Message("GET", URL, {"x": "1"}, b"").base(covered(*names))


def test_an_address_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(Malformed, match=r"^the request's address cannot be read$"):
        Message("GET", "https://[::1/", {}, b"").component("@path")


# --- the request in hand ---------------------------------------------------------------------------------------------


def request_of(path: str = "/a%2Fb?x=1", **environ: str) -> Request:
    made: dict[str, Any] = EnvironBuilder(
        path, "http://inner:8000", method="POST", data=b"body", headers={"X-One": "1"}
    ).get_environ()
    for name in ("RAW_URI", "REQUEST_URI"):
        made.pop(name, None)
    return Request(made | environ)


def test_the_address_is_the_one_that_was_sent() -> None:
    """Decoded and encoded again it may be another text, and an honest signature would not verify."""
    message = message_of(request_of(RAW_URI="/a%2fb?x=1", REQUEST_URI="/no"), "")
    assert (message.method, message.target_uri, message.body) == ("POST", "http://inner:8000/a%2fb?x=1", b"body")
    assert message.headers["x-one"] == "1"
    assert message_of(request_of(REQUEST_URI="/c?d"), "").target_uri == "http://inner:8000/c?d"
    assert message_of(request_of("/c?d=1"), "").target_uri == "http://inner:8000/c?d=1"
    assert message_of(request_of(RAW_URI="http://else/c"), "").target_uri == "http://inner:8000/a/b?x=1"
    assert message_of(request_of("/c", RAW_URI="http://else/c"), "").target_uri == "http://inner:8000/c"
    assert message_of(request_of("/cX", RAW_URI="http://else/c"), "").target_uri == "http://inner:8000/cX"


def test_behind_a_proxy_the_public_address_is_the_one_that_was_signed() -> None:
    assert message_of(request_of(RAW_URI="/c"), "https://gateway.example").target_uri == "https://gateway.example/c"


def test_the_body_can_still_be_read_by_the_view() -> None:
    request = request_of()
    assert message_of(request, "").body == request.get_data() == b"body"
