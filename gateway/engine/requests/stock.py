"""Requests of stock and slots."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from gateway.domain import stock
from gateway.domain.common import Original
from gateway.engine.model import OpState
from gateway.engine.requests.parts import Parts


class Stock(Parts):
    """Builders, one a hook or for hooks of one shape."""

    def _items(self) -> tuple[stock.StockItem, ...]:
        return tuple(
            stock.StockItem(sku=item["sku"], quantity=Decimal(item["quantity"]), counter_id=item.get("counter_id", ""))
            for item in self.params.get("items", ())
        )

    def _slots(self) -> tuple[stock.SlotHold, ...]:
        return tuple(
            stock.SlotHold(
                resource_id=slot["resource_id"],
                resource_class=slot.get("resource_class", ""),
                start=datetime.fromisoformat(slot["from"]),
                end=datetime.fromisoformat(slot["to"]),
            )
            for slot in self.params.get("slots", ())
        )

    def stock_reserve(self) -> stock.StockReserve:
        return stock.StockReserve(
            store_id=self.saga.store_id,
            items=self._items(),
            slots=self._slots(),
            order_no=self.saga.number,
            site=self.site,
            ttl_s=self.ttl_s(),
            member_ref=(self.saga.doc.get("member") or {}).get("ref", ""),
        )

    def stock_held(self) -> stock.StockHeld:
        return stock.StockHeld(
            original=self.original(),
            store_id=self.saga.store_id,
            items=self._items(),
            slots=self._slots(),
            site=self.site,
        )

    def stock_return(self) -> stock.StockReturn:
        return stock.StockReturn(
            original=self.original(),
            store_id=self.saga.store_id,
            items=self._items(),
            site=self.site,
            slots=self._slots(),
            confirmed=self._confirmed(),
        )

    def _confirmed(self) -> Original | None:
        """The confirm of the hold that is given back: of the sale that a refund names, else of this leg."""
        if (given := self.params.get("confirmed")) is not None:
            return self.given(given)
        done = (op for op in self.ops if (op.leg, op.hook, op.state) == (self.leg.name, "stock_confirm", OpState.OK))
        return next((self.as_original(op) for op in done), None)
