"""The simulated till's prices: room time by the hour over price slots, and packages. Amounts in fen."""

from __future__ import annotations

from datetime import datetime, timedelta

from plugins.ktv import protocol as p
from plugins.ktv import simulator_seed as seed


def hourly_price(room_class: str, slot: int, when: datetime) -> int:
    """Fen an hour in one of the day's slots; a weekend evening costs more."""
    price = seed.CLASSES[room_class].hourly[slot]
    weekend_evening = slot == len(seed.HOURLY_SLOTS) - 1 and when.isoweekday() >= 5
    return price + (seed.WEEKEND_SURCHARGE if weekend_evening else 0)


def room_fee(room_class: str, plan: str, start: datetime, minutes: int, first_hour: bool = True) -> int:
    """What time in a room costs: a package's price, or the sum over price slots, each rounded half-up once.

    The first hour counts whole; what comes after counts by the minute.
    """
    if plan != "H":
        return next(amount for code, _, amount, _ in packages_on(room_class) if code == plan)
    left = max(minutes, 60) if first_hour else minutes
    total, at = 0, start
    while left > 0:
        minute = at.hour * 60 + at.minute
        slot = next(i for i, (_, end) in enumerate(seed.HOURLY_SLOTS) if minute < end)
        part = min(left, seed.HOURLY_SLOTS[slot][1] - minute)
        total += (hourly_price(room_class, slot, at) * part * 2 + 60) // 120
        at += timedelta(minutes=part)
        left -= part
    return total


def packages_on(room_class: str) -> list[tuple[str, str, int, int]]:
    """Code, name, price and minutes of the packages sold for a class."""
    rows = seed.PACKAGES.items()
    return [(code, name, prices[room_class], minutes) for code, (name, _, minutes, prices) in rows]


def rows_of_prices(room_class: str, when: datetime) -> list[str]:
    """The rows of PL: hourly slots, then packages. Names are cut like everywhere, but these ones fit."""
    rows = []
    for index, (start, end) in enumerate(seed.HOURLY_SLOTS):
        window = f"{start // 60:02d}{start % 60:02d}-{end // 60:02d}{end % 60:02d}"
        rows.append(f"{window}|{p.format_money(hourly_price(room_class, index, when))}|H")
    for code, name, amount, minutes in packages_on(room_class):
        rows.append(f"{code}|{name}|{p.format_money(amount)}|{minutes}")
    return rows
