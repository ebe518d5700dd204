"""Every kind of sale that a checkout can come to reaches a till, and one that is booked wrongly is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain.orders import Split
from gateway.sdk import Call, Change, Method, OrderLine, OrderPost, OrderReturn, Original, Site, TenderLine, hookimpl
from gateway.testing.checks.sales import RULE
from gateway.testing.kinds import kinds_of, returned, returned_in_two
from gateway.testing.ladder import RULES, Verdict
from gateway.testing.suite import run
from plugins.convenience.adapter import ConvenienceAdapter
from plugins.convenience.conformance import ConvenienceProfile
from plugins.house.adapter import HouseAdapter
from plugins.house.conformance import HouseProfile


def _sale(prices: list[int], with_matrix: bool) -> OrderPost:
    lines = tuple(
        OrderLine(line_id=f"L{n}", sku=f"S{n}", name="", quantity=Decimal(2), unit_amount=price, gross_amount=2 * price,
                  discount_amount=0, net_amount=2 * price)
        for n, price in enumerate(prices)
    )  # fmt: skip
    total = sum(line.net_amount for line in lines)
    splits = tuple(Split(line_id=line.line_id, tender_id="t1", amount=line.net_amount) for line in lines)
    return OrderPost(
        order_no="P1", site=Site(store_id="S1", business_date=date(2026, 3, 1)), currency="CNY", lines=lines,
        tenders=(TenderLine(tender_id="t1", method=Method.CASH, amount=total),), splits=splits if with_matrix else (),
        gross_amount=total, discount_amount=0, payable_amount=total, sold_at=datetime.now(UTC),
    )  # fmt: skip


def _adds_up(sale: OrderPost) -> None:
    nets, fees = sum(x.net_amount for x in sale.lines), sum(x.amount for x in sale.fees)
    assert nets + fees - sale.points_amount - sale.rounding_amount == sale.payable_amount
    assert sum(x.amount for x in sale.tenders) == sale.payable_amount
    assert all(x.gross_amount - x.discount_amount == x.net_amount >= 0 for x in sale.lines)
    assert sum(x.discount_amount for x in sale.lines) == sale.discount_amount
    assert sum(x.gross_amount for x in sale.lines) == sale.gross_amount
    for tender in sale.tenders if sale.splits else ():
        assert sum(x.amount for x in sale.splits if x.tender_id == tender.tender_id) == tender.amount


@given(prices=st.lists(st.integers(min_value=1, max_value=9_999), min_size=1, max_size=4), matrix=st.booleans())
def test_every_kind_adds_up_and_so_does_its_return(prices: list[int], matrix: bool) -> None:
    kinds = dict(kinds_of(_sale(prices, matrix)))
    assert {"a fee", "the same article twice", "a line for nothing", "nothing to pay"} <= kinds.keys()
    for sale in kinds.values():
        _adds_up(sale)
        backs: list[OrderReturn] = [returned(sale, Original(key="K"), "R1")]
        if len(sale.lines) == 2 and not (sale.fees or sale.points_amount or sale.rounding_amount):
            backs += returned_in_two(sale, Original(key="K"), ("R1", "R2"))
            assert sum(back.amount for back in backs[1:]) == sale.payable_amount and backs[-1].whole
        assert all(sum(tender.amount for tender in back.tenders) == back.amount for back in backs)


class _DropsFees(HouseAdapter):
    """Books what the lines come to, and forgets that more was paid."""

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        last = request.tenders[-1:]
        less = tuple(replace(each, amount=each.amount - sum(fee.amount for fee in request.fees)) for each in last)
        return super().order_post(replace(request, tenders=(*request.tenders[:-1], *less)), call)


class _KnowsNoPoints(HouseAdapter):
    """Was never tried with a member's points."""

    @hookimpl
    def order_post(self, request: OrderPost, call: Call) -> Change:
        if request.points_amount:
            raise KeyError("points")
        return super().order_post(request, call)


class _KeepsPoints(ConvenienceAdapter):
    """Books points as a tender of the sale, and never takes them out again."""

    @hookimpl
    def order_return(self, request: OrderReturn, call: Call) -> Change:
        less, lines = request.points_amount, []
        for line in request.lines:
            off = min(less, line.net_amount)
            less -= off
            lines.append(replace(line, net_amount=line.net_amount - off))
        return super().order_return(replace(request, points_amount=0, lines=tuple(lines)), call)


class _ForgetsFees(HouseProfile):
    adapter = _DropsFees


class _CrashesOnPoints(HouseProfile):
    adapter = _KnowsNoPoints


class _StaysOff(ConvenienceProfile):
    adapter = _KeepsPoints


@pytest.mark.slow
@pytest.mark.parametrize(
    ("profile", "kind", "reason"),
    [
        (_ForgetsFees, "a fee", "the statement tells"),
        (_CrashesOnPoints, "points", "raised KeyError"),
        (_StaysOff, "points", "told 12.00, rung up 11.00"),
    ],
)
def test_a_till_that_books_one_wrongly_is_found(profile: Any, kind: str, reason: str) -> None:
    """Each would have stood in a merchant's books, or as an unknown bill after the money, until the day's end."""
    report = run(profile, quick=True, only=[RULE])
    assert report.standing(RULES[RULE]).state == "fail"
    found = [f for f in report.findings if f.rule == RULE and f.verdict is not Verdict.SHOWN]
    assert [f.subject for f in found if reason in f.why][:1] == [kind], [str(f) for f in found]
