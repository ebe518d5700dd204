"""Goods of the house: one row a store and SKU, moved by guarded updates. Quantities in thousandths."""

from __future__ import annotations

import json
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
from plugins.house.ledger import Book
from plugins.house.members import Refusal


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


class Goods:
    """Stock of one merchant within one transaction."""

    def __init__(self, book: Book) -> None:
        self.book = book

    def _move(self, store_id: str, sku: str, on_hand: int, reserved: int) -> bool:
        sql = (
            "UPDATE house_stock SET on_hand = on_hand + :on_hand, reserved = reserved + :reserved, updated = :now"
            " WHERE merchant = :merchant AND store_id = :store_id AND sku = :sku"
            " AND reserved + :reserved >= 0 AND reserved + :reserved <= on_hand + :on_hand"
        )
        row = {"on_hand": on_hand, "reserved": reserved, "now": self.book.now, "sku": sku, "store_id": store_id}
        return self.book.tx.execute(sql, {**row, "merchant": self.book.merchant}) == 1

    def reserve(self, request: StockReserve, call: Any) -> Change:
        """All or nothing; a SKU that the house does not count is not limited."""
        taken: list[tuple[str, int]] = []
        for item in request.items:
            quantity = int(item.quantity * 1000)
            account = f"{request.store_id}/{item.sku}/{item.counter_id}"
            if not self.book.write(call, "stock_reserve", account, quantity, request.site):
                return Done(ref=call.key, replayed=True)
            if self._move(request.store_id, item.sku, 0, quantity):
                taken.append((item.sku, quantity))
            elif self._counted(request.store_id, item.sku):
                for sku, held in taken:
                    self._move(request.store_id, sku, 0, -held)
                raise Refusal(DeclineReason.OUT_OF_STOCK)
        return Done(ref=call.key)

    def _counted(self, store_id: str, sku: str) -> bool:
        return _row(self.book.tx, self.book.merchant, store_id, sku) is not None

    def _each(self, request: StockHeld | StockReturn, call: Any, hook: str, on_hand: int, reserved: int) -> Change:
        for item in request.items:
            quantity = int(item.quantity * 1000)
            account = f"{request.store_id}/{item.sku}/{item.counter_id}"
            if self.book.write(call, hook, account, quantity, request.site, request.original.key):
                self._move(request.store_id, item.sku, on_hand * quantity, reserved * quantity)
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
