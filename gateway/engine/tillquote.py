"""A price brought to the till's own sum: what the two differ by stands in it as a discount or a fee named ``till``.

Less than ours is a discount over the lines by largest remainder, or by line as the till itself tells; more than ours is
a fee. The till has rounded already, so nothing more is rounded off; points pay what they paid. Everything that holds of
a price holds of this one: Σ line nets = gross - discount, Σ line × tender = payable, and it is given back like any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.domain.money import largest_remainder
from gateway.engine.model import Json
from gateway.pricing import Basket, Quote
from gateway.pricing.effects import Outcome
from gateway.pricing.fees import FeeResult
from gateway.pricing.payment import Till, matrix, points_earned
from gateway.pricing.quote import Step

#: The kind and id of the discount, and of the fee.
TILL = "till"


class Unbookable(Exception):
    """The till's sum is less than the fees alone: there is no goods' price from which to take the difference."""


def with_till_sum(quote: Quote, basket: Basket, payable: int, lines: Mapping[str, int]) -> Quote:
    """The quote at ``payable`` fen, paid as the basket's tenders say. ``lines`` are the till's nets by line id, if any.

    Raises ``Unbookable``, or ``PricingErrors`` where the tenders pay more than that.
    """
    goods = payable + quote.points_amount - quote.fee_amount
    if goods < 0:
        raise Unbookable(payable)
    nets, steps, fees = list(quote.nets), quote.steps, quote.fees
    less = sum(nets) - goods
    if less < 0:
        fees = (*fees, FeeResult(TILL, TILL, sum(nets), -less))
    else:
        shares = _shares(quote, less, [lines.get(line.line_id) for line in basket.lines])
        if less:
            found = [(i, share) for i, share in enumerate(shares) if share]
            steps = (*steps, Step(TILL, TILL, None, Outcome(less, found=found)))
        nets = [net - share for net, share in zip(nets, shares, strict=True)]
    return _paid(replace(quote, basket=basket, nets=tuple(nets), steps=steps, fees=fees))


def _shares(quote: Quote, less: int, told: Sequence[int | None]) -> list[int]:
    """The discount by line: as the till tells, if its nets add up and none is above ours; else by largest remainder."""
    theirs = [net for net in told if net is not None]
    if len(theirs) == len(quote.nets) and sum(quote.nets) - sum(theirs) == less:
        shares = [ours - net for ours, net in zip(quote.nets, theirs, strict=True)]
        if min(shares) >= 0 and min(theirs) >= 0:
            return shares
    return largest_remainder(less, quote.nets) if less else [0] * len(quote.nets)


def _paid(quote: Quote) -> Quote:
    """What goods and fees come to now, laid out over points and tenders."""
    owed = [*quote.nets, *(fee.amount for fee in quote.fees)]
    points_by = largest_remainder(quote.points_amount, owed) if quote.points_amount else [0] * len(owed)
    due = [amount - points for amount, points in zip(owed, points_by, strict=True)]
    basket = quote.basket
    tenders = Till(basket, quote.fees, due).tenders() if basket.tenders else ()
    tier = basket.member.tier if basket.member else None
    return replace(
        quote,
        points_by=tuple(points_by),
        points_earned=points_earned(basket.points, tier, sum(due)),
        rounding_amount=0,
        rounding_by=(0,) * len(owed),
        due=tuple(due),
        tenders=tenders,
        rows=tuple(tuple(row) for row in matrix(due, tenders)),
    )


def has_till_sum(document: Json) -> bool:
    """Whether a quote's document is at the till's sum."""
    return any(step["kind"] == TILL for step in document["snapshot"]["steps"]) or any(
        fee["kind"] == TILL for fee in document["fees"]
    )
