"""RSA signatures with SHA-256 (RSA2): of sorted parameters, of a digest of them, of a JSON reply's raw node.

- *Alipay's kind*: every non-empty parameter but ``sign``, sorted, ``k=v`` joined by ``&`` (:func:`content_of`), signed
  as text. A notice leaves out ``sign_type`` too. A reply's signature covers the raw substring of one node, which
  :func:`cut_node` cuts out of the text: re-serialising it changes bytes.
- *UnionPay's kind*: the same text, but what is signed is the lower-case hex of its SHA-256 (:func:`digest_of`).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gateway.sdk.parsing import ParseError

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)


def read_private_key(text: str, *, checked: bool = False) -> rsa.RSAPrivateKey:
    """A private key from PEM, or from bare base64 (PKCS#8 or PKCS#1). Raises ``ParseError``.

    The check of its arithmetic takes 0.1 s: ``checked`` says that it was done before.
    """
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=checked)
        else:
            der = base64.b64decode("".join(text.split()), validate=True)
            key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ParseError("not a private key in PEM or base64") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ParseError("not an RSA key")
    return key


def read_public_key(text: str) -> rsa.RSAPublicKey:
    """A public key from PEM, from a certificate in PEM, or from bare base64. Raises ``ParseError``."""
    key: object
    try:
        if "-----BEGIN CERTIFICATE" in text:
            key = x509.load_pem_x509_certificate(text.encode()).public_key()
        elif "-----BEGIN" in text:
            key = serialization.load_pem_public_key(text.encode())
        else:
            key = serialization.load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ParseError("not a public key or certificate in PEM or base64") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ParseError("not an RSA key")
    return key


def sign(content: bytes, key: rsa.RSAPrivateKey) -> str:
    """The signature in base64: PKCS#1 v1.5 with SHA-256, the same each time."""
    return base64.b64encode(key.sign(content, padding.PKCS1v15(), hashes.SHA256())).decode()


def verify(content: bytes, signature: str, key: rsa.RSAPublicKey) -> bool:
    """Whether a signature in base64 fits; ``False`` also for what is not base64."""
    try:
        key.verify(base64.b64decode(signature, validate=True), content, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def content_of(params: Mapping[str, str], leave_out: tuple[str, ...] = ("sign",)) -> bytes:
    """Every non-empty parameter but those left out, sorted by name, as ``k=v`` joined by ``&``, in UTF-8."""
    return "&".join(
        f"{name}={params[name]}" for name in sorted(params) if name not in leave_out and params[name]
    ).encode()


def digest_of(params: Mapping[str, str], leave_out: tuple[str, ...] = ("signature",)) -> bytes:
    """The lower-case hex of the SHA-256 of :func:`content_of`, which UnionPay's kind signs."""
    return hashlib.sha256(content_of(params, leave_out)).hexdigest().encode()


def cut_node(text: str, name: str) -> str | None:
    """The raw text of the top-level member ``name`` of a valid JSON object, if that is an object; else ``None``.

    Braces are counted outside of strings, so that a brace in a customer's text moves nothing.
    """
    depth, start, key, key_end = 0, -1, "", 0
    for token in _TOKEN.finditer(text):
        mark = token.group()
        if mark in "{[":
            if depth == 1 and mark == "{" and key == f'"{name}"' and text[key_end : token.start()].strip() == ":":
                start = token.start()
            depth += 1
        elif mark in "}]":
            depth -= 1
            if depth == 1 and start >= 0:
                return text[start : token.end()]
        elif depth == 1:
            key, key_end = mark, token.end()
    return None
