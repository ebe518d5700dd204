"""Fees on top of the goods: service charge, the top-up to a minimum spend, and the time in a room over price slots."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.domain.money import half_up, price_at
from gateway.pricing.eligibility import lines_in_scope
from gateway.pricing.errors import fail
from gateway.pricing.model import Basket, Fee, RateSlot

MINUTE: Final = timedelta(minutes=1)
DAY_MINUTES: Final = 1440


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of time at one price."""

    begins: datetime
    ends: datetime
    amount: int

    def to_document(self) -> dict[str, Any]:
        return {"from": self.begins.isoformat(), "to": self.ends.isoformat(), "amount": self.amount}


@dataclass(frozen=True, slots=True)
class FeeResult:
    """What a fee comes to. The basis of a time fee is its own amount."""

    fee_id: str
    kind: str
    basis_amount: int
    amount: int
    line_id: str | None = None
    segments: tuple[Segment, ...] = ()

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "fee_id": self.fee_id,
            "kind": self.kind,
            "basis_amount": self.basis_amount,
            "amount": self.amount,
            "segments": [segment.to_document() for segment in self.segments],
        }
        if self.line_id is not None:
            document["line_id"] = self.line_id
        return document


def fee_results(basket: Basket, nets: list[int]) -> tuple[FeeResult, ...]:
    """Every fee in its order. Raises `PricingErrors` for time that no slot has a price for."""
    return tuple(_fee(basket, fee, i, nets) for i, fee in enumerate(basket.fees))


def _fee(basket: Basket, fee: Fee, position: int, nets: list[int]) -> FeeResult:
    if fee.kind == "time":
        segments = _time(fee, f"/fees/{position}/slots")
        amount = sum(segment.amount for segment in segments)
        return FeeResult(fee.fee_id, fee.kind, amount, amount, fee.line_id, tuple(segments))
    lines = lines_in_scope(basket, fee.scope, tuple(range(len(nets))))
    if fee.kind == "minimum_spend":
        basis = sum(nets[i] for i in lines if basket.lines[i].counts_to_minimum)
        return FeeResult(fee.fee_id, fee.kind, basis, max(0, fee.amount - basis))
    basis = sum(basket.lines[i].gross if fee.on_gross else nets[i] for i in lines)
    return FeeResult(fee.fee_id, fee.kind, basis, price_at(basis, fee.charge_bp))


def _minutes_up(duration: timedelta, unit: int) -> int:
    """Whole minutes, rounded up to the unit."""
    minutes = -(-duration // MINUTE)
    return -(-minutes // unit) * unit


def _time(fee: Fee, pointer: str) -> list[Segment]:
    begins, ends = fee.begins, fee.ends
    if begins is None or ends is None:
        return []
    if fee.package_amount is None or fee.package_ends is None:
        return _over_slots(fee, begins, begins + _minutes_up(ends - begins, fee.unit_minutes) * MINUTE, pointer)
    package = Segment(begins, fee.package_ends, fee.package_amount)
    over = _minutes_up(ends - fee.package_ends, 1)
    if over <= fee.grace_minutes:
        return [package]
    if fee.block_minutes:
        blocks = -(-over // fee.block_minutes)
        until = fee.package_ends + blocks * fee.block_minutes * MINUTE
        return [package, Segment(fee.package_ends, until, blocks * fee.block_amount)]
    rounded = fee.package_ends + _minutes_up(ends - fee.package_ends, fee.unit_minutes) * MINUTE
    return [package, *_over_slots(replace(fee, package_amount=None), fee.package_ends, rounded, pointer)]


def _slot_at(slots: tuple[RateSlot, ...], moment: datetime) -> tuple[RateSlot, int] | None:
    """The slot that holds at a moment, and the minutes left in it."""
    minute = moment.hour * 60 + moment.minute
    for slot in slots:
        if slot.begin < slot.end and slot.begin <= minute < slot.end:
            return slot, slot.end - minute
        if slot.begin >= slot.end and minute >= slot.begin:
            return slot, slot.end + DAY_MINUTES - minute
        if slot.begin >= slot.end and minute < slot.end:
            return slot, slot.end - minute
    return None


def _over_slots(fee: Fee, begins: datetime, ends: datetime, pointer: str) -> list[Segment]:
    """Cut the stay at the slots' borders; every segment is rounded once."""
    segments = []
    moment = begins
    while moment < ends:
        found = _slot_at(fee.slots, moment)
        if found is None:
            raise fail(pointer, f"no slot has a price at {moment:%H:%M}")
        slot, left = found
        border = moment.replace(second=0, microsecond=0) + left * MINUTE
        until = min(ends, border)
        amount = slot.rate_amount
        if not slot.per_session:
            amount = half_up(amount * int((until - moment).total_seconds()), 3600)
        segments.append(Segment(moment, until, amount))
        moment = until
    return segments
