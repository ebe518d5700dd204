"""The simulated store's own record of what happened, amounts in fen, quantities as decimal text."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from datetime import datetime
from typing import Any

from plugins.department.protocol import column_fen, column_quantity, trim
from plugins.department.simulator_sales import document_text
from plugins.department.simulator_slips import LOCK_LIFE, STAMP

_LOCKED = "SELECT COUNT(*) FROM SLIPSD WHERE sdsj >= ?"


def books(connection: sqlite3.Connection, now: datetime) -> dict[str, Any]:
    """Sales with their lines and tenders, money by tender code, slips, stock, rebate coupons that have come out."""
    sales = [_sale(connection, row) for row in connection.execute("SELECT * FROM XSHEAD ORDER BY txdate, docno")]
    money: dict[str, int] = defaultdict(int)
    for sale in sales:
        for tender in sale["tenders"]:
            money[tender["code"]] += tender["amount"]
        if sale["change"]:
            money["CH"] -= sale["change"]
    out = connection.execute("SELECT fqh, je FROM FQ WHERE fqsj <= ? ORDER BY fqh", (f"{now:%Y%m%d%H%M%S}",))
    return {
        "sales": sales,
        "money": dict(sorted(money.items())),
        "net": sum(sale["net"] for sale in sales),
        "slips": _slips(connection),
        "locked": connection.execute(_LOCKED, (f"{now - LOCK_LIFE:{STAMP}}",)).fetchone()[0],
        "stock": _stock(connection),
        "rebates": [{"coupon": trim(row["fqh"]), "amount": column_fen(row["je"])} for row in out],
    }


def _rows(connection: sqlite3.Connection, table: str, head: sqlite3.Row, order: str) -> list[sqlite3.Row]:
    same = "txdate = ? AND store = ? AND till = ? AND docno = ?"
    key = (head["txdate"], head["store"], head["till"], head["docno"])
    return connection.execute(f"SELECT * FROM {table} WHERE {same} ORDER BY {order}", key).fetchall()  # noqa: S608


def _sale(connection: sqlite3.Connection, head: sqlite3.Row) -> dict[str, Any]:
    return {
        "document": document_text(head),
        "kind": trim(head["xslb"]),
        "reference": trim(head["dh"]),
        "original": trim(head["ydocno"]),
        "net": column_fen(head["ysje"]),
        "change": column_fen(head["zlje"]),
        "invoiced": head["fp"] == "1",
        "lines": [_line(row) for row in _rows(connection, "XSDETAIL", head, "lineno")],
        "tenders": [
            {"code": trim(row["fkfs"]), "amount": column_fen(row["je"]), "reference": trim(row["ckh"])}
            for row in _rows(connection, "XSPAY", head, "lineno")
        ],
        "splits": [
            {"goods_line": row["sphh"], "payment_line": row["fkhh"], "amount": column_fen(row["je"])}
            for row in _rows(connection, "XSFT", head, "sphh, fkhh")
        ],
    }


def _line(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "line": row["lineno"],
        "counter": trim(row["ckno"]),
        "slip": trim(row["slipno"]),
        "item": trim(row["spbm"]),
        "settle_code": trim(row["jscode"]),
        "quantity": str(column_quantity(row["sl"])),
        "net": column_fen(row["ysje"]),
        "promotion": column_fen(row["cxzk"]),
        "member": column_fen(row["hyzk"]),
    }


def _slips(connection: sqlite3.Connection) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in connection.execute("SELECT slipno, zt, SUM(ysje) AS due FROM SLIP GROUP BY slipno, zt"):
        found[trim(row["slipno"])] = {"state": row["zt"], "due": column_fen(row["due"])}
    return found


def _stock(connection: sqlite3.Connection) -> list[dict[str, str]]:
    rows = connection.execute("SELECT * FROM KC ORDER BY store, ckno, spbm")
    return [
        {
            "store": trim(row["store"]),
            "counter": trim(row["ckno"]),
            "item": trim(row["spbm"]),
            "on_hand": str(column_quantity(row["sl"])),
            "held": str(column_quantity(row["zysl"])),
        }
        for row in rows
    ]
