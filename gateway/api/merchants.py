"""Merchants and stores, from the configuration in force."""

from __future__ import annotations

from datetime import datetime

from gateway.api.lists import cursor_of, cursor_position, page
from gateway.api.operation import Ask, operation
from gateway.api.places import distance_m, open_at, to_wgs84
from gateway.engine.model import Json
from gateway.engine.problems import Problem
from gateway.runtime.merchant import Merchant as Configured
from gateway.runtime.merchant import Store as ConfiguredStore
from schemas.lists import PageQuery
from schemas.merchants import Merchant, MerchantList, NearbyList, NearbyQuery, Store, StoreList, StoreQuery


@operation("GET", "/v1/merchants", query=PageQuery, returns={200: MerchantList}, scopes=("merchant:read",))
def list_merchants(ask: Ask) -> Json:
    """The merchants that this key may see."""
    after, limit = cursor_position(ask.query), ask.query["limit"]
    visible = sorted(name for name in ask.parts.runtime.merchants if ask.key.sees(name) and name > after)
    found = [_summary(ask.parts.runtime.merchants[name]) for name in visible[: limit + 1]]
    return page(found, limit, lambda item: cursor_of(item["id"]))


@operation("GET", "…", returns={200: Merchant}, scopes=("merchant:read",))
def read_merchant(ask: Ask) -> Json:
    """One merchant, with what its systems can do."""
    connections = ask.parts.runtime.connections(ask.merchant_id)
    capabilities = [
        {
            "connection": connection.name,
            "adapter": connection.adapter_name,
            "families": connection.capabilities.get("families", []),
            "hooks": connection.capabilities["hooks"],
        }
        for connection in connections
    ]
    return {**_summary(ask.merchant), "capabilities": capabilities}


def _summary(merchant: Configured) -> Json:
    return {
        "id": merchant.id,
        "name": merchant.name,
        "name_en": merchant.name_en,
        "industry": merchant.industry,
        "currency": merchant.currency,
        "timezone": merchant.timezone.key,
        "business_day_ends": merchant.business_day_ends,
        "families": list(merchant.families),
    }


@operation("GET", "…/stores", query=StoreQuery, returns={200: StoreList}, scopes=("merchant:read",))
def list_stores(ask: Ask) -> Json:
    """A merchant's stores, in the order of their ids."""
    after, limit, now = cursor_position(ask.query), ask.query["limit"], ask.parts.engine.now()
    stores = ask.merchant.stores
    visible = sorted(name for name in stores if name > after and ask.key.sees_store(name))
    found = [_store(ask.merchant, stores[name], now) for name in visible[: limit + 1]]
    return page(found, limit, lambda item: cursor_of(item["id"]))


@operation("GET", "…/stores/<store_id>", returns={200: Store}, scopes=("merchant:read",))
def read_store(ask: Ask) -> Json:
    """One store: place, hours, counters."""
    store = ask.merchant.stores.get(ask.ids["store_id"])
    if store is None or not ask.key.sees_store(store.id):
        raise Problem("not-found", "no such store")
    return _store(ask.merchant, store, ask.parts.engine.now())


@operation("GET", "/v1/stores/nearby", query=NearbyQuery, returns={200: NearbyList}, scopes=("merchant:read",))
def list_stores_nearby(ask: Ask) -> Json:
    """Stores around a point over all visible merchants, nearest first."""
    query, now = ask.query, ask.parts.engine.now()
    point = to_wgs84(query["latitude"], query["longitude"], query["coordinate_system"])
    found = []
    for merchant, store in _visible(ask):
        place = to_wgs84(store.latitude or 0.0, store.longitude or 0.0, store.coordinate_system)
        if abs(place[0] - point[0]) * 110_000 > query["radius_m"]:
            continue
        distance = distance_m(point, place)
        if distance <= query["radius_m"] and (not query["open_now"] or open_at(merchant, store, now)):
            found.append((distance, merchant, store))
    found.sort(key=lambda item: (item[0], item[1].id, item[2].id))
    data = [
        {**_store(merchant, store, now), "industry": merchant.industry, "distance_m": round(distance)}
        for distance, merchant, store in found[: query["limit"]]
    ]
    return {"data": data}


def _visible(ask: Ask) -> list[tuple[Configured, ConfiguredStore]]:
    """The stores with a place that the key may see, of the industry asked for."""
    industry = ask.query.get("industry")
    return [
        (merchant, store)
        for merchant in ask.parts.runtime.merchants.values()
        if ask.key.sees(merchant.id) and industry in (None, merchant.industry)
        for store in merchant.stores.values()
        if store.latitude is not None and ask.key.sees_store(store.id)
    ]


def _store(merchant: Configured, store: ConfiguredStore, now: datetime) -> Json:
    return {
        "id": store.id,
        "merchant": merchant.id,
        "name": store.name,
        "name_en": store.name_en,
        "city": store.city,
        "address": store.address,
        "latitude": store.latitude,
        "longitude": store.longitude,
        "coordinate_system": store.coordinate_system,
        "hours": list(store.hours),
        "open_now": open_at(merchant, store, now),
        "counters": [{"id": c.id, "name": c.name, "name_en": c.name_en} for c in store.counters],
    }
