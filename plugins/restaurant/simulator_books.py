"""What the simulated chain's own books say: bills, tenders, sold-out quantities. Amounts in fen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plugins.restaurant.protocol_bill import OPEN, PRE_SETTLED, SETTLED, VALID
from plugins.restaurant.simulator_bill import TillBill
from plugins.restaurant.simulator_seed import PAY_CODES

if TYPE_CHECKING:
    from plugins.restaurant.simulator import RestaurantSimulator


def books_of(simulator: RestaurantSimulator) -> dict[str, Any]:
    """The books of all shops: totals, and each bill with its tender rows."""
    bills = simulator.store.bills()
    money = dict.fromkeys(PAY_CODES, 0)
    for bill in bills:
        for row in bill.payments:
            if row.state == VALID:
                money[row.code] += row.amount - row.change
    return {
        "money": {code: amount for code, amount in money.items() if amount},
        "settled_amount": sum(bill.sums().total for bill in bills if bill.state == SETTLED),
        "open_bills": sum(1 for bill in bills if bill.state == OPEN),
        "settled_bills": sum(1 for bill in bills if bill.state == SETTLED),
        "bills": {bill.bs_id: _bill(bill) for bill in bills},
        "left": _left(simulator),
        "crm": simulator.members.books(),
    }


def _left(simulator: RestaurantSimulator) -> dict[str, dict[str, float]]:
    """Shop → dish → portions left."""
    left: dict[str, dict[str, float]] = {}
    for shop, dish, portions, _ in simulator.store.all_left():
        left.setdefault(shop, {})[dish] = portions / 1000
    return left


def _bill(bill: TillBill) -> dict[str, Any]:
    return {
        "shop": bill.shop,
        "table": bill.table,
        "state": bill.state,
        "settle_state": bill.settle_state,
        "pre_settled": bill.state == OPEN and bill.settle_state == PRE_SETTLED,
        "cleared": bill.cleared,
        "biz_date": bill.biz_date,
        "total_amount": bill.sums().total,
        "paid_amount": bill.paid(),
        "lines": sum(1 for line in bill.lines if line.state == VALID),
        "tenders": [
            {"ts_id": row.ts_id, "code": row.code, "amount": row.amount, "memo": row.memo, "state": row.state}
            for row in bill.payments
        ],
    }
