"""The wire of WeChat Pay v3: JSON over HTTPS, both ways signed; notices signed and encrypted.

* A request carries ``Authorization: WECHATPAY2-SHA256-RSA2048`` with mchid, nonce, signature, timestamp, serial number.
* A reply, an empty one too, carries ``Wechatpay-Timestamp``, ``-Nonce``, ``-Signature`` and ``-Serial``; a refused
  signature (401) and a bill's file carry none.
* An error is ``{"code": "ORDER_NOT_EXIST", "message": "…"}`` with an HTTP status of 4xx or 5xx.
* A platform certificate and a notice's ``resource`` are encrypted under the merchant's APIv3 key.
* Amounts are integer fen; times are RFC 3339. An order number has 6 to 32 characters of ``0-9A-Za-z_-*|``.

Parsers raise only ``ParseError``, for whatever bytes they are given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from gateway.sdk import ParseError
from gateway.sdk.signers.wechat_v3 import decrypt

CHINA = timezone(timedelta(hours=8))
MAX_FEN = 100_000_000_00
MOST_REPLY = 4_000_000

#: What a merchant answers to a notice so that it is not repeated.
NOTICE_ACCEPTED = b'{"code":"SUCCESS","message":"OK"}'

_PAYMENT_CODE = re.compile(r"1[0-5][0-9]{16}", re.ASCII)
_ORDER_NUMBER = re.compile(r"[0-9A-Za-z_\-*|]{6,32}", re.ASCII)
_REFUND_NUMBER = re.compile(r"[0-9A-Za-z_\-|*@]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply whose signature was verified: its HTTP status and its members."""

    status: int
    fields: Mapping[str, Any]

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def code(self) -> str:
        """The code of an error, empty in an answer."""
        return "" if self.ok else text(self.fields, "code")

    @property
    def message(self) -> str:
        return text(self.fields, "message")


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key of WeChat Pay's own, by its serial number, with the time in which it is valid."""

    serial: str
    pem: str
    key: RSAPublicKey
    begins: datetime
    ends: datetime


def is_payment_code(code: str) -> bool:
    """Whether this is a payment code of WeChat Pay's: 18 digits beginning 10 to 15."""
    return _PAYMENT_CODE.fullmatch(code) is not None


def is_order_number(number: str) -> bool:
    """Whether this can be an ``out_trade_no``."""
    return _ORDER_NUMBER.fullmatch(number) is not None


def is_refund_number(number: str) -> bool:
    """Whether this can be an ``out_refund_no``."""
    return _REFUND_NUMBER.fullmatch(number) is not None


def rfc3339(at: datetime) -> str:
    """A time as the wire has it: to the second, in China's zone."""
    return at.astimezone(CHINA).replace(microsecond=0).isoformat()


def text(fields: Mapping[str, Any], name: str) -> str:
    """A member that is text, empty if absent. Raises ``ParseError`` if it is something else."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ParseError(f"{name} is not a text")
    return value


def number(fields: Mapping[str, Any], name: str) -> int:
    """A member that is a whole number, 0 if absent. Raises ``ParseError`` if it is something else."""
    value = fields.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ParseError(f"{name} is not a whole number")
    return value


def member(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A member that is an object, empty if absent. Raises ``ParseError`` if it is something else."""
    value = fields.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ParseError(f"{name} is not an object")
    return value


def members(fields: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """A member that is a list of objects, empty if absent. Raises ``ParseError`` if it is something else."""
    value = fields.get(name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ParseError(f"{name} is not a list of objects")
    return value


def dump(fields: Mapping[str, Any]) -> bytes:
    """The bytes of a body: what is signed is what is sent."""
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def read_object(body: bytes) -> dict[str, Any]:
    """A body's members; none for an empty body (204). Raises ``ParseError``, also for a member that stands twice."""
    if len(body) > MOST_REPLY:
        raise ParseError("the body is too long")
    if not body:
        return {}
    try:
        found = json.loads(body.decode("utf-8"), object_pairs_hook=_once)
    except ParseError:
        raise
    except (ValueError, RecursionError) as error:
        raise ParseError("not JSON in UTF-8") from error
    if not isinstance(found, dict):
        raise ParseError("not a JSON object")
    return found


def read_resource(body: bytes, api_v3_key: bytes) -> tuple[str, dict[str, Any]]:
    """A notice's event type and what it carries, decrypted. Its signature is checked before. Raises ``ParseError``."""
    told = read_object(body)
    resource = member(told, "resource")
    return text(told, "event_type"), read_object(_decrypted(resource, api_v3_key))


def read_certificates(fields: Mapping[str, Any], api_v3_key: bytes) -> list[Certificate]:
    """The certificates in the reply of ``GET /v3/certificates``. Raises ``ParseError`` if one can't be decrypted."""
    return [_certificate(each, api_v3_key) for each in members(fields, "data")]


def read_certificate(serial: str, pem: str) -> Certificate:
    """One certificate in PEM. Raises ``ParseError``."""
    try:
        found = x509.load_pem_x509_certificate(pem.encode())
        key = found.public_key()
        begins, ends = found.not_valid_before_utc, found.not_valid_after_utc
    except (ValueError, TypeError) as error:
        raise ParseError("not a certificate in PEM") from error
    if not isinstance(key, RSAPublicKey):
        raise ParseError("not the certificate of an RSA key")
    if f"{found.serial_number:X}" != serial.upper().lstrip("0"):
        raise ParseError("the certificate has another serial number")
    return Certificate(serial, pem, key, begins, ends)


def _certificate(each: Mapping[str, Any], api_v3_key: bytes) -> Certificate:
    plain = _decrypted(member(each, "encrypt_certificate"), api_v3_key)
    try:
        pem = plain.decode("ascii")
    except UnicodeDecodeError as error:
        raise ParseError("not a certificate in PEM") from error
    return read_certificate(text(each, "serial_no"), pem)


def _decrypted(resource: Mapping[str, Any], api_v3_key: bytes) -> bytes:
    if text(resource, "algorithm") != "AEAD_AES_256_GCM":
        raise ParseError("the resource is not encrypted by AEAD_AES_256_GCM")
    nonce, cipher = text(resource, "nonce"), text(resource, "ciphertext")
    return decrypt(api_v3_key, nonce, cipher, text(resource, "associated_data"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ParseError("a member stands twice")
    return found
