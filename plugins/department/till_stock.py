"""Goods that no slip holds: held, sold and put back in ``KC``, one counter a transaction, under our key.

``zysl`` is what is held of ``sl``. The system cannot hold goods of several counters in one transaction, so each
counter's part is a write of its own, and a shortage at one gives the others back.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from gateway.sdk import StockItem
from plugins.department.mapping import STAMP
from plugins.department.protocol import column_quantity, fits, pad, trim
from plugins.department.till_database import (
    CONFIRMED,
    DONE,
    EVERYTHING,
    UNDONE,
    Entry,
    TillDatabase,
    close_key,
    entries,
    note,
    open_entries,
)

Goods = list[tuple[str, str]]
_FREE = "UPDATE KC SET zysl = MAX(0, ROUND(zysl - :n, 3)) WHERE store = :store AND ckno = :counter AND spbm = :item"


class Shortage(Exception):
    """There is not enough of this item."""


@dataclass(frozen=True, slots=True)
class Stock:
    """Stock of one system, for the gateway's till."""

    database: TillDatabase

    def plan(self, key: str, store: str, items: Sequence[StockItem]) -> dict[str, Goods]:
        """Which counter gives what: ``{counter: [(item, quantity)]}``; parts held by an earlier attempt stay put.

        Raises :class:`Shortage` if no counter of the store has enough of an item.
        """
        with self.database.read() as connection:
            held = entries(connection, key)
            plan: dict[str, Goods] = defaultdict(list)
            for counter, entry in held.items():
                if entry.state == DONE:
                    plan[counter] = _goods(entry)
            placed = {item for goods in plan.values() for item, _ in goods}
            for item in items:
                if item.sku not in placed:
                    plan[_best_counter(connection, store, item)].append((item.sku, str(item.quantity)))
        return dict(sorted(plan.items()))

    def hold(self, key: str, store: str, counter: str, goods: Goods, now: datetime, seconds: float) -> None:
        """Hold one counter's part, once. Raises :class:`Shortage`, and ``ClosedKey`` after a cancel."""
        with self.database.write(seconds) as connection:
            known = open_entries(connection, key).get(counter)
            if known and known.state != UNDONE:
                return
            for item, count in goods:
                taken = connection.execute(
                    "UPDATE KC SET zysl = ROUND(zysl + :n, 3) WHERE store = :store AND ckno = :counter"
                    " AND spbm = :item AND ROUND(sl - zysl - :n, 3) >= 0",
                    _place(store, counter, item, count),
                )
                if taken.rowcount != 1:
                    raise Shortage(item)
            note(connection, key, Entry(counter, store, DONE, json.dumps(goods)), f"{now:{STAMP}}")

    def settle(self, key: str, now: datetime, seconds: float) -> str:
        """The goods held under this key are sold; ``"done"``, ``"replayed"``, ``"missing"`` or ``"closed"``."""
        sql = (
            "UPDATE KC SET sl = ROUND(sl - :n, 3), zysl = MAX(0, ROUND(zysl - :n, 3))"
            " WHERE store = :store AND ckno = :counter AND spbm = :item"
        )
        with self.database.write(seconds) as connection:
            held = entries(connection, key)
            if EVERYTHING in held:
                return "closed"
            if all(entry.state == UNDONE for entry in held.values()):
                return "missing"
            changed = self._each(connection, key, held.values(), sql, CONFIRMED, f"{now:{STAMP}}")
        return "done" if changed else "replayed"

    def give_back(self, key: str, now: datetime, seconds: float) -> None:
        """Let go the parts held so far, when another counter is short."""
        with self.database.write(seconds) as connection:
            self._each(connection, key, entries(connection, key).values(), _FREE, UNDONE, f"{now:{STAMP}}")

    def cancel(self, key: str, now: datetime, seconds: float) -> str:
        """Let go what is held under this key, for ever; ``"done"`` or ``"sold"``."""
        with self.database.write(seconds) as connection:
            held = entries(connection, key)
            if any(entry.state == CONFIRMED for entry in held.values()):
                return "sold"
            self._each(connection, key, held.values(), _FREE, UNDONE, f"{now:{STAMP}}")
            close_key(connection, key, f"{now:{STAMP}}")
        return "done"

    def _each(
        self,
        connection: sqlite3.Connection,
        key: str,
        held: Iterable[Entry],
        sql: str,
        state: str,
        stamp: str,
    ) -> int:
        changed = 0
        for entry in held:
            if entry.state != DONE:
                continue
            for item, count in _goods(entry):
                connection.execute(sql, _place(entry.about, entry.part, item, count))
            note(connection, key, Entry(entry.part, entry.about, state, entry.content), stamp)
            changed += 1
        return changed

    def put_back(
        self, key: str, original: str, store: str, items: Sequence[StockItem], now: datetime, seconds: float
    ) -> bool:
        """Sold goods come back to the counters they came from; false if this key did it before."""
        with self.database.write(seconds) as connection:
            if entries(connection, key):
                return False
            sold = {item: entry.part for entry in entries(connection, original).values() for item, _ in _goods(entry)}
            for item in items:
                counter = item.counter_id or sold.get(item.sku) or _best_counter(connection, store, item, Decimal(0))
                connection.execute(
                    "UPDATE KC SET sl = ROUND(sl + :n, 3) WHERE store = :store AND ckno = :counter AND spbm = :item",
                    _place(store, counter, item.sku, str(item.quantity)),
                )
            note(connection, key, Entry("return", store, DONE, original), f"{now:{STAMP}}")
        return True

    def look(self, key: str) -> Mapping[str, Entry]:
        """What our journal in their database says of a key."""
        with self.database.read() as connection:
            return entries(connection, key)


def held_items(found: Mapping[str, Entry], states: Sequence[str]) -> dict[str, Decimal]:
    """Quantity by item over the parts in one of these states."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for entry in found.values():
        if entry.state in states and entry.part != EVERYTHING:
            for item, count in _goods(entry):
                sums[item] += Decimal(count)
    return dict(sums)


def _goods(entry: Entry) -> Goods:
    if not entry.content.startswith("["):
        return []
    return [(str(item), str(count)) for item, count in json.loads(entry.content)]


def _place(store: str, counter: str, item: str, count: str) -> dict[str, object]:
    keys = {"store": pad(store, 4), "counter": pad(counter, 6), "item": pad(item, 13)}
    return {**keys, "n": float(Decimal(count))}


def _best_counter(connection: sqlite3.Connection, store: str, item: StockItem, needed: Decimal | None = None) -> str:
    """The counter with most of the item left, or the one asked for, if it has enough."""
    if not fits(item.sku, 13):
        raise Shortage(item.sku)
    rows = connection.execute(
        "SELECT ckno, sl, zysl FROM KC WHERE store = ? AND spbm = ? ORDER BY sl - zysl DESC, ckno",
        (pad(store, 4), pad(item.sku, 13)),
    ).fetchall()
    least = item.quantity if needed is None else needed
    for row in rows:
        enough = column_quantity(row["sl"]) - column_quantity(row["zysl"]) >= least or needed is not None
        if enough and item.counter_id in ("", trim(row["ckno"])):
            return trim(row["ckno"])
    raise Shortage(item.sku)
