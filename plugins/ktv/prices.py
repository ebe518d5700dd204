"""The price lists of the room classes, kept for some minutes: each costs the till a command of up to four seconds."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from datetime import date, datetime, timedelta

from gateway.sdk import RateSlot, SlotPackage
from plugins.ktv import mapping, replies
from plugins.ktv import protocol as p
from plugins.ktv.client import Burst

PriceList = tuple[list[replies.PriceSlot], list[replies.Package]]
#: Days of one window whose prices are asked for.
DAYS_MOST = 3


class Prices:
    """PL by class and day; thread-safe."""

    def __init__(self, keep_s: float, deals: Mapping[str, str]) -> None:
        self._keep = keep_s
        self._deals = deals
        self._lists: dict[tuple[str, date], tuple[float, PriceList]] = {}
        self._lock = threading.Lock()

    def over(
        self, burst: Burst, room_class: str, start: datetime, end: datetime
    ) -> tuple[tuple[RateSlot, ...], tuple[SlotPackage, ...]]:
        """The hourly prices that touch a window, and the packages of its first day."""
        first, last = start.astimezone(p.LOCAL).date(), end.astimezone(p.LOCAL).date()
        days = [first + timedelta(days=i) for i in range(min((last - first).days + 1, DAYS_MOST))]
        lists = [self._list(burst, room_class, day) for day in days]
        rates = [
            rate
            for (slots, _), day in zip(lists, days, strict=True)
            for rate in mapping.to_rates(slots, day, start, end)
        ]
        packages = lists[0][1] if lists else []
        return tuple(rates), mapping.to_packages(packages, self._deals)

    def _list(self, burst: Burst, room_class: str, day: date) -> PriceList:
        now = time.monotonic()
        with self._lock:
            known = self._lists.get((room_class, day))
            if known and now - known[0] < self._keep:
                return known[1]
        found = burst.look("PL", room_class, f"{day:%y-%m-%d}", read=replies.read_prices)
        with self._lock:
            self._lists = {key: kept for key, kept in self._lists.items() if now - kept[0] < self._keep}
            self._lists[room_class, day] = now, found
        return found
