"""The simulated chain's disk: bills, sold-out quantities, numbers and what the head office has received. SQLite."""

from __future__ import annotations

import json
import sqlite3
import threading
from pathlib import Path
from typing import Any

from plugins.restaurant.simulator_bill import TillBill

SCHEMA = """
create table if not exists bill (
    bs_id text primary key, shop text not null, bs_code text not null, table_code text not null,
    on_table integer not null, biz_date text not null, doc text not null);
create index if not exists bill_table on bill (shop, on_table, table_code);
create index if not exists bill_code on bill (shop, bs_code);
create table if not exists cloud (
    bs_id text primary key, shop text not null, biz_date text not null, uploaded_at real not null, doc text not null);
create index if not exists cloud_day on cloud (biz_date, shop);
create table if not exists limited (shop text not null, dish text not null, left_qty integer not null,
    at text not null, primary key (shop, dish));
create table if not exists day (shop text primary key, closed_through text not null);
create table if not exists number (name text primary key, value integer not null);
"""


class ChainStore:
    """Everything that survives a restart. Every method is one short transaction and may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        # A simulator need not survive a power cut, only a restart: the fast settings of the real thing.
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=off")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def wipe(self) -> None:
        """Forget everything."""
        with self._lock:
            for table in ("bill", "cloud", "limited", "day", "number"):
                self._db.execute(f"delete from {table}")  # noqa: S608 - fixed names

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()

    def _run(self, sql: str, *values: Any) -> None:
        with self._lock:
            self._db.execute(sql, values)

    # ---- bills of the tills
    def save_bill(self, bill: TillBill) -> None:
        on_table = int(bool(bill.table) and not bill.cleared)
        document = json.dumps(bill.to_json(), ensure_ascii=False)
        values = (bill.bs_id, bill.shop, bill.bs_code, bill.table, on_table, bill.biz_date, document)
        self._run("insert or replace into bill values (?,?,?,?,?,?,?)", *values)

    def bill(self, shop: str, number: str) -> TillBill | None:
        """By bill id, or by the number printed on the slip."""
        rows = self._all("select doc from bill where shop=? and (bs_id=? or bs_code=?)", shop, number, number)
        return TillBill.from_json(json.loads(rows[0][0])) if rows else None

    def bill_on_table(self, shop: str, table: str) -> TillBill | None:
        rows = self._all("select doc from bill where shop=? and on_table=1 and table_code=?", shop, table)
        return TillBill.from_json(json.loads(rows[0][0])) if rows else None

    def tables_taken(self, shop: str) -> dict[str, str]:
        """Table → bill id, for tables that are not free."""
        return dict(self._all("select table_code, bs_id from bill where shop=? and on_table=1", shop))

    def bills(self) -> list[TillBill]:
        return [TillBill.from_json(json.loads(row[0])) for row in self._all("select doc from bill order by bs_id")]

    def next_number(self, name: str) -> int:
        with self._lock:
            self._run("insert into number values (?,1) on conflict(name) do update set value=value+1", name)
            return int(self._all("select value from number where name=?", name)[0][0])

    # ---- sold-out quantities
    def left(self, shop: str) -> dict[str, tuple[int, str]]:
        """Dish → (thousandths left, HHMMSS) for dishes that are limited today."""
        rows = self._all("select dish, left_qty, at from limited where shop=? order by dish", shop)
        return {dish: (left, at) for dish, left, at in rows}

    def all_left(self) -> list[tuple[str, str, int, str]]:
        return self._all("select shop, dish, left_qty, at from limited order by shop, dish")

    def set_left(self, shop: str, dish: str, left: int, at: str) -> None:
        self._run("insert or replace into limited values (?,?,?,?)", shop, dish, left, at)

    def unlimit(self, shop: str, dish: str) -> None:
        self._run("delete from limited where shop=? and dish=?", shop, dish)

    # ---- business days
    def closed_through(self, shop: str) -> str:
        rows = self._all("select closed_through from day where shop=?", shop)
        return str(rows[0][0]) if rows else ""

    def close_day(self, shop: str, biz_date: str) -> None:
        self._run("insert or replace into day values (?,?)", shop, biz_date)

    # ---- what the head office has
    def upload(self, bill: TillBill, uploaded_at: float, document: dict[str, Any]) -> None:
        text = json.dumps(document, ensure_ascii=False)
        values = (bill.bs_id, bill.shop, bill.biz_date, uploaded_at, text)
        self._run("insert or replace into cloud values (?,?,?,?,?)", *values)

    def cloud_day(self, biz_date: str, shops: list[str], now: float) -> list[dict[str, Any]]:
        """Bills of a business date that have arrived, the last uploaded first."""
        rows = self._all(
            "select shop, doc from cloud where biz_date=? and uploaded_at<=? order by uploaded_at desc, bs_id desc",
            biz_date,
            now,
        )
        return [json.loads(doc) for shop, doc in rows if not shops or shop in shops]

    def cloud_since(self, since: float, shops: list[str], now: float) -> list[dict[str, Any]]:
        """Bills that arrived since a moment, the last first."""
        rows = self._all(
            "select shop, doc from cloud where uploaded_at>=? and uploaded_at<=? order by uploaded_at desc, bs_id desc",
            since,
            now,
        )
        return [json.loads(doc) for shop, doc in rows if not shops or shop in shops]

    def arrive_now(self, now: float) -> int:
        """Let every bill still on its way arrive; return how many there were."""
        with self._lock:
            return self._db.execute("update cloud set uploaded_at=? where uploaded_at>?", (now, now)).rowcount
