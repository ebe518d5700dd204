"""What every request is built from: the site, the tenders, the change that it confirms or undoes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from gateway.domain.common import Original, Site
from gateway.engine.model import Json, Leg, Op, Phase, Saga
from gateway.engine.seams import Secrets


class SecretGone(Exception):
    """The payment code was held in memory by a worker that is gone; it is never stored."""


@lru_cache(1024)
def moment(milliseconds: int) -> datetime:
    """A time of the journal as a datetime."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def site_from(data: Json) -> Site:
    """A site as it is kept in a record."""
    return _site(tuple(data.items()))


@lru_cache(1024)
def _site(items: tuple[tuple[str, str], ...]) -> Site:
    """One record for all requests of a till on one day."""
    data: dict[str, Any] = dict(items)
    return Site(**{**data, "business_date": date.fromisoformat(data["business_date"])})


def site_of(saga: Saga) -> Site:
    return site_from(saga.doc["site"])


def tenders_of(saga: Saga) -> list[Json]:
    """The tenders that stand: those asked for, those added, less those declined."""
    declined = set(saga.progress.get("declined", ()))
    tenders = [*saga.doc.get("tenders", ()), *saga.progress.get("tenders", ())]
    return [tender for tender in tenders if not tender["leg"] or tender["leg"] not in declined]


class Parts:
    """What the builders of all families share: the saga, the leg, what came before."""

    def __init__(self, saga: Saga, leg: Leg, ops: Sequence[Op], secrets: Secrets | None, now: int) -> None:
        self.saga, self.leg, self.ops, self.secrets, self.now = saga, leg, ops, secrets, now
        self.params, self.site = leg.params, site_of(saga)
        self.currency = saga.doc["currency"]

    # --- what came before --------------------------------------------------------------------------------------------

    def original(self, *phases: Phase) -> Original:
        """The change that this one confirms or undoes: of an earlier saga if the plan says so, else of this leg."""
        given = self.params.get("original") or (self.params.get("after_sale") and self.saga.progress.get("booked"))
        if given:
            return self.given(given)
        for phase in phases or (Phase.HOLD, Phase.SETTLE, Phase.PAY, Phase.POST):
            hook = self.leg.hook(phase)
            op = next((op for op in self.ops if op.leg == self.leg.name and op.hook == hook), None)
            if op is not None:
                return self.as_original(op)
        raise LookupError(f"{self.leg.name}: nothing to refer to")

    @staticmethod
    def as_original(op: Op) -> Original:
        """A change of this saga, as another one refers to it."""
        return Original(key=op.key, ref=op.ref, facts=op.facts, at=moment(op.first_sent))

    @staticmethod
    def given(data: Json) -> Original:
        """A change of an earlier saga, as the plan has it."""
        at = moment(data["at"]) if data.get("at") else None
        return Original(key=data["key"], ref=data["ref"], facts=data["facts"], at=at)

    def ttl_s(self) -> int:
        """How long a hold must live: until the checkout expires and its payments are closed."""
        return max(1, (self.saga.expires_at - self.now) // 1000) + int(self.saga.doc.get("hold_margin_s", 120))
