"""A request that something on the way sends twice: what the suite makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar

import pytest

from gateway.domain.common import Original
from gateway.sdk import StockItem, StockReturn, Traits
from gateway.testing.chains import part_of, rest_of
from gateway.testing.ladder import RULES, Report, Verdict
from gateway.testing.suite import run
from tests.plugins.house.test_house import SITE
from tests.testing.breakages import ActsAgain
from tests.testing.wallet import WalletAdapter, WalletProfile


class _ClaimsNothing(WalletAdapter):
    traits: ClassVar[Mapping[str, Traits]] = {"payment_reverse": Traits(partial=False)}


class ClaimsNothing(WalletProfile):
    adapter = _ClaimsNothing
    simulator = ActsAgain


def doubled(report: Report) -> dict[str, tuple[Verdict, str]]:
    return {each.hook: (each.verdict, each.why) for each in report.findings if each.subject == "doubled"}


@pytest.mark.slow
def test_each_claimed_hook_acts_once_on_a_doubled_message_in_whole_and_in_parts() -> None:
    """Else a refund of a part that a proxy sends twice is paid out twice, and the suite says gold."""
    found = doubled(run(WalletProfile, quick=True, only=["traits_proved"]))
    assert set(found) == {"payment_charge", "payment_refund", "payment_reverse"}
    assert {verdict for verdict, _ in found.values()} == {Verdict.SHOWN}
    assert "a part and the rest too" in found["payment_refund"][1]


@pytest.mark.slow
def test_what_is_not_claimed_is_told_and_not_held_against_the_adapter() -> None:
    """Nobody can stop a proxy; but whoever reads the report must see that this system acts twice."""
    report = run(ClaimsNothing, quick=True, only=["traits_proved"])
    verdict, why = doubled(report)["payment_charge"]
    assert verdict is Verdict.UNCLAIMED and "not idempotent: message 1 doubled on the way" in why and "+2400" in why
    assert report.standing(RULES["traits_proved"]).holds


def test_a_part_of_returned_goods_and_the_rest_are_the_whole() -> None:
    """Two of three pieces come back first, or one; whole pieces only."""
    goods = (StockItem(sku="A", quantity=Decimal(3)), StockItem(sku="B", quantity=Decimal(1)))
    whole = StockReturn(original=Original(key="K"), store_id="S1", items=goods, site=SITE)
    part = part_of("stock_return", whole)
    assert part is not None and part.items == (StockItem(sku="A", quantity=Decimal(1)),)
    rest = rest_of("stock_return", whole, part)
    assert {item.sku: item.quantity for item in rest.items} == {"A": 2, "B": 1}
    one = StockReturn(original=Original(key="K"), store_id="S1", items=goods[1:], site=SITE)
    assert part_of("stock_return", one) is None
