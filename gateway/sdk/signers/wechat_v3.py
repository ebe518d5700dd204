"""WeChat Pay v3: signed requests, replies and notices, and what a notice carries encrypted.

A request's signature covers ``METHOD\\nPATH?QUERY\\nTIMESTAMP\\nNONCE\\nBODY\\n``, a reply's and a notice's
``TIMESTAMP\\nNONCE\\nBODY\\n``, both by RSA with SHA-256 over the raw body. A notice's ``resource`` is encrypted with
AES-256-GCM under the merchant's APIv3 key. A downloaded bill carries no signature; its hash comes in the reply before.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from gateway.sdk.parsing import ParseError
from gateway.sdk.signers import rsa
from gateway.sdk.signers.shared import fresh

SCHEME = "WECHATPAY2-SHA256-RSA2048"

#: A reply or notice whose clock differs by so many seconds is refused.
TOLERANCE_S = 300

#: What WeChat Pay sends to see whether we verify: a signature that begins so never fits.
PROBE = "WECHATPAY/SIGNTEST/"


class SignatureError(ParseError):
    """The signature is missing, not fresh, of a key that we do not have, or does not fit."""


@dataclass(frozen=True, slots=True)
class Merchant:
    """Who signs: the merchant's number, its certificate's serial number, its private key."""

    mchid: str
    serial: str
    key: RSAPrivateKey


def request_content(method: str, url: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    """What a request's signature covers; of the address only path and query count."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return "\n".join((method.upper(), path, timestamp, nonce, "")).encode() + body + b"\n"


def authorization(merchant: Merchant, method: str, url: str, body: bytes, *, timestamp: str, nonce: str) -> str:
    """The ``Authorization`` header of a request. ``timestamp`` is Unix seconds, ``nonce`` random and used once."""
    signature = rsa.sign(request_content(method, url, timestamp, nonce, body), merchant.key)
    fields = {
        "mchid": merchant.mchid,
        "nonce_str": nonce,
        "signature": signature,
        "timestamp": timestamp,
        "serial_no": merchant.serial,
    }
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in fields.items())


def check(headers: Mapping[str, str], body: bytes, keys: Mapping[str, RSAPublicKey], now: datetime) -> None:
    """See that a reply or notice is WeChat Pay's. ``headers`` have lower-case names; ``keys`` are by serial number.

    Raises :class:`SignatureError`; the body proves nothing until this has returned.
    """
    timestamp, nonce, signature, serial = (
        headers.get(f"wechatpay-{name}", "") for name in ("timestamp", "nonce", "signature", "serial")
    )
    if not (timestamp and nonce and signature and serial):
        raise SignatureError("not signed")
    if not fresh(timestamp, now, TOLERANCE_S):
        raise SignatureError(f"signed more than {TOLERANCE_S} s from now")
    if serial not in keys:
        raise SignatureError("signed with a key that we do not have")
    if not rsa.verify(f"{timestamp}\n{nonce}\n".encode() + body + b"\n", signature, keys[serial]):
        raise SignatureError("the signature does not fit")


def decrypt(api_v3_key: bytes, nonce: str, ciphertext: str, associated_data: str = "") -> bytes:
    """The plain bytes of an encrypted resource. Raises ``ParseError`` if it is not ours or was changed."""
    try:
        raw = base64.b64decode(ciphertext, validate=True)
        return AESGCM(api_v3_key).decrypt(nonce.encode(), raw, associated_data.encode())
    except (InvalidTag, binascii.Error, ValueError) as error:
        raise ParseError(f"the resource cannot be decrypted: {type(error).__name__}") from None


def encrypt(api_v3_key: bytes, nonce: str, plain: bytes, associated_data: str = "") -> str:
    """The inverse of :func:`decrypt`, for simulators."""
    return base64.b64encode(AESGCM(api_v3_key).encrypt(nonce.encode(), plain, associated_data.encode())).decode()
