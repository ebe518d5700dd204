"""Distances and opening hours. China's maps shift coordinates: GCJ-02 is up to 700 m from WGS-84, BD-09 more."""

from __future__ import annotations

import math
from datetime import datetime

from gateway.runtime.merchant import Merchant, Store

EARTH_M = 6_371_008.8
#: The ellipsoid (Krassowski 1940) behind GCJ-02.
_AXIS, _ECCENTRICITY = 6_378_245.0, 0.006_693_421_622_965_943
_BD = math.pi * 3000 / 180

Point = tuple[float, float]


def distance_m(one: Point, other: Point) -> float:
    """Metres along the great circle between two points (latitude, longitude) of one coordinate system."""
    lat1, lat2 = math.radians(one[0]), math.radians(other[0])
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin(math.radians(other[1] - one[1]) / 2) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(half)))


def to_wgs84(latitude: float, longitude: float, system: str) -> Point:
    """A point in WGS-84, to a few metres."""
    if system == "BD-09":
        latitude, longitude = _bd09_to_gcj02(latitude, longitude)
    if system == "WGS-84" or not _shifted(latitude, longitude):
        return latitude, longitude
    north, east = _shift(latitude, longitude)
    return latitude - north, longitude - east


def _shifted(latitude: float, longitude: float) -> bool:
    return 0.8293 < latitude < 55.8271 and 72.004 < longitude < 137.8347


def _bd09_to_gcj02(latitude: float, longitude: float) -> Point:
    x, y = longitude - 0.0065, latitude - 0.006
    radius = math.hypot(x, y) - 0.00002 * math.sin(y * _BD)
    angle = math.atan2(y, x) - 0.000003 * math.cos(x * _BD)
    return radius * math.sin(angle), radius * math.cos(angle)


def _shift(latitude: float, longitude: float) -> Point:
    """How far GCJ-02 lies north and east of WGS-84 at a point, in degrees: the published formula."""
    x, y = longitude - 105.0, latitude - 35.0
    common = (20 * math.sin(6 * x * math.pi) + 20 * math.sin(2 * x * math.pi)) * 2 / 3
    north = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * math.sqrt(abs(x)) + common
    north += (20 * math.sin(y * math.pi) + 40 * math.sin(y / 3 * math.pi)) * 2 / 3
    north += (160 * math.sin(y / 12 * math.pi) + 320 * math.sin(y * math.pi / 30)) * 2 / 3
    east = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * math.sqrt(abs(x)) + common
    east += (20 * math.sin(x * math.pi) + 40 * math.sin(x / 3 * math.pi)) * 2 / 3
    east += (150 * math.sin(x / 12 * math.pi) + 300 * math.sin(x / 30 * math.pi)) * 2 / 3
    radians = math.radians(latitude)
    magic = 1 - _ECCENTRICITY * math.sin(radians) ** 2
    north_m = _AXIS * (1 - _ECCENTRICITY) / (magic * math.sqrt(magic))
    east_m = _AXIS / math.sqrt(magic) * math.cos(radians)
    return math.degrees(north / north_m), math.degrees(east / east_m)


def open_at(merchant: Merchant, store: Store, at: datetime) -> bool:
    """Whether a store is open at a moment."""
    if not store.hours:
        return True
    local = at.astimezone(merchant.timezone).strftime("%H:%M")
    return any(_within(local, *hours.split("-")) for hours in store.hours)


def _within(local: str, start: str, end: str) -> bool:
    if start < end:
        return start <= local < end
    return local >= start or local < end
