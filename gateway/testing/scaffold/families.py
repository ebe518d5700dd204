"""What can be asked of the scaffold: which families over which transport, and how a plugin may be called."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

FAMILIES = ("payments", "membership", "coupons", "stock", "orders", "messages")
#: What each transport is in words, and the families that make sense over it.
TRANSPORTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "http": ("HTTP and JSON", FAMILIES),
    "xml": ("XML over HTTP", FAMILIES),
    "soap": ("SOAP", FAMILIES),
    "tcp": ("TCP frames", FAMILIES),
    "database": ("a shared database", ("membership", "coupons", "stock", "orders", "messages")),
    "files": ("dropped files", ("stock", "orders")),
    "iso8583": ("ISO 8583", ("payments",)),
}
#: What a family may have beside it, if it is asked for.
PARTS: Mapping[str, str] = {"points-holds": "membership", "value": "membership"}
#: The SDK's extras that a transport needs.
EXTRAS: Mapping[str, str] = {"xml": "soap", "soap": "soap", "iso8583": "iso8583"}
#: What documents of XML may be written in; the first is taken where nothing is said.
CHARSETS = ("gb18030", "gbk", "big5", "utf-8")
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")


class NoSuchPlugin(ValueError):
    """A plugin that can't be written so; the text says why and what there is."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One plugin to write. Raises :class:`NoSuchPlugin` when it is made of what does not go together."""

    name: str
    families: tuple[str, ...]
    transport: str
    parts: tuple[str, ...] = ()
    #: Of documents of XML; empty for what the scaffold takes itself.
    charset: str = ""

    def __post_init__(self) -> None:
        if not _NAME.match(self.name) or keyword.iskeyword(self.module):
            raise NoSuchPlugin(f"{self.name!r} is no name: small letters, digits and hyphens, a letter first")
        if find_spec(self.module) is not None:
            raise NoSuchPlugin(f"a package {self.module!r} is installed already: take another name")
        if self.transport not in TRANSPORTS:
            raise NoSuchPlugin(f"no transport {self.transport!r}; there are: {', '.join(TRANSPORTS)}")
        if not self.families:
            raise NoSuchPlugin(f"name a family: {', '.join(FAMILIES)}")
        for family in self.families:
            if family not in sensible(self.transport):
                there = ", ".join(sensible(self.transport))
                raise NoSuchPlugin(f"no scaffold of {family!r} over {self.transport}; there are: {there}")

        for part in self.parts:
            if PARTS.get(part) not in self.families:
                told = ", ".join(f"{name} (of {family})" for name, family in PARTS.items())
                raise NoSuchPlugin(f"{part!r} goes with no family that was named; there are: {told}")

        if self.charset and (self.transport != "xml" or self.charset not in CHARSETS):
            raise NoSuchPlugin(f"charset {self.charset!r}: asked of xml only; there are: {', '.join(CHARSETS)}")

    @property
    def written(self) -> tuple[str, ...]:
        """The templates' sections: the families, each with its parts after it."""
        shared = ("holds",) if self.parts else ()
        own = {"membership": (*shared, *self.parts)}
        return tuple(name for family in self.families for name in (family, *own.get(family, ())))

    @property
    def module(self) -> str:
        """The package's name in Python."""
        return self.name.replace("-", "_")

    @property
    def class_name(self) -> str:
        """What its classes begin with."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def transport_text(self) -> str:
        """The transport in words."""
        return TRANSPORTS[self.transport][0]


def sensible(transport: str) -> tuple[str, ...]:
    """The families that can be written over a transport."""
    return TRANSPORTS[transport][1]
