"""The books of 便民365: what the tills really sold, and what head office knows of it. Amounts in fen."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from .protocol import unpad
from .simulator_data import BRANCHES, ITEMS
from .simulator_head_office import OPENING_STOCK, Flow, HeadOffice
from .simulator_till import Tills


def books_of(tills: Tills, head_office: HeadOffice) -> dict[str, Any]:
    """``money`` by tender (returns and change taken off), ``bills``, ``orders`` (bills by our reference), ``stock``."""
    flows = tills.flows()
    states = {flow.flow_no: "local" for flow in tills.flows("local")}
    return {
        "money": money_of(flows),
        "sales_amount": sum(flow.total for flow in flows if flow.sell_way == "A"),
        "returns_amount": sum(flow.total for flow in flows if flow.sell_way == "B"),
        "bills": [_bill(flow, states.get(flow.flow_no, "uploaded")) for flow in flows],
        "orders": orders_of(flows),
        "lost": [flow.flow_no for flow in tills.flows("lost")],
        "stock": stock_of(flows, head_office),
        "points": {unpad(row[0]): int(Decimal(row[1])) for row in head_office.rows("SELECT card_id, acc_num FROM vip")},
        "coupons": {},
        "uploaded_rows": head_office.rows("SELECT COUNT(*) FROM payflow")[0][0],
    }


def money_of(flows: list[Flow]) -> dict[str, int]:
    """Money taken less money given back, by tender code."""
    money: dict[str, int] = defaultdict(int)
    for flow in flows:
        for row in flow.paid:
            given = row.sell_way == "D" or flow.sell_way == "B"
            money[row.pay_way] += -row.amount if given else row.amount
    return dict(money)


def orders_of(flows: list[Flow]) -> dict[str, list[str]]:
    """Bill numbers by the reference in their memo; more than one number is a sale rung up twice."""
    orders: dict[str, list[str]] = defaultdict(list)
    for flow in flows:
        if flow.memo:
            orders[flow.memo].append(flow.flow_no)
    return dict(orders)


def stock_of(flows: list[Flow], head_office: HeadOffice) -> dict[str, dict[str, str]]:
    """What really lies in each shop, by article (cases counted as singles)."""
    singles = {item.number: (item.single, item.count) for item in ITEMS if item.single}
    stock = {
        branch.number: {item.number: Decimal(OPENING_STOCK) for item in ITEMS if not item.single} for branch in BRANCHES
    }
    for branch, item_no, quantity in head_office.rows("SELECT branch_no, item_no, qnty FROM stocksheet"):
        stock[unpad(branch)][unpad(item_no)] += Decimal(quantity)
    for flow in flows:
        for line in flow.lines:
            single, count = singles.get(line.item_no, (line.item_no, 1))
            sign = 1 if flow.sell_way == "B" else -1
            stock[flow.flow_no[:4]][single] += sign * Decimal(line.quantity) * count
    return {branch: {item: f"{left:.3f}" for item, left in items.items()} for branch, items in stock.items()}


def _bill(flow: Flow, state: str) -> dict[str, Any]:
    return {
        "flow_no": flow.flow_no,
        "kind": "return" if flow.sell_way == "B" else "sale",
        "amount": flow.total,
        "at": flow.at.isoformat(),
        "memo": flow.memo,
        "original": flow.original,
        "card": flow.card,
        "state": state,
        "lines": [{"item_no": line.item_no, "quantity": line.quantity, "amount": line.amount} for line in flow.lines],
        "tenders": [{"pay_way": row.pay_way, "amount": row.amount, "change": row.sell_way == "D"} for row in flow.paid],
    }
