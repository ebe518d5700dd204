"""Places and goods: quotas are levels, showings are slots, products on dates are the library."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from gateway.sdk import (
    Answer,
    Call,
    CatalogueRequest,
    Change,
    Context,
    DeclineReason,
    Done,
    Level,
    LevelsRequest,
    NotFound,
    NotSupported,
    Page,
    Product,
    Query,
    Slot,
    SlotsRequest,
    StockHeld,
    StockItem,
    StockReserve,
)
from plugins.pretix import holding, mapping
from plugins.pretix import protocol as p
from plugins.pretix import records as r
from plugins.pretix.client import Talk


class Stock:
    """The stock of one event."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.settings["store_id"]

    # -------------------------------------------------------------- looking

    def levels(self, talk: Talk, request: LevelsRequest) -> tuple[Level, ...]:
        now, quotas = self._context.clock(), self._quotas(talk)
        wanted = [sku for text in request.skus if (sku := mapping.parse_sku(text)) is not None]
        if not request.skus:
            wanted = mapping.skus_of(quotas, self._items(talk))
        found = (mapping.level_of(sku, quotas, self._store, now) for sku in wanted)
        return tuple(level for level in found if level is not None)

    def slots(self, talk: Talk, request: SlotsRequest) -> tuple[Slot, ...]:
        if request.resource_class not in ("", "showing"):
            return ()
        now, quotas, items = self._context.clock(), self._quotas(talk), self._items(talk)
        return tuple(
            mapping.slot_of(showing, quotas, _prices(showing, quotas, items), self._store, now)
            for showing in talk.rows("subevents/", r.read_showing)
            if showing.start < request.end and (showing.end or showing.start) >= request.start
            and request.resource_id in ("", str(showing.id))
        )  # fmt: skip

    def catalogue(self, talk: Talk, request: CatalogueRequest) -> Page[Product]:
        """Products by dates; ``cursor`` is how many were given before. The product for redemptions is left out."""
        items = self._items(talk)
        items.pop(self._context.settings["redemption_item"] or 0, None)
        showings = {each.id: each for each in talk.rows("subevents/", r.read_showing)} if items else {}
        skus = mapping.skus_of(self._quotas(talk), items)
        begin = int(request.cursor) if request.cursor.isdecimal() else 0
        part = skus[begin : begin + request.limit]
        found = tuple(mapping.product_of(sku, items[sku.item], showings.get(sku.subevent or 0)) for sku in part)
        end = begin + request.limit
        return Page(items=found, next_cursor=str(end) if end < len(skus) else None)

    def _quotas(self, talk: Talk) -> list[r.Quota]:
        return list(talk.rows("quotas/", r.read_quota, with_availability="true"))

    def _items(self, talk: Talk) -> dict[int, r.Item]:
        return {item.id: item for item in talk.rows("items/", r.read_item)}

    # -------------------------------------------------------------- holding

    def reserve(self, talk: Talk, request: StockReserve, call: Call) -> Change:
        if request.slots:
            raise NotSupported("a showing is sold by tickets (goods), not as a slot of its own")
        now = self._context.clock()
        expires = now + timedelta(seconds=request.ttl_s + self._context.settings["grace_s"])
        wanted = self._positions(request.items, call.key, expires)
        return holding.reserve(talk, call.key, wanted, call, now, DeclineReason.OUT_OF_STOCK)

    def confirm(self, talk: Talk, request: StockHeld, call: Call) -> Change:
        """See that the hold is still there: it becomes a sale with the order. One that has expired is taken anew."""
        key, now = request.original.key, self._context.clock()
        expires = now + timedelta(seconds=self._context.settings["grace_s"])
        wanted = self._positions(request.items, key, expires)
        held = holding.find(talk, key, request.original.at)
        if holding.complete(held, wanted, now):
            return Done(ref=p.cart_id(key))
        holding.let_go(talk, held, call)
        return holding.reserve(talk, key, wanted, call, now, DeclineReason.OUT_OF_STOCK)

    def cancel(self, talk: Talk, request: StockHeld, call: Call) -> Change:
        return holding.cancel(talk, request.original.key, request.original.at, call)

    def query(self, talk: Talk, request: Query) -> Answer:
        """What a hold is now; for a confirm as well, which only looks at it."""
        now, asked = self._context.clock(), request.request
        key = request.key if request.hook == "stock_reserve" else asked.original.key
        since = request.sent_at if request.hook == "stock_reserve" else asked.original.at
        held = holding.find(talk, key, since)
        if request.hook == "stock_cancel":
            return NotFound() if held else Done(ref=p.cart_id(key), replayed=True)
        wanted = self._positions(asked.items, key, now)
        return Done(ref=p.cart_id(key), replayed=True) if holding.complete(held, wanted, now) else NotFound()

    def _positions(self, items: Sequence[StockItem], key: str, expires: datetime) -> list[dict[str, Any]]:
        rows = []
        for item in items:
            sku = mapping.sku_or_refuse(item.sku)
            row = {"item": sku.item, "variation": sku.variation, "subevent": sku.subevent, "price": "0.00"}
            row |= {"cart_id": p.cart_id(key), "expires": expires.isoformat()}
            rows += [row] * mapping.whole(item.quantity)
        return rows


def _prices(showing: r.Showing, quotas: Sequence[r.Quota], items: dict[int, r.Item]) -> list[int]:
    numbers = {item for quota in quotas if quota.subevent == showing.id and quota.size for item in quota.items}
    return sorted(
        showing.prices.get(number, variant.price)
        for number in numbers if number in items for variant in items[number].variants
    )  # fmt: skip
