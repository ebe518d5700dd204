"""Structured fields (RFC 8941), as far as message signatures use them: dictionaries of bytes and of inner lists."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container
from dataclasses import dataclass

_KEY = re.compile(r"[a-z*][a-z0-9_.*-]*")
_STRING = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BYTES = re.compile(r":([A-Za-z0-9+/]*={0,2}):")
_INTEGER = re.compile(r"-?[0-9]{1,15}(?![0-9.])")
_TOKEN = re.compile(r"[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*")
_BOOLEAN = re.compile(r"\?([01])")
_SPACES = re.compile(r" *")
_COMMA = re.compile(r"[ \t]*,[ \t]*")

Bare = str | int | bytes | bool


class Malformed(ValueError):
    """The field is not what RFC 8941 allows, or is of a kind that is not used here."""


@dataclass(frozen=True, slots=True)
class Covered:
    """An inner list of strings with its parameters; ``text`` is as it was written."""

    names: tuple[str, ...]
    params: dict[str, Bare]
    text: str


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def take(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = self.skip(pattern)
        if found is None:
            raise Malformed(f"unexpected character at {self.at}")
        return found

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self.text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def sign(self, sign: str) -> bool:
        """Take this one character if it is next."""
        there = self.text.startswith(sign, self.at)
        self.at += there
        return there

    def bare(self) -> Bare:
        if (found := self.skip(_STRING)) is not None:
            return re.sub(r"\\(.)", r"\1", found.group(1))
        if (found := self.skip(_INTEGER)) is not None:
            return int(found.group())
        if (found := self.skip(_BYTES)) is not None:
            return _decoded(found.group(1))
        if (found := self.skip(_BOOLEAN)) is not None:
            return found.group(1) == "1"
        return self.take(_TOKEN).group()

    def params(self) -> dict[str, Bare]:
        found: dict[str, Bare] = {}
        while self.sign(";"):
            self.take(_SPACES)
            name = self.take(_KEY).group()
            if name in found:
                raise Malformed(f"parameter {name} stands twice")
            found[name] = self.bare() if self.sign("=") else True
        return found

    def covered(self) -> Covered:
        begins = self.at
        if not self.sign("("):
            raise Malformed("expected a list in parentheses")
        names: list[str] = []
        while not self.sign(")"):
            names.append(_component(self.take(_STRING).group(1)))
            if not self.text.startswith((" ", ")"), self.at):
                raise Malformed("components must be plain strings without parameters")
            self.sign(" ")
        return Covered(tuple(names), self.params(), self.text[begins : self.at])


def _component(name: str) -> str:
    if not name or name != name.lower():
        raise Malformed("component names are lower case")
    return name


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise Malformed("a byte sequence is not base64") from None


def covered_lists(text: str) -> dict[str, Covered]:
    """A ``Signature-Input``: what each signature covers, by label. Raises ``Malformed``."""
    reader, found = _Reader(text.strip(" ")), dict[str, Covered]()
    while True:
        name = _member(reader, found)
        found[name] = reader.covered()
        if _ended(reader):
            return found


def byte_sequences(text: str) -> dict[str, bytes]:
    """A ``Signature`` or ``Content-Digest``: bytes by name. Raises ``Malformed``."""
    reader, found = _Reader(text.strip(" ")), dict[str, bytes]()
    while True:
        name = _member(reader, found)
        value = reader.bare()
        if not isinstance(value, bytes):
            raise Malformed(f"{name} is no byte sequence")
        reader.params()
        found[name] = value
        if _ended(reader):
            return found


def _member(reader: _Reader, known: Container[str]) -> str:
    name = reader.take(_KEY).group()
    if name in known or not reader.sign("="):
        raise Malformed(f"{name} stands twice or has no value")
    return name


def _ended(reader: _Reader) -> bool:
    if reader.at == len(reader.text):
        return True
    reader.take(_COMMA)
    return False
