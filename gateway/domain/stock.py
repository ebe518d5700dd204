"""Records and requests of the stock family: goods by count, and time slots of rooms, tables, seats.

A quantity is a ``Decimal`` with at most three places.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from gateway.domain.common import Original, Site


class Confidence(StrEnum):
    """How far an answer about stock can be trusted."""

    EXACT = "exact"
    RECENT = "recent"
    STALE = "stale"


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelsRequest:
    """Levels of these SKUs (all that the system knows if empty) in this store."""

    store_id: str
    skus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What a store has of one SKU, and how old that answer is. ``available`` is what may be promised."""

    sku: str
    store_id: str
    on_hand: Decimal
    available: Decimal
    as_of: datetime
    reserved: Decimal = Decimal(0)
    safety: Decimal = Decimal(0)
    in_transit: Decimal = Decimal(0)
    confidence: Confidence = Confidence.RECENT
    source: str = ""


class SlotState(StrEnum):
    """State of a room, table or seat."""

    FREE = "free"
    HELD = "held"
    RESERVED = "reserved"
    OCCUPIED = "occupied"
    CLEANING = "cleaning"
    LOCKED = "locked"
    OUT_OF_ORDER = "out_of_order"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsRequest:
    """Resources of a class (all classes if empty) in a store over a window."""

    store_id: str
    start: datetime
    end: datetime
    resource_class: str = ""
    resource_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSlot:
    """A price over part of a day: ``rate_amount`` an hour or for the whole session."""

    start: datetime
    end: datetime
    rate_amount: int
    per: str = "hour"


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotPackage:
    """A package sold for a resource class: ``minutes`` for ``amount``."""

    sku: str
    name: str
    amount: int
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One resource over the window asked for, with its price plan."""

    resource_id: str
    resource_class: str
    store_id: str
    state: SlotState
    as_of: datetime
    name: str = ""
    capacity: int = 0
    free_from: datetime | None = None
    session_id: str = ""
    rates: tuple[RateSlot, ...] = ()
    packages: tuple[SlotPackage, ...] = ()
    minimum_spend_amount: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueRequest:
    """The product library by cursor (``""`` starts)."""

    cursor: str = ""
    limit: int = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One article of the legacy system. ``facts`` keep what only that system knows (settle code, style number)."""

    sku: str
    name: str
    unit_amount: int
    barcodes: tuple[str, ...] = ()
    name_en: str = ""
    category: str = ""
    brand: str = ""
    counter_id: str = ""
    unit: str = ""
    weighed: bool = False
    discountable: bool = True
    member_amount: int | None = None
    open_price: bool = False
    stocked: bool = True
    deleted: bool = False
    store_ids: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StockItem:
    """A quantity of one SKU."""

    sku: str
    quantity: Decimal
    counter_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotHold:
    """A resource over a window. ``resource_id`` is settled before the hold is asked for."""

    resource_id: str
    resource_class: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReserve:
    """Hold goods and slots together, all or nothing. Lines of one SKU are merged and sorted by the caller.

    ``member_ref`` is the customer as the membership system knows him, for a system that books a name and not only a
    time; empty where the checkout names no member. ``order_no`` is the number that the customer can tell at the desk.
    """

    store_id: str
    items: tuple[StockItem, ...]
    slots: tuple[SlotHold, ...]
    order_no: str
    site: Site
    ttl_s: int
    member_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StockHeld:
    """Confirm (goods are sold) or cancel what is held under ``original``."""

    original: Original
    store_id: str
    items: tuple[StockItem, ...]
    slots: tuple[SlotHold, ...]
    site: Site


@dataclass(frozen=True, slots=True, kw_only=True)
class StockReturn:
    """Put sold goods back, or free booked slots; a request never carries both.

    ``original`` is the hold; ``confirmed`` its confirm, for systems that give a sale or a booking a number of its own
    only then.
    """

    original: Original
    store_id: str
    items: tuple[StockItem, ...]
    site: Site
    slots: tuple[SlotHold, ...] = ()
    confirmed: Original | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StockMove:
    """Move goods between stores, by our transfer's number."""

    from_store_id: str
    to_store_id: str
    items: tuple[StockItem, ...]
    transfer_no: str
