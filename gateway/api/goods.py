"""Products, stock, time slots, and what is open in the till."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from gateway.api.lists import cursor_of, cursor_position, page
from gateway.api.operation import Ask, operation
from gateway.domain.orders import Bill, BillLine, BillLookup
from gateway.domain.stock import Level, Slot, SlotState
from gateway.engine.lines import bills_version
from gateway.engine.model import Json
from gateway.engine.problems import invalid
from gateway.engine.reading import Reading
from gateway.engine.views import moment
from gateway.runtime import Connection
from gateway.store import holds as holds_sql
from gateway.store import products as products_sql
from schemas.goods import BillList, BillQuery, LevelList, ProductList, ProductQuery, SlotList, SlotQuery, StockQuery

#: How many stores are asked for levels in one request.
STORES_MOST = 50
WINDOW_MOST = timedelta(days=31)

_TEXTS = ("name_en", "category", "brand", "counter_id", "unit")
_FLAGS = {"weighed": False, "discountable": True, "open_price": False, "stocked": True}


@operation("GET", "…/products", query=ProductQuery, returns={200: ProductList}, scopes=("stock:read",))
def list_products(ask: Ask) -> Json:
    """The product library, mirrored from the legacy system at ``as_of``."""
    query, after, limit = ask.query.get("q", ""), cursor_position(ask.query), ask.query["limit"]
    rows = ask.parts.database.read(lambda tx: products_sql.page(tx, ask.merchant_id, query, after, limit + 1))
    found = page([_product(row) for row in rows], limit, lambda item: cursor_of(item["sku"]))
    return {**found, "currency": ask.merchant.currency}


def _product(row: Any) -> Json:
    document = json.loads(row["doc"])
    return {
        "sku": row["sku"],
        "name": document["name"],
        "unit_amount": document["unit_amount"],
        "member_amount": document.get("member_amount"),
        "barcodes": document.get("barcodes", []),
        "store_ids": document.get("store_ids", []),
        **{name: document.get(name, "") for name in _TEXTS},
        **{name: document.get(name, default) for name, default in _FLAGS.items()},
        "as_of": moment(row["as_of"]),
    }


@operation(
    "GET",
    "…/stock",
    query=StockQuery,
    returns={200: LevelList},
    scopes=("stock:read",),
    problems=("adapter-unavailable",),
)
def read_stock(ask: Ask) -> Json:
    """Levels by store, less what the gateway holds itself."""
    store_id = ask.query.get("store_id")
    if store_id is not None:
        ask.need_store(store_id, "?store_id")
    stores = [store_id] if store_id else sorted(name for name in ask.merchant.stores if ask.key.sees_store(name))
    if len(stores) > STORES_MOST:
        raise invalid("?store_id", f"is needed: this merchant has more than {STORES_MOST} stores")
    reading = ask.parts.engine.reading(ask.merchant_id)
    return {"data": [level for store in stores for level in _levels(ask, reading, store)]}


def _levels(ask: Ask, reading: Reading, store_id: str) -> list[Json]:
    connection = reading.stock(store_id)
    if connection is None:
        return []
    found = reading.levels(connection, store_id, ask.query["sku"])
    return [_level(level, _held(ask, connection, level)) for level in found.values()]


def _held(ask: Ask, connection: Connection, level: Level) -> Decimal:
    """What the gateway holds, or has sold since the level was read, where the system itself can hold nothing."""
    if connection.has("stock_reserve"):
        return Decimal(0)
    as_of = int(level.as_of.timestamp() * 1000)
    row = (ask.merchant_id, "stock", level.store_id, level.sku, as_of)
    return Decimal(ask.parts.database.read(lambda tx: holds_sql.taken(tx, *row))) / 1000


def _level(level: Level, held: Decimal) -> Json:
    return {
        "sku": level.sku,
        "store_id": level.store_id,
        "on_hand": _quantity(level.on_hand),
        "reserved": _quantity(level.reserved + held),
        "safety": _quantity(level.safety),
        "in_transit": _quantity(level.in_transit),
        "available": _quantity(max(Decimal(0), level.available - held)),
        "as_of": level.as_of.isoformat(),
        "confidence": level.confidence.value,
        "source": level.source or "",
    }


def _quantity(value: Decimal) -> str:
    text = f"{value:.3f}"
    return text.rstrip("0").rstrip(".")


@operation(
    "GET",
    "…/slots",
    query=SlotQuery,
    returns={200: SlotList},
    scopes=("stock:read",),
    problems=("adapter-unavailable",),
)
def list_slots(ask: Ask) -> Json:
    """Rooms, tables or seats over a window; what the gateway holds itself counts as held."""
    query = ask.query
    ask.need_store(query["store_id"], "?store_id")
    start, end = datetime.fromisoformat(query["from"]), datetime.fromisoformat(query["to"])
    if not start < end <= start + WINDOW_MOST:
        raise invalid("?to", "must be after from, by 31 days at most")
    reading = ask.parts.engine.reading(ask.merchant_id)
    resource, kind = query.get("resource_id", ""), query.get("resource_class", "")
    found = reading.slots(query["store_id"], start, end, resource=resource, kind=kind)
    held = reading.held_slots(query["store_id"], start, end)
    return {"data": [_slot(slot, slot.resource_id in held) for slot in found], "currency": ask.merchant.currency}


def _slot(slot: Slot, held: bool) -> Json:
    state = SlotState.HELD if held and slot.state is SlotState.FREE else slot.state
    return {
        "resource_id": slot.resource_id,
        "resource_class": slot.resource_class,
        "store_id": slot.store_id,
        "name": slot.name,
        "capacity": slot.capacity,
        "state": state.value,
        "free_from": slot.free_from.isoformat() if slot.free_from else None,
        "session_id": slot.session_id,
        "rates": [
            {"from": r.start.isoformat(), "to": r.end.isoformat(), "rate_amount": r.rate_amount, "per": r.per}
            for r in slot.rates
        ],
        "packages": [{"sku": p.sku, "name": p.name, "amount": p.amount, "minutes": p.minutes} for p in slot.packages],
        "minimum_spend_amount": slot.minimum_spend_amount,
        "as_of": slot.as_of.isoformat(),
    }


@operation(
    "GET",
    "…/bills",
    query=BillQuery,
    returns={200: BillList},
    scopes=("checkout:read",),
    problems=("adapter-unavailable",),
)
def list_bills(ask: Ask) -> Json:
    """What is open in the till: a table's or room's bill, a counter's slips."""
    query = ask.query
    ask.need_store(query["store_id"], "?store_id")
    lookup = BillLookup(
        store_id=query["store_id"],
        resource_id=query.get("resource", ""),
        slip_nos=tuple(query.get("slip_no", ())),
        bill_ids=tuple(query.get("bill_id", ())),
    )
    bills, _ = ask.parts.engine.reading(ask.merchant_id).bills(lookup)
    version = bills_version(bills) if bills else ""
    return {"data": [_bill(bill) for bill in bills], "version": version, "currency": ask.merchant.currency}


def _bill(bill: Bill) -> Json:
    return {
        "bill_id": bill.bill_id,
        "kind": bill.kind.value,
        "store_id": bill.store_id,
        "version": bill.version,
        "session_id": bill.session_id,
        "resource_id": bill.resource_id,
        "counter_id": bill.counter_id,
        "lines": [_bill_line(line) for line in bill.lines],
        "fees": [dict(fee) for fee in bill.fees],
        "due_amount": bill.due_amount,
        "paid_amount": bill.paid_amount,
        "deposit_amount": bill.deposit_amount,
        "stock_held": bill.stock_held,
        "opened_at": bill.opened_at.isoformat() if bill.opened_at else None,
        "business_date": bill.business_date.isoformat() if bill.business_date else None,
    }


def _bill_line(line: BillLine) -> Json:
    return {
        "line_id": line.line_id,
        "sku": line.sku,
        "name": line.name,
        "quantity": _quantity(line.quantity),
        "unit_amount": line.unit_amount,
        "gross_amount": line.gross_amount,
        "category": line.category,
        "counter_id": line.counter_id,
        "guide_id": line.guide_id,
        "discountable": line.discountable,
        "component_of": line.component_of,
    }
