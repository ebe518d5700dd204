"""ISO 8583 messages by pyiso8583 (extra ``iso8583``): bitmaps, packed decimals, TPDU and header, MAC, and no card data.

    host = Line(tcp("10.0.0.9", 8583), LengthPrefixed(2), keep=True)
    wire = Iso8583(CHINA_POS, tpdu=bytes.fromhex("6000060000"), header=bytes.fromhex("603100000000"))
    raw = host.ask(wire.encode(sale), timeout=call.remaining(), matches=wire.answers(sale))
    reply = wire.decode(raw)

Card numbers, tracks and PIN blocks (fields 2, 35, 45, 52) never come into the gateway: what is decoded has them masked,
and what is encoded is refused unless they are masked already. A terminal that reads cards adds them on its side.
Field 55 (chip data) is handed through as hex.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gateway.sdk.optional import load
from gateway.sdk.parsing import ParseError

Fields = Mapping[str, str]

_PAN, _SECRET = "2", ("35", "45", "52")
_MASKED = re.compile(r"\d{0,6}\*+\d{0,4}|\*+")
_MAC_BYTES = 8


class CardData(ParseError):
    """A card's number, track or PIN block that is not masked."""


def _packed(most: int, name: str, size: int = 0, *, right: bool = False) -> dict[str, Any]:
    """Digits in packed decimals; of an odd number the first nibble is 0, or the last with ``right``."""
    pad = {"right_pad": "0"} if right else {"left_pad": "0"}
    return {
        "data_enc": "b",
        "len_enc": "bcd",
        "len_type": size,
        "len_count": "nibbles",
        "max_len": most,
        **pad,
        "desc": name,
    }


def _text(most: int, name: str, size: int = 0) -> dict[str, Any]:
    return {
        "data_enc": "latin-1",
        "len_enc": "bcd",
        "len_type": size,
        "len_count": "bytes",
        "max_len": most,
        "desc": name,
    }


def _bytes(most: int, name: str, size: int = 0) -> dict[str, Any]:
    return {"data_enc": "b", "len_enc": "bcd", "len_type": size, "len_count": "bytes", "max_len": most, "desc": name}


#: China's bank terminals: everything packed, lengths too. Fields that are not here are refused.
CHINA_POS: Mapping[str, Mapping[str, Any]] = {
    "h": _bytes(0, "header, handled outside"),
    "t": _packed(4, "message type"),
    "p": _bytes(8, "bitmap"),
    "1": _bytes(8, "second bitmap"),
    "2": _packed(19, "card number", 1, right=True),
    "3": _packed(6, "processing code"),
    "4": _packed(12, "amount in fen"),
    "11": _packed(6, "trace number"),
    "12": _packed(6, "local time"),
    "13": _packed(4, "local date"),
    "14": _packed(4, "card's expiry"),
    "15": _packed(4, "settlement date"),
    "22": _packed(3, "entry mode", right=True),
    "23": _packed(3, "card sequence number"),
    "25": _packed(2, "condition code"),
    "26": _packed(2, "PIN capture code"),
    "32": _packed(11, "acquirer", 1, right=True),
    "35": _packed(37, "track 2", 1, right=True),
    "36": _packed(104, "track 3", 2, right=True),
    "37": _text(12, "reference number"),
    "38": _text(6, "authorisation code"),
    "39": _text(2, "response code"),
    "41": _text(8, "terminal"),
    "42": _text(15, "merchant"),
    "44": _text(25, "additional response", 1),
    "45": _text(79, "track 1", 1),
    "48": _packed(322, "additional data", 2, right=True),
    "49": _text(3, "currency"),
    "52": _bytes(8, "PIN block"),
    "53": _packed(16, "security control"),
    "54": _text(20, "balance", 2),
    "55": _bytes(255, "chip data", 2),
    "58": _text(100, "wallet data", 2),
    "59": _text(600, "own use", 2),
    "60": _packed(17, "own use", 2, right=True),
    "61": _packed(29, "original message", 2, right=True),
    "62": _text(512, "own use", 2),
    "63": _text(163, "own use", 2),
    "64": _bytes(8, "MAC"),
}


class Iso8583:
    """Reads and writes the messages of one host. ``spec`` is pyiso8583's; ``tpdu`` and ``header`` go before the type.

    An answer's TPDU has its addresses the other way round and its header other flags: only their lengths are checked.
    """

    def __init__(self, spec: Mapping[str, Mapping[str, Any]], *, tpdu: bytes = b"", header: bytes = b"") -> None:
        self._spec, self._before = spec, tpdu + header

    def encode(self, fields: Fields) -> bytes:
        """A message: ``"t"`` is its type, other names are field numbers, values are text (hex where binary).

        Raises :class:`CardData`, or ``ParseError`` that names the field.
        """
        iso8583 = load("iso8583", "iso8583")
        values = {name: self._outward(name, value) for name, value in fields.items()}
        for name in values:
            if name not in self._spec or name in ("h", "p", "1"):
                raise ParseError(f"field {name[:8]} is not in this host's specification")
        try:
            raw, _ = iso8583.encode({"h": "", **values}, self._spec)
        except iso8583.EncodeError as error:
            raise ParseError(f"field {error.field}: {error.msg}") from None
        except (TypeError, ValueError, LookupError) as error:
            raise ParseError(f"not a message: {type(error).__name__}") from None
        return self._before + bytes(raw)

    def decode(self, raw: bytes) -> dict[str, str]:
        """The fields of a message, card data masked. Raises ``ParseError`` that names the field."""
        iso8583 = load("iso8583", "iso8583")
        body = raw[len(self._before) :]
        if len(raw) <= len(self._before):
            raise ParseError(f"a message of {len(raw)} bytes")
        try:
            values, _ = iso8583.decode(body, self._spec)
        except iso8583.DecodeError as error:
            raise ParseError(f"field {error.field}: {error.msg} at byte {error.pos}") from None
        except (TypeError, ValueError, LookupError) as error:
            raise ParseError(f"not a message: {type(error).__name__}") from None
        return {name: self._inward(name, value) for name, value in values.items() if name not in ("h", "p", "1")}

    def answers(self, request: Fields) -> Callable[[bytes], bool]:
        """Whether a raw message is the answer to this request: its type, trace number (11) and terminal (41)."""
        kind = f"{int(request['t']) + 10:04d}"

        def matches(raw: bytes) -> bool:
            try:
                found = self.decode(raw)
            except ParseError:
                return False
            return found["t"] == kind and all(found.get(name, "") == request.get(name, "") for name in ("11", "41"))

        return matches

    def sign(self, fields: Fields, mac: Callable[[bytes], bytes]) -> bytes:
        """A message with its MAC in field 64; ``mac`` takes the bytes from the type up to it and gives eight."""
        raw = self.encode({**fields, "64": "00" * _MAC_BYTES})
        return raw[:-_MAC_BYTES] + mac(raw[len(self._before) : -_MAC_BYTES])

    def check(self, raw: bytes, mac: Callable[[bytes], bytes]) -> dict[str, str]:
        """As :meth:`decode`, for a message that must carry its MAC. Raises ``ParseError`` if it does not fit."""
        fields = self.decode(raw)
        if fields.get("64", "").lower() != mac(raw[len(self._before) : -_MAC_BYTES]).hex():
            raise ParseError("the MAC is missing or does not fit")
        return fields

    def _outward(self, name: str, value: str) -> str:
        if name not in (_PAN, *_SECRET):
            return value
        if not isinstance(value, str) or not (_MASKED.fullmatch(value) if name == _PAN else set(value) == {"*"}):
            raise CardData(f"field {name} holds card data that is not masked")
        return value.replace("*", "F") if self._is_packed(name) else value

    def _inward(self, name: str, value: str) -> str:
        if name in _SECRET:
            return "*" * len(value)
        return mask_pan(value.upper().replace("F", "*")) if name == _PAN else value

    def _is_packed(self, name: str) -> bool:
        return name in self._spec and self._spec[name]["data_enc"] == "b"


def mask_pan(number: str) -> str:
    """A card number as it may be kept: the first six and the last four digits; a short one shows nothing."""
    if len(number) < 13:
        return "*" * len(number)
    return f"{number[:6]}{'*' * (len(number) - 10)}{number[-4:]}"
