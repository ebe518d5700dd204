"""WeChat Pay's trade bill: a table in UTF-8 with a Chinese header, and a two-line summary.

Every value has a backtick before it, so that a comma in a product's name separates nothing. Columns are found by their
names: an account without free vouchers has 24 of them, else 27. Amounts are yuan, the fee has five decimals. A refund
is a row of its own under the *original* order number, with its own number in ``商户退款单号``; a reversed payment shows
as ``REVOKED``. The fee is negative where it is given back.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime

from gateway.sdk import ParseError

MOST_BYTES = 64_000_000
_TIME = "%Y-%m-%d %H:%M:%S"
_AMOUNT = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class BillRow:
    """One row of the bill; amounts in fen; ``at`` without a zone (China's). ``total_amount`` is the order's amount."""

    at: datetime
    appid: str
    mchid: str
    sub_mchid: str
    device: str
    transaction_id: str
    out_trade_no: str
    openid: str
    trade_type: str
    state: str
    bank: str
    currency: str
    settled_amount: int
    coupon_amount: int
    refund_id: str
    out_refund_no: str
    refund_settled_amount: int
    refund_coupon_amount: int
    refund_type: str
    refund_status: str
    subject: str
    attach: str
    fee_amount: int
    rate: str
    total_amount: int
    refund_total_amount: int
    rate_note: str


#: The columns in their order, and the field of :class:`BillRow` that each fills. Some accounts lack the last three.
COLUMNS: dict[str, str] = {
    "交易时间": "at",
    "公众账号ID": "appid",
    "商户号": "mchid",
    "特约商户号": "sub_mchid",
    "设备号": "device",
    "微信订单号": "transaction_id",
    "商户订单号": "out_trade_no",
    "用户标识": "openid",
    "交易类型": "trade_type",
    "交易状态": "state",
    "付款银行": "bank",
    "货币种类": "currency",
    "应结订单金额": "settled_amount",
    "代金券金额": "coupon_amount",
    "微信退款单号": "refund_id",
    "商户退款单号": "out_refund_no",
    "退款金额": "refund_settled_amount",
    "充值券退款金额": "refund_coupon_amount",
    "退款类型": "refund_type",
    "退款状态": "refund_status",
    "商品名称": "subject",
    "商户数据包": "attach",
    "手续费": "fee_amount",
    "费率": "rate",
    "订单金额": "total_amount",
    "申请退款金额": "refund_total_amount",
    "费率备注": "rate_note",
}
FEWER = tuple(COLUMNS)[:24]
SUMMARY = (
    "总交易单数",
    "应结订单总金额",
    "退款总金额",
    "充值券退款总金额",
    "手续费总金额",
    "订单总金额",
    "申请退款总金额",
)
_NEEDED = ("交易时间", "微信订单号", "商户订单号", "交易状态", "应结订单金额", "商户退款单号", "退款金额", "手续费")
#: What other accounts call these columns.
_ALSO = {
    "总金额": "应结订单金额",
    "企业红包金额": "代金券金额",
    "企业红包退款金额": "充值券退款金额",
    "子商户号": "特约商户号",
}


def unpack(packed: bytes, sha1: str) -> bytes:
    """The bill out of a download, gzip or plain; ``sha1`` is that of the bill itself. Raises ``ParseError``."""
    plain = _gunzip(packed) if packed[:2] == b"\x1f\x8b" else packed
    if hashlib.sha1(plain, usedforsecurity=False).hexdigest() != sha1.lower():
        raise ParseError("the bill's hash is not the one that was told")
    return plain


def read_bill(data: bytes) -> list[BillRow]:
    """The rows of a bill. Raises ``ParseError`` with the line, and if the summary is missing or does not fit."""
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ParseError("the bill is not UTF-8") from error
    if not lines:
        raise ParseError("the bill is empty")
    places = _places(lines[0])
    rows: list[BillRow] = []
    for number, line in enumerate(lines[1:], 2):
        if line.startswith(SUMMARY[0]):
            _summed(lines[number:], len(rows))
            return rows
        if line.strip():
            rows.append(_row(number, line, places))
    raise ParseError("the bill breaks off before its summary")


def write_bill(rows: Iterable[BillRow], columns: Iterable[str] = tuple(COLUMNS)) -> bytes:
    """The text of a bill, as WeChat Pay lays it out, with these columns."""
    rows, columns = list(rows), tuple(columns)
    lines = [",".join(columns), *(",".join("`" + _cell(row, name) for name in columns) for row in rows)]
    sums = [
        str(len(rows)),
        *(_yuan(sum(getattr(row, name) for row in rows)) for name in ("settled_amount", "refund_settled_amount")),
        _yuan(sum(row.refund_coupon_amount for row in rows)),
        _yuan(sum(row.fee_amount for row in rows), 5),
        *(_yuan(sum(getattr(row, name) for row in rows)) for name in ("total_amount", "refund_total_amount")),
    ]
    wide = len(columns) > len(FEWER)
    lines += [",".join(SUMMARY if wide else SUMMARY[:5]), ",".join("`" + each for each in (sums if wide else sums[:5]))]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8-sig")


def _gunzip(packed: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as file:
            plain = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ParseError(f"the bill can't be unpacked: {type(error).__name__}") from error
    if len(plain) > MOST_BYTES:
        raise ParseError("the bill is too long")
    return plain


def _places(header: str) -> dict[str, int]:
    names = [name.strip(" `\t") for name in header.split(",")]
    names = [_ALSO.get(name, name) for name in names]
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise ParseError(f"the bill lacks the columns {', '.join(missing)}")
    return {COLUMNS[name]: place for place, name in enumerate(names) if name in COLUMNS}


def _row(number: int, line: str, places: Mapping[str, int]) -> BillRow:
    if not line.startswith("`"):
        raise ParseError(f"line {number} of the bill is not a row")
    cells = [cell.strip() for cell in line[1:].split(",`")]
    if max(places.values()) >= len(cells):
        raise ParseError(f"line {number} of the bill has too few values")
    try:
        values = {name: _value(name, cells[place]) for name, place in places.items()}
    except ValueError as error:
        raise ParseError(f"line {number} of the bill: {error}") from error
    values.setdefault("total_amount", values["settled_amount"])
    values.setdefault("refund_total_amount", values["refund_settled_amount"])
    blank = {each.name: 0 if each.name.endswith("_amount") else "" for each in fields(BillRow)}
    return BillRow(**(blank | values))  # type: ignore[arg-type]


def _value(name: str, cell: str) -> str | int | datetime:
    if name.endswith("_amount"):
        return _fen(cell)
    if name == "at":
        return datetime.strptime(cell.replace("：", ":"), _TIME)  # noqa: DTZ007 - the bill has China's time, no zone
    return cell


def _fen(cell: str) -> int:
    """Yuan as fen; what is finer than a fen (of the fee) is rounded half away from zero."""
    if not cell:
        return 0
    if not _AMOUNT.fullmatch(cell):
        raise ParseError(f"not an amount: {cell[:24]!r}")
    whole, _, decimals = cell.lstrip("-").partition(".")
    fine = int(whole) * 100_000 + int(decimals.ljust(5, "0") or "0")
    fen = (fine + 500) // 1000
    return -fen if cell.startswith("-") else fen


def _summed(lines: list[str], count: int) -> None:
    if not lines or not lines[0].startswith("`"):
        raise ParseError("the bill breaks off before its summary")
    told = lines[0][1:].split(",`")[0].strip()
    if not (told.isascii() and told.isdigit() and len(told) < 12 and int(told) == count):
        raise ParseError(f"the bill has {count} rows, its summary says {told[:12]!r}")


def _cell(row: BillRow, column: str) -> str:
    value = getattr(row, COLUMNS[column])
    if isinstance(value, datetime):
        return f"{value:{_TIME}}"
    return _yuan(value, 5 if column == "手续费" else 2) if isinstance(value, int) else str(value)


def _yuan(fen: int, decimals: int = 2) -> str:
    sign, rest = ("-", -fen) if fen < 0 else ("", fen)
    return f"{sign}{rest // 100}.{rest % 100:02d}" + "0" * (decimals - 2)
