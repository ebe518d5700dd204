"""The simulated head office: one SQLite file of CHAR-padded tables, into which the tills upload when they get to it.

``com_no`` numbers rows in the order they arrive, which is not the order of the sales. Nothing is indexed by date or
memo. Stock exists only as the last day end (with the last ``com_no`` it counted) and what has moved since.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from .protocol import CARD_WIDTH, ITEM_WIDTH, MEMO_WIDTH, NAME_WIDTH, encode_datetime, fen_to_yuan, pad, unpad
from .simulator_data import BRANCHES, CLASSES, ITEMS, PLANS, VIPS, Item
from .sqlite_build import sqlite

SCHEMA = """
CREATE TABLE branch(branch_no CHAR(6) PRIMARY KEY, branch_name CHAR(40), branch_ename CHAR(40), city CHAR(20),
  address CHAR(60), latitude CHAR(10), longitude CHAR(10));
CREATE TABLE item(item_no CHAR(20) PRIMARY KEY, barcode CHAR(20), item_name CHAR(40), item_ename CHAR(40),
  clsno CHAR(6), clsname CHAR(20), price TEXT, vip_price TEXT, unit_no CHAR(4), weigh_flag CHAR(1), plu_no CHAR(5),
  combine_flag CHAR(1), combine_item CHAR(20), combine_qnty TEXT, status CHAR(1), modify_date TEXT);
CREATE TABLE vip(card_id CHAR(20) PRIMARY KEY, vip_name CHAR(40), phone CHAR(20), vip_level CHAR(2), discount TEXT,
  acc_num TEXT, acc_date TEXT, acc_com_no INTEGER);
CREATE TABLE plan(plan_no CHAR(12), item_no CHAR(20), plan_price TEXT, begin_date TEXT, end_date TEXT, status CHAR(1));
CREATE TABLE saleflow(com_no INTEGER PRIMARY KEY AUTOINCREMENT, flow_id INTEGER, flow_no CHAR(18), branch_no CHAR(6),
  item_no CHAR(20), source_price TEXT, sale_price TEXT, sale_qnty TEXT, sale_money TEXT, sell_way CHAR(1),
  oper_id CHAR(4), sale_man CHAR(4), oper_date TEXT, shift_no CHAR(2), pref_amt TEXT, plan_no CHAR(12),
  card_id CHAR(20));
CREATE TABLE payflow(com_no INTEGER PRIMARY KEY AUTOINCREMENT, flow_id INTEGER, flow_no CHAR(18), branch_no CHAR(6),
  sale_amount TEXT, pay_way CHAR(3), sell_way CHAR(1), card_no CHAR(40), vip_no CHAR(20), coin_no CHAR(3),
  coin_rate TEXT, pay_amount TEXT, voucher_no CHAR(18), counter_no CHAR(4), oper_id CHAR(4), oper_date TEXT,
  shift_no CHAR(2), memo CHAR(40));
CREATE TABLE stocksheet(com_no INTEGER PRIMARY KEY AUTOINCREMENT, sheet_no CHAR(18), branch_no CHAR(6),
  item_no CHAR(20), qnty TEXT, oper_date TEXT);
CREATE TABLE dayend(branch_no CHAR(6), item_no CHAR(20), qnty TEXT, end_date TEXT, sale_com_no INTEGER,
  sheet_com_no INTEGER, PRIMARY KEY(branch_no, item_no));
"""

OPENING_STOCK = 200


@dataclass(frozen=True, slots=True)
class SoldLine:
    """One line of a bill at a till: ``amount`` and ``off`` (what was taken off) in fen, ``price`` in yuan."""

    item_no: str
    quantity: str
    price: str
    amount: int
    off: int = 0
    plan_no: str = ""


@dataclass(frozen=True, slots=True)
class Paid:
    """One payment row of a bill at a till: ``amount`` in fen, always positive; ``sell_way`` D is change."""

    pay_way: str
    amount: int
    sell_way: str = "A"
    number: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """A bill as a till holds it."""

    flow_no: str
    sell_way: str
    at: datetime
    lines: tuple[SoldLine, ...]
    paid: tuple[Paid, ...]
    card: str = ""
    original: str = ""
    memo: str = ""

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)


class HeadOffice:
    """The database file and the jobs that run on it. Safe to use from several threads."""

    def __init__(self, path: Path, now: datetime) -> None:
        self.path = path
        self._lock = threading.RLock()
        fresh = not path.exists()
        self._db: Any = sqlite.connect(str(path), check_same_thread=False, timeout=10, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=TRUNCATE")
        self._db.execute("PRAGMA synchronous=NORMAL")
        if fresh:
            self._db.executescript(SCHEMA)
            with self.transaction() as db:
                _seed(db, now)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """One write transaction."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, sql: str, *params: Any) -> list[Any]:
        with self._lock:
            return list(self._db.execute(sql, params))

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def item(self, item_no: str) -> tuple[Decimal, str] | None:
        """Price and name of an article on sale."""
        rows = self.rows(
            "SELECT price, item_name FROM item WHERE item_no = ? AND status = '1'", pad(item_no, ITEM_WIDTH)
        )
        return (Decimal(rows[0][0]), unpad(rows[0][1])) if rows else None

    def upload(self, flows: list[Flow], only_tenders: int | None = None, skip_tenders: int = 0) -> None:
        """Take bills in, in one transaction.

        A torn upload comes in two calls: all lines and ``only_tenders`` payment rows, then the rest of these without
        the lines (``skip_tenders``).
        """
        with self.transaction() as db:
            for flow in flows:
                for number, line in enumerate(() if skip_tenders else flow.lines, 1):
                    _insert_line(db, flow, number, line)
                for number, paid in enumerate(flow.paid[:only_tenders], 1):
                    if number > skip_tenders:
                        _insert_payment(db, flow, number, paid)

    def delete_flow(self, flow_no: str) -> None:
        """Head office deletes a bill: rows vanish, their com_no stay unused."""
        with self.transaction() as db:
            for table in ("saleflow", "payflow"):
                db.execute(f"DELETE FROM {table} WHERE flow_no = ?", (pad(flow_no, 18),))  # noqa: S608 - fixed names

    def receive(self, branch: str, item_no: str, quantity: Decimal, sheet_no: str, at: datetime) -> None:
        """Goods arrive (or, negative, are written off)."""
        row = (pad(sheet_no, 18), pad(branch, 6), pad(item_no, ITEM_WIDTH), f"{quantity:.4f}", encode_datetime(at))
        with self.transaction() as db:
            db.execute("INSERT INTO stocksheet(sheet_no, branch_no, item_no, qnty, oper_date) VALUES(?,?,?,?,?)", row)

    def day_end(self, at: datetime) -> None:
        """The nightly job: roll stock forward over what has arrived, and add last day's points to the members."""
        with self.transaction() as db:
            _roll_stock(db, at)
            _add_points(db, at)

    def hold_lock(self, wait: threading.Event, seconds: float) -> None:
        """Keep every reader and writer out for a while, as a table lock of a report does."""
        with self._lock:
            self._db.execute("BEGIN EXCLUSIVE")
            wait.wait(seconds)
            self._db.execute("COMMIT")


def _insert_line(db: Any, flow: Flow, number: int, line: SoldLine) -> None:
    quantity = Decimal(line.quantity)
    unit = Decimal(line.amount) / 100 / quantity if quantity else Decimal(0)
    row = (number, pad(flow.flow_no, 18), pad(flow.flow_no[:4], 6), pad(line.item_no, ITEM_WIDTH))
    prices = (f"{Decimal(line.price):.4f}", f"{unit:.4f}", f"{quantity:.4f}", fen_to_yuan(line.amount, 4))
    tail = (flow.sell_way, pad("1001", 4), pad("", 4), encode_datetime(flow.at), pad("1", 2))
    rest = (fen_to_yuan(line.off, 4), pad(line.plan_no, 12), pad(flow.card, CARD_WIDTH))
    db.execute(
        "INSERT INTO saleflow(flow_id, flow_no, branch_no, item_no, source_price, sale_price, sale_qnty, sale_money,"
        " sell_way, oper_id, sale_man, oper_date, shift_no, pref_amt, plan_no, card_id)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        row + prices + tail + rest,
    )


def _insert_payment(db: Any, flow: Flow, number: int, paid: Paid) -> None:
    sell_way = paid.sell_way if paid.sell_way == "D" else flow.sell_way
    row = (number, pad(flow.flow_no, 18), pad(flow.flow_no[:4], 6), fen_to_yuan(flow.total, 4), pad(paid.pay_way, 3))
    middle = (sell_way, pad(paid.number, 40), pad(flow.card, CARD_WIDTH), "RMB", "1.0000", fen_to_yuan(paid.amount, 4))
    tail = (pad(flow.original, 18), pad("", 4), pad("1001", 4), encode_datetime(flow.at), pad("1", 2))
    db.execute(
        "INSERT INTO payflow(flow_id, flow_no, branch_no, sale_amount, pay_way, sell_way, card_no, vip_no, coin_no,"
        " coin_rate, pay_amount, voucher_no, counter_no, oper_id, oper_date, shift_no, memo)"
        " VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        (*row, *middle, *tail, pad(flow.memo, MEMO_WIDTH)),
    )


def stock_moves(db: Any, sale_com_no: int, sheet_com_no: int) -> dict[tuple[str, str], Decimal]:
    """What moved by (branch, article) after these com_no: a bill uploaded twice counts once, cases count as singles."""
    moves: dict[tuple[str, str], Decimal] = {}
    seen = set()
    sold = db.execute(
        "SELECT branch_no, flow_no, flow_id, oper_date, item_no, sale_qnty, sell_way FROM saleflow WHERE com_no > ?",
        (sale_com_no,),
    )
    singles = {item.number: (item.single, item.count) for item in ITEMS if item.single}
    for branch, flow_no, flow_id, at, item_no, quantity, sell_way in sold.fetchall():
        if (flow_no, flow_id, at) in seen:
            continue
        seen.add((flow_no, flow_id, at))
        single, count = singles.get(item_no.strip(), (item_no.strip(), 1))
        key = (branch.strip(), single)
        moves[key] = moves.get(key, Decimal(0)) + Decimal(quantity) * count * (1 if sell_way == "B" else -1)
    for branch, item_no, quantity in db.execute(
        "SELECT branch_no, item_no, qnty FROM stocksheet WHERE com_no > ?", (sheet_com_no,)
    ).fetchall():
        key = (branch.strip(), item_no.strip())
        moves[key] = moves.get(key, Decimal(0)) + Decimal(quantity)
    return moves


def _roll_stock(db: Any, at: datetime) -> None:
    sale_mark, sheet_mark = db.execute("SELECT MAX(sale_com_no), MAX(sheet_com_no) FROM dayend").fetchone()
    moves = stock_moves(db, sale_mark or 0, sheet_mark or 0)
    for (branch, item_no), quantity in moves.items():
        keys = (pad(branch, 6), pad(item_no, ITEM_WIDTH))
        found = db.execute("SELECT qnty FROM dayend WHERE branch_no = ? AND item_no = ?", keys).fetchone()
        if found:
            total = f"{Decimal(found[0]) + quantity:.4f}"
            db.execute("UPDATE dayend SET qnty = ? WHERE branch_no = ? AND item_no = ?", (total, *keys))
    db.execute(
        "UPDATE dayend SET end_date = ?, sale_com_no = (SELECT COALESCE(MAX(com_no), 0) FROM saleflow),"
        " sheet_com_no = (SELECT COALESCE(MAX(com_no), 0) FROM stocksheet)",
        (encode_datetime(at),),
    )


def _add_points(db: Any, at: datetime) -> None:
    """One point for a whole yuan of each line uploaded since the last night; returns take them back."""
    mark = db.execute("SELECT COALESCE(MAX(acc_com_no), 0) FROM vip").fetchone()[0]
    earned: dict[str, int] = {}
    rows = db.execute(
        "SELECT DISTINCT flow_no, flow_id, oper_date, card_id, sale_money, sell_way FROM saleflow"
        " WHERE com_no > ? AND card_id <> ?",
        (mark, pad("", CARD_WIDTH)),
    )
    for _, _, _, card, money, sell_way in rows.fetchall():
        earned[card] = earned.get(card, 0) + int(Decimal(money)) * (-1 if sell_way == "B" else 1)
    last = db.execute("SELECT COALESCE(MAX(com_no), 0) FROM saleflow").fetchone()[0]
    for card, points in earned.items():
        old = db.execute("SELECT acc_num FROM vip WHERE card_id = ?", (card,)).fetchone()
        if old:
            total = f"{max(Decimal(0), Decimal(old[0]) + points):.4f}"
            db.execute("UPDATE vip SET acc_num = ? WHERE card_id = ?", (total, card))
    db.execute("UPDATE vip SET acc_date = ?, acc_com_no = ?", (encode_datetime(at), last))


def _seed(db: Any, now: datetime) -> None:
    for branch in BRANCHES:
        names = (pad(branch.number, 6), pad(branch.name, 40), pad(branch.english, 40), pad(branch.city, 20))
        place = (pad(branch.address, 60), pad(branch.latitude, 10), pad(branch.longitude, 10))
        db.execute("INSERT INTO branch VALUES(?,?,?,?,?,?,?)", names + place)
    for item in ITEMS:
        _seed_item(db, item, now)
    for vip in VIPS:
        who = (pad(vip.card, CARD_WIDTH), pad(vip.name, 40), pad(vip.phone, 20), pad(vip.level, 2))
        points = (vip.discount, f"{vip.points}.0000", encode_datetime(now), 0)
        db.execute("INSERT INTO vip VALUES(?,?,?,?,?,?,?,?)", who + points)
    for plan_no, item_no, price in PLANS:
        row = (pad(plan_no, 12), pad(item_no, ITEM_WIDTH), f"{Decimal(price):.4f}")
        db.execute("INSERT INTO plan VALUES(?,?,?,'2020-01-01 00:00:00','2099-12-31 23:59:59','1')", row)


def _seed_item(db: Any, item: Item, now: datetime) -> None:
    names = (pad(item.number, ITEM_WIDTH), pad(item.barcode, 20), pad(item.name, NAME_WIDTH), pad(item.english, 40))
    kind = (pad(item.item_class, 6), pad(CLASSES[item.item_class], 20))
    prices = (f"{item.price:.4f}", f"{item.vip_price or item.price:.4f}", pad(item.unit, 4))
    flags = ("1" if item.weighed else "0", pad(item.plu, 5), "1" if item.single else "0")
    tail = (pad(item.single, ITEM_WIDTH), f"{item.count}.0000", "1" if item.active else "0", encode_datetime(now))
    db.execute("INSERT INTO item VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)", names + kind + prices + flags + tail)
    if not item.single:
        for branch in BRANCHES:
            row = (pad(branch.number, 6), pad(item.number, ITEM_WIDTH), f"{OPENING_STOCK}.0000", encode_datetime(now))
            db.execute("INSERT INTO dayend VALUES(?,?,?,?,0,0)", row)
