"""A merchant as configured: its stores, connections, routes, pricing and policy. Frozen; made by ``config.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from re import Pattern
from typing import Any, Literal
from zoneinfo import ZoneInfo

from gateway.runtime.messages import Messages
from gateway.runtime.payment_codes import DEFAULT_RANGES, CodeRange, channel_of
from gateway.runtime.when_down import CHOICES, Choice
from gateway.sdk.adapter import DEFAULT_TIMEZONE

PricingMode = Literal["gateway", "till", "compare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """A counter of a department store, with its contract: rates in basis points, amounts in minor units."""

    id: str
    name: str
    name_en: str = ""
    deduction_bp: int = 0
    promotion_share_bp: int = 0
    guarantee_amount: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """A shop. ``hours`` are local ``HH:MM-HH:MM`` windows, which may cross midnight; none: always open."""

    id: str
    name: str
    name_en: str = ""
    city: str = ""
    address: str = ""
    latitude: float | None = None
    longitude: float | None = None
    coordinate_system: str = "WGS-84"
    hours: tuple[str, ...] = ()
    tills: tuple[str, ...] = ()
    counters: tuple[Counter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionConfig:
    """One connection: which adapter, its checked settings, and the limits of the guard around it.

    ``max_parallel`` lowers the adapter's own; ``pool`` is how many HTTP connections are kept; times in seconds:
    ``grace_s`` is what an adapter gets after the deadline to come back with an answer of its own, ``breaker_open_s``
    how long nothing is sent to a system taken for down, at first. ``runner`` gives the adapter processes of its own,
    each with so much memory, and so much processor time a call; ``runner_patience_s``: for how long after its deadline
    a change may go on before its process is killed.
    ``problem`` says why the connection cannot be used though its file is right (its plugin did not load).
    """

    name: str
    adapter: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    insecure_transport: bool = False
    max_parallel: int | None = None
    pool: int = 8
    ca_bundle: str = ""
    read_timeout_s: float = 5.0
    query_timeout_s: float = 8.0
    page_timeout_s: float = 30.0
    grace_s: float = 0.5
    breaker_open_s: float = 5.0
    runner: bool = False
    runner_memory_mb: int = 1024
    runner_cpu_s: float = 30.0
    runner_patience_s: float = 0.0
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Which connection serves a family; an absent list matches all, the first route that matches wins."""

    family: str
    connection: str
    methods: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    tenders: tuple[str, ...] = ()
    code_pattern: Pattern[str] | None = None

    def matches(
        self, *, method: str = "", channel: str = "", store_id: str = "", kind: str = "", code: str = ""
    ) -> bool:
        """Whether this route serves the case. What the caller does not know (``""``) rules nothing out."""
        asked = (
            (self.methods, method),
            (self.tenders, method),
            (self.channels, channel),
            (self.stores, store_id),
            (self.kinds, kind),
        )
        if any(allowed and value and value not in allowed for allowed, value in asked):
            return False
        return not (self.code_pattern and code and not self.code_pattern.search(code))


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePricing:
    """What one store does differently from its merchant; ``None``: nothing."""

    mode: PricingMode | None = None
    till_wins: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pricing:
    """Who prices, and the rules: plain values in the pricing document's form, checked by the pricing engine."""

    mode: PricingMode = "gateway"
    till_wins: bool = False
    campaigns: tuple[Mapping[str, Any], ...] = ()
    rounding: str = "none"
    fees: tuple[Mapping[str, Any], ...] = ()
    points: Mapping[str, Any] | None = None
    label_rules: tuple[Mapping[str, Any], ...] = ()
    periods: Mapping[str, Any] = field(default_factory=dict)
    coupon_templates: tuple[Mapping[str, Any], ...] = ()
    stores: Mapping[str, StorePricing] = field(default_factory=dict)

    def mode_of(self, store_id: str) -> PricingMode:
        """Who prices in this store."""
        own = self.stores.get(store_id)
        return (own.mode if own else None) or self.mode

    def till_wins_in(self, store_id: str) -> bool:
        """Whether the till's sum is taken where the two differ in this store."""
        own = self.stores.get(store_id)
        return self.till_wins if own is None or own.till_wins is None else own.till_wins


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What to do when something does not go as planned; times in seconds, amounts in minor units.

    ``inline_wait_s``: how long a reply waits before it is a 202 (``None``: the gateway's own). ``close_after_s``: when
    to stop waiting for a customer (``None``: what the payment hook declares). ``on_redemption_failure``: after the
    money. ``spent_elsewhere``: a coupon that somebody else spent meanwhile. ``return_slots``: which slots of refunded
    lines are free again, unless the platform says. ``when_down`` maps a part of the checkout to what happens while its
    system is down (``when_down.py``).
    """

    reserve_ttl_s: int = 900
    inline_wait_s: float | None = None
    close_after_s: float | None = None
    on_order_post_failure: Literal["task", "refund"] = "task"
    on_redemption_failure: Literal["refund", "await_tender", "task"] = "refund"
    spent_elsewhere: Literal["refund", "honour"] = "refund"
    return_slots: Literal["future", "always", "never"] = "future"
    two_person_above_amount: int | None = None
    when_down: Mapping[str, Choice] = field(default_factory=dict)

    def when(self, part: str) -> Choice:
        """What a part of a checkout does while its system is down."""
        return self.when_down.get(part) or CHOICES[part][0]


#: How many cases of routing a merchant remembers.
_MATCHED_MOST = 1024


@dataclass(frozen=True, kw_only=True)
class Merchant:
    """One merchant, which is one tenant. ``file`` is where it is configured, for messages."""

    id: str
    name: str
    name_en: str = ""
    industry: str = ""
    currency: str = "CNY"
    timezone: ZoneInfo = DEFAULT_TIMEZONE
    business_day_ends: str = "00:00"
    acquirer_fee_bp: int = 0
    stores: Mapping[str, Store] = field(default_factory=dict)
    connections: Mapping[str, ConnectionConfig] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()
    pricing: Pricing = Pricing()
    policy: Policy = Policy()
    messages: Messages = field(default_factory=Messages)
    payment_codes: tuple[CodeRange, ...] = DEFAULT_RANGES
    file: Path = Path()

    def channel_of(self, code: str) -> str | None:
        """The channel of a payment code under this merchant's ranges, or ``None``."""
        return channel_of(code, self.payment_codes)

    @cached_property
    def families(self) -> tuple[str, ...]:
        """The families that some route serves, sorted."""
        return tuple(sorted({route.family for route in self.routes}))

    def matching(
        self, family: str, *, method: str = "", channel: str = "", store_id: str = "", kind: str = "", code: str = ""
    ) -> tuple[str, ...]:
        """The names of the connections whose routes serve the case, in the order of the file, each once."""
        asked = (family, method, channel, store_id, kind, code)
        known = self._matched.get(asked)
        if known is None:
            case = {"method": method, "channel": channel, "store_id": store_id, "kind": kind, "code": code}
            found = (route.connection for route in self.routes if route.family == family and route.matches(**case))
            known = tuple(dict.fromkeys(found))
            if len(self._matched) < _MATCHED_MOST:
                self._matched[asked] = known
        return known

    @cached_property
    def _matched(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        """What has been matched so far; routes never change, a new configuration makes new merchants."""
        return {}
