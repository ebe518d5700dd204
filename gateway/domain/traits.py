"""What an adapter declares because it cannot be derived; a claim that no test can show counts as false."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Freshness(StrEnum):
    """How soon the legacy system's answers show what has happened."""

    IMMEDIATE = "immediate"
    SECONDS = "seconds"
    NIGHTLY = "nightly"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """Per hook. Times in seconds.

    ``idempotent``: the same key acts once (for ``idempotent_for_s``, ``None`` = for ever). ``tombstone``: closing a
    number that was never seen blocks it. ``max_in_flight_s``: how long a request may still take effect after we gave
    up on it; a query's not-found counts only after that. ``poll_every_s``: how often to ask. ``close_after_s``: when to
    stop waiting for a customer and close. ``reverse_not_before_s``/``reverse_window_s``: when the undo is allowed.
    ``reserve_ttl_s``: how long a hold lives (leave it out if holds end at a clock time); ``extendable``: whether asking
    again prolongs it. ``partial``: part of it can be undone. ``deferred``: the effect is only seen later (a file drop,
    a till that uploads).
    """

    idempotent: bool = False
    idempotent_for_s: int | None = None
    tombstone: bool = False
    max_in_flight_s: float = 60
    poll_every_s: float = 4
    close_after_s: float = 50
    reverse_not_before_s: float = 0
    reverse_window_s: float | None = None
    reserve_ttl_s: float | None = None
    extendable: bool = False
    partial: bool = True
    refund_window_days: int | None = None
    batch_limit: int | None = None
    deferred: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTraits:
    """Per adapter.

    ``exclusive_writer``: nobody but the gateway changes this data. ``max_parallel``: calls at a time on a connection,
    in each process of the gateway; more than 1, also by default, claims that they act side by side.
    ``business_day_ends``: local ``HH:MM`` at which the system's own day ends; from noon on, what comes after it is the
    next date's. ``insecure_transport``: plain text by nature.
    ``hidden``: parts of names of fields in its messages (in any case) whose values are never kept as evidence, beside
    those that never are: a birthday, a session's ticket.
    """

    exclusive_writer: bool = False
    currencies: tuple[str, ...] = ("CNY",)
    encoding: str = "utf-8"
    freshness: Freshness = Freshness.SECONDS
    max_parallel: int = 4
    business_day_ends: str = "00:00"
    insecure_transport: bool = False
    hidden: tuple[str, ...] = ()
