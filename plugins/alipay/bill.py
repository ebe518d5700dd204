"""Alipay's daily bill: a zip with two GBK tables, a detail and a summary. Imports nothing of ours but the wire.

Comment lines begin with ``#``, lines end in CRLF, cells may be padded with tabs or spaces, amounts are yuan. A refund
is a row of its own with negative amounts under the *original* order number, its own number standing in
``退款批次号/请求号``. The service fee is negative on a sale and positive on a refund. Columns are found by their name,
without the trailing unit ``（元）``: accounts with more features have more columns.
"""

from __future__ import annotations

import csv
import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import BinaryIO

from plugins.alipay.protocol import ParseError, fen, yuan

ENCODING = "gb18030"  # a superset of GBK that never meets an unknown character when writing
SALE, REFUND = "交易", "退款"
RULE = "-" * 40
DETAIL_BEGIN = f"#{RULE}-业务明细列表{RULE}"
DETAIL_END = f"#{RULE}-业务明细列表结束{RULE[:36]}"
SUMMARY_BEGIN = f"#{RULE}-业务汇总列表{RULE}"
SUMMARY_END = f"#{RULE}-业务汇总列表结束{RULE[:36]}"
DETAIL_NAME, SUMMARY_NAME = "业务明细", "业务明细(汇总)"

_MAX_TABLE = 64_000_000
_MAX_LINE = 8192
_CHUNK = 65_536
_BEGIN, _END = "业务明细列表".encode(ENCODING), "业务明细列表结束".encode(ENCODING)
_TIME = "%Y-%m-%d %H:%M:%S"


@dataclass(frozen=True, slots=True)
class BillRow:
    """One row of the detail table; amounts in fen, as signed as the table has them; times without a zone (China)."""

    trade_no: str
    out_trade_no: str
    kind: str
    subject: str
    created_at: datetime | None
    finished_at: datetime
    store_id: str
    store_name: str
    operator_id: str
    terminal_id: str
    buyer: str
    total_amount: int
    receipt_amount: int
    red_envelope_amount: int
    point_amount: int
    discount_amount: int
    mdiscount_amount: int
    voucher_amount: int
    voucher_name: str
    merchant_envelope_amount: int
    card_amount: int
    out_request_no: str
    fee_amount: int
    royalty_amount: int
    note: str


#: The detail table's columns in their order, and the field of :class:`BillRow` that each fills.
COLUMNS: dict[str, str] = {
    "支付宝交易号": "trade_no",
    "商户订单号": "out_trade_no",
    "业务类型": "kind",
    "商品名称": "subject",
    "创建时间": "created_at",
    "完成时间": "finished_at",
    "门店编号": "store_id",
    "门店名称": "store_name",
    "操作员": "operator_id",
    "终端号": "terminal_id",
    "对方账户": "buyer",
    "订单金额（元）": "total_amount",
    "商家实收（元）": "receipt_amount",
    "支付宝红包（元）": "red_envelope_amount",
    "集分宝（元）": "point_amount",
    "支付宝优惠（元）": "discount_amount",
    "商家优惠（元）": "mdiscount_amount",
    "券核销金额（元）": "voucher_amount",
    "券名称": "voucher_name",
    "商家红包消费金额（元）": "merchant_envelope_amount",
    "卡消费金额（元）": "card_amount",
    "退款批次号/请求号": "out_request_no",
    "服务费（元）": "fee_amount",
    "分润（元）": "royalty_amount",
    "备注": "note",
}
_BY_NAME = {name.removesuffix("（元）"): field for name, field in COLUMNS.items()}
_NEEDED = {"trade_no", "out_trade_no", "kind", "finished_at", "total_amount", "receipt_amount", "out_request_no"}


def unpack(archive: bytes, out: BinaryIO) -> None:
    """Copy the detail table out of a day's zip. Raises :class:`ParseError`, also for a table without its end line."""
    try:
        with zipfile.ZipFile(io.BytesIO(archive)) as bundle:
            _copy_detail(bundle, out)
    except (zipfile.BadZipFile, zlib.error, struct.error, UnicodeDecodeError) as error:
        raise ParseError(f"the bill can't be unpacked: {error}") from error
    except (RuntimeError, NotImplementedError, EOFError, OSError, ValueError, IndexError) as error:
        raise ParseError(f"the bill can't be unpacked: {error}") from error


def read_page(table: BinaryIO, cursor: str, limit: int) -> tuple[list[BillRow], str]:
    """Up to ``limit`` rows of a detail table from ``cursor`` on (``""`` begins), and the cursor of the next ones.

    A cursor is the offset and the number of a line, so that a page costs what it holds. Raises :class:`ParseError`.
    """
    table.seek(0)
    lines = _Lines(table, 0, 0)
    header = next((line for line in lines if not line.startswith("#")), None)
    if header is None:
        raise ParseError("the detail table has no header")
    places = _places(_cells(lines.number, header))
    if cursor:
        lines = _Lines(table, *_place(cursor))
    rows: list[BillRow] = []
    while len(rows) < limit:
        line = next(lines, None)
        if line is None:
            raise ParseError("the detail table breaks off before its end line")
        if line.startswith("#"):
            if "业务明细列表结束" in line:
                return rows, ""
            continue
        rows.append(_row(lines.number, _cells(lines.number, line), places))
    return rows, f"{table.tell()}:{lines.number}"


def read_detail(table: BinaryIO) -> list[BillRow]:
    """All rows of a detail table. Raises :class:`ParseError` with the line, and if the table has no end line."""
    return read_page(table, "", 1 << 31)[0]


def read_bill(archive: bytes) -> list[BillRow]:
    """All rows of a day's bill, in the file's order. Raises :class:`ParseError`; an empty day gives an empty list."""
    table = io.BytesIO()
    unpack(archive, table)
    return read_detail(table)


class _Lines:
    """The lines of a table that are not empty, decoded one by one; ``number`` is that of the last."""

    def __init__(self, table: BinaryIO, offset: int, number: int) -> None:
        self._table, self.number = table, number
        table.seek(offset)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        while raw := self._table.readline(_MAX_LINE):
            self.number += 1
            if len(raw) == _MAX_LINE:
                raise ParseError(f"line {self.number} of the bill is too long")
            try:
                line = raw.decode(ENCODING).strip("\r\n")
            except UnicodeDecodeError as error:
                raise ParseError(f"line {self.number} of the bill is not GBK") from error
            if line.strip():
                return line
        raise StopIteration


def _place(cursor: str) -> tuple[int, int]:
    offset, _, number = cursor.partition(":")
    if not (offset.isdecimal() and number.isdecimal() and len(cursor) < 40):
        raise ParseError("not a cursor of a bill")
    return int(offset), int(number)


def write_detail(rows: Iterable[BillRow], seller_id: str, begin: datetime, end: datetime) -> str:
    """The text of a detail table, as Alipay lays it out."""
    out = _head("支付宝业务明细查询", seller_id, begin, end)
    rows = list(rows)
    lines = [DETAIL_BEGIN, ",".join(COLUMNS), *(_line(row) for row in rows), DETAIL_END, *_totals(rows)]
    return "\r\n".join([*out, *lines, f"#导出时间：[{end:%Y年%m月%d日} 09:00:00]", ""])


def write_summary(rows: Iterable[BillRow], seller_id: str, begin: datetime, end: datetime) -> str:
    """The text of a summary table: sums by store and a total."""
    rows = list(rows)
    header = "门店编号,门店名称,交易订单总笔数,退款订单总笔数,订单金额（元）,商家实收（元）,服务费（元）,实收净额（元）"
    stores = sorted({(row.store_id, row.store_name) for row in rows})
    lines = [_sums(store, name, [row for row in rows if row.store_id == store]) for store, name in stores]
    body = [SUMMARY_BEGIN, header, *lines, _sums("合计", "", rows), SUMMARY_END]
    return "\r\n".join([*_head("支付宝业务汇总查询", seller_id, begin, end), *body, ""])


def pack(seller_id: str, day: str, detail: str, summary: str) -> bytes:
    """Both tables as a zip; ``day`` is ``yyyyMMdd``."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr(f"{seller_id}0156_{day}_{DETAIL_NAME}.csv", detail.encode(ENCODING))
        bundle.writestr(f"{seller_id}0156_{day}_{SUMMARY_NAME}.csv", summary.encode(ENCODING))
    return out.getvalue()


def _copy_detail(bundle: zipfile.ZipFile, out: BinaryIO) -> None:
    """Copy the detail table: the member that has a detail list, whatever its name (old zips have unflagged GBK names).

    Nothing is unpacked beyond 64 MB, whatever the zip says of its members' sizes.
    """
    for member in bundle.infolist()[:8]:
        with bundle.open(member) as file:
            chunk = file.read(_CHUNK)
            if _BEGIN not in chunk:
                continue
            tail, copied = b"", 0
            while chunk:
                copied += len(chunk)
                if copied > _MAX_TABLE:
                    raise ParseError("a table of the bill is too long")
                out.write(chunk)
                tail = (tail + chunk)[-_CHUNK:]
                chunk = file.read(_CHUNK)
        if _END not in tail:
            raise ParseError("the detail table breaks off before its end line")
        return
    raise ParseError("the bill has no detail table")


def _cells(number: int, line: str) -> list[str]:
    try:
        return [cell.strip(" \t　") for cell in next(csv.reader([line], strict=True))]
    except (csv.Error, StopIteration) as error:
        raise ParseError(f"line {number} of the bill is not a row of a table") from error


def _places(header: list[str]) -> dict[str, int]:
    names = [cell.removesuffix("（元）").removesuffix("(元)") for cell in header]
    places = {_BY_NAME[name]: place for place, name in enumerate(names) if name in _BY_NAME}
    missing = sorted(_NEEDED - places.keys())
    if missing:
        raise ParseError(f"the detail table lacks the columns for {', '.join(missing)}")
    return places


def _row(number: int, cells: list[str], places: Mapping[str, int]) -> BillRow:
    try:
        values = {field.name: _value(field.name, cells, places) for field in fields(BillRow)}
    except ValueError as error:
        raise ParseError(f"line {number} of the bill: {error}") from error
    return BillRow(**values)  # type: ignore[arg-type]


def _value(name: str, cells: list[str], places: Mapping[str, int]) -> str | int | datetime | None:
    place = places.get(name)
    if place is not None and place >= len(cells):
        raise ParseError("too few cells")
    text = "" if place is None else cells[place]
    if name.endswith("_amount"):
        return fen(text.removeprefix("+")) if text else 0
    if name == "finished_at":
        return datetime.strptime(text.replace("：", ":"), _TIME)  # noqa: DTZ007 - the bill has China's time, no zone
    if name == "created_at":
        return datetime.strptime(text.replace("：", ":"), _TIME) if text else None  # noqa: DTZ007
    return text


def _head(title: str, seller_id: str, begin: datetime, end: datetime) -> list[str]:
    span = f"#起始日期：[{begin:%Y年%m月%d日 %H:%M:%S}]   终止日期：[{end:%Y年%m月%d日 %H:%M:%S}]"
    return [f"#{title}", f"#账号：[{seller_id}0156]", span]


def _line(row: BillRow) -> str:
    cells = []
    for field in COLUMNS.values():
        value = getattr(row, field)
        if isinstance(value, int):
            cells.append(yuan(value).rjust(8))
        elif isinstance(value, datetime):
            cells.append(f"{value:{_TIME}}")
        else:
            padded = f"{value}\t" if value and field in ("trade_no", "out_trade_no", "out_request_no") else value or ""
            cells.append(padded)
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(cells)
    return out.getvalue()


def _totals(rows: list[BillRow]) -> list[str]:
    out = []
    for kind in (SALE, REFUND):
        mine = [row for row in rows if row.kind == kind]
        received, given = sum(row.receipt_amount for row in mine), sum(row.mdiscount_amount for row in mine)
        out.append(f"#{kind}合计：{len(mine)}笔，商家实收共{yuan(received)}元，商家优惠共{yuan(given)}元")
    return out


def _sums(store: str, name: str, rows: list[BillRow]) -> str:
    kinds = [sum(row.kind == kind for row in rows) for kind in (SALE, REFUND)]
    total, received = sum(row.total_amount for row in rows), sum(row.receipt_amount for row in rows)
    fee = sum(row.fee_amount for row in rows)
    amounts = [yuan(amount) for amount in (total, received, fee, received + fee)]
    return ",".join([store, name, *(str(kind) for kind in kinds), *amounts])
