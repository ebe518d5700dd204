"""The kinds of sale and of return that a checkout can come to, made of the one sale that a profile gives.

Each keeps the promise of its record: Σ lines' net + Σ fees − points − rounding = payable = Σ tenders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from gateway.domain.common import Original
from gateway.domain.money import largest_remainder
from gateway.domain.orders import Fee, OrderLine, OrderPost, OrderReturn, Split, TenderLine
from gateway.domain.payments import Method

#: What the kinds add or take away, in fen: small, so that a sale of a few yuan bears it.
_FEE, _SOME = 500, 100


def kinds_of(sale: OrderPost) -> Iterator[tuple[str, OrderPost]]:
    """Each kind of sale that can be made of this one, by name."""
    for name, made in _KINDS.items():
        kind = made(sale)
        if kind is not None:
            yield name, kind


def returned(sale: OrderPost, original: Original, refund_no: str) -> OrderReturn:
    """The whole sale back, as the engine asks for it: the mirror of its posting."""
    back = _returned(sale, original, refund_no, sale.lines, sale.payable_amount)
    return replace(
        back,
        whole=True,
        points_returned=sale.points_used,
        points_amount=sale.points_amount,
        rounding_amount=sale.rounding_amount,
    )


def returned_in_two(sale: OrderPost, original: Original, numbers: tuple[str, str]) -> tuple[OrderReturn, OrderReturn]:
    """The first line, then the rest, of a sale of two lines without points, rounding and fees."""
    first, rest = sale.lines[:1], sale.lines[1:]
    one = _returned(sale, original, numbers[0], first, sum(line.net_amount for line in first))
    two = _returned(sale, original, numbers[1], rest, sum(line.net_amount for line in rest))
    return one, replace(two, whole=True)


def _returned(
    sale: OrderPost, original: Original, refund_no: str, lines: tuple[OrderLine, ...], amount: int
) -> OrderReturn:
    tenders, left = [], amount
    for tender in sale.tenders:
        part = min(tender.amount, left)
        left -= part
        if part:
            tenders.append(replace(tender, amount=part))
    return OrderReturn(
        original=original,
        order_no=sale.order_no,
        refund_no=refund_no,
        site=sale.site,
        lines=lines,
        tenders=tuple(tenders),
        amount=amount,
        whole=False,
        returned_at=datetime.now(UTC),
    )


def _several_tenders(sale: OrderPost) -> OrderPost | None:
    if sale.payable_amount < 2 or not sale.tenders:
        return None
    last, part = sale.tenders[-1], sale.tenders[-1].amount // 2
    more = TenderLine(tender_id="t9", method=Method.CASH, amount=last.amount - part)
    return _split(replace(sale, tenders=(*sale.tenders[:-1], replace(last, amount=part), more)))


def _fee(sale: OrderPost) -> OrderPost:
    return _pays(replace(sale, fees=(*sale.fees, Fee(fee_id="f9", kind="service_charge", amount=_FEE))), _FEE)


def _points(sale: OrderPost) -> OrderPost | None:
    if sale.payable_amount <= _SOME:
        return None
    used = replace(sale, points_used=1000, points_amount=_SOME, member_ref=sale.member_ref or "M9")
    return _pays(used, -_SOME)


def _rounding(sale: OrderPost) -> OrderPost | None:
    return _pays(replace(sale, rounding_amount=1), -1) if sale.payable_amount > 1 else None


def _discount(sale: OrderPost) -> OrderPost | None:
    """A campaign of ours lowers the first line."""
    if not sale.lines or sale.lines[0].net_amount <= _SOME:
        return None
    first = sale.lines[0]
    lower = replace(
        first,
        discount_amount=first.discount_amount + _SOME,
        net_amount=first.net_amount - _SOME,
        discounts=(*first.discounts, _campaign(_SOME)),
    )
    cheaper = replace(sale, lines=(lower, *sale.lines[1:]), discount_amount=sale.discount_amount + _SOME)
    return _pays(cheaper, -_SOME)


def _same_article_twice(sale: OrderPost) -> OrderPost | None:
    """Rung up in two lines: a till that books by article must not lose one."""
    if not sale.lines:
        return None
    again = replace(sale.lines[0], line_id="L9")
    longer = replace(
        sale,
        lines=(*sale.lines, again),
        gross_amount=sale.gross_amount + again.gross_amount,
        discount_amount=sale.discount_amount + again.discount_amount,
    )
    return _pays(longer, again.net_amount)


def _gift(sale: OrderPost) -> OrderPost | None:
    """A second piece of the first article for nothing, in a line of its own."""
    if not sale.lines:
        return None
    price = sale.lines[0].unit_amount
    gift = replace(
        sale.lines[0],
        line_id="L9",
        quantity=Decimal(1),
        gross_amount=price,
        discount_amount=price,
        net_amount=0,
        discounts=(_campaign(price),),
    )
    lines = (*sale.lines, gift)
    return replace(
        sale, lines=lines, gross_amount=sale.gross_amount + price, discount_amount=sale.discount_amount + price
    )


def _nothing_to_pay(sale: OrderPost) -> OrderPost:
    """Points pay all of it."""
    points = sale.points_amount + sale.payable_amount
    paid = replace(sale, points_used=10 * points, points_amount=points, member_ref=sale.member_ref or "M9")
    return replace(paid, tenders=(), splits=(), payable_amount=0)


#: By the name under which the report speaks of it.
_KINDS: dict[str, Callable[[OrderPost], OrderPost | None]] = {
    "several tenders": _several_tenders,
    "a discount of ours": _discount,
    "points": _points,
    "a fee": _fee,
    "rounding": _rounding,
    "the same article twice": _same_article_twice,
    "a line for nothing": _gift,
    "nothing to pay": _nothing_to_pay,
}


def _campaign(amount: int) -> Mapping[str, Any]:
    return {"kind": "campaign", "id": "c9", "amount": amount, "funding": [{"party": "merchant", "amount": amount}]}


def _pays(sale: OrderPost, more: int) -> OrderPost:
    """The sale with so much more to pay, which its last tender pays."""
    last = sale.tenders[-1]
    tenders = (*sale.tenders[:-1], replace(last, amount=last.amount + more))
    return _split(replace(sale, payable_amount=sale.payable_amount + more, tenders=tenders))


def _in_money(sale: OrderPost) -> list[int]:
    """What is paid in money of each line, then of each fee: points and rounding are spread over both."""
    due = [line.net_amount for line in sale.lines] + [fee.amount for fee in sale.fees]
    for off in (sale.points_amount, sale.rounding_amount):
        due = [a - b for a, b in zip(due, largest_remainder(off, due), strict=True)] if off and any(due) else due
    return due


def _split(sale: OrderPost) -> OrderPost:
    """The matrix of what each tender pays of each line and fee, where the sale has one: filled from the top."""
    if not sale.splits:
        return sale
    names = [line.line_id for line in sale.lines] + [fee.fee_id for fee in sale.fees]
    splits, left = [], {tender.tender_id: tender.amount for tender in sale.tenders}
    for name, amount in zip(names, _in_money(sale), strict=True):
        for tender, has in left.items():
            paid = min(amount, has)
            amount, left[tender] = amount - paid, has - paid
            if paid:
                splits.append(Split(line_id=name, tender_id=tender, amount=paid))
    return replace(sale, splits=tuple(splits))
