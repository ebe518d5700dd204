"""Whether a benefit may be used at all in this basket, and on which lines, before any arithmetic."""

from datetime import date, datetime, timedelta
from typing import Final

from gateway.pricing.model import Basket, Benefit, Limits, Line, Scope, When, Who

DAY: Final = timedelta(days=1)


def in_scope(line: Line, scope: Scope) -> bool:
    """Whether the line's own marks are in the scope; the basket's are looked at by `basket_in_scope`."""
    if scope.skus and line.sku not in scope.skus:
        return False
    if scope.categories and line.category not in scope.categories:
        return False
    if scope.brands and line.brand not in scope.brands:
        return False
    if scope.counters and line.counter_id not in scope.counters:
        return False
    without = scope.exclude
    return without is None or not (
        line.sku in without.skus
        or line.category in without.categories
        or line.brand in without.brands
        or line.counter_id in without.counters
    )


def _resources(basket: Basket) -> set[str]:
    """The rooms and tables, and their classes, that the basket is about."""
    found: set[str] = set()
    for line in basket.lines:
        if line.slot is not None:
            found.update(str(line.slot[name]) for name in ("resource_id", "resource_class") if line.slot.get(name))
    return found


def basket_in_scope(basket: Basket, scope: Scope) -> bool:
    """Whether store, channel and room are in the scope."""
    if scope.stores and basket.store_id not in scope.stores:
        return False
    if scope.channels and basket.channel not in scope.channels:
        return False
    if scope.resources and not scope.resources & _resources(basket):
        return False
    without = scope.exclude
    if without is None:
        return True
    if basket.store_id in without.stores or basket.channel in without.channels:
        return False
    return not (without.resources and without.resources & _resources(basket))


def lines_in_scope(basket: Basket, scope: Scope | None, discountable: tuple[int, ...]) -> tuple[int, ...]:
    """Positions of the lines that the scope covers, of those that may be discounted."""
    if scope is None:
        return discountable
    if not basket_in_scope(basket, scope):
        return ()
    lines = basket.lines
    return tuple(i for i in discountable if in_scope(lines[i], scope))


def _in_hours(minute: int, hours: tuple[tuple[int, int], ...]) -> tuple[bool, bool]:
    """Whether the minute is in a window, and whether in the part of it after midnight."""
    for begin, end in hours:
        if begin < end and begin <= minute < end:
            return True, False
        if begin >= end and minute >= begin:
            return True, False
        if begin >= end and minute < end:
            return True, True
    return False, False


def _before(basket: Basket, bound: datetime | date) -> bool | None:
    """Whether now is before the bound's moment, or its day; None when the basket does not say when it is."""
    if isinstance(bound, datetime):
        return None if basket.at is None else basket.at < bound
    return None if basket.business_date is None else basket.business_date < bound


def _after_end(basket: Basket, bound: datetime | date) -> bool | None:
    """A moment ends before itself, a day is included."""
    if isinstance(bound, datetime):
        return None if basket.at is None else basket.at >= bound
    return None if basket.business_date is None else basket.business_date > bound


def in_time(basket: Basket, when: When) -> bool:
    """Whether the basket's moment and business day are in the window; what is not known is not in it."""
    if when.begins is not None and _before(basket, when.begins) is not False:
        return False
    if when.ends is not None and _after_end(basket, when.ends) is not False:
        return False
    if when.periods and not when.periods & basket.periods:
        return False
    day = basket.business_date
    if when.hours:
        if basket.at is None:
            return False
        inside, past_midnight = _in_hours(basket.at.hour * 60 + basket.at.minute, when.hours)
        if not inside:
            return False
        if past_midnight and day == basket.at.date():
            day = day - DAY  # the night belongs to the evening it began on
    if when.weekdays and (day is None or day.isoweekday() not in when.weekdays):
        return False
    return when.member_day is None or (day is not None and day.day == when.member_day)


def for_member(basket: Basket, who: Who) -> bool:
    """Whether the benefit is for this buyer."""
    member = basket.member
    if member is None:
        return False
    if who.tiers and member.tier not in who.tiers:
        return False
    if who.tags and not who.tags & member.tags:
        return False
    return member.first_order or not who.first_order


def within_limits(limits: Limits) -> bool:
    """Whether one more use is left, altogether, for the member and for the member's day."""
    return not (
        (limits.total is not None and limits.used_total >= limits.total)
        or (limits.per_member is not None and limits.used_member >= limits.per_member)
        or (limits.per_day is not None and limits.used_member_today >= limits.per_day)
    )


def barred(basket: Basket, benefit: Benefit) -> str | None:
    """The reason why the benefit cannot be used here whatever is bought, or None."""
    if benefit.expires is not None and _after_end(basket, benefit.expires):
        return "expired"
    if benefit.when is not None and not in_time(basket, benefit.when):
        return "time"
    if benefit.who is not None and not for_member(basket, benefit.who):
        return "member"
    if benefit.kind == "member_rate" and basket.member is None:
        return "member"
    if benefit.available == 0 or (benefit.limits is not None and not within_limits(benefit.limits)):
        return "limit"
    limits = benefit.limits
    if limits is not None and limits.budget_amount is not None and limits.used_budget_amount >= limits.budget_amount:
        return "budget"
    return None
