"""What an adapter is told beside the words of its own leg."""

from __future__ import annotations

from gateway.engine.model import OpState, State
from gateway.engine.requests.orders import Orders
from tests.rules.kit import NOW, leg, op, sale

HERE = leg("stock:1", connection="tickets", hold="stock_reserve")
ELSEWHERE = leg("stock:2", connection="depot", hold="stock_reserve")
TILL = leg("till", connection="tickets", post="order_post")
QUOTE = {"gross_amount": 1000, "discount_amount": 0, "payable_amount": 1000, "fees": [], "splits": [], "points": {}}


def test_a_sale_names_what_its_own_system_holds_for_it() -> None:
    """A ticket system keeps what it holds in a cart: a sale that does not name it sells the places twice. Another
    system's hold, and one that was refused, mean nothing to it."""
    site = {"store_id": "s1", "business_date": "2026-06-01"}
    saga = sale(State.POSTING, HERE, ELSEWHERE, TILL, site=site, currency="CNY", quote=QUOTE, lines=[], tenders=[])
    held = op("stock_reserve", OpState.OK, HERE.name, connection="tickets", outcome={"ref": "CART7"}, first_sent=NOW)
    refused = op("stock_reserve", OpState.DECLINED, HERE.name, turn=1, connection="tickets")
    other = op("stock_reserve", OpState.OK, ELSEWHERE.name, connection="depot")
    request = Orders(saga, TILL, [held, refused, other], None, NOW).order_post()
    assert [(hold.key, hold.ref) for hold in request.holds] == [(held.key, "CART7")]
