"""Campaign and coupon definitions: from JSON-like mappings to frozen `Benefit`s, each fault named with its path."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.domain.money import FULL_RATE_BP, MAX_AMOUNT, QUANTITY_SCALE
from gateway.pricing.model import EMPTY, Benefit, Gift, Limits, Scope, Tier, When, Who
from gateway.pricing.reader import Notes, Reader, clock_minutes

CAMPAIGN_KINDS: Final = (
    "member_rate",
    "amount_off",
    "every_amount_off",
    "percent_off",
    "nth_unit",
    "buy_n_cheapest",
    "fixed_price",
    "gift",
    "add_on",
    "rebate_voucher",
    "reward",
)
COUPON_KINDS: Final = ("cash", "percent", "exchange", "gift", "count_pass", "group_buy")
BASES: Final = ("gross", "after_item", "after_member", "after_campaign")
STAGES: Final = ("item", "member", "order")
POLICIES: Final = ("prorata", "recompute")
COUPON_ACTIONS: Final = {"cash": "amount_off", "group_buy": "amount_off", "percent": "percent_off"}
TIER_VALUES: Final = ("off_amount", "rate_bp", "price_amount", "gift", "voucher_amount", "reward_amount")
KIND_VALUES: Final[Mapping[str, frozenset[str]]] = {
    "member_rate": frozenset({"rate_bp", "price_amount"}),
    "amount_off": frozenset({"off_amount"}),
    "every_amount_off": frozenset({"off_amount"}),
    "percent_off": frozenset({"rate_bp"}),
    "nth_unit": frozenset({"rate_bp", "off_amount", "price_amount"}),
    "buy_n_cheapest": EMPTY,
    "fixed_price": frozenset({"price_amount"}),
    "gift": frozenset({"gift"}),
    "add_on": frozenset({"price_amount"}),
    "rebate_voucher": frozenset({"voucher_amount"}),
    "reward": frozenset({"reward_amount"}),
}
UNIT_KINDS: Final = {"nth_unit": 2, "fixed_price": 1, "buy_n_cheapest": 0}
NEVER: Final = 1 << 62

_TIER_FIELDS: Final = frozenset({"threshold_amount", "threshold_quantity", *TIER_VALUES})
_SCOPE_LISTS: Final = ("skus", "categories", "brands", "counters", "stores", "channels", "resources")
_SCOPE: Final = frozenset({*_SCOPE_LISTS, "exclude"})
_EXCLUDE: Final = frozenset(_SCOPE_LISTS)
_WHEN: Final = frozenset({"from", "to", "weekdays", "hours", "periods", "member_day"})
_WHO: Final = frozenset({"tiers", "tags", "first_order"})
_COMMON: Final = frozenset(
    {
        "kind",
        "scope",
        "when",
        "members",
        "cap_amount",
        "basis",
        "priority",
        "stack_group",
        "exclusive",
        "exclusive_with",
    }
    | {"limits", "budget_amount", "used", "funding", "on_return", "after_tenders"}
)
_CAMPAIGN: Final = _COMMON | _TIER_FIELDS | {"id", "version", "tiers", "n", "stage", "repeat", "max_times", "name"}
_COUPON: Final = _COMMON | {
    *("code", "template", "off_amount", "rate_bp", "sku", "threshold_amount", "expires_at", "counts", "no_change"),
    *("face_amount", "sold_amount", "income_amount", "platform_fee_bp", "name", "version"),
}
_GIFT: Final = frozenset({"sku", "quantity", "value_amount"})
_LIMITS: Final = frozenset({"total", "per_member", "per_day"})
_USED: Final = frozenset({"total", "member", "member_today", "budget_amount"})
_COUNTS: Final = frozenset({"initial", "available", "held", "used"})
_FUNDING: Final = frozenset({"party", "share_bp"})
_AFTER_TENDERS: Final = frozenset({"exclude_methods"})


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical(document: object) -> str:
    """JSON in which neither the order of members nor white space counts."""
    return _ENCODER.encode(document)


def parse_scope(parent: Reader, name: str, allowed: frozenset[str] = _SCOPE) -> Scope | None:
    """The scope under `name`, or None for everything."""
    if not parent.data.get(name):
        if parent.has(name) and not isinstance(parent.data[name], Mapping):
            parent.note(name, "must be an object")
        return None
    reader = Reader(parent.data[name], f"{parent.pointer}/{name}", parent.notes, allowed)
    exclude = parse_scope(reader, "exclude", _EXCLUDE) if "exclude" in allowed else None
    return Scope(exclude=exclude, **{part: reader.names(part) for part in _SCOPE_LISTS})


def _parse_hours(reader: Reader) -> tuple[tuple[int, int], ...]:
    hours = []
    for item, pointer in reader.items("hours"):
        if not isinstance(item, list | tuple) or len(item) != 2:
            reader.notes.add(pointer, 'must be a pair such as ["22:00", "02:00"]')
            continue
        begin, end = (clock_minutes(part, f"{pointer}/{i}", reader.notes) for i, part in enumerate(item))
        hours.append((begin, end))
    return tuple(hours)


def _parse_weekdays(reader: Reader) -> frozenset[int]:
    days = set()
    for item, pointer in reader.items("weekdays"):
        if type(item) is int and 1 <= item <= 7:
            days.add(item)
        else:
            reader.notes.add(pointer, "must be a weekday from 1 (Monday) to 7")
    return frozenset(days)


def _parse_when(parent: Reader) -> When | None:
    if not parent.has("when"):
        return None
    reader = Reader(parent.data["when"], f"{parent.pointer}/when", parent.notes, _WHEN)
    return When(
        begins=reader.moment_or_day("from"),
        ends=reader.moment_or_day("to"),
        weekdays=_parse_weekdays(reader),
        hours=_parse_hours(reader),
        periods=reader.names("periods"),
        member_day=reader.maybe_integer("member_day", 1, 31),
    )


def _parse_who(parent: Reader) -> Who | None:
    if not parent.has("members"):
        return None
    reader = Reader(parent.data["members"], f"{parent.pointer}/members", parent.notes, _WHO)
    tiers, tags = reader.names("tiers"), reader.names("tags")
    first_order = reader.flag("first_order", False)
    return Who(tiers, tags, first_order) if tiers or tags or first_order else None  # empty lists ask for nothing


def _parse_limits(parent: Reader) -> Limits | None:
    if not (parent.has("limits") or parent.has("budget_amount") or parent.has("used")):
        return None
    limits = Reader(parent.data.get("limits") or {}, f"{parent.pointer}/limits", parent.notes, _LIMITS)
    used = Reader(parent.data.get("used") or {}, f"{parent.pointer}/used", parent.notes, _USED)
    return Limits(
        total=limits.maybe_integer("total"),
        per_member=limits.maybe_integer("per_member"),
        per_day=limits.maybe_integer("per_day"),
        budget_amount=parent.maybe_integer("budget_amount"),
        used_total=used.integer("total", 0),
        used_member=used.integer("member", 0),
        used_member_today=used.integer("member_today", 0),
        used_budget_amount=used.integer("budget_amount", 0),
    )


def _parse_funding(parent: Reader) -> tuple[tuple[str, int], ...]:
    shares = []
    for item, pointer in parent.items("funding"):
        reader = Reader(item, pointer, parent.notes, _FUNDING)
        shares.append((reader.text("party"), reader.rate("share_bp")))
    total = sum(share for _, share in shares)
    if total > FULL_RATE_BP:
        parent.note("funding", "the shares are above 10000")
    if not shares:
        return (("merchant", FULL_RATE_BP),)
    return (*shares, ("merchant", FULL_RATE_BP - total)) if total < FULL_RATE_BP else tuple(shares)


def _parse_gift(parent: Reader) -> Gift | None:
    if not parent.has("gift"):
        return None
    reader = Reader(parent.data["gift"], f"{parent.pointer}/gift", parent.notes, _GIFT)
    quantity = reader.quantity("quantity", whole_number=True) if reader.has("quantity") else QUANTITY_SCALE
    return Gift(reader.text("sku"), quantity, reader.integer("value_amount", 0))


def _parse_tier(reader: Reader, kind: str) -> Tier:
    """One step, with exactly the value that its kind of campaign needs."""
    tier = Tier(
        threshold_amount=reader.integer("threshold_amount", 0),
        threshold_quantity=reader.quantity("threshold_quantity", True) if reader.has("threshold_quantity") else 0,
        off_amount=reader.maybe_integer("off_amount", 1),
        rate_bp=reader.rate("rate_bp") if reader.has("rate_bp") else None,
        price_amount=reader.maybe_integer("price_amount"),
        gift=_parse_gift(reader),
        voucher_amount=reader.maybe_integer("voucher_amount", 1),
        reward_amount=reader.maybe_integer("reward_amount", 1),
    )
    if reader.has("threshold_amount") and reader.has("threshold_quantity"):
        reader.note("threshold_quantity", "stands in place of threshold_amount, not beside it")
    wanted = KIND_VALUES[kind]
    given = {name for name in TIER_VALUES if reader.has(name)}
    if kind == "add_on":
        given.discard("gift")
    if wanted and len(given & wanted) != 1:
        reader.notes.add(reader.pointer, f"{kind} needs {' or '.join(sorted(wanted))} here")
    for name in sorted(given - wanted):
        reader.note(name, f"does not belong to {kind}")
    if kind == "every_amount_off" and not (tier.threshold_amount or tier.threshold_quantity):
        reader.note("threshold_amount", "must be above 0")
    return tier


def _parse_tiers(reader: Reader, kind: str) -> tuple[Tier, ...]:
    tiers = [
        _parse_tier(Reader(item, pointer, reader.notes, _TIER_FIELDS), kind) for item, pointer in reader.items("tiers")
    ]
    own = any(name in reader.data for name in _TIER_FIELDS)
    if own and tiers:
        reader.note("tiers", "stand in place of the campaign's own threshold and value, not beside them")
    if not tiers:
        tiers = [_parse_tier(reader, kind)]
    tiers.sort(key=lambda tier: (-tier.threshold_amount, -tier.threshold_quantity))
    return tuple(tiers)


def _common(reader: Reader, basis: str) -> dict[str, Any]:
    methods = EMPTY
    if reader.has("after_tenders"):
        inner = Reader(reader.data["after_tenders"], f"{reader.pointer}/after_tenders", reader.notes, _AFTER_TENDERS)
        methods = inner.names("exclude_methods")
    return {
        "scope": parse_scope(reader, "scope"),
        "when": _parse_when(reader),
        "who": _parse_who(reader),
        "limits": _parse_limits(reader),
        "cap_amount": reader.maybe_integer("cap_amount"),
        "basis": reader.choice("basis", BASES, basis),
        "priority": reader.integer("priority", 100, -MAX_AMOUNT),
        "stack_group": reader.maybe_text("stack_group"),
        "exclusive": reader.flag("exclusive", False),
        "exclusive_with": reader.names("exclusive_with"),
        "excluded_methods": methods,
        "funding": _parse_funding(reader),
        "on_return": reader.choice("on_return", POLICIES, "prorata"),
    }


def _group_size(reader: Reader, kind: str, tiers: tuple[Tier, ...]) -> int:
    """`n` of a campaign that works on units; a fixed price may also say it as a threshold in pieces."""
    if kind == "fixed_price" and not reader.has("n") and tiers[0].threshold_quantity:
        return max(1, tiers[0].threshold_quantity // QUANTITY_SCALE)
    if kind not in UNIT_KINDS:
        return reader.integer("n", 1, 1, 1_000_000)
    return reader.integer("n", UNIT_KINDS[kind] or None, 1, 1_000_000)


def _version(reader: Reader) -> int | str | None:
    value = reader.data.get("version")
    if value is None or (type(value) is int and value >= 0):
        return value
    return reader.maybe_text("version")


def parse_campaign(document: object, pointer: str, notes: Notes) -> Benefit:
    """One campaign; what is wrong goes to `notes`, and the result is then not to be used."""
    reader = Reader(document, pointer, notes, _CAMPAIGN)
    kind = reader.choice("kind", CAMPAIGN_KINDS)
    known = reader.data.get("kind") in CAMPAIGN_KINDS  # else what it needs is not known either
    tiers = _parse_tiers(reader, kind) if known else (Tier(0),)
    stage = reader.choice("stage", STAGES, "member" if kind == "member_rate" else "order")
    return Benefit(
        id=reader.text("id"),
        source="campaign",
        kind=kind,
        action=kind,
        tiers=tiers,
        n=_group_size(reader, kind, tiers),
        stage=stage,
        repeat=reader.flag("repeat", False) or kind == "every_amount_off",
        max_times=reader.maybe_integer("max_times", 1),
        version=_version(reader),
        definition="" if notes.errors else canonical(document),
        **_common(reader, "after_member"),
    )


def parse_campaigns(documents: Sequence[object]) -> tuple[Benefit, ...]:
    """A merchant's campaigns, parsed once and used for many baskets.

    Raises `PricingErrors` with pointers under `/campaigns`.
    """
    notes = Notes()
    campaigns = read_campaigns(documents, notes)
    notes.raise_any()
    return campaigns


def read_campaigns(documents: object, notes: Notes) -> tuple[Benefit, ...]:
    """All campaigns of a list under `/campaigns`, ids unique."""
    if not isinstance(documents, list | tuple):
        notes.add("/campaigns", "must be a list")
        return ()
    campaigns = tuple(parse_campaign(item, f"/campaigns/{i}", notes) for i, item in enumerate(documents))
    _unique([campaign.id for campaign in campaigns], "/campaigns", "id", notes)
    return campaigns


def _unique(names: Sequence[str], pointer: str, field: str, notes: Notes) -> None:
    if len(set(names)) == len(names):
        return
    seen: set[str] = set()
    for i, name in enumerate(names):
        if name in seen:
            notes.add(f"{pointer}/{i}/{field}", f"{name!r} stands there twice")
        seen.add(name)


def _coupon_tier(reader: Reader, kind: str) -> Tier:
    threshold = reader.integer("threshold_amount", 0)
    if kind == "percent":
        return Tier(threshold, rate_bp=reader.rate("rate_bp"))
    if kind == "group_buy" and reader.has("sku") and not (reader.has("face_amount") or reader.has("off_amount")):
        return Tier(threshold)  # bought for an article, whatever it costs
    if kind in ("cash", "group_buy"):
        first, other = ("off_amount", "face_amount") if kind == "cash" else ("face_amount", "off_amount")
        return Tier(
            threshold,
            off_amount=reader.integer(first if reader.has(first) or not reader.has(other) else other, None, 1),
        )
    if kind == "gift":
        return Tier(threshold, gift=Gift(reader.text("sku"), QUANTITY_SCALE, reader.integer("face_amount", 0)))
    return Tier(threshold)


def _available(reader: Reader) -> int | None:
    """How many uses are left; None when nobody counts them."""
    if not reader.has("counts"):
        return None
    counts = Reader(reader.data["counts"], f"{reader.pointer}/counts", reader.notes, _COUNTS)
    values = {name: counts.maybe_integer(name) for name in ("initial", "available", "held", "used")}
    if values["available"] is not None or values["initial"] is None:
        return values["available"]
    return max(0, values["initial"] - (values["held"] or 0) - (values["used"] or 0))


def parse_coupon(document: object, pointer: str, notes: Notes, within: bool = False) -> Benefit:
    """One coupon; what is wrong goes to `notes`, and the result is then not to be used.

    `within` a basket the document holds the definition, and the coupon has none of its own.
    """
    reader = Reader(document, pointer, notes, _COUPON)
    kind = reader.choice("kind", COUPON_KINDS)
    if kind == "exchange":
        reader.text("sku")
    tier = _coupon_tier(reader, kind) if reader.data.get("kind") in COUPON_KINDS else Tier(0)
    by_article = kind == "group_buy" and tier.off_amount is None
    return Benefit(
        id=reader.text("code"),
        source="coupon",
        kind=kind,
        action="exchange" if by_article else COUPON_ACTIONS.get(kind, kind),
        tiers=(tier,),
        n=1,
        stage="coupon",
        repeat=False,
        max_times=None,
        version=_version(reader),
        template=reader.maybe_text("template"),
        sku=reader.maybe_text("sku"),
        expires=reader.moment_or_day("expires_at"),
        available=_available(reader),
        no_change=reader.flag("no_change", True),
        face_amount=reader.maybe_integer("face_amount"),
        sold_amount=reader.maybe_integer("sold_amount"),
        income_amount=reader.maybe_integer("income_amount"),
        platform_fee_bp=reader.rate("platform_fee_bp", 0),
        definition="" if within or notes.errors else canonical(document),
        **_common(reader, "after_campaign"),
    )


def read_coupons(parent: Reader) -> tuple[Benefit, ...]:
    """All coupons of the document, codes unique."""
    coupons = tuple(parse_coupon(item, pointer, parent.notes, True) for item, pointer in parent.items("coupons"))
    _unique([coupon.id for coupon in coupons], "/coupons", "code", parent.notes)
    return coupons
