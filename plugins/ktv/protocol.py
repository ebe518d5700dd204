"""The wire of the KTV till: TCP, text frames in GBK.

A frame is four ASCII digits, the length of the body in *bytes*, then the body. A request is ``CMD|SEQ|f1|f2…``, a reply
``CMD|SEQ|RET|TEXT|f1|f2…``; rows inside a reply are split by ``^``. Money is yuan with two decimals, a time is
``14-03-08 23:30:00`` (two-digit year, local, no zone), a boolean is 是 or 否.

Three things make it harder to read than it looks:

- TEXT holds ``|`` now and then, so fields are counted from the right.
- ``|`` (0x7C) and ``^`` (0x5E) are also legal *second* bytes of a GBK character, so bytes can't simply be split.
- The till cuts names at ten bytes, if need be through the middle of a character; the lone first byte then stands right
  before a separator and would swallow it.

:func:`split_rows` therefore walks characters and knows the cut, and :meth:`Reply.read` falls back to plain bytes when
only they make sense. Every reader raises only :class:`ParseError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import TypeVar

T = TypeVar("T")

ENCODING = "gb18030"
LENGTH_DIGITS = 4
MAX_BODY = 9999
NAME_BYTES = 10
REF_BYTES = 20
PIPE, CARET = 0x7C, 0x5E

#: The till's clock has no zone; all shops of this system stand in China, which has one zone and no summer time.
LOCAL = timezone(timedelta(hours=8), "CST")

# Room states: 空闲 idle, 预订 booked, 买钟 time bought, 结账 settled, 清洁 cleaning, 锁房 locked, 故障 out of order.
IDLE, BOOKED, OPEN, SETTLED, CLEANING, LOCKED, BROKEN = 0, 1, 2, 3, 4, 5, 9
ROOM_STATES = {
    IDLE: "空闲",
    BOOKED: "预订",
    OPEN: "买钟",
    SETTLED: "结账",
    CLEANING: "清洁",
    LOCKED: "锁房",
    BROKEN: "故障",
}

# Bill states: 未结 open, 已结 settled, 已退 refunded as a whole, 并单 merged into another.
BILL_OPEN, BILL_SETTLED, BILL_REFUNDED, BILL_MERGED = 0, 1, 2, 3

# What a reply's RET says. Every code but BUSY is a definite refusal: the till looked and did nothing.
OK = 0
NO_ROOM, WRONG_STATE, ROOM_BOOKED, NO_BOOKING = 11, 12, 13, 14
NO_BILL, BILL_CLOSED, UNPAID, PAST_END, WAS_REFUNDED = 21, 22, 23, 24, 25
NO_ITEM, NO_TENDER, BAD_AMOUNT, NO_DEPOSIT = 31, 32, 33, 34
FORBIDDEN, NO_MEMBER, BAD_FIELDS, TOO_LONG, BUSY = 41, 51, 90, 91, 99
REFUSALS = frozenset({
    NO_ROOM, WRONG_STATE, ROOM_BOOKED, NO_BOOKING, NO_BILL, BILL_CLOSED, UNPAID, PAST_END, WAS_REFUNDED, NO_ITEM,
    NO_TENDER, BAD_AMOUNT, NO_DEPOSIT, FORBIDDEN, NO_MEMBER, BAD_FIELDS, TOO_LONG,
})  # fmt: skip

_MONEY = re.compile(r"-?\d{1,12}\.\d\d", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,9}", re.ASCII)
_NUMBER = re.compile(r"[KYRDT]\d{10}", re.ASCII)
_CODE = re.compile(r"[0-9A-Za-z-]{0,24}", re.ASCII)
_TIME = re.compile(r"(\d\d)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)
_HEAD = re.compile(rb"([A-Z]{2})\|(\d{1,9})\|")


class ParseError(ValueError):
    """Bytes or values that are not this protocol."""


# ---------------------------------------------------------------- values


def format_money(fen: int) -> str:
    """Fen as yuan with two decimals: 26800 → ``268.00``."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def parse_money(text: str) -> int:
    """Yuan as fen: ``268.00`` → 26800. Always two decimals: with one, a digit was lost on the way."""
    if not _MONEY.fullmatch(text):
        raise ParseError(f"not an amount in yuan: {text!r}")
    return int(Decimal(text) * 100)


def parse_int(text: str) -> int:
    """A whole number, with a bound so that no reply can ask for a huge one."""
    if not _INTEGER.fullmatch(text):
        raise ParseError(f"not a whole number: {text!r}")
    return int(text)


def parse_code(text: str) -> str:
    """A number or code of the till: plain letters, digits and hyphens, or nothing."""
    if not _CODE.fullmatch(text):
        raise ParseError(f"not a code: {text!r}")
    return text


def parse_number(text: str) -> str:
    """A number the till gave: its letter, the evening's date, four digits (``K1403080017``)."""
    if not _NUMBER.fullmatch(text):
        raise ParseError(f"not a number of the till: {text!r}")
    return text


def format_time(when: datetime) -> str:
    """A time as the till writes it: local, two-digit year."""
    return when.astimezone(LOCAL).strftime("%y-%m-%d %H:%M:%S")


def parse_time(text: str) -> datetime:
    """The till's ``14-03-08 23:30:00`` as an aware time; the year is in this century."""
    match = _TIME.fullmatch(text)
    if not match:
        raise ParseError(f"not a time: {text!r}")
    year, *rest = (int(group) for group in match.groups())
    try:
        return datetime(2000 + year, *rest, tzinfo=LOCAL)  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise ParseError(f"not a time: {text!r}") from error


def local_time(seconds: float) -> datetime:
    """Seconds since the epoch as the till's local time, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC).astimezone(LOCAL)


def parse_flag(text: str) -> bool:
    """是 or 否."""
    if text not in ("是", "否"):
        raise ParseError(f"neither 是 nor 否: {text!r}")
    return text == "是"


def optional_time(text: str) -> datetime | None:
    """A time, or nothing where the till leaves the field empty."""
    return parse_time(text) if text else None


def decode_text(raw: bytes, encoding: str = ENCODING) -> str:
    """A field's text; half a character at a cut is left out, and other bytes that make no sense become U+FFFD."""
    return raw.decode(encoding, errors="replace").rstrip("�")


def cut_text(text: str, limit: int, encoding: str = ENCODING) -> str:
    """Text that is safe in a field and at most ``limit`` bytes, cut between characters.

    Left out are separators, control characters, and characters that the till's GBK lacks or whose second byte it would
    take for a separator.
    """
    kept, used = [], 0
    for char in text:
        try:
            raw = char.encode("gbk")
        except UnicodeEncodeError:
            continue
        if char < " " or char == "\x7f" or PIPE in raw or CARET in raw:
            continue
        if used + len(raw) > limit:
            break
        kept.append(char)
        used += len(raw)
    return "".join(kept)


# ---------------------------------------------------------------- frames


def frame(body: bytes) -> bytes:
    """Put the length, counted in bytes, before a body."""
    if not body or len(body) > MAX_BODY:
        raise ParseError(f"a body has 1 to {MAX_BODY} bytes, not {len(body)}")
    return b"%04d" % len(body) + body


def encode_request(command: str, seq: int, fields: Sequence[str], encoding: str = ENCODING) -> bytes:
    """A request's frame. Raises ``ParseError`` for a field that the till could not take apart again."""
    parts = [command.encode("ascii"), b"%d" % seq]
    for field in fields:
        try:
            raw = field.encode(encoding)
        except UnicodeEncodeError as error:
            raise ParseError(f"not in {encoding}: {field!r}") from error
        if PIPE in raw or CARET in raw or any(byte < 0x20 for byte in raw):
            raise ParseError(f"a separator or control character in field {field!r}")
        parts.append(raw)
    return frame(b"|".join(parts))


class FrameReader:
    """Takes bytes as they arrive and gives bodies as they become whole, however the network splits them."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Add what was received."""
        self._buffer += data

    def take(self) -> bytes | None:
        """The next whole body, or ``None`` while it is incomplete. Raises ``ParseError`` if no length stands there."""
        head = bytes(self._buffer[:LENGTH_DIGITS])
        if not all(0x30 <= byte <= 0x39 for byte in head):
            raise ParseError(f"no frame length: {head!r}")
        if len(head) < LENGTH_DIGITS:
            return None
        end = LENGTH_DIGITS + int(head)
        if end == LENGTH_DIGITS:
            raise ParseError("an empty frame")
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[LENGTH_DIGITS:end])
        del self._buffer[:end]
        return body

    @property
    def pending(self) -> int:
        """Bytes received that are not a whole frame yet."""
        return len(self._buffer)


# ---------------------------------------------------------------- fields and rows


def split_rows(raw: bytes) -> list[list[bytes]]:
    """Take rows (``^``) and fields (``|``) apart, character by character.

    A separator after the first byte of a GBK character belongs to the character, unless that first byte is the tenth of
    its field: then the till has cut a name there, and the separator is one.
    """
    rows: list[list[bytes]] = [[]]
    field = bytearray()
    at = 0
    while at < len(raw):
        byte = raw[at]
        if byte in (PIPE, CARET):
            rows[-1].append(bytes(field))
            field.clear()
            if byte == CARET:
                rows.append([])
        elif _is_pair(raw, at) and not (raw[at + 1] in (PIPE, CARET) and len(field) == NAME_BYTES - 1):
            field += raw[at : at + 2]
            at += 1
        else:
            field.append(byte)
        at += 1
    rows[-1].append(bytes(field))
    return rows


def _is_pair(raw: bytes, at: int) -> bool:
    """Whether a two-byte unit of GBK (or half of a four-byte one of GB 18030) begins here."""
    if not 0x81 <= raw[at] <= 0xFE or at + 1 >= len(raw):
        return False
    second = raw[at + 1]
    return 0x30 <= second <= 0x39 or (0x40 <= second <= 0xFE and second != 0x7F)


def _split_bytes(raw: bytes) -> list[list[bytes]]:
    return [row.split(b"|") for row in raw.split(b"^")]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the till reads it."""

    command: str
    seq: int
    fields: tuple[str, ...]


def parse_request(body: bytes, encoding: str = ENCODING) -> Request:
    """Read a request's body."""
    head = _HEAD.match(body + b"|")
    if not head:
        raise ParseError(f"not a request: {body[:20]!r}")
    rows = split_rows(body[head.end() :]) if len(body) >= head.end() else [[]]
    if len(rows) != 1:
        raise ParseError("a request has no rows")
    fields = tuple(raw.decode(encoding, errors="replace") for raw in rows[0])
    return Request(head[1].decode(), int(head[2]), fields)


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply with its fields still in bytes: how many there are depends on the command, see the readers below."""

    command: str
    seq: int
    ret: int
    tail: bytes
    encoding: str = ENCODING

    @property
    def ok(self) -> bool:
        """Whether the till did what it was asked."""
        return self.ret == OK

    @property
    def refusal(self) -> str:
        """The whole of TEXT when the till refused: no fields follow it then."""
        return decode_text(self.tail, self.encoding)

    def read(self, build: Callable[[list[list[str]]], T], width: int, later: tuple[int, ...] | None = None) -> T:
        """Build a value from the rows after TEXT.

        The first row has ``width`` fields, counted from the right; later ones ``width`` or one of ``later``. The bytes
        are read character by character first, then plainly: the first reading that makes sense to ``build`` counts.
        """
        trouble: ParseError | None = None
        for rows in (split_rows(self.tail), _split_bytes(self.tail)):
            try:
                return build(self._shaped(rows, width, later or (width,)))
            except ParseError as error:
                trouble = trouble or error
        raise trouble or ParseError("no reading")

    def _shaped(self, rows: list[list[bytes]], width: int, later: tuple[int, ...]) -> list[list[str]]:
        first = rows[0]
        if len(first) <= width or any(len(row) not in later for row in rows[1:]):
            raise ParseError(f"{self.command}: no rows of {width} fields in {self.tail[:40]!r}")
        shaped = [first[-width:] if width else [], *rows[1:]]
        return [[decode_text(raw, self.encoding) for raw in row] for row in shaped]


def parse_reply(body: bytes, encoding: str = ENCODING) -> Reply:
    """Read a reply's head: command, sequence number and RET; the rest stays in bytes."""
    parts = body.split(b"|", 3)
    if len(parts) != 4 or not re.fullmatch(rb"[A-Z]{2}", parts[0]):
        raise ParseError(f"not a reply: {body[:20]!r}")
    if not re.fullmatch(rb"\d{1,9}", parts[1]) or not re.fullmatch(rb"\d{1,4}", parts[2]):
        raise ParseError(f"not a reply: {body[:20]!r}")
    return Reply(parts[0].decode(), int(parts[1]), int(parts[2]), parts[3], encoding)
