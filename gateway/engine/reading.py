"""What a price needs from far systems: members, coupons, bills, slots, levels, products. Reading changes nothing.

A system that does not answer is ``adapter-unavailable``: nothing that matters was sent, the call may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from gateway.domain.common import Secret
from gateway.domain.coupons import Coupon, CouponList, CouponLookup
from gateway.domain.errors import AdapterError, Misconfigured
from gateway.domain.membership import Identity, IdentityType, Member, MemberLookup
from gateway.domain.orders import Bill, BillLookup
from gateway.domain.stock import Level, LevelsRequest, Slot, SlotsRequest
from gateway.engine.problems import Problem, invalid
from gateway.engine.seams import Journal
from gateway.runtime import Connection, Runtime
from gateway.store import holds as holds_sql
from gateway.store import products as products_sql
from gateway.store.encoding import load

T = TypeVar("T")


class Reading:
    """Reads for one merchant."""

    def __init__(self, runtime: Runtime, journal: Journal, merchant_id: str) -> None:
        self.runtime, self.journal, self.merchant_id = runtime, journal, merchant_id

    def _ask(self, connection: Connection, fn: Callable[[], T]) -> T:
        try:
            return fn()
        except Misconfigured as error:
            raise Problem("adapter-unavailable", f"{connection.name}: {error}", retry_after=60) from None
        except AdapterError:
            detail = f"{connection.name} ({connection.adapter_name}) does not answer; nothing was sent"
            raise Problem("adapter-unavailable", detail, retry_after=5) from None

    def member(self, identity: dict[str, str], store_id: str) -> tuple[Member, Connection] | None:
        """The member with this identity and the connection that knows it; ``None`` if nobody does."""
        request = MemberLookup(
            identity=Identity(type=IdentityType(identity["type"]), value=Secret(identity["value"])), store_id=store_id
        )
        routes = self.runtime.routes(self.merchant_id, "membership", store_id=store_id)
        return self._first(routes, "member_find", lambda connection: connection.find_member(request))

    def coupon(self, code: str, store_id: str) -> tuple[Coupon, Connection] | None:
        """The coupon with this code and the connection that knows it."""
        request = CouponLookup(code=code, store_id=store_id)
        routes = self.runtime.routes(self.merchant_id, "coupons", store_id=store_id, code=code)
        return self._first(routes, "coupon_find", lambda connection: connection.find_coupon(request))

    def _first(
        self, connections: Iterable[Connection], hook: str, ask: Callable[[Connection], T | None]
    ) -> tuple[T, Connection] | None:
        """The first that knows it. One that does not answer holds up no other, but "nobody knows" is not said then."""
        trouble: Problem | None = None
        for connection in connections:
            if not connection.has(hook):
                continue
            try:
                found = self._ask(connection, partial(ask, connection))
            except Problem as problem:
                trouble = trouble or problem
                continue
            if found is not None:
                return found, connection
        if trouble is not None:
            raise trouble
        return None

    def coupons_of(
        self, member_ref: str, store_id: str, missing: list[Connection] | None = None
    ) -> list[tuple[Coupon, Connection]]:
        """A member's usable coupons over all connections; those that do not answer go into ``missing``, if given."""
        found: list[tuple[Coupon, Connection]] = []
        request = CouponList(member_ref=member_ref, store_id=store_id)
        for connection in self.runtime.routes(self.merchant_id, "coupons", store_id=store_id):
            if not connection.has("coupon_list"):
                continue
            try:
                listed = self._ask(connection, partial(connection.list_coupons, request))
            except Problem:
                if missing is None:
                    raise
                missing.append(connection)
                continue
            found.extend((coupon, connection) for coupon in listed)
        return found

    def bills(self, lookup: BillLookup) -> tuple[tuple[Bill, ...], Connection]:
        """What is open in the till. Raises ``not-found`` where the merchant's till cannot be asked."""
        connection = self.orders(lookup.store_id)
        if connection is None or not connection.has("bill_find"):
            raise Problem("not-found", "this store's till has no open bills to look at")
        return self._ask(connection, lambda: connection.bills(lookup)), connection

    def orders(self, store_id: str) -> Connection | None:
        """The till of a store."""
        return self.runtime.route(self.merchant_id, "orders", store_id=store_id)

    def stock(self, store_id: str) -> Connection | None:
        """The system that knows a store's stock."""
        return self.runtime.route(self.merchant_id, "stock", store_id=store_id)

    def levels(self, connection: Connection, store_id: str, skus: Sequence[str]) -> dict[str, Level]:
        """Levels by SKU; a SKU that the system does not count is left out."""
        if not connection.has("stock_levels"):
            return {}
        request = LevelsRequest(store_id=store_id, skus=tuple(skus))
        return {level.sku: level for level in self._ask(connection, lambda: connection.levels(request))}

    def slots(self, store_id: str, start: datetime, end: datetime, *, resource: str = "", kind: str = "") -> list[Slot]:
        """Rooms, tables or seats over a window. Raises ``not-found`` where a store has none."""
        connection = self.stock(store_id)
        if connection is None or not connection.has("stock_slots"):
            raise Problem("not-found", "this store has no time slots")
        request = SlotsRequest(store_id=store_id, start=start, end=end, resource_class=kind, resource_id=resource)
        return list(self._ask(connection, lambda: connection.slots(request)))

    def held_slots(self, store_id: str, start: datetime, end: datetime) -> set[str]:
        """The resources that the gateway itself holds over some part of a window."""
        starts, ends = int(start.timestamp() * 1000), int(end.timestamp() * 1000)
        return self.journal.read(lambda tx: holds_sql.slots_taken(tx, self.merchant_id, store_id, starts, ends))

    def products(self, skus: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Articles of the mirrored product library, by SKU or bar code as it was asked for."""
        rows = self.journal.read(lambda tx: products_sql.find(tx, self.merchant_id, skus))
        return {asked: load(doc) for asked, doc in rows.items()}


def coupon_document(coupon: Coupon) -> dict[str, Any]:
    """A coupon as the pricing document has it."""
    document: dict[str, Any] = {"code": coupon.code, "kind": coupon.kind.value, **coupon.terms}
    if coupon.template:
        document["template"] = coupon.template
    counts = coupon.counts
    document["counts"] = {
        "initial": counts.initial,
        "available": counts.available,
        "held": counts.held,
        "used": counts.used,
    }
    if coupon.expires_at is not None:
        document["expires_at"] = coupon.expires_at.isoformat()
    return document


def required_member(found: tuple[Member, Connection] | None) -> tuple[Member, Connection]:
    """The member, or the field that is wrong."""
    if found is None:
        raise invalid("/member/value", "nobody is known by this")
    return found
