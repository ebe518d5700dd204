"""What the simulated store's server does with an uploaded sale: checks it, books it, moves the goods of a return."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

from plugins.department.protocol import column_fen, pad, trim, yuan
from plugins.department.protocol_sales import DUPLICATE_DOCUMENT, Sale, SaleItem, SaleNumber

REBATE_FROM = 100_000
REBATE = 5_000


class Refusal(Exception):
    """The server refuses the sale: its responsecode is -1, the text its responsemessage."""


def key(number: SaleNumber) -> tuple[str, str, str, str]:
    """A sale's number as the padded key columns of XSHEAD, XSDETAIL, XSPAY and XSFT."""
    return pad(number.txdate, 8), pad(number.store, 4), pad(number.till, 6), pad(number.document, 10)


def post(connection: sqlite3.Connection, sale: Sale, rebate_time: str, leak: bool) -> None:
    """Book one sale inside the caller's transaction; raises :class:`Refusal`. ``leak`` forgets to free held stock."""
    _check_number(connection, sale)
    _check_sums(sale)
    _check_places(connection, sale)
    if sale.original is not None:
        _check_original(connection, sale, sale.original)
    _insert(connection, sale)
    for item in sale.items:
        _move_goods(connection, sale, item, leak)
    if sale.kind == "SA" and sale.net >= REBATE_FROM:
        coupon = (pad(f"F{sale.number.txdate}{sale.number.document}", 20), pad(sale.number.document, 10))
        connection.execute("INSERT OR IGNORE INTO FQ VALUES(?,?,?,?)", (*coupon, yuan(REBATE), rebate_time))


def _check_number(connection: sqlite3.Connection, sale: Sale) -> None:
    found = "SELECT 1 FROM XSHEAD WHERE txdate = ? AND store = ? AND till = ? AND docno = ?"
    if connection.execute(found, key(sale.number)).fetchone():
        raise Refusal(DUPLICATE_DOCUMENT)


def _check_sums(sale: Sale) -> None:
    if not sale.items or sale.kind not in ("SA", "SR", "EX"):
        raise Refusal("单据类型错误")
    if sum(item.net for item in sale.items) != sale.net:
        raise Refusal("商品金额不平")
    if sum(tender.amount for tender in sale.tenders) - sale.change != sale.net:
        raise Refusal("付款金额不平")
    if len({item.line for item in sale.items}) != len(sale.items):
        raise Refusal("行号重复")
    if sale.splits:
        _check_splits(sale)


def _check_splits(sale: Sale) -> None:
    by_item = {item.line: 0 for item in sale.items}
    by_tender = {tender.line: 0 for tender in sale.tenders}
    for split in sale.splits:
        if split.goods_line not in by_item or split.payment_line not in by_tender:
            raise Refusal("分摊行号错误")
        by_item[split.goods_line] += split.amount
        by_tender[split.payment_line] += split.amount
    if any(by_item[item.line] != item.net for item in sale.items):
        raise Refusal("分摊金额与商品不符")
    if any(by_tender[tender.line] != tender.amount for tender in sale.tenders):
        raise Refusal("分摊金额与付款不符")


def _check_places(connection: sqlite3.Connection, sale: Sale) -> None:
    if not connection.execute("SELECT 1 FROM MD WHERE store = ?", (pad(sale.number.store, 4),)).fetchone():
        raise Refusal("门店不存在")
    for item in sale.items:
        if not connection.execute("SELECT 1 FROM CK WHERE ckno = ?", (pad(item.counter, 6),)).fetchone():
            raise Refusal("柜台不存在")


def _check_original(connection: sqlite3.Connection, sale: Sale, original: SaleNumber) -> None:
    head = connection.execute(
        "SELECT ysje FROM XSHEAD WHERE txdate = ? AND store = ? AND till = ? AND docno = ?", key(original)
    ).fetchone()
    if head is None:
        raise Refusal("原单不存在")
    returned = connection.execute(
        "SELECT ysje FROM XSHEAD WHERE ydate = ? AND ystore = ? AND ytill = ? AND ydocno = ?", key(original)
    ).fetchall()
    given_back = sum(min(column_fen(row["ysje"]), 0) for row in returned)
    if column_fen(head["ysje"]) + given_back + min(sale.net, 0) < 0:
        raise Refusal("退货金额超过原单")


def _insert(connection: sqlite3.Connection, sale: Sale) -> None:
    number = key(sale.number)
    original = key(sale.original) if sale.original else ("", "", "", "")
    head = (*number, sale.time, sale.kind, *original, pad(sale.cashier, 8), pad(sale.member, 20))
    money = (yuan(sale.net), yuan(sale.paid), yuan(sale.change), pad(sale.reference, 64), "0")
    connection.execute(f"INSERT INTO XSHEAD VALUES({','.join('?' * 17)})", head + money)
    for item in sale.items:
        goods = (pad(item.counter, 6), pad(item.slip, 12), pad(item.item, 13), pad(item.settle_code, 8))
        sums = (yuan(item.price), yuan(item.member_less), yuan(item.promotion_less), yuan(item.net))
        row = (*number, item.line, *goods, str(item.quantity), *sums)
        connection.execute(f"INSERT INTO XSDETAIL VALUES({','.join('?' * 14)})", row)
    for tender in sale.tenders:
        paid = (*number, tender.line, pad(tender.code, 4), yuan(tender.amount), pad(tender.reference, 64))
        connection.execute("INSERT INTO XSPAY VALUES(?,?,?,?,?,?,?,?)", paid)
    for split in sale.splits:
        part = (*number, split.goods_line, split.payment_line, yuan(split.amount))
        connection.execute("INSERT INTO XSFT VALUES(?,?,?,?,?,?,?)", part)


def _move_goods(connection: sqlite3.Connection, sale: Sale, item: SaleItem, leak: bool) -> None:
    store, counter, code = pad(sale.number.store, 4), pad(item.counter, 6), pad(item.item, 13)
    if item.from_stock:
        move_stock(connection, (store, counter, code), -item.quantity, Decimal(0))
    if not item.slip or item.quantity >= 0:
        return
    slip = connection.execute(
        "SELECT lineno, sl, zt FROM SLIP WHERE slipno = ? AND spbm = ? AND jscode = ? ORDER BY lineno",
        (pad(item.slip, 12), code, pad(item.settle_code, 8)),
    ).fetchone()
    if slip is None:
        raise Refusal("原开票单不存在")
    if slip["zt"] == "2":
        move_stock(connection, (store, counter, code), -item.quantity, Decimal(0))
        return
    if slip["zt"] == "1":
        left = Decimal(str(slip["sl"])) + item.quantity
        if left < 0:
            raise Refusal("退货数量超过开票数量")
        place = (str(left), pad(item.slip, 12), slip["lineno"])
        connection.execute("UPDATE SLIP SET sl = ? WHERE slipno = ? AND lineno = ?", place)
        if not leak:
            move_stock(connection, (store, counter, code), Decimal(0), item.quantity)
    _void_if_empty(connection, item.slip)


def _void_if_empty(connection: sqlite3.Connection, slip: str) -> None:
    connection.execute(
        "UPDATE SLIP SET zt = '9' WHERE slipno = :no AND zt = '1'"
        " AND NOT EXISTS(SELECT 1 FROM SLIP WHERE slipno = :no AND sl > 0)",
        {"no": pad(slip, 12)},
    )


def move_stock(connection: sqlite3.Connection, place: tuple[str, str, str], stock: Decimal, held: Decimal) -> None:
    """Add to ``sl`` and ``zysl`` of one (store, counter, item), all padded; held stock never falls below 0."""
    connection.execute(
        "UPDATE KC SET sl = ROUND(sl + ?, 3), zysl = MAX(0, ROUND(zysl + ?, 3))"
        " WHERE store = ? AND ckno = ? AND spbm = ?",
        (float(stock), float(held), *place),
    )


def document_text(row: sqlite3.Row) -> str:
    """A sale's number as people write it."""
    return "-".join(trim(row[name]) for name in ("txdate", "store", "till", "docno"))
