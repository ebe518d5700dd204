"""The wire of 食通天下: GBK forms and replies of the till, the head office's token signature, the sold-out file.

It imports nothing of the gateway and raises only :class:`ParseError` for bytes it can't read. Money on this wire is
yuan; here it is fen. What bills look like inside a reply is in :mod:`plugins.restaurant.protocol_bill`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qsl, urlencode

#: All text of the till and of the sold-out file. The reply's header says utf-8, and lies.
ENCODING = "gbk"
FORM_TYPE = "application/x-www-form-urlencoded"
#: The memo of a tender row and of a pre-bill; the till cuts what is longer without a word. In bytes.
MEMO_BYTES = 32
#: No amount on this wire is larger: nine digits of yuan.
MAX_FEN = 99_999_999_999
MAX_REPLY_BYTES = 4_000_000


class ParseError(ValueError):
    """Bytes that are not this protocol. The message says where, without repeating the content."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: ``code`` 0 is success; everything else is an error, under HTTP 200 all the same."""

    code: int
    msg: str
    data: Mapping[str, Any]


def encode_form(fields: Mapping[str, str]) -> bytes:
    """A form as the till reads it: GBK, percent-encoded. Raises ``ParseError`` for text that GBK can't hold."""
    try:
        return urlencode(dict(fields), encoding=ENCODING, errors="strict").encode("ascii")
    except UnicodeEncodeError as error:
        raise ParseError("form: a field holds text outside GBK") from error


def decode_form(body: bytes) -> dict[str, str]:
    """The fields of a GBK form; of a name sent twice the last one counts, as in the till."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, encoding=ENCODING, errors="strict", max_num_fields=200
        )
    except (UnicodeDecodeError, ValueError) as error:
        raise ParseError("form: not a GBK form") from error
    return dict(pairs)


def encode_reply(code: int, msg: str = "", data: Mapping[str, Any] | None = None) -> bytes:
    """A reply as the till and the head office send it."""
    document = {"code": code, "msg": msg, "data": dict(data or {})}
    return json.dumps(document, ensure_ascii=False).encode(ENCODING, errors="replace")


def decode_reply(body: bytes) -> Reply:
    """Read a reply: GBK whatever its header says. Numbers with a point stay exact as ``Decimal``."""
    if len(body) > MAX_REPLY_BYTES:
        raise ParseError("reply: too long")
    document = _load_json(body)
    if not isinstance(document, dict):
        raise ParseError("reply: not an object")
    code, msg, data = document.get("code"), document.get("msg", ""), document.get("data", {})
    if not isinstance(code, int) or isinstance(code, bool):
        raise ParseError("reply: no whole number in 'code'")
    if not isinstance(msg, str) or not isinstance(data, dict):
        raise ParseError("reply: 'msg' or 'data' has the wrong type")
    return Reply(code, msg, data)


def _load_json(body: bytes) -> Any:
    try:
        return json.loads(body.decode(ENCODING), parse_float=Decimal, parse_constant=_no_constant)
    except (UnicodeDecodeError, ValueError, RecursionError, InvalidOperation) as error:
        raise ParseError("reply: not GBK JSON") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def fen_of(value: Any, where: str = "amount") -> int:
    """Yuan (``Decimal``, ``int`` or text) as fen, half up; noise of a far system's floats below 0.0001 is dropped."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise ParseError(f"{where}: not a number")
    try:
        yuan = Decimal(value)
        if not yuan.is_finite() or abs(yuan) * 100 > MAX_FEN:
            raise ParseError(f"{where}: out of range")
        exact = yuan.quantize(Decimal("0.0001"), ROUND_HALF_UP)
        return int(exact.quantize(Decimal("0.01"), ROUND_HALF_UP) * 100)
    except InvalidOperation as error:
        raise ParseError(f"{where}: not a number") from error


def yuan_of(fen: int) -> str:
    """Fen as the yuan text of a form field, with two places: ``26800`` is ``268.00``."""
    sign = "-" if fen < 0 else ""
    return f"{sign}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def thousandths_of(value: Any, where: str = "quantity") -> int:
    """A quantity (``Decimal``, ``int`` or text) in thousandths; finer than that is refused."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        raise ParseError(f"{where}: not a number")
    try:
        exact = Decimal(value)
        if not exact.is_finite() or abs(exact) > 999_999:
            raise ParseError(f"{where}: out of range")
        rounded = exact.quantize(Decimal("0.000001"), ROUND_HALF_UP) * 1000
        if rounded != rounded.to_integral_value():
            raise ParseError(f"{where}: finer than a thousandth")
        return int(rounded)
    except InvalidOperation as error:
        raise ParseError(f"{where}: not a number") from error


def quantity_text(thousandths: int) -> str:
    """Thousandths as a decimal text without idle zeros: ``1500`` is ``1.5``."""
    sign = "-" if thousandths < 0 else ""
    whole, rest = divmod(abs(thousandths), 1000)
    fraction = f"{rest:03d}".rstrip("0")
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def cut_memo(text: str) -> str:
    """What the till keeps of a memo: its first 32 bytes, a broken last character dropped."""
    return text.encode(ENCODING, errors="replace")[:MEMO_BYTES].decode(ENCODING, errors="ignore")


def sign_token_request(app_key: str, brand_id: str, timestamp: int, secret: str) -> str:
    """The head office's signature of a token request: SHA-256 over sorted name and value, the secret last."""
    fields = {"appKey": app_key, "brandId": brand_id, "timestamp": str(timestamp), "version": "1.0"}
    text = "".join(f"{name}{fields[name]}" for name in sorted(fields)) + secret
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


# ---- the sold-out file ------------------------------------------------------------------------------------------

#: Column name and width in bytes. The name column may end in half a GBK character.
SOLD_OUT_COLUMNS: tuple[tuple[str, int], ...] = (("shop", 4), ("dish", 8), ("name", 20), ("left", 6), ("time", 6))
SOLD_OUT_WIDTH = sum(width for _, width in SOLD_OUT_COLUMNS)
SOLD_OUT_TRAILER = "合计"


@dataclass(frozen=True, slots=True)
class SoldOutRow:
    """One dish of the sold-out list: how many portions are left, in thousandths, and when the till said so (HHMMSS)."""

    shop: str
    dish: str
    name: str
    left: int
    time: str


def encode_sold_out(rows: Iterable[SoldOutRow], trailer: bool = True) -> bytes:
    """The sold-out file: fixed columns, GBK, CRLF, ``合计`` and the number of rows in the last line."""
    lines = [_encode_row(row) for row in rows]
    if trailer:
        lines.append(SOLD_OUT_TRAILER.encode(ENCODING) + b"%6d" % len(lines))
    return b"".join(line + b"\r\n" for line in lines)


def _encode_row(row: SoldOutRow) -> bytes:
    left = f"{Decimal(row.left) / 1000:.1f}"
    values = {"shop": row.shop, "dish": row.dish, "name": row.name, "left": left.rjust(6), "time": row.time}
    cells = []
    for column, width in SOLD_OUT_COLUMNS:
        cell = values[column].encode(ENCODING, errors="replace")
        if len(cell) > width and column != "name":
            raise ParseError(f"sold-out row: {column} is wider than {width} bytes")
        cells.append(cell[:width].ljust(width))
    return b"".join(cells)


def parse_sold_out(content: bytes) -> list[SoldOutRow]:
    """Read a sold-out file. One without its whole trailer is still being written, and is refused."""
    if len(content) > MAX_REPLY_BYTES:
        raise ParseError("sold-out file: too long")
    if not content.endswith(b"\r\n"):
        raise ParseError("sold-out file: the last line is not ended")
    lines = content[:-2].split(b"\r\n")
    _check_trailer(lines[-1], len(lines) - 1)
    return [_parse_row(line, number) for number, line in enumerate(lines[:-1], start=1)]


def _check_trailer(line: bytes, rows: int) -> None:
    mark = SOLD_OUT_TRAILER.encode(ENCODING)
    count = line[len(mark) :].strip()
    if not line.startswith(mark):
        raise ParseError("sold-out file: no trailer")
    if count and not (count.isdigit() and len(count) <= 6 and int(count) == rows):
        raise ParseError(f"sold-out file: the trailer does not count {rows} rows")


def _parse_row(line: bytes, number: int) -> SoldOutRow:
    where = f"sold-out file line {number}"
    if len(line) != SOLD_OUT_WIDTH:
        raise ParseError(f"{where}: {len(line)} bytes, not {SOLD_OUT_WIDTH}")
    cells: dict[str, str] = {}
    start = 0
    for column, width in SOLD_OUT_COLUMNS:
        # The name may be cut inside a character; every other column must be clean text.
        errors = "ignore" if column == "name" else "strict"
        try:
            cells[column] = line[start : start + width].decode(ENCODING, errors=errors).strip()
        except UnicodeDecodeError as error:
            raise ParseError(f"{where}: {column} is not GBK") from error
        start += width
    if not cells["shop"] or not cells["dish"] or not _is_time(cells["time"]):
        raise ParseError(f"{where}: shop, dish or time is not readable")
    left = thousandths_of(cells["left"], f"{where}: left")
    return SoldOutRow(cells["shop"], cells["dish"], cells["name"], left, cells["time"])


def _is_time(text: str) -> bool:
    digits = len(text) == 6 and text.isascii() and text.isdigit()
    return digits and int(text[:2]) < 24 and int(text[2:4]) < 60 and int(text[4:]) < 60
