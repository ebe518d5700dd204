"""Reconciliation against real systems: what agrees is said to agree, and every difference has its name."""

from __future__ import annotations

from datetime import date

from gateway.backoffice.reconcile import reconcile_day
from gateway.backoffice.result import Result
from tests.engine.conftest import everything
from tests.engine.conftest import shop as shop
from tests.engine.kit import House


def today(shop: House) -> date:
    from gateway.engine.basket import business_date

    return business_date(shop.engine.merchant("m1"), shop.engine.now())


def by_hook(shop: House) -> dict[str, Result]:
    return {result.hook: result for result in reconcile_day(shop.engine, "m1", today(shop))}


def test_after_checkouts_and_refunds_everything_matches(shop: House) -> None:
    _, body = shop.checkout(everything("O1"))
    shop.refunds.create(shop.asked(), body["id"], {"lines": [{"line_id": "B", "quantity": "1"}]})
    shop.refunds.create(shop.asked(), body["id"], {})
    shop.running["alipay"].simulator.control({"do": "make_bill", "date": today(shop).isoformat()})
    for hook, result in by_hook(shop).items():
        print(hook, result.to_json())
        assert result.reconciled, (hook, result.to_json())


def test_print(shop: House) -> None:
    from gateway.backoffice.report import print_reconciliation, print_settlement
    from gateway.backoffice.settle import settlement_of

    _, body = shop.checkout(everything("O1"))
    shop.refunds.create(shop.asked(), body["id"], {"lines": [{"line_id": "B", "quantity": "1"}]})
    print_reconciliation(reconcile_day(shop.engine, "m1", today(shop)), print)
    shop.running["alipay"].simulator.control({"do": "make_bill", "date": today(shop).isoformat()})
    print_reconciliation(reconcile_day(shop.engine, "m1", today(shop)), print)
    print_settlement(settlement_of(shop.engine, "m1", today(shop)), print)
