"""The wire of 便民365, part two: the tab-separated files that tills read and write. GBK, CRLF, money in yuan.

An order file (``<reference>.ORD``) tells the till to ring up a sale that was paid elsewhere::

    H  reference  branch  A|B  yyyymmddHHMMSS  member card  original bill or reference (returns)
    L  line  item_no  quantity(3)  price(4)  line amount(2)  plan_no
    P  line  pay_way  amount(2)  card or channel number
    E  lines  tenders  total(2)

The till claims it (``.ING``), and answers by renaming it to ``.OK`` or ``.ERR``; the answer's only line is
``OK  reference  flow_no  total(2)  check digit`` or ``ERR  reference  code  message``. It does not remember references:
the same file dropped again is rung up again. Every decoder here raises only :class:`ParseError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from .protocol import (
    ENCODING,
    RETURN,
    SALE,
    FlowNo,
    ParseError,
    check_digit,
    decode_numeric,
    decode_quantity,
    decode_stamp,
    decode_text,
    encode_stamp,
    fen_to_yuan,
    pad,
)

CRLF = "\r\n"

#: What a till answers in an ``.ERR`` file, by code.
ERR_FORMAT, ERR_ITEM, ERR_TOTAL, ERR_BRANCH = "10", "21", "22", "23"
ERR_NO_ORIGINAL, ERR_OTHER_BRANCH, ERR_OVER_RETURN = "31", "32", "33"
ERR_DISK, ERR_BUSY = "98", "99"

ERROR_TEXTS = {
    ERR_FORMAT: "文件格式错误",
    ERR_ITEM: "商品不存在",
    ERR_TOTAL: "金额不平",
    ERR_BRANCH: "门店号不符",
    ERR_NO_ORIGINAL: "原单不存在",
    ERR_OTHER_BRANCH: "非本店单据不能退货",
    ERR_OVER_RETURN: "退货数量超出原单",
    ERR_DISK: "磁盘空间不足，未入账",
    ERR_BUSY: "系统忙，未入账",
}


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of an order file: ``quantity`` to three places, ``price`` to four (yuan), ``amount`` in fen."""

    item_no: str
    quantity: Decimal
    price: Decimal
    amount: int
    plan_no: str = ""


@dataclass(frozen=True, slots=True)
class OrderTender:
    """One tender of an order file: how it was paid, how much in fen, and a card or channel number."""

    pay_way: str
    amount: int
    number: str = ""


@dataclass(frozen=True, slots=True)
class OrderFile:
    """A sale (kind A) or return (kind B) that was settled elsewhere and that the till has to ring up.

    ``original`` names the bill a return belongs to: its flow number, or the reference it was dropped under while its
    number is not known yet.
    """

    reference: str
    branch: str
    kind: Literal["A", "B"]
    created: datetime
    lines: tuple[OrderLine, ...]
    tenders: tuple[OrderTender, ...]
    card: str = ""
    original: str = ""

    @property
    def total(self) -> int:
        """The sum of the lines in fen."""
        return sum(line.amount for line in self.lines)

    def encode(self, encoding: str = ENCODING) -> bytes:
        """The file's bytes. Raises ``ValueError`` for a text that a field can't hold."""
        rows = [["H", self.reference, self.branch, self.kind, encode_stamp(self.created), self.card, self.original]]
        for number, line in enumerate(self.lines, 1):
            price, amount = f"{line.price:.4f}", fen_to_yuan(line.amount)
            rows.append(["L", str(number), line.item_no, f"{line.quantity:.3f}", price, amount, line.plan_no])
        for number, tender in enumerate(self.tenders, 1):
            rows.append(["P", str(number), tender.pay_way, fen_to_yuan(tender.amount), tender.number])
        rows.append(["E", str(len(self.lines)), str(len(self.tenders)), fen_to_yuan(self.total)])
        return encode_rows(rows, encoding)

    @classmethod
    def parse(cls, data: bytes) -> OrderFile:
        """Raises :class:`ParseError` for anything but a whole file whose trailer agrees."""
        rows = decode_rows(data, "order file")
        if len(rows) < 2 or rows[0][0] != "H" or rows[-1][0] != "E":
            raise ParseError("order file: no header or no trailer")
        reference, branch, kind, stamp, card, original = _fields(rows[0], 7)
        if kind not in (SALE, RETURN) or not REFERENCE.fullmatch(reference) or not re.fullmatch(r"\d{4}", branch):
            raise ParseError("order file: bad header")
        lines = tuple(_order_line(row) for row in rows[1:-1] if row[0] == "L")
        tenders = tuple(_order_tender(row) for row in rows[1:-1] if row[0] == "P")
        order = cls(
            reference, branch, "A" if kind == SALE else "B", decode_stamp(stamp), lines, tenders, card, original
        )
        trailer = [str(len(lines)), str(len(tenders)), fen_to_yuan(order.total)]
        if _fields(rows[-1], 4) != trailer or len(rows) != len(lines) + len(tenders) + 2:
            raise ParseError("order file: trailer does not agree")
        return order


#: What a reference may be: it becomes a file name on Windows and stands in a CHAR(40) memo.
REFERENCE = re.compile(r"[0-9A-Z_-]{1,40}", re.ASCII)


def _order_line(row: list[str]) -> OrderLine:
    _, item_no, quantity, price, amount, plan_no = _fields(row, 7)
    if not item_no:
        raise ParseError("order file: line without item")
    return OrderLine(item_no, decode_quantity(quantity), decode_numeric(price), _file_amount(amount), plan_no)


def _order_tender(row: list[str]) -> OrderTender:
    _, pay_way, amount, number = _fields(row, 5)
    if not re.fullmatch(r"[A-Z]{2,3}", pay_way, re.ASCII):
        raise ParseError(f"order file: pay_way {pay_way[:10]!r}")
    return OrderTender(pay_way, _file_amount(amount), number)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A till's ``.OK``: the bill number it rang the sale up under, and the bill's total in fen."""

    reference: str
    flow_no: FlowNo
    total: int

    def encode(self) -> bytes:
        flow_no = str(self.flow_no)
        row = ["OK", self.reference, flow_no, fen_to_yuan(self.total), str(check_digit(flow_no))]
        return encode_rows([row])


@dataclass(frozen=True, slots=True)
class Refused:
    """A till's ``.ERR``: it rang nothing up; the code says why."""

    reference: str
    code: str
    message: str = ""

    def encode(self) -> bytes:
        return encode_rows([["ERR", self.reference, self.code, self.message or ERROR_TEXTS.get(self.code, "")]])


def parse_answer(data: bytes, encoding: str = ENCODING) -> Accepted | Refused:
    """The content of an ``.OK`` or ``.ERR`` file. Raises :class:`ParseError`."""
    rows = decode_rows(data, "answer", encoding)
    if len(rows) != 1:
        raise ParseError(f"answer: {len(rows)} lines instead of one")
    if rows[0][0] == "ERR":
        reference, code, message = _fields(rows[0], 4)
        return Refused(reference, code, message)
    if rows[0][0] != "OK":
        raise ParseError("answer: neither OK nor ERR")
    reference, flow_no, total, digit = _fields(rows[0], 5)
    parsed = FlowNo.parse(flow_no)
    if digit != str(check_digit(flow_no)):
        raise ParseError("answer: check digit of the bill number does not agree")
    return Accepted(reference, parsed, _file_amount(total))


@dataclass(frozen=True, slots=True)
class PluRow:
    """One row of the price file ``PLU.TXT``: ``price`` in yuan to four places; ``barcode`` may be empty."""

    item_no: str
    barcode: str
    name: str
    price: Decimal
    unit: str
    weighed: bool = False


def encode_plu(rows: list[PluRow]) -> bytes:
    """A price file. It has no trailer: write it under another name and rename it, or a till reads half of it."""
    return encode_rows(
        [
            [row.item_no, row.barcode, row.name, f"{row.price:.4f}", row.unit, "1" if row.weighed else "0"]
            for row in rows
        ]
    )


def parse_plu(data: bytes) -> list[PluRow]:
    """A whole price file. Raises :class:`ParseError` when the last line is not finished, as in a half-written one."""
    result = []
    for row in decode_rows(data, "PLU.TXT"):
        if len(row) != 6 or not row[0] or row[5] not in ("0", "1"):
            raise ParseError(f"PLU.TXT: bad row for {row[0][:20]!r}")
        result.append(PluRow(row[0], row[1], row[2], decode_numeric(row[3]), row[4], row[5] == "1"))
    return result


@dataclass(frozen=True, slots=True)
class ScaleRow:
    """One row of a scale's file ``SCALE/21.DAT``: PLU 5 digits, price in fen a kilogram, item and name."""

    plu: str
    price: int
    item_no: str
    name: str


def encode_scale(rows: list[ScaleRow]) -> bytes:
    """A scale's file: fixed columns PLU 5, price 7 (fen a kilogram), item 20, name 20 bytes."""
    text = "".join(f"{row.plu}{row.price:07d}{pad(row.item_no, 20)}{pad(row.name, 20)}{CRLF}" for row in rows)
    return text.encode(ENCODING)


def parse_scale(data: bytes) -> list[ScaleRow]:
    """The rows of a scale's file; columns are cut in bytes, before decoding. Raises :class:`ParseError`."""
    if data and not data.endswith(b"\r\n"):
        raise ParseError("scale file: last line is not finished")
    result = []
    for number, raw in enumerate(data.split(b"\r\n")[:-1], 1):
        if len(raw) != 52 or not raw[:12].isdigit():
            raise ParseError(f"scale file: line {number} is not 52 bytes with PLU and price")
        item_no, name = decode_text(raw[12:32], "scale file").rstrip(), decode_text(raw[32:], "scale file").rstrip()
        result.append(ScaleRow(raw[:5].decode("ascii"), int(raw[5:12]), item_no, name))
    return result


def encode_rows(rows: list[list[str]], encoding: str = ENCODING) -> bytes:
    """Tab-separated lines ending in CRLF. Raises ``ValueError`` if a field holds a tab or the end of a line."""
    for row in rows:
        if any(re.search(r"[\t\r\n\x00]", value) for value in row):
            raise ValueError("a field holds a tab, a line end or NUL")
    return "".join("\t".join(row) + CRLF for row in rows).encode(encoding, "replace")


def decode_rows(data: bytes, what: str, encoding: str = ENCODING) -> list[list[str]]:
    """The inverse of :func:`encode_rows`; ``what`` names the file in the message of a :class:`ParseError`."""
    if len(data) > 4_000_000:
        raise ParseError(f"{what}: larger than 4 MB")
    if not data.endswith(b"\r\n"):
        raise ParseError(f"{what}: last line is not finished")
    lines = decode_text(data, what, encoding).split(CRLF)[:-1]
    for number, line in enumerate(lines, 1):
        if re.search(r"[\r\n\x00]", line):  # a file that a power cut left full of zeros, or another system's line ends
            raise ParseError(f"{what}: line {number} holds a line end or NUL")
    return [line.split("\t") for line in lines]


def _fields(row: list[str], count: int) -> list[str]:
    """The fields after the record's mark."""
    if len(row) != count:
        raise ParseError(f"{row[0][:10]!r} record has {len(row)} fields instead of {count}")
    return row[1:]


def _file_amount(text: str) -> int:
    """An amount of a file in fen: exactly two decimals, never negative."""
    if not re.fullmatch(r"\d{1,10}\.\d\d", text, re.ASCII):
        raise ParseError(f"not an amount: {text[:40]!r}")
    return int(Decimal(text) * 100)
