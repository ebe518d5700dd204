"""The file of recorded traffic: JSON lines, the first says what it is, each other one is a question and its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.sdk.transports.frames import Delimited, FixedSize, Framing, LengthPrefixed

VERSION = 1
_CHARSETS = ("utf-8", "gb18030")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A question and its answer, masked. ``head`` is an HTTP request's method and path; ``ms`` how long it took.

    No answer came where ``reply`` is ``None``.
    """

    request: bytes
    reply: bytes | None
    head: str = ""
    status: int = 200
    content_type: str = ""
    ms: float = 0.0

    def line(self) -> str:
        """As it stands in the file."""
        said: dict[str, Any] = {"head": self.head, "request": _shown(self.request), "ms": round(self.ms, 1)}
        if self.reply is not None:
            said |= {"reply": _shown(self.reply), "status": self.status, "content_type": self.content_type}
        return json.dumps(said, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was recorded of one system; ``framing`` is empty for HTTP."""

    name: str
    framing: str = ""
    exchanges: Sequence[Exchange] = field(default_factory=tuple)

    def head(self) -> str:
        """The file's first line."""
        return json.dumps({"o2o_traffic": VERSION, "name": self.name, "framing": self.framing})

    def save(self, path: Path) -> None:
        """Write all of it."""
        path.write_text("\n".join([self.head(), *(each.line() for each in self.exchanges)]) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Traffic:
        """Read a file. Raises ``ValueError`` with its line."""
        lines = path.read_text(encoding="utf-8").splitlines()
        number = 1
        try:
            head = json.loads(lines[0])
            if head["o2o_traffic"] != VERSION:
                raise ValueError(f"version {head['o2o_traffic']}, expected {VERSION}")
            framing_of(head["framing"])
            found = []
            for number, line in enumerate(lines[1:], 2):  # noqa: B007 - told by the error
                found.append(_exchange(json.loads(line)))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{path}:{number}: not recorded traffic: {error}") from None
        return cls(str(head["name"]), str(head["framing"]), tuple(found))


def framing_of(text: str) -> Framing | None:
    """A framing by its name: ``ascii:4``, ``binary:2``, ``bcd:2``, ``little:4`` (bytes of length), ``lines``,
    ``end:03`` (hex), ``stx:02:03`` (start and end, hex), ``fixed:148``; ``None`` for none.

    Raises ``ValueError``.
    """
    kind, _, rest = text.partition(":")
    match kind:
        case "":
            return None
        case "ascii" | "bcd":
            return LengthPrefixed(int(rest), "ascii" if kind == "ascii" else "bcd")
        case "binary" | "little":
            return LengthPrefixed(int(rest), order="big" if kind == "binary" else "little")
        case "lines":
            return Delimited(b"\r\n")
        case "end":
            return Delimited(bytes.fromhex(rest))
        case "stx":
            start, _, end = rest.partition(":")
            return Delimited(bytes.fromhex(end), start=bytes.fromhex(start))
        case "fixed":
            return FixedSize(int(rest))
    raise ValueError(
        f"no framing {text!r}; there are ascii:N binary:N little:N bcd:N lines end:HEX stx:HEX:HEX fixed:N"
    )


def of_tape(name: str, frames: Sequence[Mapping[str, Any]], framing: str = "") -> Traffic:
    """The traffic in an evidence pack's frames, as the SDK's recorder masked them: each sent one with what came back.

    The SDK keeps texts, without a frame's own length: what was cut short or is binary can be read, not always replayed.
    """
    found: list[Exchange] = []
    for frame in frames:
        raw, head = str(frame.get("text", "")).encode(), str(frame.get("head", ""))
        if frame.get("direction") == "sent":
            found.append(Exchange(raw, None, head))
        elif frame.get("direction") == "received" and found and found[-1].reply is None:
            asked, status = found[-1], head.rpartition(" ")[2]
            number = int(status) if status.isdigit() else 200
            found[-1] = Exchange(asked.request, raw, asked.head, number, ms=float(frame.get("ms", 0)))
    return Traffic(name, framing, tuple(found))


def _shown(raw: bytes) -> dict[str, str]:
    """Bytes as text where a charset gives them back as they were, else in hex."""
    for charset in _CHARSETS:
        try:
            text = raw.decode(charset)
        except UnicodeDecodeError:
            continue
        if text.encode(charset) == raw and not any(ord(sign) < 32 and sign not in "\t\r\n" for sign in text):
            return {"text": text, "charset": charset}
    return {"hex": raw.hex()}


def _raw(shown: Mapping[str, str]) -> bytes:
    if "hex" in shown:
        return bytes.fromhex(shown["hex"])
    if shown["charset"] not in _CHARSETS:
        raise ValueError(f"charset {shown['charset']!r}")
    return shown["text"].encode(shown["charset"])


def _exchange(said: Mapping[str, Any]) -> Exchange:
    reply = _raw(said["reply"]) if "reply" in said else None
    status, kind = int(said.get("status", 200)), str(said.get("content_type", ""))
    return Exchange(_raw(said["request"]), reply, str(said["head"]), status, kind, float(said["ms"]))
