"""The price in force when tenders changed on the way: the same basket, laid out over the tenders that stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.engine.model import Json, Saga
from gateway.engine.tillquote import has_till_sum, with_till_sum
from gateway.pricing import price
from gateway.pricing.kept import read_sale
from gateway.pricing.model import TenderPlan


def quote_in_force(saga: Saga) -> Json:
    """The checkout's price, with the tenders that pay it."""
    quote: Json = saga.progress.get("quote") or saga.doc["quote"]
    return quote


def retendered(quote: Json, tenders: Sequence[Json]) -> Json:
    """The quote with other tenders: what goods and fees come to stays, who pays which of it is laid out anew."""
    basket = read_sale(quote["snapshot"]).basket
    plans = tuple(
        TenderPlan(t["id"], t["method"], t["amount"], t.get("code"), t.get("count", 1), t.get("held_amount"))
        for t in tenders
    )
    basket = replace(basket, tenders=plans)
    if not has_till_sum(quote):
        return price(basket).to_document()
    nets = {line["line_id"]: line["net_amount"] for line in quote["lines"]}
    unpaid = price(replace(basket, tenders=()))
    return with_till_sum(unpaid, basket, quote["payable_amount"], nets).to_document()
