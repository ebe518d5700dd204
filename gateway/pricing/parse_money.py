"""The parts of a pricing document about money around the goods: fees, points, tenders, accounts, contracts, guides."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from gateway.domain.money import FULL_RATE_BP
from gateway.pricing.model import (
    Benefit,
    Contract,
    Fee,
    Guide,
    Line,
    PointsUse,
    RateSlot,
    StoredValue,
    TenderPlan,
)
from gateway.pricing.parse_benefit import parse_scope
from gateway.pricing.reader import Notes, Reader

FEE_KINDS: Final = ("service_charge", "minimum_spend", "time")
MAX_RATE_BP: Final = 1_000_000
MAX_MINUTES: Final = 100 * 24 * 60
ORDERS: Final = ("percent", "real_first", "gift_first")

_SERVICE: Final = frozenset({"fee_id", "kind", "charge_bp", "basis", "scope"})
_MINIMUM: Final = frozenset({"fee_id", "kind", "amount", "scope"})
_TIME: Final = frozenset(
    {"fee_id", "kind", "line_id", "slots", "from", "to", "unit_minutes", "package", "grace_minutes"}
    | {"block_minutes", "block_amount"}
)
_FEE_FIELDS: Final = {"service_charge": _SERVICE, "minimum_spend": _MINIMUM, "time": _TIME}
_RATE_SLOT: Final = frozenset({"from", "to", "rate_amount", "per"})
_PACKAGE: Final = frozenset({"amount", "to"})
_POINTS: Final = frozenset({"use", "rule", "earn"})
_RULE: Final = frozenset({"points", "amount", "limit_bp", "interval", "min"})
_EARN: Final = frozenset({"per_amount", "points", "rate_by_tier"})
_TENDER: Final = frozenset({"id", "method", "amount", "code", "count", "held_amount", "share"})
_ACCOUNTS: Final = frozenset({"stored_value"})
_STORED: Final = frozenset({"real", "gift", "prepaid", "order"})
_CONTRACT: Final = frozenset({"counter_id", "deduction_bp", "guarantee_amount", "promotion_share_bp"})
_GUIDE: Final = frozenset({"guide_id", "role", "share_bp", "commission_bp"})


def read_fees(parent: Reader, lines: tuple[Line, ...]) -> tuple[Fee, ...]:
    """The fees in the order in which they apply."""
    fees = tuple(_read_fee(item, pointer, i, parent, lines) for i, (item, pointer) in enumerate(parent.items("fees")))
    taken = {line.line_id for line in lines}
    for i, fee in enumerate(fees):
        if fee.fee_id in taken:
            parent.note(f"fees/{i}/fee_id", f"{fee.fee_id!r} is taken already")
        taken.add(fee.fee_id)
    return fees


def _read_fee(item: object, pointer: str, position: int, parent: Reader, lines: tuple[Line, ...]) -> Fee:
    kind = item.get("kind") if isinstance(item, Mapping) else None
    fields = _FEE_FIELDS.get(kind, _SERVICE | _MINIMUM | _TIME) if isinstance(kind, str) else _SERVICE | _TIME
    reader = Reader(item, pointer, parent.notes, fields)
    kind = reader.choice("kind", FEE_KINDS)
    fee_id = reader.maybe_text("fee_id") or f"fee{position + 1}"
    if kind == "time":
        return _read_time_fee(reader, fee_id, lines, _midnight(parent))
    scope = parse_scope(reader, "scope")
    if kind == "minimum_spend":
        return Fee(fee_id, kind, scope=scope, amount=reader.integer("amount"))
    gross = reader.choice("basis", ("net", "gross"), "net") == "gross"
    return Fee(fee_id, kind, charge_bp=reader.rate("charge_bp"), on_gross=gross, scope=scope)


def _midnight(parent: Reader) -> datetime:
    """When the document's business day begins, for times that are said without a day."""
    top = Reader(parent.data, "", Notes(), frozenset(parent.data))
    at = top.moment("at")
    day = top.day("business_date") or (at.date() if at else date(1970, 1, 1))
    return datetime.combine(day, time(), at.tzinfo if at else UTC)


def _read_time_fee(reader: Reader, fee_id: str, lines: tuple[Line, ...], midnight: datetime) -> Fee:
    line_id = reader.maybe_text("line_id")
    line = next((line for line in lines if line.line_id == line_id), None)
    if line_id is not None and line is None:
        reader.note("line_id", "no such line")
    begins, ends = _stay(reader, line, midnight)
    package_amount, package_ends = _read_package(reader, begins)
    return Fee(
        fee_id,
        "time",
        line_id=line_id,
        slots=tuple(_read_rate_slot(item, pointer, reader) for item, pointer in reader.items("slots")),
        begins=begins,
        ends=ends,
        unit_minutes=reader.integer("unit_minutes", 1, 1, MAX_MINUTES),
        package_amount=package_amount,
        package_ends=package_ends,
        grace_minutes=reader.integer("grace_minutes", 0, 0, MAX_MINUTES),
        block_minutes=reader.integer("block_minutes", 0, 0, MAX_MINUTES),
        block_amount=reader.integer("block_amount", 0),
    )


def _stay(reader: Reader, line: Line | None, midnight: datetime) -> tuple[datetime | None, datetime | None]:
    """From when to when: the fee's own times, else those of its line's slot.

    Times of day are of the business day; an end that is not after its beginning is of the next.
    """
    slot = Reader((line.slot if line is not None else None) or {}, "", Notes(), frozenset())
    begins = reader.moment_or_clock("from", midnight) if reader.has("from") else slot.moment("from")
    ends = _end(reader, begins) if reader.has("to") else slot.moment("to")
    for name, value in (("from", begins), ("to", ends)):
        if value is None and not reader.has(name):
            reader.note(name, "is required")
    if begins is not None and ends is not None:
        if ends <= begins:
            reader.note("to", "must be after from")
        elif ends - begins > timedelta(minutes=MAX_MINUTES):
            reader.note("to", "is more than 100 days after from")
    return begins, ends


def _end(reader: Reader, begins: datetime | None) -> datetime | None:
    """The moment under `to`, after the beginning when it is a time of day."""
    if begins is None:
        return reader.moment_or_clock("to", datetime(1970, 1, 1, tzinfo=UTC))
    ends = reader.moment_or_clock("to", datetime.combine(begins.date(), time(), begins.tzinfo))
    is_clock = len(reader.data["to"]) == len("HH:MM") if isinstance(reader.data["to"], str) else False
    return ends + timedelta(days=1) if ends is not None and is_clock and ends <= begins else ends


def _read_package(reader: Reader, begins: datetime | None) -> tuple[int | None, datetime | None]:
    if not reader.has("package"):
        if not reader.data.get("slots"):
            reader.note("slots", "is required without a package")
        return None, None
    inner = Reader(reader.data["package"], f"{reader.pointer}/package", reader.notes, _PACKAGE)
    amount, ends = inner.integer("amount"), _end(inner, begins) if inner.has("to") else None
    if ends is None and not inner.has("to"):
        inner.note("to", "is required")
    if ends is not None and begins is not None and ends <= begins:
        inner.note("to", "must be after the beginning")
    if reader.has("block_amount") and not reader.data.get("block_minutes"):
        reader.note("block_minutes", "is required with block_amount")
    return amount, ends


def _read_rate_slot(item: object, pointer: str, parent: Reader) -> RateSlot:
    reader = Reader(item, pointer, parent.notes, _RATE_SLOT)
    per_session = reader.choice("per", ("hour", "session"), "hour") == "session"
    return RateSlot(reader.clock("from"), reader.clock("to"), reader.integer("rate_amount"), per_session)


def read_points(parent: Reader) -> PointsUse:
    """How many points are wanted and under which rule."""
    reader = Reader(parent.data["points"], "/points", parent.notes, _POINTS)
    rule = Reader(reader.data.get("rule") or {}, "/points/rule", parent.notes, _RULE)
    earn = Reader(reader.data.get("earn") or {}, "/points/earn", parent.notes, _EARN)
    use = reader.integer("use", 0)
    if use and not reader.has("rule"):
        reader.note("rule", "is required to use points")
    has_rule, has_earn = bool(rule.data), bool(earn.data)
    return PointsUse(
        use=use,
        points=rule.integer("points", None if has_rule else 1, 1),
        amount=rule.integer("amount", None if has_rule else 1, 1),
        limit_bp=rule.rate("limit_bp", FULL_RATE_BP),
        interval=rule.integer("interval", 1, 1),
        minimum=rule.integer("min", 0),
        earn_per_amount=earn.integer("per_amount", None if has_earn else 0, 1 if has_earn else 0),
        earn_points=earn.integer("points", None if has_earn else 0, 0),
        earn_rates=_read_rates(earn),
    )


def _read_rates(earn: Reader) -> Mapping[str, int] | None:
    rates = earn.data.get("rate_by_tier")
    if rates is None:
        return None
    if not isinstance(rates, Mapping):
        earn.note("rate_by_tier", "must be an object")
        return None
    reader = Reader(rates, f"{earn.pointer}/rate_by_tier", earn.notes, frozenset(rates))
    return {tier: reader.integer(tier, None, 0, MAX_RATE_BP) for tier in rates if isinstance(tier, str)}


def read_tenders(parent: Reader, coupons: tuple[Benefit, ...]) -> tuple[TenderPlan, ...]:
    """The tenders in their order; a voucher's code must be among the coupons unless its amount is said."""
    tenders = []
    known = {coupon.id for coupon in coupons}
    for i, (item, pointer) in enumerate(parent.items("tenders")):
        reader = Reader(item, pointer, parent.notes, _TENDER)
        tender = TenderPlan(
            reader.maybe_text("id") or f"t{i + 1}",
            reader.text("method"),
            reader.maybe_integer("amount"),
            reader.maybe_text("code"),
            reader.integer("count", 1, 1, 1_000_000),
            reader.maybe_integer("held_amount"),
            reader.has("share") and reader.choice("share", ("equal",)) == "equal",
        )
        if tender.method == "voucher" and tender.amount is None and tender.code not in known:
            reader.note("code", "no such voucher among coupons")
        if tender.equal and tender.amount is not None:
            reader.note("amount", "does not go with an equal share")
        tenders.append(tender)
    _check_tenders(tenders, parent)
    return tuple(tenders)


def _check_tenders(tenders: list[TenderPlan], parent: Reader) -> None:
    seen = set()
    open_ones = []
    for i, tender in enumerate(tenders):
        if tender.id in seen:
            parent.note(f"tenders/{i}/id", f"{tender.id!r} stands there twice")
        seen.add(tender.id)
        takes_its_own = (tender.method == "voucher" and tender.code) or tender.held_amount is not None
        if tender.amount is None and not tender.equal and not takes_its_own:
            open_ones.append(i)
    for i in open_ones[:-1]:
        parent.note(f"tenders/{i}/amount", "only one tender may leave out its amount: it takes the rest")


def read_stored_value(parent: Reader) -> StoredValue | None:
    """The buckets of the stored-value account."""
    reader = Reader(parent.data["accounts"], "/accounts", parent.notes, _ACCOUNTS)
    if not reader.has("stored_value"):
        return None
    inner = Reader(reader.data["stored_value"], "/accounts/stored_value", parent.notes, _STORED)
    return StoredValue(
        inner.integer("real", 0),
        inner.integer("gift", 0),
        inner.integer("prepaid", 0),
        inner.choice("order", ORDERS, "percent"),
    )


def read_contracts(parent: Reader) -> Mapping[str, Contract]:
    """The counters' contracts by counter."""
    contracts: dict[str, Contract] = {}
    for item, pointer in parent.items("contracts"):
        reader = Reader(item, pointer, parent.notes, _CONTRACT)
        share = reader.rate("promotion_share_bp") if reader.has("promotion_share_bp") else None
        contract = Contract(
            reader.text("counter_id"), reader.rate("deduction_bp"), reader.integer("guarantee_amount", 0), share
        )
        if contract.counter_id in contracts:
            reader.note("counter_id", f"{contract.counter_id!r} stands there twice")
        contracts[contract.counter_id] = contract
    return contracts


def read_guides(parent: Reader) -> tuple[Guide, ...]:
    """Who earns a commission."""
    guides = []
    for item, pointer in parent.items("guides"):
        reader = Reader(item, pointer, parent.notes, _GUIDE)
        share = reader.rate("share_bp", FULL_RATE_BP)
        guides.append(Guide(reader.text("guide_id"), reader.maybe_text("role"), share, reader.rate("commission_bp")))
    return tuple(guides)
