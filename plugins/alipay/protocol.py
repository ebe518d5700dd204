"""The wire of Alipay's open gateway: signed forms out, signed JSON back, signed notices in. Imports nothing of ours.

* A request is a form of common parameters and one JSON text ``biz_content``. The signature (RSA2 = SHA256withRSA,
  PKCS#1 v1.5, base64) covers every non-empty parameter but ``sign``, sorted by name, as ``k=v`` joined by ``&``.
* A reply is ``{"alipay_trade_pay_response": {...}, "sign": "..."}``. The signature covers the *raw substring* of the
  response node, so the node is cut out of the text and never re-serialised.
* A notice is a form. Its signature covers every parameter but ``sign`` and ``sign_type``, decoded, sorted, ``k=v``
  joined by ``&``. The answer that ends the repetition is the seven bytes ``success``.
* Amounts are yuan with two decimals, ``"0.01"`` to ``"100000000.00"``.

Parsers raise only :class:`ParseError`, for whatever bytes they are given.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

SUCCESS = "10000"
WAITING = "10003"
UNKNOWN = "20000"
REFUSED = "40004"

#: What a merchant answers to a notice so that it is not repeated.
NOTICE_ACCEPTED = b"success"

#: Alipay refuses amounts outside 0.01 to 100000000 yuan.
MAX_FEN = 100_000_000_00

_AMOUNT = re.compile(r"-?(?:0|[1-9][0-9]{0,11})(?:\.[0-9]{1,2})?", re.ASCII)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_PAYMENT_CODE = re.compile(r"(?:2[5-9]|30)[0-9]{14,22}", re.ASCII)
_MAX_REPLY = 4_000_000


class ParseError(ValueError):
    """The bytes are not what the protocol says."""


class SignatureError(ParseError):
    """The signature is missing or does not verify; ``detail`` is what the unproved text claims, for a log only."""

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """The response node of a reply whose signature was verified."""

    code: str
    sub_code: str
    message: str
    fields: Mapping[str, Any]

    def text(self, name: str) -> str:
        """A field as text, empty if absent. Raises :class:`ParseError` if it is neither text nor a number."""
        value = self.fields.get(name, "")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ParseError(f"{name} is not a text")
        return str(value)

    def fen(self, name: str) -> int:
        """An amount in fen, 0 if absent or empty. Raises :class:`ParseError` if it is not an amount."""
        text = self.text(name)
        return fen(text) if text else 0


def yuan(amount: int) -> str:
    """Fen as the wire's yuan: ``1234`` → ``"12.34"``, ``-5`` → ``"-0.05"``."""
    sign, rest = ("-", -amount) if amount < 0 else ("", amount)
    return f"{sign}{rest // 100}.{rest % 100:02d}"


def fen(text: str) -> int:
    """The wire's yuan as fen: ``"12.3"`` → ``1230``. Raises :class:`ParseError`, also for a third decimal."""
    if not _AMOUNT.fullmatch(text):
        raise ParseError(f"not an amount: {text[:24]!r}")
    whole, _, decimals = text.lstrip("-").partition(".")
    amount = int(whole) * 100 + int(decimals.ljust(2, "0") or "0")
    return -amount if text.startswith("-") else amount


def is_payment_code(text: str) -> bool:
    """Whether this is a payment code of Alipay's: 16 to 24 digits beginning 25 to 30."""
    return _PAYMENT_CODE.fullmatch(text) is not None


def read_private_key(text: str, *, checked: bool = False) -> rsa.RSAPrivateKey:
    """A private key from PEM, or from the bare base64 (PKCS#8) that Alipay's key tool writes.

    The check of its arithmetic takes 0.1 s: ``checked`` says that it was done before.
    """
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_private_key(text.encode(), None, unsafe_skip_rsa_key_validation=checked)
        else:
            der = base64.b64decode("".join(text.split()), validate=True)
            key = serialization.load_der_private_key(der, None, unsafe_skip_rsa_key_validation=checked)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ParseError("not an RSA private key in PEM or base64 PKCS#8") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ParseError("not an RSA key")
    return key


def read_public_key(text: str) -> rsa.RSAPublicKey:
    """A public key from PEM, or from the bare base64 that Alipay's console shows."""
    try:
        if "-----BEGIN" in text:
            key = serialization.load_pem_public_key(text.encode())
        else:
            key = serialization.load_der_public_key(base64.b64decode("".join(text.split()), validate=True))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ParseError("not an RSA public key in PEM or base64") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise ParseError("not an RSA key")
    return key


def sign(content: str, key: rsa.RSAPrivateKey) -> str:
    """The RSA2 signature of a text, in base64."""
    return base64.b64encode(key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())).decode()


def verify(content: str, signature: str, key: rsa.RSAPublicKey) -> bool:
    """Whether an RSA2 signature fits a text; ``False`` also for what is not base64."""
    try:
        raw = base64.b64decode(signature.encode("ascii"), validate=True)
        key.verify(raw, content.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, UnicodeError, ValueError):
        return False
    return True


def content_to_sign(params: Mapping[str, str], leave_out: tuple[str, ...] = ("sign",)) -> str:
    """Every non-empty parameter but those left out, sorted by name, as ``k=v`` joined by ``&``."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params) if name not in leave_out and params[name])


def build_request(
    app_id: str,
    method: str,
    biz: Mapping[str, Any],
    key: rsa.RSAPrivateKey,
    timestamp: str,
    notify_url: str = "",
    app_auth_token: str = "",
) -> dict[str, str]:
    """The signed form of one call. ``timestamp`` is ``yyyy-MM-dd HH:mm:ss`` in China's time."""
    params = {
        "app_id": app_id,
        "method": method,
        "format": "JSON",
        "charset": "utf-8",
        "sign_type": "RSA2",
        "timestamp": timestamp,
        "version": "1.0",
        "notify_url": notify_url,
        "app_auth_token": app_auth_token,
        "biz_content": json.dumps(biz, ensure_ascii=False, separators=(",", ":")),
    }
    params = {name: value for name, value in params.items() if value}
    return params | {"sign": sign(content_to_sign(params), key)}


def node_name(method: str) -> str:
    """The name of a method's response node: ``alipay.trade.pay`` → ``alipay_trade_pay_response``."""
    return method.replace(".", "_") + "_response"


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


def read_reply(body: bytes, method: str, key: rsa.RSAPublicKey) -> Reply:
    """The verified reply to ``method``.

    Raises :class:`SignatureError` if it carries none or a wrong one, :class:`ParseError` for anything else amiss.
    """
    text, outer = _read_object(body)
    name = node_name(method)
    raw = cut_node(text, name)
    if raw is None:
        name, raw = "error_response", cut_node(text, "error_response")
    if raw is None:
        raise ParseError(f"no {node_name(method)} in the reply")
    signature = outer.get("sign")
    if not isinstance(signature, str) or not signature:
        raise SignatureError("the reply is not signed", _claim(outer.get(name)))
    if not verify(raw, signature, key):
        raise SignatureError("the reply's signature does not verify", _claim(outer.get(name)))
    fields: dict[str, Any] = json.loads(raw)
    return _as_reply(fields)


def read_notice(body: bytes, key: rsa.RSAPublicKey) -> dict[str, str]:
    """The verified fields of a notice. Raises :class:`ParseError` (:class:`SignatureError` for the signature)."""
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError as error:
        raise ParseError("the notice is not a form in UTF-8") from error
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ParseError("a field of the notice stands twice")
    if fields.get("sign_type", "RSA2") != "RSA2":
        raise ParseError("the notice is not signed by RSA2")
    if not verify(content_to_sign(fields, ("sign", "sign_type")), fields.get("sign", ""), key):
        raise SignatureError("the notice's signature does not verify")
    return fields


def _read_object(body: bytes) -> tuple[str, dict[str, Any]]:
    if len(body) > _MAX_REPLY:
        raise ParseError("the reply is too long")
    try:
        text = body.decode("utf-8")
        outer = json.loads(text, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise ParseError("the reply is not JSON in UTF-8") from error
    if not isinstance(outer, dict):
        raise ParseError("the reply is not a JSON object")
    return text, outer


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ParseError("a member of the reply stands twice")
    return members


def _as_reply(fields: Mapping[str, Any]) -> Reply:
    texts = [fields.get(name, "") for name in ("code", "sub_code", "sub_msg", "msg")]
    if not all(isinstance(text, str) for text in texts):
        raise ParseError("code, sub_code or msg is not a text")
    code, sub_code, sub_msg, msg = texts
    if not code:
        raise ParseError("the reply has no code")
    return Reply(code, sub_code, sub_msg or msg, fields)


def _claim(node: Any) -> str:
    if not isinstance(node, dict):
        return ""
    return " ".join(str(node.get(name, ""))[:60] for name in ("code", "sub_code", "sub_msg"))
