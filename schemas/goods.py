"""Products, stock, time slots, and what is open in the till."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields

from schemas.fields import Amount, Codes, Day, FreeText, Moment, Quantity, Request, Resource, Text, Whole, Word
from schemas.lists import Page, PageQuery


class ProductQuery(PageQuery):
    """A part of the name, or the beginning of the SKU."""

    q = Text()


class Product(Resource):
    """An article of the legacy system's product library, as mirrored at ``as_of``."""

    sku = Text(required=True)
    name = FreeText(1, 64, required=True)
    name_en = fields.String(required=True)
    unit_amount = Amount(required=True)
    member_amount = Amount(required=True, allow_none=True)
    barcodes = fields.List(fields.String(), required=True)
    category = fields.String(required=True)
    brand = fields.String(required=True)
    counter_id = fields.String(required=True)
    unit = fields.String(required=True)
    weighed = fields.Boolean(required=True)
    discountable = fields.Boolean(required=True)
    open_price = fields.Boolean(required=True)
    stocked = fields.Boolean(required=True)
    store_ids = fields.List(fields.String(), required=True)
    as_of = Moment(required=True)


class ProductList(Page):
    """Articles in the order of their SKU."""

    data = fields.List(fields.Nested(Product), required=True)
    currency = Text(3, 3, required=True)


class StockQuery(Request):
    """Which SKUs, in which store (all if none is said)."""

    sku = Codes(100, required=True)
    store_id = Text()


class Level(Resource):
    """What a store has of a SKU. ``available`` is what may be promised: the gateway's own holds are taken off."""

    sku = Text(required=True)
    store_id = Text(required=True)
    on_hand = Text(required=True)
    reserved = Text(required=True)
    safety = Text(required=True)
    in_transit = Text(required=True)
    available = Text(required=True)
    as_of = Moment(required=True)
    confidence = Word("exact", "recent", "stale", required=True)
    source = fields.String(required=True)


class LevelList(Resource):
    """Levels by store and SKU; a SKU that a store's system does not count is left out."""

    data = fields.List(fields.Nested(Level), required=True)


class SlotQuery(Request):
    """Which rooms, tables or seats, over which window (31 days at most)."""

    store_id = Text(required=True)
    resource_class = Text()
    resource_id = Text()
    begins = Moment(data_key="from", attribute="from", required=True)
    ends = Moment(data_key="to", attribute="to", required=True)


class Rate(Resource):
    """A price over part of the window, an hour or for the session."""

    begins = Moment(data_key="from", required=True)
    ends = Moment(data_key="to", required=True)
    rate_amount = Amount(required=True)
    per = Text(required=True)


class Package(Resource):
    """A package sold for the resource."""

    sku = Text(required=True)
    name = FreeText(1, 64, required=True)
    amount = Amount(required=True)
    minutes = Whole(0, 100_000, required=True)


class Slot(Resource):
    """One resource over the window asked for, with its prices."""

    resource_id = Text(required=True)
    resource_class = fields.String(required=True)
    store_id = Text(required=True)
    name = fields.String(required=True)
    capacity = Whole(0, 100_000, required=True)
    state = Word("free", "held", "reserved", "occupied", "cleaning", "locked", "out_of_order", required=True)
    free_from = Moment(required=True, allow_none=True)
    session_id = fields.String(required=True)
    rates = fields.List(fields.Nested(Rate), required=True)
    packages = fields.List(fields.Nested(Package), required=True)
    minimum_spend_amount = Amount(required=True)
    as_of = Moment(required=True)


class SlotList(Resource):
    """Rooms, tables or seats."""

    data = fields.List(fields.Nested(Slot), required=True)
    currency = Text(3, 3, required=True)


class BillQuery(Request):
    """One of: a table's or room's number, slip numbers, bill numbers."""

    store_id = Text(required=True)
    resource = Text()
    slip_no = Codes(50)
    bill_id = Codes(50)

    def across(self, data: dict[str, Any]) -> None:
        """Exactly one way to find them."""
        if len(data.keys() & {"resource", "slip_no", "bill_id"}) != 1:
            raise ValidationError("say one of resource, slip_no and bill_id", "resource")


class BillLine(Resource):
    """A line of an open bill."""

    line_id = Text(required=True)
    sku = Text(required=True)
    name = fields.String(required=True)
    quantity = Quantity(required=True)
    unit_amount = Amount(required=True)
    gross_amount = Amount(required=True)
    category = fields.String(required=True)
    counter_id = fields.String(required=True)
    guide_id = fields.String(required=True)
    discountable = fields.Boolean(required=True)
    component_of = fields.String(required=True)


class Bill(Resource):
    """What is open in the till. ``version`` changes whenever the bill does."""

    bill_id = Text(required=True)
    kind = Word("bill", "slip", "session", required=True)
    store_id = Text(required=True)
    version = Text(required=True)
    session_id = fields.String(required=True)
    resource_id = fields.String(required=True)
    counter_id = fields.String(required=True)
    lines = fields.List(fields.Nested(BillLine), required=True)
    fees = fields.List(fields.Dict(), required=True)
    due_amount = Amount(required=True)
    paid_amount = Amount(required=True)
    deposit_amount = Amount(required=True)
    stock_held = fields.Boolean(required=True)
    opened_at = Moment(required=True, allow_none=True)
    business_date = Day(required=True, allow_none=True)


class BillList(Resource):
    """Open bills; ``version`` is over all of them, for the ``source`` of a quote."""

    data = fields.List(fields.Nested(Bill), required=True)
    version = fields.String(required=True)
    currency = Text(3, 3, required=True)
