"""Goods: what lies where, and holds. A hold is a shipment to the walk-in customer whose goods are *assigned*.

Its reference is the hold's key. Only ``assign_try`` takes goods away from others, so a shipment that a lost request
creates late is a draft that holds nothing. Buttons answer nothing: what came of one is read from the shipment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from gateway.sdk import (
    Answer,
    Call,
    Change,
    Confidence,
    Declined,
    DeclineReason,
    Done,
    InvalidReply,
    Level,
    NotFound,
    NotSupported,
    Query,
    StockHeld,
    StockItem,
    StockReserve,
    StockReturn,
)
from plugins.tryton.client import Far, steadily
from plugins.tryton.ground import Ground, Place
from plugins.tryton.mapping import quantity

OUT, BACK = "stock.shipment.out", "stock.shipment.out.return"
_HELD = frozenset({"assigned", "picked", "packed", "shipped", "done"})
_EMPTY = frozenset({"draft", "waiting"})


class Goods:
    """The stock hooks' work."""

    def __init__(self, far: Far, ground: Ground) -> None:
        self._far = far
        self._ground = ground

    # ---- reading
    def products(self, skus: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Product and unit by SKU; one that is not known is left out."""
        rows = self._far.rows("product.product", [["code", "in", list(skus)]], ["code", "default_uom"])
        return {row["code"]: (row["id"], row["default_uom"]) for row in rows}

    def levels(self, store_id: str, skus: Sequence[str], now: datetime) -> tuple[Level, ...]:
        """What lies in a store; what is assigned to shipments is reserved."""
        place = self._ground.place(store_id)
        domain = [["code", "in", list(skus)]] if skus else [["code", "!=", None], ["template.type", "=", "goods"]]
        on_hand = self._quantities(domain, place)
        free = self._quantities(domain, place, stock_assign=True)
        return tuple(
            Level(
                sku=sku,
                store_id=store_id,
                on_hand=there,
                available=min(free.get(sku, there), there),
                reserved=max(there - free.get(sku, there), Decimal(0)),
                as_of=now,
                confidence=Confidence.EXACT,
                source="tryton",
            )
            for sku, there in sorted(on_hand.items())
        )

    def _quantities(self, domain: list[Any], place: Place, **context: Any) -> dict[str, Any]:
        where = {"locations": [place.storage], "with_childs": True, **context}
        rows = self._far.rows("product.product", domain, ["code", "quantity"], **where)
        return {row["code"]: quantity(row["quantity"]) for row in rows}

    def find(self, model: str, key: str) -> dict[str, Any] | None:
        """The shipment of a key; of several the oldest counts, the others were never assigned."""
        return self._far.row(model, [["reference", "=", key]], ["state", "number", "reference"])

    # ---- changing
    def reserve(self, request: StockReserve, call: Call) -> Change:
        """Create, make wait, assign; what could not be assigned whole is cancelled."""
        if request.slots:
            raise NotSupported("Tryton has no rooms or tables to hold")
        place = self._ground.place(request.store_id)
        known = self.products([item.sku for item in request.items])
        if len(known) < len({item.sku for item in request.items}):
            return Declined(reason=DeclineReason.NOT_FOUND, message="an article is not known there")
        tried = False

        def once() -> Change | None:
            nonlocal tried
            shipment = self.find(OUT, call.key)
            state = shipment["state"] if shipment else None
            if shipment is None:
                goods = self._moves(request.items, known, place.output, self._ground.customer.location)
                self._create(call, OUT, place, "warehouse_output", goods)
            elif state == "draft":
                self._far.press(call, OUT, "wait", shipment["id"])
            elif state == "waiting" and not tried:
                self._far.press(call, OUT, "assign_try", shipment["id"])
                tried = True
            elif state == "waiting":
                self._far.press(call, OUT, "cancel", shipment["id"])
            elif state == "cancelled":
                return Declined(reason=DeclineReason.OUT_OF_STOCK)
            else:
                return self._whole(shipment, request.items, known)
            return None

        return steadily(call, once)

    def _whole(self, shipment: Mapping[str, Any], items: Sequence[StockItem], known: Mapping[str, Any]) -> Done:
        """Read back that what is assigned is what was asked for."""
        moves = self._far.rows(
            "stock.move", [["shipment", "=", f"{OUT},{shipment['id']}"]], ["product", "quantity", "state"]
        )
        held: dict[int, Any] = {}
        for move in moves:
            if move["state"] in ("assigned", "done"):
                held[move["product"]] = held.get(move["product"], 0) + quantity(move["quantity"])
        if any(held.get(known[item.sku][0], 0) < item.quantity for item in items):
            raise InvalidReply(f"shipment {shipment['number']} is assigned and does not hold what was asked for")
        return Done(ref=shipment["number"] or str(shipment["id"]), facts={"id": shipment["id"]})

    def confirm(self, request: StockHeld, call: Call) -> Change:
        """Pick where the warehouse picks, pack, send off."""
        key = request.original.key

        def once() -> Change | None:
            shipment = self.find(OUT, key)
            if shipment is None or shipment["state"] in _EMPTY or shipment["state"] == "cancelled":
                return Declined(reason=DeclineReason.NOT_FOUND, message="nothing is held there under this key")
            if shipment["state"] == "done":
                return Done(ref=shipment["number"] or "")
            self._far.press(call, OUT, self._next(shipment["state"], request.store_id), shipment["id"])
            return None

        return steadily(call, once)

    def _next(self, state: str, store_id: str) -> str:
        place = self._ground.place(store_id)
        first = "pack" if place.storage == place.output else "pick"
        return {"assigned": first, "picked": "pack"}.get(state, "do")

    def cancel(self, request: StockHeld, call: Call) -> Change:
        """Let the assigned goods go. Goods that have left are not taken back this way."""
        key = request.original.key

        def once() -> Change | None:
            shipment = self.find(OUT, key)
            if shipment is None or shipment["state"] == "cancelled":
                return Done()
            if shipment["state"] == "done":
                return Declined(reason=DeclineReason.TOO_LATE, message="the goods have left")
            self._far.press(call, OUT, "cancel", shipment["id"])
            return None

        return steadily(call, once)

    def give_back(self, request: StockReturn, call: Call) -> Change:
        """A return shipment, received and put away."""
        place = self._ground.place(request.store_id)
        known = self.products([item.sku for item in request.items])

        def once() -> Change | None:
            shipment = self.find(BACK, call.key)
            if shipment is None:
                goods = self._moves(request.items, known, self._ground.customer.location, place.input)
                self._create(call, BACK, place, "warehouse_input", goods)
            elif shipment["state"] == "done":
                return Done(ref=shipment["number"] or "")
            elif shipment["state"] == "cancelled":
                return Declined(reason=DeclineReason.CLOSED, message="the return was cancelled by hand")
            else:
                button = "receive" if shipment["state"] == "draft" else "do"
                self._far.press(call, BACK, button, shipment["id"])
            return None

        return steadily(call, once)

    def query(self, query: Query) -> Answer:
        """What a shipment's state says about a change."""
        model = BACK if query.hook == "stock_return" else OUT
        hold = query.key if query.hook in ("stock_reserve", "stock_return") else query.request.original.key
        return _ANSWERS[query.hook](self.find(model, hold))

    def _create(self, call: Call, model: str, place: Place, other: str, moves: list[dict[str, Any]]) -> None:
        customer = self._ground.customer
        address = "delivery_address" if model == OUT else "contact_address"
        values = {
            "reference": call.key,
            "customer": customer.party,
            address: customer.address,
            "warehouse": place.warehouse,
            "warehouse_storage": place.storage,
            other: place.output if model == OUT else place.input,
            "moves": [["create", moves]],
        }
        self._far.change(call, f"{model}.create", [values], ref=call.key)

    def _moves(
        self, items: Sequence[StockItem], known: Mapping[str, tuple[int, int]], start: int, end: int
    ) -> list[dict[str, Any]]:
        return [
            {
                "product": known[item.sku][0],
                "unit": known[item.sku][1],
                "quantity": float(item.quantity),
                "from_location": start,
                "to_location": end,
                "unit_price": Decimal(0),
                "currency": self._ground.currency,
            }
            for item in items
        ]


def _state(shipment: Mapping[str, Any] | None) -> str:
    return str(shipment["state"]) if shipment else ""


def _done(shipment: Mapping[str, Any] | None) -> Done:
    return Done(ref=str((shipment or {}).get("number") or ""), facts={"id": shipment["id"]} if shipment else {})


def _reserved(shipment: Mapping[str, Any] | None) -> Answer:
    if _state(shipment) == "cancelled":
        return Declined(reason=DeclineReason.OUT_OF_STOCK)
    return _done(shipment) if _state(shipment) in _HELD else NotFound()


def _gone(shipment: Mapping[str, Any] | None) -> Answer:
    return _done(shipment) if _state(shipment) == "done" else NotFound()


def _let_go(shipment: Mapping[str, Any] | None) -> Answer:
    return Done() if _state(shipment) in ("", "cancelled") else NotFound()


_ANSWERS: Mapping[str, Callable[[Mapping[str, Any] | None], Answer]] = {
    "stock_reserve": _reserved,
    "stock_confirm": _gone,
    "stock_cancel": _let_go,
    "stock_return": _gone,
}
