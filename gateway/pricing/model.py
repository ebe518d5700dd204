"""The frozen values that the pricing engine works on: what is bought, by whom, under which benefits, and how it is
paid.

Amounts are fen, rates basis points of what is paid, quantities whole thousandths.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

EMPTY: Final[frozenset[str]] = frozenset()
FOR_AN_ARTICLE: Final = ("exchange", "count_pass", "group_buy")  # coupons whose `sku` says what they are for


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a package; the package's money is spread over its parts by list price."""

    sku: str
    list_amount: int
    quantity: int


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the basket. `gross` is fixed at parsing: a label's amount, nothing for a time slot, else price ×
    quantity."""

    line_id: str
    sku: str | None
    quantity: int
    quantity_text: str
    unit_amount: int
    gross: int
    pieces: int  # countable units: whole quantities count, a weighed quantity is one pack
    category: str | None = None
    brand: str | None = None
    counter_id: str | None = None
    guide_id: str | None = None
    member_amount: int | None = None
    discountable: bool = True
    member_price: bool = True
    counts_to_minimum: bool = True
    gift_value_amount: int = 0
    slot: Mapping[str, Any] | None = None
    components: tuple[Component, ...] = ()


@dataclass(frozen=True, slots=True)
class Member:
    """Who buys. `points_available` is None when nobody said how many there are."""

    id: str | None = None
    tier: str | None = None
    tags: frozenset[str] = EMPTY
    first_order: bool = False
    rate_bp: int = 10_000
    points_available: int | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """What a benefit is about; an empty set is everything, and every set that is given narrows."""

    skus: frozenset[str] = EMPTY
    categories: frozenset[str] = EMPTY
    brands: frozenset[str] = EMPTY
    counters: frozenset[str] = EMPTY
    stores: frozenset[str] = EMPTY
    channels: frozenset[str] = EMPTY
    resources: frozenset[str] = EMPTY
    exclude: "Scope | None" = None


@dataclass(frozen=True, slots=True)
class When:
    """When a benefit holds. Minutes are counted from midnight; `end < begin` crosses it."""

    begins: datetime | date | None = None
    ends: datetime | date | None = None
    weekdays: frozenset[int] = frozenset()
    hours: tuple[tuple[int, int], ...] = ()
    periods: frozenset[str] = EMPTY
    member_day: int | None = None


@dataclass(frozen=True, slots=True)
class Gift:
    """An article given with a purchase; `value_amount` is what it is worth altogether."""

    sku: str
    quantity: int
    value_amount: int


@dataclass(frozen=True, slots=True)
class Tier:
    """One step of a benefit: what must be reached, and what is then given (exactly one of the rest)."""

    threshold_amount: int = 0
    threshold_quantity: int = 0
    off_amount: int | None = None
    rate_bp: int | None = None
    price_amount: int | None = None
    gift: Gift | None = None
    voucher_amount: int | None = None
    reward_amount: int | None = None


@dataclass(frozen=True, slots=True)
class Who:
    """Which members a benefit is for."""

    tiers: frozenset[str] = EMPTY
    tags: frozenset[str] = EMPTY
    first_order: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """How often and for how much a benefit may still be used; None is without limit."""

    total: int | None = None
    per_member: int | None = None
    per_day: int | None = None
    budget_amount: int | None = None
    used_total: int = 0
    used_member: int = 0
    used_member_today: int = 0
    used_budget_amount: int = 0


@dataclass(frozen=True, slots=True)
class Benefit:
    """A campaign or a coupon, in one form, so that both go through the same arithmetic.

    `action` is the campaign's kind, or for a coupon the kind that does the same; `definition` is what it was parsed
    from, as canonical JSON: the snapshot and the hash of the inputs.
    """

    id: str
    source: str  # campaign | coupon
    kind: str
    action: str
    tiers: tuple[Tier, ...]
    scope: Scope | None
    when: When | None
    who: Who | None
    limits: Limits | None
    n: int
    cap_amount: int | None
    basis: str
    stage: str
    priority: int
    stack_group: str | None
    exclusive: bool
    exclusive_with: frozenset[str]
    excluded_methods: frozenset[str]
    repeat: bool
    max_times: int | None
    funding: tuple[tuple[str, int], ...]
    on_return: str
    definition: str
    version: int | str | None = None
    template: str | None = None
    sku: str | None = None
    expires: datetime | date | None = None
    available: int | None = None
    no_change: bool = True
    face_amount: int | None = None
    sold_amount: int | None = None
    income_amount: int | None = None
    platform_fee_bp: int = 0


@dataclass(frozen=True, slots=True)
class RateSlot:
    """A price for a part of the day, in fen an hour or for the session; minutes from midnight, `end <= begin` crosses
    it."""

    begin: int
    end: int
    rate_amount: int
    per_session: bool


@dataclass(frozen=True, slots=True)
class Fee:
    """A service charge, a minimum spend, or the time in a room."""

    fee_id: str
    kind: str
    charge_bp: int = 0
    on_gross: bool = False
    scope: Scope | None = None
    amount: int = 0
    line_id: str | None = None
    slots: tuple[RateSlot, ...] = ()
    begins: datetime | None = None
    ends: datetime | None = None
    unit_minutes: int = 1
    package_amount: int | None = None
    package_ends: datetime | None = None
    grace_minutes: int = 0
    block_minutes: int = 0
    block_amount: int = 0


@dataclass(frozen=True, slots=True)
class PointsUse:
    """How points pay and how they are earned."""

    use: int = 0
    points: int = 1
    amount: int = 1
    limit_bp: int = 10_000
    interval: int = 1
    minimum: int = 0
    earn_per_amount: int = 0
    earn_points: int = 0
    earn_rates: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class TenderPlan:
    """A tender as it is meant; `amount` None takes what its kind takes, or the rest."""

    id: str
    method: str
    amount: int | None = None
    code: str | None = None
    count: int = 1
    held_amount: int | None = None
    equal: bool = False


@dataclass(frozen=True, slots=True)
class StoredValue:
    """The three buckets of a stored-value account and the order they are drawn in."""

    real: int = 0
    gift: int = 0
    prepaid: int = 0
    order: str = "percent"


@dataclass(frozen=True, slots=True)
class Contract:
    """What a concession counter and the mall agreed on."""

    counter_id: str
    deduction_bp: int
    guarantee_amount: int = 0
    promotion_share_bp: int | None = None


@dataclass(frozen=True, slots=True)
class Guide:
    """A sales guide's share of the commission."""

    guide_id: str
    role: str | None
    share_bp: int
    commission_bp: int


@dataclass(frozen=True, slots=True)
class Basket:
    """All that a price depends on. `canonical` is the document without its campaigns, `inputs_hash` covers both."""

    currency: str
    store_id: str | None
    channel: str | None
    periods: frozenset[str]
    at: datetime | None
    business_date: date | None
    lines: tuple[Line, ...]
    member: Member | None
    campaigns: tuple[Benefit, ...]
    coupons: tuple[Benefit, ...]
    select: frozenset[str] | None  # None is "auto"
    fees: tuple[Fee, ...]
    rounding: str
    points: PointsUse | None
    tenders: tuple[TenderPlan, ...]
    stored_value: StoredValue | None
    contracts: Mapping[str, Contract]
    guides: tuple[Guide, ...]
    acquirer_fee_bp: int
    canonical: str
    inputs_hash: str
