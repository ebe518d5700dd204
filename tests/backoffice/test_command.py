"""``gateway reconcile`` and ``gateway settle``: what a shopkeeper's nightly job relies on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from gateway.cli import main
from tests.backoffice.conftest import charge_behind_our_back, today
from tests.engine.kit import House


def run(shop: House, *words: str) -> tuple[int, str]:
    day = today(shop).isoformat()
    result = CliRunner().invoke(main, [*words, "m1", "--config", str(shop.folder / "gateway.toml"), "--date", day])
    return result.exit_code, result.output


@pytest.mark.parametrize(("ready", "status"), [("at_once", 0), ("next_day", 1)])
def test_a_statement_that_is_not_there_is_not_reconciled(
    make_shop: Callable[..., House], ready: str, status: int
) -> None:
    code, told = run(make_shop(bill_ready=ready), "reconcile")
    assert code == status, told
    assert ("no statement" in told) == (status == 1)


def test_a_difference_is_told_by_the_exit_status_too(shop: House) -> None:
    charge_behind_our_back(shop, 4_200)
    code, told = run(shop, "reconcile", "--json")
    (wallet,) = [result for result in json.loads(told) if result["hook"] == "payment_statement"]
    assert (code, wallet["reconciled"], wallet["differences"][0]["class"]) == (1, False, "MISSING_AT_OURS")


def test_a_day_without_sales_is_settled(shop: House) -> None:
    code, told = run(shop, "settle")
    assert code == 0 and "✓" in told
