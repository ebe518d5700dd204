"""HTTP message signatures (RFC 9421) on the requests of keys that are marked signed.

A leaked log or a curious proxy can then neither repeat nor alter what a platform sent: the signature covers method,
address, body (by ``Content-Digest``, RFC 9530) and ``Idempotency-Key``, is believed for five minutes and only once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Request

from gateway.api.keys import ApiKey, signing_secret
from gateway.api.structured import Bare, Covered, Malformed, byte_sequences, covered_lists
from gateway.engine.problems import Problem
from gateway.runtime.master_key import MasterKey
from gateway.store import keys as sql
from gateway.store.port import Database, Tx

#: How far a signature's time may be from ours, in seconds.
WINDOW_S = 300
#: One request in so many forgets old nonces.
FORGET_EVERY = 256
_NONCE = re.compile(r"[!-~]{1,128}\Z")
_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "sha-256": lambda body: hashlib.sha256(body).digest(),
    "sha-512": lambda body: hashlib.sha512(body).digest(),
}
_RANDOM = random.SystemRandom()


@dataclass(frozen=True, slots=True)
class Message:
    """A request as a signature sees it; header names are lower case, values as they were sent."""

    method: str
    target_uri: str
    headers: Mapping[str, str]
    body: bytes

    def component(self, name: str) -> str:
        """The value of a component. Raises ``Malformed`` if the message has none."""
        if not name.startswith("@"):
            if name not in self.headers:
                raise Malformed(f"the request has no {name}")
            return self.headers[name].strip(" \t")
        try:
            parts = urlsplit(self.target_uri)
        except ValueError:
            raise Malformed("the request's address cannot be read") from None
        found = {
            "@method": self.method,
            "@target-uri": self.target_uri,
            "@authority": _authority(parts.scheme, parts.netloc),
            "@scheme": parts.scheme,
            "@path": parts.path or "/",
            "@query": f"?{parts.query}",
        }.get(name)
        if found is None:
            raise Malformed(f"{name} is not known here")
        return found

    def base(self, covered: Covered) -> bytes:
        """The signature base. Raises ``Malformed``."""
        if len(set(covered.names)) != len(covered.names):
            raise Malformed("a component is covered twice")
        lines = [f'"{name}": {self.component(name)}' for name in covered.names]
        return "\n".join([*lines, f'"@signature-params": {covered.text}']).encode()


def _authority(scheme: str, netloc: str) -> str:
    default = {"http": ":80", "https": ":443"}.get(scheme, "")
    return netloc.lower().removesuffix(default) if default else netloc.lower()


def message_of(request: Request, public_url: str) -> Message:
    """The request in hand. Behind a proxy ``public_url`` is what its address begins with."""
    raw = str(request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI") or request.full_path)
    begins = public_url or f"{request.scheme}://{request.host}"
    return Message(
        request.method,
        begins + (raw if raw.startswith("/") else request.full_path.rstrip("?")),
        {name.lower(): value for name, value in request.headers.items()},
        request.get_data(cache=True),
    )


class SignatureCheck:
    """Checks the requests of signed keys. Safe to share between threads."""

    def __init__(self, database: Database, master: MasterKey, clock: Callable[[], float] = time.time) -> None:
        self._database, self._master, self._clock = database, master, clock

    def __call__(self, key: ApiKey, message: Message) -> None:
        """Raises ``invalid-signature``, ``signature-expired``, ``replayed-request``."""
        try:
            covered, signature = _chosen(message, key)
            _check_covered(message, covered)
            _check_digest(message)
            if not _verifies(key, self._master, message.base(covered), signature):
                raise Malformed("the signature does not verify")
        except Malformed as error:
            raise Problem("invalid-signature", str(error)) from None
        self._check_time(covered)
        self._use(key, str(covered.params["nonce"]), int(covered.params["created"]))

    def _check_time(self, covered: Covered) -> None:
        now, created, expires = self._clock(), covered.params["created"], covered.params.get("expires")
        if abs(now - int(created)) > WINDOW_S or (expires is not None and now > int(expires)):
            detail = f"the signature's time is more than {WINDOW_S} s from ours; ours is {int(now)}"
            raise Problem("signature-expired", detail)

    def _use(self, key: ApiKey, nonce: str, created: int) -> None:
        expires = created + 2 * WINDOW_S

        def unit(tx: Tx) -> bool:
            return sql.use_nonce(tx, key.id, nonce, expires)

        if not self._database.tx(unit):
            raise Problem("replayed-request", "this nonce was used before; sign anew, with the same Idempotency-Key")
        if _RANDOM.randrange(FORGET_EVERY) == 0:
            self._database.tx(lambda tx: sql.forget_nonces(tx, int(self._clock()) - 1))


def _chosen(message: Message, key: ApiKey) -> tuple[Covered, bytes]:
    """The signature of this key: the only one, or the one that names it."""
    if "signature-input" not in message.headers or "signature" not in message.headers:
        raise Malformed("this key is marked signed: send Signature-Input and Signature (RFC 9421)")
    inputs = covered_lists(message.headers["signature-input"])
    signatures = byte_sequences(message.headers["signature"])
    named = [label for label, covered in inputs.items() if covered.params.get("keyid") == key.id]
    if len(inputs) == 1 and "keyid" not in next(iter(inputs.values())).params:
        named = list(inputs)
    if len(named) != 1 or named[0] not in signatures:
        raise Malformed("there must be one signature whose keyid is this key's id")
    covered = inputs[named[0]]
    if covered.params.get("alg", key.signed) != key.signed:
        raise Malformed(f"this key signs with {key.signed}")
    return covered, signatures[named[0]]


def _check_covered(message: Message, covered: Covered) -> None:
    needed = {"@method", "@target-uri"}
    if message.body:
        needed.add("content-digest")
    if "idempotency-key" in message.headers:
        needed.add("idempotency-key")
    missing = sorted(needed - set(covered.names))
    if missing:
        raise Malformed(f"the signature must cover {', '.join(missing)}")
    if type(covered.params.get("created")) is not int or type(covered.params.get("expires", 0)) is not int:
        raise Malformed("created must be there, in seconds")
    nonce: Bare = covered.params.get("nonce", "")
    if not isinstance(nonce, str) or _NONCE.match(nonce) is None:
        raise Malformed("nonce must be there: 1 to 128 visible characters, new for each request")


def _check_digest(message: Message) -> None:
    if "content-digest" not in message.headers:
        return
    given = byte_sequences(message.headers["content-digest"])
    known = [name for name in given if name in _DIGESTS]
    if not known:
        raise Malformed("Content-Digest must be sha-256 or sha-512")
    if not all(hmac.compare_digest(_DIGESTS[name](message.body), given[name]) for name in known):
        raise Malformed("Content-Digest is not this body's")


def _verifies(key: ApiKey, master: MasterKey, base: bytes, signature: bytes) -> bool:
    if key.signed == "hmac-sha256":
        if key.verifier != master.fingerprint:
            raise Malformed("this key was made under another master key of the gateway; ask its operator")
        expected = hmac.digest(signing_secret(master, key.id), base, hashlib.sha256)
        return hmac.compare_digest(expected, signature)
    try:
        Ed25519PublicKey.from_public_bytes(base64.b64decode(key.verifier)).verify(signature, base)
    except InvalidSignature:
        return False
    return True
