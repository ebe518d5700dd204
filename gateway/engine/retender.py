"""The price in force when tenders changed on the way: the same basket, laid out over the tenders that stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.engine.model import Json, Saga
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
    return price(replace(basket, tenders=plans)).to_document()
