"""Text of Chinese tills, which count bytes and not characters.

Three rules. Cut bytes first and decode after, since a field may end in the middle of a character. Read GBK, GB2312 and
cp936 as GB18030, their superset. Never split undecoded bytes at ``|``, ``^``, ``\\`` or ``@``: these are also second
bytes of GBK characters.
"""

from __future__ import annotations

import codecs

from gateway.sdk.parsing import ParseError, shown

GB18030 = "gb18030"

#: Charsets of which one is part of the other: what is declared is read as the larger one.
_LARGER = {"gbk": GB18030, "gb2312": GB18030, "cp936": GB18030, "936": GB18030, "big5": "cp950", "latin1": "latin-1"}

#: Full-width ASCII (！ to ～) and the ideographic blank.
_NARROW = {0xFF01 + i: 0x21 + i for i in range(94)} | {0x3000: 0x20, 0xFFE5: 0xA5}
_WIDE = {0x21 + i: 0xFF01 + i for i in range(94)} | {0x20: 0x3000}


def codec_of(encoding: str) -> str:
    """The codec to read a declared charset with; the larger of the family. Raises ``ParseError`` for an unknown one."""
    name = _LARGER.get(encoding.lower().replace("-", ""), encoding)
    try:
        return codecs.lookup(name).name
    except LookupError as error:
        raise ParseError(f"no such charset: {shown(encoding)}") from error


def decode_text(raw: bytes, what: str = "text", encoding: str = GB18030) -> str:
    """Bytes as text, strictly. Raises ``ParseError`` that names the place of the first wrong byte."""
    try:
        return raw.decode(codec_of(encoding))
    except UnicodeDecodeError as error:
        raise ParseError(f"{what}: not {encoding} at byte {error.start}") from error


def encode_text(text: str, what: str = "text", encoding: str = GB18030) -> bytes:
    """Text as bytes; strict: a character that the far system cannot hold is a ``ParseError`` and no question mark.

    ``gbk`` and ``big5`` are taken as they are here: what a till reads as GBK must not be written as GB18030.
    """
    try:
        return text.encode(encoding)
    except (UnicodeEncodeError, LookupError) as error:
        raise ParseError(f"{what}: {encoding} cannot write {shown(text)}") from error


def decode_cut(raw: bytes, encoding: str = GB18030) -> str:
    """The text of a field that its sender cut by bytes: half a character at the end is dropped, other faults are not.

    Padding (blanks, NUL) at the end is dropped too. Raises ``ParseError``.
    """
    codec = codec_of(encoding)
    value = raw.rstrip(b" \0")
    for drop in range(4):  # a character of GB18030 has at most four bytes
        try:
            return value[: len(value) - drop].decode(codec).rstrip(" \0")
        except UnicodeDecodeError as error:
            if error.start < len(value) - 3 - drop:
                break
    raise ParseError(f"not {encoding}: {shown(raw)}")


def cut_bytes(text: str, width: int, encoding: str = GB18030) -> str:
    """The longest beginning of a text that fits into so many bytes, whole characters only."""
    raw = encode_text(text, "text", encoding)
    while len(raw) > width:
        text = text[: -max(1, (len(raw) - width) // 4)]
        raw = text.encode(encoding)
    return text


def fits(text: str, width: int, encoding: str = GB18030) -> bool:
    """Whether a text can stand in a column of so many bytes."""
    try:
        return len(encode_text(text, "text", encoding)) <= width
    except ParseError:
        return False


def pad_bytes(text: str, width: int, encoding: str = GB18030, *, left: bool = False) -> bytes:
    """A text as a field of exactly so many bytes, filled with blanks (before it with ``left``).

    Raises ``ParseError`` when it is too long: shorten it with :func:`cut_bytes` where that is meant.
    """
    raw = encode_text(text, "text", encoding)
    if len(raw) > width:
        raise ParseError(f"{shown(text)} is {len(raw)} bytes, more than {width}")
    return raw.rjust(width, b" ") if left else raw.ljust(width, b" ")


def trim(value: object) -> str:
    """The text of a CHAR column without its padding; NULL is empty."""
    return "" if value is None else str(value).rstrip(" ")


def narrow(text: str) -> str:
    """Full-width letters, digits, signs and blanks as ASCII: ``２０：３０`` → ``20:30``. Other characters stay."""
    return text.translate(_NARROW)


def wide(text: str) -> str:
    """ASCII as its full-width forms, as some kitchen printers and tax printers want it."""
    return text.translate(_WIDE)


def mend_mojibake(text: str, encoding: str = GB18030) -> str:
    """Text that a driver decoded as latin-1 although it was GBK, as it was meant: ``"ÖÐ"`` → ``"中"``.

    It happens where a column is declared latin1 and a till writes GBK into it. Text that has no such form (a character
    beyond latin-1, or bytes that are not the charset) is returned as it is, so it can be used on every column.
    """
    try:
        return text.encode("latin-1").decode(codec_of(encoding))
    except UnicodeError:
        return text
