"""The campaigns in force: those of the merchant's file and those imported, parsed once and looked after.

A process asks the database at most once in ``LOOK_EVERY`` whether anybody's campaigns have changed, so that an import
is in force everywhere within seconds, and a checkout asks for nothing. Where the file and an import name the same
campaign, the file wins.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.engine.seams import Clock, Journal
from gateway.pricing import Benefit, parse_campaigns
from gateway.runtime import Merchant
from gateway.store import campaigns as sql

Json = dict[str, Any]

#: How long what was read of the database is good for, in milliseconds.
LOOK_EVERY = 1_000


@dataclass(frozen=True, slots=True)
class Campaigns:
    """A merchant's campaigns: ready for pricing, as documents, and the ids of those that have limits or a budget."""

    benefits: tuple[Benefit, ...]
    documents: tuple[Json, ...]
    limited: tuple[str, ...]

    @staticmethod
    def read(documents: list[Json]) -> Campaigns:
        """Raises ``PricingErrors`` if one of them is no campaign."""
        benefits = parse_campaigns(documents)
        limited = tuple(benefit.id for benefit in benefits if benefit.limits is not None)
        return Campaigns(benefits, tuple(documents), limited)


#: No campaign at all.
NONE = Campaigns((), (), ())


@dataclass(slots=True)
class _Known:
    """What a process has parsed for one merchant, and of what."""

    pricing: object
    changes: int
    campaigns: Campaigns


@dataclass(slots=True)
class CampaignBook:
    """One a process, shared by all threads."""

    journal: Journal
    clock: Clock
    _known: dict[str, _Known] = field(default_factory=dict)
    _changes: Mapping[str, int] = field(default_factory=dict)
    _looked: int = -LOOK_EVERY
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, merchant: Merchant) -> Campaigns:
        """What is in force now, at most a second old."""
        changes = self._look().get(merchant.id, 0)
        known = self._known.get(merchant.id)
        if known is None or known.pricing is not merchant.pricing or known.changes != changes:
            known = _Known(merchant.pricing, changes, self._read(merchant, changes))
            self._known[merchant.id] = known
        return known.campaigns

    def forget(self) -> None:
        """Look again at the next price."""
        self._looked = -LOOK_EVERY

    def _look(self) -> Mapping[str, int]:
        now = self.clock.now()
        # One thread looks; the others go on with what was known a moment ago. A clock that went back looks again.
        if not 0 <= now - self._looked < LOOK_EVERY and self._lock.acquire(blocking=self._looked < 0):
            try:
                self._changes = self.journal.read(sql.changes)
                self._looked = now
            finally:
                self._lock.release()
        return self._changes

    def _read(self, merchant: Merchant, changes: int) -> Campaigns:
        documents = [dict(item) for item in merchant.pricing.campaigns]
        if changes:
            own = {str(item.get("id")) for item in documents}
            imported = [json.loads(doc) for doc in self.journal.read(lambda tx: sql.active(tx, merchant.id))]
            documents += [doc for doc in imported if doc["id"] not in own]
        return Campaigns.read(documents)
