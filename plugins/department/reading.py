"""What the adapter reads in the till's database: places of lines, sales to undo, statements, stock, the catalogue."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from itertools import groupby
from zoneinfo import ZoneInfo

from gateway.sdk import OrderLine, Page, StatementRow
from plugins.department.mapping import statement_row
from plugins.department.protocol import column_fen, column_quantity, pad, trim
from plugins.department.protocol_sales import Sale, SaleItem, SaleNumber, SaleTender
from plugins.department.till_slips import PICKED_UP, slip_rows

TABLES = ("SLIP", "SLIPSD", "XSHEAD", "XSDETAIL", "XSPAY", "KC", "CK", "SP", "JSM")
_PAGE = 200
_SAME = "txdate = ? AND store = ? AND till = ? AND docno = ?"

Place = dict[str, str]


def missing_tables(connection: sqlite3.Connection) -> list[str]:
    """The tables that this adapter needs and the database lacks."""
    rows = connection.execute("SELECT upper(name) AS name FROM sqlite_master WHERE type = 'table'").fetchall()
    have = {row["name"] for row in rows}
    return [name for name in TABLES if name not in have]


def _key(number: SaleNumber) -> tuple[str, str, str, str]:
    return pad(number.txdate, 8), pad(number.store, 4), pad(number.till, 6), pad(number.document, 10)


def place_of_line(connection: sqlite3.Connection, store: str, line: OrderLine) -> Place:
    """The counter and settle code of an order's line: its slip's, else the cash code of that price at that counter.

    One item has several cash codes (price points), and the settle code decides the deduction rate.
    """
    slip = slip_rows(connection, line.bill_id) if line.bill_id else []
    fitting = [row for row in slip if trim(row["spbm"]) == line.sku]
    exact = [row for row in fitting if line.line_id in (str(row["lineno"]), f"{line.bill_id}-{row['lineno']}")]
    for row in exact or fitting:
        return {"counter": trim(row["ckno"]), "settle_code": trim(row["jscode"])}
    codes = connection.execute(
        "SELECT JSM.ckno, jscode, lsj, mr FROM JSM JOIN CK USING(ckno) WHERE spbm = ? AND store = ? ORDER BY mr DESC",
        (pad(line.sku, 13), pad(store, 4)),
    ).fetchall()
    codes = [row for row in codes if line.counter_id in ("", trim(row["ckno"]))] or codes
    at_price = [row for row in codes if column_fen(row["lsj"]) == line.unit_amount]
    for row in at_price or codes:
        return {"counter": trim(row["ckno"]), "settle_code": trim(row["jscode"])}
    return {"counter": line.counter_id, "settle_code": ""}


def place_of_return(connection: sqlite3.Connection, original: SaleNumber, line: OrderLine) -> Place:
    """The counter and settle code under which a returned line was sold."""
    rows = _details(connection, original)
    fitting = [row for row in rows if trim(row["spbm"]) == line.sku and trim(row["slipno"]) == line.bill_id]
    for row in fitting:
        return {"counter": trim(row["ckno"]), "settle_code": trim(row["jscode"])}
    return place_of_line(connection, original.store, line)


def _details(connection: sqlite3.Connection, number: SaleNumber) -> list[sqlite3.Row]:
    return connection.execute(f"SELECT * FROM XSDETAIL WHERE {_SAME} ORDER BY lineno", _key(number)).fetchall()  # noqa: S608


def first_counter(connection: sqlite3.Connection, number: SaleNumber) -> str:
    """The counter of a sale's first line."""
    return next((trim(row["ckno"]) for row in _details(connection, number)), "")


def any_picked_up(connection: sqlite3.Connection, number: SaleNumber) -> bool:
    """Whether goods of a sale's slips have left the shop."""
    row = connection.execute(
        f"SELECT 1 FROM SLIP WHERE zt = '{PICKED_UP}' AND slipno IN (SELECT slipno FROM XSDETAIL WHERE {_SAME})",  # noqa: S608
        _key(number),
    ).fetchone()
    return row is not None


def opposite_of(
    connection: sqlite3.Connection, original: SaleNumber, number: SaleNumber, key: str, cashier: str, time: str
) -> Sale:
    """The sale that takes ``original`` out again: every line and tender negated."""
    items = tuple(_negated(row) for row in _details(connection, original))
    pays = connection.execute(f"SELECT * FROM XSPAY WHERE {_SAME} ORDER BY lineno", _key(original)).fetchall()  # noqa: S608
    tenders = tuple(
        SaleTender(row["lineno"], trim(row["fkfs"]), -column_fen(row["je"]), trim(row["ckh"])) for row in pays
    )
    net = sum(item.net for item in items)
    return Sale(number, "SR", time, key, original, cashier, "", net, net, 0, items, tenders, ())


def _negated(row: sqlite3.Row) -> SaleItem:
    return SaleItem(
        line=row["lineno"],
        counter=trim(row["ckno"]),
        slip=trim(row["slipno"]),
        item=trim(row["spbm"]),
        settle_code=trim(row["jscode"]),
        quantity=-column_quantity(row["sl"]),
        price=column_fen(row["lsj"]),
        member_less=-column_fen(row["hyzk"]),
        promotion_less=-column_fen(row["cxzk"]),
        net=-column_fen(row["ysje"]),
        from_stock=False,
    )


def statement_page(
    connection: sqlite3.Connection, day: str, store: str, cursor: str, zone: ZoneInfo
) -> Page[StatementRow]:
    """A business date's tender rows, of one store or of all, by receipt."""
    rows = connection.execute(
        "SELECT h.*, p.lineno, p.fkfs, p.je, p.ckh,"
        " p.store || '|' || p.till || '|' || p.docno || '|' || printf('%04d', p.lineno) AS position"
        " FROM XSPAY p JOIN XSHEAD h USING(txdate, store, till, docno)"
        " WHERE h.txdate = :day AND (:store = '' OR trim(h.store) = :store) AND position > :cursor"
        " ORDER BY position LIMIT :limit",
        {"day": day, "store": store, "cursor": cursor, "limit": _PAGE + 1},
    ).fetchall()
    page = rows[:_PAGE]
    following = str(page[-1]["position"]) if len(rows) > _PAGE else None
    return Page(items=tuple(statement_row(row, zone) for row in page), next_cursor=following)


def stock_sums(connection: sqlite3.Connection, store: str, skus: Sequence[str]) -> dict[str, tuple[Decimal, Decimal]]:
    """On hand and held by item over a store's counters; all items if none is named."""
    rows = connection.execute(
        "SELECT spbm, SUM(sl) AS sl, SUM(zysl) AS zysl FROM KC WHERE store = ? GROUP BY spbm ORDER BY spbm",
        (pad(store, 4),),
    ).fetchall()
    sums = {trim(row["spbm"]): (column_quantity(row["sl"]), column_quantity(row["zysl"])) for row in rows}
    return {sku: sums[sku] for sku in (skus or sums) if sku in sums}


def items_page(connection: sqlite3.Connection, cursor: str, limit: int) -> tuple[list[list[sqlite3.Row]], str | None]:
    """The next items with their cash codes, one list an item, and the cursor after them."""
    items = connection.execute(
        "SELECT spbm FROM SP WHERE spbm > ? ORDER BY spbm LIMIT ?", (cursor, limit + 1)
    ).fetchall()
    page = [row["spbm"] for row in items[:limit]]
    if not page:
        return [], None
    rows = connection.execute(
        "SELECT SP.*, JSM.jscode, JSM.lsj, JSM.kl, JSM.mr, JSM.ckno, CK.store FROM SP"
        " LEFT JOIN JSM ON JSM.spbm = SP.spbm LEFT JOIN CK ON CK.ckno = JSM.ckno"
        " WHERE SP.spbm BETWEEN ? AND ? ORDER BY SP.spbm, JSM.mr DESC, JSM.ckno, JSM.jscode",
        (page[0], page[-1]),
    ).fetchall()
    groups = [list(group) for _, group in groupby(rows, key=lambda row: str(row["spbm"]))]
    return groups, trim(page[-1]) if len(items) > limit else None
