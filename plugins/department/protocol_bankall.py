"""The bank terminal's frames: ``int bankall(char *request, char *response)`` of ``posinf.dll``, fixed width.

A request is 59 bytes, or 159 with the industry field; a response is 148. The call blocks while the terminal shows its
own window. The three random digits called LRC come back unchanged: they are the only correlation, and no field of the
response carries our order number. The response's date has no year. A DLL has no wire, so a helper process reads
requests on standard input and writes responses on standard output, each after two bytes of length, big-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from plugins.department.protocol import ParseError, put, put_digits, take, take_digits

REQUEST_SIZE = 59
INDUSTRY_SIZE = 100
RESPONSE_SIZE = 148
_LENGTH_BYTES = 2


class Kind(StrEnum):
    """The transaction types of the request that are in use."""

    SALE = "00"
    VOID = "01"
    RETURN = "02"
    BALANCE = "03"
    REPRINT = "04"
    SIGN_ON = "05"
    SETTLE = "06"
    PREAUTH = "21"
    PREAUTH_VOID = "22"
    COMPLETION = "23"
    COMPLETION_VOID = "24"


@dataclass(frozen=True, slots=True)
class BankRequest:
    """One request. ``amount`` in fen; ``original_*`` name the transaction a void, return or reprint is about.

    ``original_date`` is ``yyyymmdd`` or empty, ``original_voucher`` six digits or 0 for none (a reprint of 0 is the
    last transaction), ``lrc`` three digits, ``industry`` up to 100 bytes of the caller's own text.
    """

    pos: str
    cashier: str
    kind: str
    amount: int
    lrc: str
    original_date: str = ""
    original_ref: str = ""
    original_voucher: int = 0
    industry: str = ""


@dataclass(frozen=True, slots=True)
class BankResponse:
    """One response. ``code`` "00" is approved; ``amount`` in fen; ``date`` is ``mmdd``, ``time`` ``hhmmss``."""

    code: str
    lrc: str
    bank: str = ""
    card: str = ""
    voucher: int = 0
    amount: int = 0
    text: str = ""
    merchant: str = ""
    terminal: str = ""
    batch: int = 0
    date: str = ""
    time: str = ""
    ref: str = ""
    auth: str = ""
    settle_date: str = ""


def encode_request(request: BankRequest) -> bytes:
    """The request's frame, 59 bytes, or 159 when it carries industry data. ``ParseError`` if a field does not fit."""
    for value, width in ((request.pos, 8), (request.cashier, 8), (request.original_ref, 12), (request.industry, 100)):
        if len(value.encode("gb18030", "replace")) > width:
            raise ParseError(f"{value[:40]!r} is longer than {width} bytes")
    frame = b"".join(
        (
            put(request.pos, 8),
            put(request.cashier, 8),
            put(_digits(request.kind, 2), 2),
            put_digits(request.amount, 12),
            put(_digits(request.original_date, 8) if request.original_date else "", 8),
            put(request.original_ref, 12),
            put_digits(request.original_voucher, 6),
            put(_digits(request.lrc, 3), 3),
        )
    )
    return frame + put(request.industry, INDUSTRY_SIZE) if request.industry else frame


def decode_request(frame: bytes) -> BankRequest:
    """A request from its frame. Raises ``ParseError``."""
    if len(frame) not in (REQUEST_SIZE, REQUEST_SIZE + INDUSTRY_SIZE):
        raise ParseError(f"a request is {REQUEST_SIZE} or {REQUEST_SIZE + INDUSTRY_SIZE} bytes, not {len(frame)}")
    return BankRequest(
        pos=take(frame[0:8]),
        cashier=take(frame[8:16]),
        kind=_digits(take(frame[16:18]), 2),
        amount=take_digits(frame[18:30], "amount"),
        original_date=_optional_digits(frame[30:38], "original date"),
        original_ref=take(frame[38:50]),
        original_voucher=take_digits(frame[50:56], "original voucher"),
        lrc=_digits(take(frame[56:59]), 3),
        industry=take(frame[59:]),
    )


def encode_response(response: BankResponse) -> bytes:
    """The response's 148 bytes; the error text is cut at 40 bytes, in the middle of a character if need be."""
    return b"".join(
        (
            put(response.code, 2),
            put(response.bank, 4),
            put(response.card, 20),
            put_digits(response.voucher, 6),
            put_digits(response.amount, 12),
            put(response.text, 40),
            put(response.merchant, 15),
            put(response.terminal, 8),
            put_digits(response.batch, 6),
            put(response.date, 4),
            put(response.time, 6),
            put(response.ref, 12),
            put(response.auth, 6),
            put(response.settle_date, 4),
            put(_digits(response.lrc, 3), 3),
        )
    )


def decode_response(frame: bytes) -> BankResponse:
    """A response from its frame. Raises ``ParseError``."""
    if len(frame) != RESPONSE_SIZE:
        raise ParseError(f"a response is {RESPONSE_SIZE} bytes, not {len(frame)}")
    code = take(frame[0:2])
    if len(code) != 2 or not code.isascii() or not code.isalnum():
        raise ParseError(f"not a response code: {frame[0:2]!r}")
    return BankResponse(
        code=code,
        bank=take(frame[2:6]),
        card=take(frame[6:26]),
        voucher=take_digits(frame[26:32], "voucher"),
        amount=take_digits(frame[32:44], "amount"),
        text=take(frame[44:84]),
        merchant=take(frame[84:99]),
        terminal=take(frame[99:107]),
        batch=take_digits(frame[107:113], "batch"),
        date=_optional_digits(frame[113:117], "date"),
        time=_optional_digits(frame[117:123], "time"),
        ref=take(frame[123:135]),
        auth=take(frame[135:141]),
        settle_date=_optional_digits(frame[141:145], "settle date"),
        lrc=_digits(take(frame[145:148]), 3),
    )


def write_frame(stream: BinaryIO, frame: bytes) -> None:
    """Send one frame to or from the helper process."""
    stream.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)
    stream.flush()


def read_frame(stream: BinaryIO) -> bytes | None:
    """The next frame, or ``None`` at the stream's end. Raises ``ParseError`` when it ends inside a frame."""
    head = stream.read(_LENGTH_BYTES)
    if not head:
        return None
    size = int.from_bytes(head, "big") if len(head) == _LENGTH_BYTES else -1
    body = stream.read(size) if size >= 0 else b""
    if len(body) != size:
        raise ParseError("the stream ended inside a frame")
    return body


def _digits(text: str, width: int) -> str:
    if len(text) != width or not text.isascii() or not text.isdigit():
        raise ParseError(f"expected {width} digits: {text[:40]!r}")
    return text


def _optional_digits(raw: bytes, what: str) -> str:
    text = take(raw)
    if text and not (text.isascii() and text.isdigit()):
        raise ParseError(f"{what} is not digits: {raw[:40]!r}")
    return text
