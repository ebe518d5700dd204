"""Masks bytes without changing how many they are: lengths, columns and frames stay what they were.

Masked are the secrets that are named, whatever stands under a name that says password, token or signature, and numbers
that look like a phone, a payment code, a card or an identity. Where it is not sure, it masks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from gateway.sdk.transports.masking import _PACKED, is_card, mask_numbers

#: Parts of names whose values are never kept.
NAMES = ("passw", "pwd", "secret", "token", "sign", "authorization", "cookie", "apikey", "api_key", "auth_code", "密码")
_NUMBER = re.compile(rb"(?<![0-9])[0-9]{11,24}(?![0-9])")


class Masks:
    """What must not be kept of one system's traffic. ``secrets`` are values, ``names`` parts of names of fields.

    ``patterns`` are regular expressions over the bytes; their first group, or the whole of what they match, is masked.
    They hold for questions and answers; ``asked`` are such as hold for questions alone: a sign-on's sixth field may be
    a password, and its answer's sixth field the time.
    """

    def __init__(
        self,
        secrets: Iterable[str] = (),
        names: Iterable[str] = (),
        patterns: Iterable[str] = (),
        asked: Iterable[str] = (),
    ) -> None:
        values = sorted({secret for secret in secrets if secret}, key=len, reverse=True)
        self._secrets = [raw for text in values for raw in _encoded(text)]
        said = "|".join(re.escape(name) for name in (*NAMES, *names))
        named = rf"(?i:{said})[\w.\-]*[\"']?\s*(?:[:=]|>)\s*[\"']?(?:(?:Bearer|Basic) )?([^\"'&<>|;,\s]+)"
        named_in_xml = rf"<name>[^<]*(?i:{said})[^<]*</name>\s*<value>([^<]+)"
        texts = [named, named_in_xml, *patterns]
        self._patterns = [re.compile(raw) for text in texts for raw in _encoded(text)]
        self._asked = [re.compile(raw) for text in asked for raw in _encoded(text)]

    def __call__(self, raw: bytes, *, asked: bool = False) -> bytes:
        """The same number of bytes, without what must not be kept."""
        for secret in self._secrets:
            raw = raw.replace(secret, b"*" * len(secret))
        for pattern in [*self._patterns, *(self._asked if asked else ())]:
            raw = pattern.sub(_starred, raw)
        raw = _NUMBER.sub(lambda found: _number(found[0].decode()).encode(), raw)
        return _without_packed(raw) if any(byte < 32 and byte not in b"\t\r\n" for byte in raw) else raw


def _encoded(text: str) -> list[bytes]:
    """A text as it may travel."""
    return list(dict.fromkeys((text.encode(), text.encode("gb18030"))))


def _starred(found: re.Match[bytes]) -> bytes:
    group = 1 if found.re.groups else 0
    begin, end = (place - found.start() for place in found.span(group))
    whole = found[0]
    return whole[:begin] + b"*" * (end - begin) + whole[end:]


def _number(digits: str) -> str:
    """A number of the same length: of a phone the first three and the last four digits stay, else the last four."""
    if mask_numbers(digits) == digits:
        return digits
    kept = 3 if len(digits) == 11 else 0
    return digits[:kept] + "*" * (len(digits) - kept - 4) + digits[-4:]


def _without_packed(raw: bytes) -> bytes:
    """Bytes without card numbers in packed decimals, which are looked for where the SDK looks for them; a zero stands
    for each digit, so that a field of digits stays one."""
    digits = list(raw.hex())
    for pattern in _PACKED:
        for found in pattern.finditer(raw.hex()):
            start, end = found.span(found.lastindex or 0)
            if is_card("".join(digits[start:end])):
                digits[start : end - 4] = "0" * (end - 4 - start)
    return bytes.fromhex("".join(digits))
