"""Makes a message fit to be kept: what may be in it and what may not.

Never kept: the secrets of the connection, the last part of our address for its callbacks, whatever stands under a name
that says secret, signature, password or token, or that the adapter names (``AdapterTraits.hidden``), card numbers. Kept
in part: phones (``138****1234``; of what is only called one, the last four), payment codes, identity numbers and
openids (the last four).
Numbers are found in ASCII digits and in packed decimals (BCD). Where it is not sure, it masks: a number that looks
like a card's is one, for here it is no key that anything depends on.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable
from urllib.parse import unquote_plus

HIDDEN = "***"

#: Most heads are the same few, and need be looked at once.
_HEADS_MOST = 256

#: Parts of names whose values are never kept; in lower case.
_NEVER = (
    "sign",
    "secret",
    "passw",
    "pwd",
    "token",
    "authorization",
    "cookie",
    "credential",
    "api_key",
    "apikey",
    "access_key",
    "private_key",
    "session_key",
    "cvv",
    "cvc",
    "track2",
    "pinblock",
    "cert_no",
    "real_name",
    "email",
    "密码",
    "口令",
    "签名",
)
#: Parts of names of whose values the last four characters are kept.
_LAST_FOUR = (
    "auth_code",
    "authcode",
    "paycode",
    "openid",
    "open_id",
    "touser",
    "fromuser",
    "logon_id",
    "card_no",
    "cardno",
    "id_no",
    "mobile",
    "phone",
    "msisdn",
)
_NAMES = _NEVER + _LAST_FOUR

# What follows a name, up to its value: in JSON (also in a JSON text within one), XML, a form, a header.
_OPENING = re.compile(r"[\w.\-]*\\*[\"']?\s*[:=>\uff1a]\s*(\\*[\"']|<!\[CDATA\[)?")
_STRING = re.compile(r"[^\"\\]*(?:\\.[^\"\\]*)*", re.DOTALL)
_PLAIN = re.compile(r"(?:[^\"'\s&<>,;{}\[\]\\](?:[^\"'\r\n&<>,;{}\[\]\\]|\\/)*)?")
_DIGITS = re.compile(r"(?<![0-9])[0-9]{11,24}(?:[Xx](?![0-9A-Za-z]))?(?![0-9])")
_SPACED_CARD = re.compile(r"(?<![0-9])[0-9]{4}(?:[ -][0-9]{4}){2}[ -][0-9]{1,7}(?![0-9])")
_SPACED_PHONE = re.compile(r"(?<![0-9])(1[3-9][0-9])[ -][0-9]{4}[ -]([0-9]{4})(?![0-9])")
_PHONE = re.compile(r"(?:86)?1[3-9][0-9]{9}\Z")
_CODE = re.compile(r"(?:1[0-5][0-9]{16}|(?:2[5-9]|30)[0-9]{14,22}|62[0-9]{17})\Z")
_IDENTITY = re.compile(r"[1-9][0-9]{5}(?:19|20)[0-9]{9}[0-9Xx]\Z")
#: Card numbers by beginning and length: Visa, Maestro, UnionPay and Discover; Mastercard's second range; American
#: Express; Diners; JCB; China's own of 9. So a time such as ``20140308210005`` or ``1394283605000`` is none.
_CARD = re.compile(
    r"(?:[456][0-9]{12,18}|2[2-7][0-9]{14}|3[47][0-9]{13}|3[0689][0-9]{12,17}|35[0-9]{14,17}|9[0-9]{15,18})\Z"
)

# How a message looks: digits as 0, blanks and dashes as -, so that a plain search says whether a closer look is needed.
_SHAPE = bytes(ord("0") if 0x30 <= c <= 0x39 else ord("-") if c in b" -" else ord(".") for c in range(256))
_CONTROLS = bytes(c for c in range(32) if c not in b"\t\r\n") + b"\x7f"
_NOT_CONTROLS = bytes(c for c in range(256) if c not in _CONTROLS)
#: Our own address for callbacks, which an adapter sends along: who knows its last part may knock.
_CALLBACK = re.compile(r"(/callbacks\\*/[^/\s\"'<>&?\\]+\\*/[^/\s\"'<>&?\\]+\\*/)[A-Za-z0-9_\-]+")
_PERCENT = re.compile(rb"%[0-9A-Fa-f]{2}")


class Masker:
    """Masks messages of one connection, whose ``secrets`` it knows in the shapes in which they travel.

    ``names`` are parts of names whose values are never kept, beside those that never are.
    """

    def __init__(self, secrets: Iterable[str] = (), names: Iterable[str] = ()) -> None:
        self._names = (*_NAMES, *(name.lower() for name in names))
        self._secrets: tuple[tuple[str, bytes], ...] = tuple(
            (text, raw) for secret in secrets for text, raw in _shapes(secret)
        )
        self._heads: dict[str, str] = {"": ""}

    def __call__(self, head: str, data: bytes) -> tuple[str, str]:
        """The message's head and body as they may be kept."""
        known = self._heads.get(head)
        if known is None:
            known = self.text(unquote_plus(head))
            if len(self._heads) < _HEADS_MOST:
                self._heads[head] = known
        return known, self.body(data)

    def body(self, data: bytes) -> str:
        """A message's bytes as text that may be kept: UTF-8 or GBK, other bytes as ``\\x1f``; forms are unquoted."""
        for _, raw in self._secrets:
            if raw in data:
                data = data.replace(raw, HIDDEN.encode())
        packed = bool(data.translate(None, _NOT_CONTROLS))
        text = _decoded(_without_packed(data) if packed else data)
        if "%" in text and _PERCENT.search(data):
            text = unquote_plus(text)
        return self.text(text)

    def text(self, text: str) -> str:
        """A text without what must not be kept."""
        for secret, _ in self._secrets:
            if secret in text:
                text = text.replace(secret, HIDDEN)
        lower = text.lower()
        if len(lower) != len(text):  # a letter whose small form is longer
            lower = text.encode().lower().decode()
        if "/callbacks" in lower:
            text = _CALLBACK.sub(rf"\1{HIDDEN}", text)
            lower = text.lower()
        for name in self._names:
            if name in lower:
                return mask_numbers(_without_values(text, lower, self._names))
        return mask_numbers(text)


def _shapes(secret: str) -> Iterable[tuple[str, bytes]]:
    """A secret as it may travel. One of under four characters would mask half of everything: names must do there."""
    if len(secret) < 4:
        return
    found = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    found.add(base64.b64encode(secret.encode()).decode().rstrip("="))
    for text in sorted(found, key=len, reverse=True):
        yield text, text.encode()
        if not text.isascii():
            yield text, text.encode("gb18030")


def mask_numbers(text: str) -> str:
    """A text without whole phones, payment codes, identity and card numbers."""
    shape = text.encode("ascii", "replace").translate(_SHAPE)
    if b"00000000000" in shape:
        text = _DIGITS.sub(lambda found: _number(found.group()), text)
    if b"0000-0000-0000-0" in shape:
        text = _SPACED_CARD.sub(_spaced_card, text)
    if b"000-0000-0000" in shape:
        text = _SPACED_PHONE.sub(r"\1****\2", text)
    return text


def _number(digits: str) -> str:
    if _PHONE.match(digits):
        return f"{digits[:-8]}****{digits[-4:]}"
    if _CODE.match(digits) or _IDENTITY.match(digits) or is_card(digits):
        return f"****{digits[-4:]}"
    return digits


def _spaced_card(found: re.Match[str]) -> str:
    digits = "".join(filter(str.isdigit, found.group()))
    return f"****{digits[-4:]}" if is_card(digits) else found.group()


def is_card(digits: str) -> bool:
    """Whether these digits may be a payment card's number: its length, its beginning, its check digit (Luhn)."""
    if not _CARD.match(digits):
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[::-2]))) % 10 == 0


def _without_values(text: str, lower: str, names: Iterable[str]) -> str:
    """A text in which the values under all names that say so are hidden."""
    spans: list[tuple[int, int, str]] = []
    for name in names:
        at = lower.find(name)
        while at >= 0:
            opening = _OPENING.match(text, at + len(name))
            if opening is not None:
                start, end = opening.end(), _end_of_value(text, opening)
                if not (name in _LAST_FOUR and _PHONE.match(text[start:end])):  # a phone is known as one
                    kept = text[end - 4 : end] if name in _LAST_FOUR and end - start >= 8 else ""
                    spans.append((start, end, HIDDEN + kept))
            at = lower.find(name, at + len(name))
    done, end_of_last = [], 0
    for start, end, instead in sorted(spans):
        if start >= end_of_last and end > start:
            done += [text[end_of_last:start], instead]
            end_of_last = end
    return "".join([*done, text[end_of_last:]])


def _end_of_value(text: str, opening: re.Match[str]) -> int:
    """Where the value ends; one that is not ended goes to the end of the text."""
    quote, start = opening.group(1), opening.end()
    if not quote or quote == '"':
        found = (_STRING if quote else _PLAIN).match(text, start)
        return found.end() if found is not None else start
    end = text.find("]]>" if quote == "<![CDATA[" else quote, start)
    return end if end >= 0 else len(text)


def _without_packed(data: bytes) -> bytes:
    """A message with control characters may hold packed decimals: card numbers among them become asterisks.

    They are looked for where ISO 8583 puts them: after their length, before a track's separator, or by themselves.
    """
    digits, masked = data.hex(), bytearray(data)
    for pattern in _PACKED:
        for found in pattern.finditer(digits):
            start, end = found.span(found.lastindex or 0)
            if is_card(digits[start:end]):
                first, last = start // 2, (end - 3) // 2
                masked[first:last] = b"*" * (last - first)
    return bytes(masked)


def _announced(code: str) -> re.Pattern[str]:
    """A number in packed decimals after its length, which is written as ``code`` says; such numbers may overlap."""
    each = (f"{count:{code}}([0-9]{{{count}}})" for count in range(13, 20))
    return re.compile(f"(?={'|'.join(each)})")


_PACKED = (
    _announced("02d"),
    _announced("02x"),
    re.compile(r"(?<![0-9])([0-9]{13,19})(?=d[0-9]{4})"),
    re.compile(r"(?<![0-9])([0-9]{13,19})(?![0-9])"),
)


def _decoded(data: bytes) -> str:
    """Text as it reads; what is no text shows its bytes."""
    for encoding in ("utf-8", "gb18030"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        return text if not data.translate(None, _NOT_CONTROLS) else _CONTROL.sub(_shown, text)
    return data.decode("ascii", "backslashreplace")


_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def _shown(found: re.Match[str]) -> str:
    return f"\\x{ord(found.group()):02x}"
