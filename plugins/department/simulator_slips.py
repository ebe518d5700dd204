"""What people do at the counters and tills of the simulated store: issue, change and void slips, hand goods over."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from plugins.department.protocol import column_fen, column_quantity, pad, quantity, trim, yuan
from plugins.department.protocol_sales import Sale, SaleItem, SaleNumber, SaleTender
from plugins.department.simulator_sales import move_stock

#: A till's lock on a slip that is being rung up; older ones are forgotten (the till was switched off).
LOCK_LIFE = timedelta(minutes=15)
STAMP = "%Y%m%d%H%M%S"


def issue(connection: sqlite3.Connection, now: datetime, counter: str, lines: Sequence[Mapping[str, Any]]) -> str:
    """Issue a slip at a counter, which holds the goods; returns its number. Raises ``ValueError``.

    A line is ``{"item", "quantity"?, "settle_code"?, "discount"? (fen)}``.
    """
    place = connection.execute("SELECT store FROM CK WHERE ckno = ?", (pad(counter, 6),)).fetchone()
    if place is None or not lines:
        raise ValueError(f"no counter {counter!r}, or no lines")
    slip = _next_number(connection, now, counter)
    for position, line in enumerate(lines, start=1):
        _issue_line(connection, now, (place["store"], pad(counter, 6)), slip, position, line)
    return slip


def _next_number(connection: sqlite3.Connection, now: datetime, counter: str) -> str:
    prefix = f"{counter}{now:%y%m%d}"
    row = connection.execute("SELECT MAX(slipno) AS last FROM SLIP WHERE slipno LIKE ?", (prefix + "%",)).fetchone()
    last = int(trim(row["last"])[len(prefix) :]) if row["last"] else 0
    return f"{prefix}{last + 1:0{12 - len(prefix)}d}"


def _issue_line(
    connection: sqlite3.Connection,
    now: datetime,
    place: tuple[str, str],
    slip: str,
    position: int,
    line: Mapping[str, Any],
) -> None:
    item, count = str(line["item"]), quantity(str(line.get("quantity", "1")))
    priced = connection.execute(
        "SELECT jscode, lsj FROM JSM WHERE spbm = ? AND ckno = ? AND (jscode = ? OR (? = '' AND mr = '1'))",
        (pad(item, 13), place[1], pad(str(line.get("settle_code", "")), 8), str(line.get("settle_code", ""))),
    ).fetchone()
    if priced is None or count <= 0:
        raise ValueError(f"item {item!r} is not sold at this counter under that settle code")
    held = connection.execute(
        "UPDATE KC SET zysl = ROUND(zysl + ?, 3)"
        " WHERE store = ? AND ckno = ? AND spbm = ? AND ROUND(sl - zysl - ?, 3) >= 0",
        (float(count), *place, pad(item, 13), float(count)),
    )
    if held.rowcount != 1:
        raise ValueError(f"item {item!r}: not enough stock at counter {trim(place[1])}")
    discount = int(line.get("discount", 0))
    due = int(column_fen(priced["lsj"]) * count) - discount
    goods = (pad(slip, 12), place[1], position, pad(item, 13), priced["jscode"], str(count))
    money = (priced["lsj"], yuan(discount), yuan(due), "0", f"{now:{STAMP}}")
    connection.execute("INSERT INTO SLIP VALUES(?,?,?,?,?,?,?,?,?,?,?)", goods + money)


def change(connection: sqlite3.Connection, slip: str, position: int, discount: int) -> None:
    """The counter gives another discount (fen) on a line of an open slip."""
    row = connection.execute(
        "SELECT sl, lsj FROM SLIP WHERE slipno = ? AND lineno = ? AND zt = '0'", (pad(slip, 12), position)
    ).fetchone()
    if row is None:
        raise ValueError(f"slip {slip!r} is not open or has no line {position}")
    due = int(column_fen(row["lsj"]) * column_quantity(row["sl"])) - discount
    connection.execute(
        "UPDATE SLIP SET zkje = ?, ysje = ? WHERE slipno = ? AND lineno = ?",
        (yuan(discount), yuan(due), pad(slip, 12), position),
    )


def locked(connection: sqlite3.Connection, slip: str, now: datetime) -> bool:
    """Whether a till holds this slip on its screen."""
    row = connection.execute("SELECT sdsj FROM SLIPSD WHERE slipno = ?", (pad(slip, 12),)).fetchone()
    return row is not None and str(row["sdsj"]) >= f"{now - LOCK_LIFE:{STAMP}}"


def void(connection: sqlite3.Connection, slip: str, leak: bool) -> int:
    """Void an open slip and free what it holds (unless ``leak``); returns the number of its lines."""
    rows = _lines(connection, slip, "0")
    connection.execute("UPDATE SLIP SET zt = '9' WHERE slipno = ? AND zt = '0'", (pad(slip, 12),))
    if not leak:
        for row in rows:
            move_stock(connection, _place(row), Decimal(0), -column_quantity(row["sl"]))
    return len(rows)


def void_unpaid(connection: sqlite3.Connection, now: datetime, leak: bool) -> list[str]:
    """The 22:30 job: void every open slip that no till holds on its screen; returns their numbers."""
    rows = connection.execute("SELECT DISTINCT slipno FROM SLIP WHERE zt = '0' ORDER BY slipno").fetchall()
    slips = [trim(row["slipno"]) for row in rows if not locked(connection, trim(row["slipno"]), now)]
    for slip in slips:
        void(connection, slip, leak)
    return slips


def pick_up(connection: sqlite3.Connection, slip: str) -> int:
    """The customer takes the goods of a paid slip; they leave the stock. Returns the number of lines."""
    rows = _lines(connection, slip, "1")
    if not rows:
        raise ValueError(f"slip {slip!r} is not paid")
    for row in rows:
        count = column_quantity(row["sl"])
        move_stock(connection, _place(row), -count, -count)
    connection.execute("UPDATE SLIP SET zt = '2' WHERE slipno = ? AND zt = '1'", (pad(slip, 12),))
    return len(rows)


def ring_up(
    connection: sqlite3.Connection, now: datetime, till: str, document: str, slips: Sequence[str], code: str
) -> Sale:
    """A cashier rings up slips at a till of the store herself; returns the sale to book. Raises ``ValueError``."""
    rows = [row for slip in slips for row in _lines(connection, slip, "0")]
    if not rows or any(locked(connection, slip, now) for slip in slips):
        raise ValueError("a slip is not open, or another till has it on its screen")
    for slip in slips:
        connection.execute("UPDATE SLIP SET zt = '1' WHERE slipno = ?", (pad(slip, 12),))
    items = tuple(_sale_item(row, line) for line, row in enumerate(rows, start=1))
    net = sum(item.net for item in items)
    number = SaleNumber(f"{now:%Y%m%d}", trim(rows[0]["store"]), till, document)
    paid = (SaleTender(1, code, net, ""),)
    return Sale(number, "SA", f"{now:%H%M%S}", "", None, "C001", "", net, net, 0, items, paid, ())


def _sale_item(row: sqlite3.Row, line: int) -> SaleItem:
    texts = (trim(row["ckno"]), trim(row["slipno"]), trim(row["spbm"]), trim(row["jscode"]))
    due = column_fen(row["ysje"])
    return SaleItem(line, *texts, column_quantity(row["sl"]), column_fen(row["lsj"]), 0, 0, due, False)


def _lines(connection: sqlite3.Connection, slip: str, state: str) -> list[sqlite3.Row]:
    return connection.execute(
        "SELECT SLIP.*, CK.store FROM SLIP JOIN CK USING(ckno) WHERE slipno = ? AND zt = ? ORDER BY lineno",
        (pad(slip, 12), state),
    ).fetchall()


def _place(row: sqlite3.Row) -> tuple[str, str, str]:
    return row["store"], row["ckno"], row["spbm"]
