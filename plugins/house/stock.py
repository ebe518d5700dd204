"""Goods of the house: one row a store and SKU, moved by guarded updates. Quantities in thousandths."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway.sdk import (
    Change,
    Confidence,
    DeclineReason,
    Done,
    Level,
    LevelsRequest,
    StockHeld,
    StockMove,
    StockReserve,
    StockReturn,
    Transaction,
)
from plugins.house.ledger import Book, Entry
from plugins.house.members import Refusal

_MOVE = """
UPDATE house_stock SET on_hand = on_hand + :on_hand, reserved = reserved + :reserved, updated = :now
WHERE merchant = :merchant AND store_id = :store_id AND sku = :sku
  AND reserved + :reserved >= 0 AND reserved + :reserved <= on_hand + :on_hand
"""


def levels(tx: Transaction, merchant: str, request: LevelsRequest, now: datetime) -> tuple[Level, ...]:
    """Levels of the SKUs asked for, exact at this moment."""
    if request.skus:
        found = [_row(tx, merchant, request.store_id, sku) for sku in request.skus]
    else:
        sql = "SELECT * FROM house_stock WHERE merchant = :merchant AND store_id = :store_id ORDER BY sku"
        found = tx.all(sql, {"merchant": merchant, "store_id": request.store_id})
    return tuple(_level(row, now) for row in found if row is not None)


def _row(tx: Transaction, merchant: str, store_id: str, sku: str) -> Any:
    sql = "SELECT * FROM house_stock WHERE merchant = :merchant AND store_id = :store_id AND sku = :sku"
    return tx.one(sql, {"merchant": merchant, "store_id": store_id, "sku": sku})


def _level(row: Any, now: datetime) -> Level:
    on_hand, reserved = Decimal(row["on_hand"]) / 1000, Decimal(row["reserved"]) / 1000
    return Level(
        sku=row["sku"],
        store_id=row["store_id"],
        on_hand=on_hand,
        reserved=reserved,
        available=on_hand - reserved,
        as_of=now.astimezone(UTC),
        confidence=Confidence.EXACT,
        source="house",
    )


def _entries(request: StockReserve | StockHeld | StockReturn) -> list[Entry]:
    return [
        (f"{request.store_id}/{item.sku}/{item.counter_id}", int(item.quantity * 1000), {}) for item in request.items
    ]


class Goods:
    """Stock of one merchant within one transaction."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def _move(self, store_id: str, sku: str, on_hand: int, reserved: int) -> bool:
        return self._move_all(store_id, [(sku, on_hand, reserved)]) == 1

    def _move_all(self, store_id: str, moves: Sequence[tuple[str, int, int]]) -> int:
        """Move what is on hand and what is reserved of each SKU; how many moves were possible."""
        book = self.book
        rows = [
            {
                "on_hand": on_hand,
                "reserved": reserved,
                "now": book.now,
                "sku": sku,
                "store_id": store_id,
                "merchant": book.merchant,
            }
            for sku, on_hand, reserved in moves
        ]
        return book.tx.execute(_MOVE, rows[0]) if len(rows) == 1 else book.tx.execute_many(_MOVE, rows)

    def reserve(self, request: StockReserve, call: Any) -> Change:
        """All or nothing; a SKU that the house does not count is not limited."""
        if not self.book.write_all(call, "stock_reserve", _entries(request), request.site):
            return Done(ref=call.key, replayed=True)
        wanted: dict[str, int] = {}
        for item in request.items:
            wanted[item.sku] = wanted.get(item.sku, 0) + int(item.quantity * 1000)
        free = self._free(request.store_id, list(wanted))
        if any(quantity > free.get(sku, quantity) for sku, quantity in wanted.items()):
            raise Refusal(DeclineReason.OUT_OF_STOCK)
        counted = [(sku, 0, quantity) for sku, quantity in wanted.items() if sku in free]
        if self._move_all(request.store_id, counted) != len(counted):
            raise LookupError("stock was taken although it was locked")
        return Done(ref=call.key)

    def _free(self, store_id: str, skus: list[str]) -> dict[str, int]:
        """What may be reserved of each SKU that is counted, locked until the transaction ends."""
        names = {f"sku{index}": sku for index, sku in enumerate(skus)}
        rows = self.book.tx.all(
            "SELECT sku, on_hand - reserved AS free FROM house_stock WHERE merchant = :merchant"  # noqa: S608 - names
            f" AND store_id = :store_id AND sku IN ({', '.join(f':{name}' for name in names)}) ORDER BY sku FOR UPDATE",
            {"merchant": self.book.merchant, "store_id": store_id, **names},
        )
        return {row["sku"]: row["free"] for row in rows}

    def _each(self, request: StockHeld | StockReturn, call: Any, hook: str, on_hand: int, reserved: int) -> Change:
        if self.book.write_all(call, hook, _entries(request), request.site, request.original.key):
            quantities = [(item.sku, int(item.quantity * 1000)) for item in request.items]
            self._move_all(request.store_id, [(sku, on_hand * each, reserved * each) for sku, each in quantities])
        return Done(ref=call.key)

    def confirm(self, request: StockHeld, call: Any) -> Change:
        return self._each(request, call, "stock_confirm", -1, -1)

    def cancel(self, request: StockHeld, call: Any) -> Change:
        if self.book.entry(request.original.key, "stock_reserve") is None:
            return Done(ref=call.key)
        return self._each(request, call, "stock_cancel", 0, -1)

    def give_back(self, request: StockReturn, call: Any) -> Change:
        return self._each(request, call, "stock_return", 1, 0)

    def move(self, request: StockMove, call: Any) -> Change:
        """Out of one store and into another, in one transaction."""
        for item in request.items:
            quantity = int(item.quantity * 1000)
            account = f"{request.from_store_id}>{request.to_store_id}/{item.sku}"
            if not self.book.write(call, "stock_move", account, quantity, None):
                continue
            if not self._move(request.from_store_id, item.sku, -quantity, 0):
                raise Refusal(DeclineReason.OUT_OF_STOCK)
            set_level(self.book.tx, self.book.merchant, request.to_store_id, item.sku, quantity, add=True)
        return Done(ref=request.transfer_no)


def set_level(tx: Transaction, merchant: str, store_id: str, sku: str, quantity: int, *, add: bool = False) -> None:
    """Write what a store has of a SKU, in thousandths; with ``add`` it is added."""
    tx.execute(
        "INSERT INTO house_stock (merchant, store_id, sku, on_hand) VALUES (:merchant, :store_id, :sku, :quantity)"
        " ON CONFLICT (merchant, store_id, sku) DO UPDATE SET on_hand = house_stock.on_hand * :keep + excluded.on_hand",
        {"keep": int(add), "merchant": merchant, "store_id": store_id, "sku": sku, "quantity": quantity},
    )


def product_document(row: Any) -> dict[str, Any]:
    """An article as it was imported."""
    document: dict[str, Any] = json.loads(row["doc"])
    return document
