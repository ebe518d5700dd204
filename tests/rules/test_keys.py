"""Who may ask, and for what: keys are made, found, bound and revoked so that nobody sees what is another's."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.api import auth
from gateway.api.auth import Authenticator
from gateway.api.keys import (
    KEY,
    SCOPES,
    SIGNED,
    ApiKey,
    KeyRefused,
    create_key,
    digest_of,
    ed25519_verifier,
    find_key,
    list_keys,
    revoke_key,
    signing_secret,
)
from gateway.engine.problems import Problem
from gateway.store import audit
from gateway.store.port import Database
from tests.rules.ground import fresh, master


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = fresh(tmp_path)
    yield made
    made.close()


def key_of(**more: Any) -> ApiKey:
    given: dict[str, Any] = {
        "id": "k",
        "name": "n",
        "merchants": None,
        "stores": None,
        "scopes": frozenset(),
        "created": datetime.now(UTC),
    }
    return ApiKey(**{**given, **more})


# --- what a key is bound to ------------------------------------------------------------------------------------------


def test_a_key_sees_what_it_is_bound_to_and_nothing_else() -> None:
    """One merchant's platform must not even learn that another merchant is there."""
    assert key_of().sees("bun")
    assert key_of(merchants=frozenset({"bun"})).sees("bun")
    assert not key_of(merchants=frozenset({"bun"})).sees("tea")
    assert not key_of(merchants=frozenset()).sees("bun")
    assert key_of().sees_store("s1")
    assert key_of(stores=frozenset({"s1"})).sees_store("s1")
    assert not key_of(stores=frozenset({"s1"})).sees_store("s2")
    assert not key_of(stores=frozenset()).sees_store("s1")


def test_a_keys_verifier_is_not_printed() -> None:
    assert "secret-looking" not in repr(key_of(verifier="secret-looking"))


# --- making ----------------------------------------------------------------------------------------------------------


def test_a_key_is_stored_as_it_was_made_and_its_text_nowhere(database: Database) -> None:
    before = int(time.time() * 1000)
    text, key = create_key(
        database,
        name="pos",
        merchants=["tea", "bun", "tea"],
        stores=["s2", "s1"],
        scopes=["refund:write", "checkout:read", "refund:write"],
        signed="hmac-sha256",
        verifier="abc",
        by="li",
    )
    after = int(time.time() * 1000)
    assert KEY.match(text)
    assert (digest_of(text), len(text)) == (hashlib.sha256(text.encode()).hexdigest(), 47)
    (row,) = database.read(lambda tx: tx.all("SELECT * FROM api_keys"))
    stored = dict(row)
    assert before <= stored.pop("created") <= after
    assert stored == {
        "id": key.id,
        "hash": digest_of(text),
        "name": "pos",
        "merchants": json.dumps(["bun", "tea"]),
        "stores": json.dumps(["s1", "s2"]),
        "scopes": json.dumps(["checkout:read", "refund:write"]),
        "revoked": None,
        "signed": "hmac-sha256",
        "verifier": "abc",
    }
    assert re.fullmatch(r"key_\w{20,}", key.id)
    assert (key.name, key.merchants, key.stores) == ("pos", frozenset({"bun", "tea"}), frozenset({"s1", "s2"}))
    assert (key.signed, key.verifier) == ("hmac-sha256", "abc")
    assert key.scopes == frozenset({"checkout:read", "refund:write"})
    assert before <= key.created.timestamp() * 1000 <= after + 1
    assert (key.created.tzinfo, key.revoked) == (UTC, None)
    assert find_key(database, text) == key
    assert list_keys(database) == [key]


def test_a_key_made_without_more_may_do_everything_everywhere(database: Database) -> None:
    text, key = create_key(database)
    assert (key.name, key.merchants, key.stores, key.scopes) == ("", None, None, frozenset(SCOPES))
    assert (key.signed, key.verifier, key.revoked) == ("", "", None)
    assert find_key(database, text) == key
    (made,) = database.read(lambda tx: audit.acts_of(tx, key.id))
    assert (made["kind"], made["who"], made["merchant"]) == ("key.made", "operator", "*")


def test_who_made_and_who_revoked_a_key_stays_known(database: Database) -> None:
    _, key = create_key(database, merchants=["bun"], by="li")
    revoke_key(database, key.id, by="wang")
    acts = database.read(lambda tx: audit.acts_of(tx, key.id))
    assert {(act["kind"], act["who"]) for act in acts} == {("key.made", "li"), ("key.revoked", "wang")}
    _, other = create_key(database, merchants=["bun"])
    revoke_key(database, other.id)
    acts = database.read(lambda tx: audit.acts_of(tx, other.id))
    assert {(act["kind"], act["who"]) for act in acts} == {("key.made", "operator"), ("key.revoked", "operator")}


def test_no_two_keys_are_alike(database: Database) -> None:
    made = [create_key(database) for _ in range(3)]
    assert len({text for text, _ in made}) == len({key.id for _, key in made}) == 3
    there = list_keys(database)  # oldest first; those of one millisecond in any order
    assert len(there) == 3 and all(key in there for _, key in made)


def test_a_scope_that_does_not_exist_is_refused_with_those_that_do(database: Database) -> None:
    """A typing error would make a key that silently may not do what it was made for."""
    there = ", ".join(SCOPES)
    for scopes, named in ((["no", "checkout:read", "nor"], "no, nor"), ([], "(none)")):
        with pytest.raises(KeyRefused, match=f"^{re.escape(f'unknown scope {named}; there are: {there}')}$"):
            create_key(database, scopes=scopes)
    assert list_keys(database) == []


@pytest.mark.parametrize(("signed", "verifier"), [("rsa", "x"), ("ed25519", ""), ("hmac-sha256", ""), ("", "x")])
def test_a_signed_key_needs_a_known_algorithm_and_what_verifies_it(
    database: Database, signed: str, verifier: str
) -> None:
    """A key that is marked signed and verified by nothing would be open to whoever has its text."""
    detail = "a key is signed with one of hmac-sha256, ed25519, and needs what verifies it"
    with pytest.raises(KeyRefused, match=f"^{detail}$"):
        create_key(database, signed=signed, verifier=verifier)
    assert list_keys(database) == []


@pytest.mark.parametrize("signed", SIGNED)
def test_both_algorithms_can_be_asked_for(database: Database, signed: str) -> None:
    assert create_key(database, signed=signed, verifier="x")[1].signed == signed


def pem_of(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_only_an_ed25519_key_is_taken_for_one() -> None:
    private = Ed25519PrivateKey.generate()
    assert base64.b64decode(ed25519_verifier(pem_of(private))) == private.public_key().public_bytes_raw()
    with pytest.raises(KeyRefused, match=r"^this is no public key in PEM \(BEGIN PUBLIC KEY\)$"):
        ed25519_verifier(b"nonsense")
    other = r"^this is no Ed25519 key; make one with: openssl genpkey -algorithm ed25519$"
    with pytest.raises(KeyRefused, match=other):
        ed25519_verifier(pem_of(ec.generate_private_key(ec.SECP256R1())))


def test_a_signing_secret_is_the_keys_and_the_gateways_own() -> None:
    """Two keys with one secret, or two gateways, could sign for each other."""
    assert signing_secret(master(), "k1") == master().derive("signing k1")
    assert signing_secret(master(), "k1") != signing_secret(master(), "k2")
    assert signing_secret(master(), "k1") != signing_secret(master("n" * 40), "k1")


# --- revoking --------------------------------------------------------------------------------------------------------


def test_a_revoked_key_says_when_and_is_revoked_once(database: Database) -> None:
    text, key = create_key(database)
    other, _ = create_key(database)
    before = datetime.now(UTC).timestamp()
    revoke_key(database, key.id)
    found = find_key(database, text)
    assert found is not None
    assert found.revoked is not None
    assert before - 0.001 <= found.revoked.timestamp() <= datetime.now(UTC).timestamp()
    assert found.revoked.tzinfo is UTC
    kept = find_key(database, other)
    assert kept is not None
    assert kept.revoked is None
    for wrong in (key.id, "key_absent"):
        with pytest.raises(KeyRefused, match=f"^there is no key '{wrong}' in force$"):
            revoke_key(database, wrong)


def test_a_key_that_never_was_is_not_found(database: Database) -> None:
    create_key(database)
    assert find_key(database, "gwk_" + "0" * 43) is None


# --- asking with a key -----------------------------------------------------------------------------------------------


class Clock:
    """The time that keys are remembered by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(auth, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


def refusal(authenticator: Authenticator, authorization: str | None) -> tuple[str, str]:
    with pytest.raises(Problem) as refused:
        authenticator(authorization)
    return refused.value.slug, refused.value.detail


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_opens_with_any_spelling_of_bearer(database: Database, scheme: str) -> None:
    text, key = create_key(database)
    assert Authenticator(database)(f"{scheme} {text}") == key


def test_what_is_no_key_is_told_how_to_ask(database: Database) -> None:
    text, _ = create_key(database)
    wrong = (
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Basic {text}",
        text,
        f"Bearer  {text}",
        f"Bearer {text}x",
        f"Bearer x{text}",
    )
    for authorization in (*wrong, f"Bearer {text[:-1]}", f"Bearer {text}\n"):
        told = refusal(Authenticator(database), authorization)
        assert told == ("invalid-credentials", "send Authorization: Bearer with a key of this gateway")


def test_an_unknown_and_a_revoked_key_open_nothing(database: Database) -> None:
    text, key = create_key(database)
    revoke_key(database, key.id)
    authenticator = Authenticator(database)
    assert refusal(authenticator, f"Bearer {text}") == ("key-revoked", "this key has been revoked; use the other one")
    unknown = refusal(authenticator, f"Bearer gwk_{'0' * 43}")
    assert unknown == ("invalid-credentials", "this key is not known here")


def test_a_revocation_is_felt_after_two_seconds(database: Database, clock: Clock) -> None:
    """A thief who goes on asking must not keep his key alive by it."""
    text, key = create_key(database)
    authenticator = Authenticator(database)
    assert authenticator(f"Bearer {text}") == key
    revoke_key(database, key.id)
    clock.now += 1.9
    assert authenticator(f"Bearer {text}") == key
    clock.now = 1002.0
    assert refusal(authenticator, f"Bearer {text}")[0] == "key-revoked"
    clock.now += 1.9
    assert refusal(authenticator, f"Bearer {text}")[0] == "key-revoked"


def test_how_long_a_key_is_remembered_can_be_said(database: Database, clock: Clock) -> None:
    text, key = create_key(database)
    authenticator = Authenticator(database, 30)
    assert authenticator(f"Bearer {text}") == key
    revoke_key(database, key.id)
    clock.now += 29.9
    assert authenticator(f"Bearer {text}") == key
    clock.now += 0.1
    assert refusal(authenticator, f"Bearer {text}")[0] == "key-revoked"


def test_a_flood_of_wrong_keys_does_not_fill_the_memory(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "REMEMBERED_MOST", 2)
    authenticator, sizes = Authenticator(database), []
    for number in range(4):
        refusal(authenticator, f"Bearer gwk_{number:043d}")
        sizes.append(len(authenticator._known))
    assert sizes == [1, 2, 1, 2]
