"""What does not change while the gateway runs: places, the walk-in customer, the currency. Read once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.sdk import Misconfigured
from plugins.tryton.client import Far
from plugins.tryton.mapping import GROSS_PRICE, PRODUCT

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A store's warehouse by its ids: where goods come in, lie and go out."""

    store_id: str
    warehouse: int
    storage: int
    output: int
    input: int


@dataclass(frozen=True, slots=True)
class Customer:
    """The party that buys over the counter."""

    party: int
    address: int
    location: int


class Ground:
    """The fixed records of a database, each looked up the first time it is needed."""

    def __init__(self, far: Far, settings: Mapping[str, Any], currency: str) -> None:
        self._far = far
        self._settings = settings
        self._code = currency
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}

    def place(self, store_id: str) -> Place:
        """The store's warehouse. Raises ``Misconfigured``."""
        code = self._settings["stores"].get(store_id)
        if code is None:
            raise Misconfigured(f"store {store_id!r} has no entry under 'stores'")
        return self._once(f"place {store_id}", lambda: self._place(store_id, code))

    def store_of(self, warehouse: int | None) -> str:
        """The store that a warehouse is, or the empty text."""
        places = (self.place(store_id) for store_id in self._settings["stores"])
        return next((place.store_id for place in places if place.warehouse == warehouse), "")

    def forget(self) -> None:
        """Have everything looked up anew."""
        with self._lock:
            self._known.clear()

    @property
    def customer(self) -> Customer:
        """The walk-in customer."""
        return self._once("customer", self._customer)

    @property
    def currency(self) -> int:
        """The id of the merchant's currency."""
        return self._once("currency", self._currency)

    @property
    def gift_card(self) -> int:
        """The id of the product that gift cards are issued as."""
        code = self._settings["gift_card_product"]
        return self._once("gift card", lambda: self._product(code))

    @property
    def product_fields(self) -> tuple[str, ...]:
        """What an article is read with: a field of a module that is not installed would fail the whole read."""
        return self._once("product fields", self._product_fields)

    def _product_fields(self) -> tuple[str, ...]:
        known = self._far.ask("product.product.fields_get")
        return (*PRODUCT, GROSS_PRICE) if isinstance(known, dict) and GROSS_PRICE in known else PRODUCT

    def _once(self, name: str, read: Callable[[], T]) -> T:
        with self._lock:
            if name not in self._known:
                self._known[name] = read()
            found: T = self._known[name]
            return found

    def _place(self, store_id: str, code: str) -> Place:
        names = ["storage_location", "output_location", "input_location", "picking_location"]
        row = self._far.row("stock.location", [["code", "=", code], ["type", "=", "warehouse"]], names)
        if row is None:
            raise Misconfigured(f"stores.{store_id}: there is no warehouse with the code {code!r}")
        storage = row["picking_location"] or row["storage_location"]
        return Place(store_id, row["id"], storage, row["output_location"], row["input_location"])

    def _customer(self) -> Customer:
        code = self._settings["walk_in"]
        row = self._far.row("party.party", [["code", "=", code]], ["addresses", "customer_location"])
        if row is None or not row["addresses"] or not row["customer_location"]:
            raise Misconfigured(f"walk_in: no party with the code {code!r} that has an address and a customer location")
        return Customer(row["id"], row["addresses"][0], row["customer_location"])

    def _currency(self) -> int:
        row = self._far.row("currency.currency", [["code", "=", self._code]], ["code"])
        if row is None:
            raise Misconfigured(f"the database has no currency {self._code}")
        return int(row["id"])

    def _product(self, code: str) -> int:
        row = self._far.row("product.product", [["code", "=", code], ["gift_card", "=", True]], ["code"])
        if row is None:
            raise Misconfigured(f"gift_card_product: no gift card product with the code {code!r}")
        return int(row["id"])
