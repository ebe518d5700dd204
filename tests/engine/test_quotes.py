"""Quotes: a price that is honoured for a quarter of an hour, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engine.keeping import Keeper
from gateway.engine.problems import Problem
from gateway.engine.sealed import Box
from tests.engine.conftest import PHONE, everything
from tests.engine.kit import House


def quoted(shop: House) -> dict[str, Any]:
    wanted = {name: value for name, value in everything("").items() if name not in ("order_no", "tenders")}
    return dict(shop.checkouts.quote("m1", wanted))


def bought(shop: House, quote: dict[str, Any]) -> dict[str, Any]:
    tenders = everything("")["tenders"]
    _, body = shop.checkout({"quote_id": quote["quote_id"], "order_no": "Q1", "tenders": tenders})
    return dict(body)


def kept(shop: House) -> list[str]:
    return [row["doc"] for row in shop.database.read(lambda tx: tx.all("SELECT doc FROM quotes"))]


def test_who_was_quoted_can_buy_and_stands_nowhere(shop: House) -> None:
    """A database that gets into wrong hands does not tell the phones of everyone who once asked for a price."""
    quote = quoted(shop)
    assert kept(shop) and not any(PHONE in doc for doc in kept(shop))
    body = bought(shop, quote)
    assert (body["status"], body["quote"]["payable_amount"]) == ("completed", quote["payable_amount"])


def test_a_quote_that_cannot_be_opened_any_more_is_over(shop: House) -> None:
    """A master key that was changed costs a new question, and never another price."""
    quote = quoted(shop)
    shop.engine.quoted = Box()
    with pytest.raises(Problem) as refused:
        bought(shop, quote)
    assert refused.value.slug == "quote-expired"


def test_quotes_do_not_pile_up(shop: House) -> None:
    """A shop that quotes ten thousand baskets a day keeps those of the last day."""
    old, new = quoted(shop), quoted(shop)
    row = {"id": old["quote_id"]}
    shop.database.tx(lambda tx: tx.execute("UPDATE quotes SET expires = expires - 172800000 WHERE id = :id", row))
    Keeper(shop.database, shop.engine.clock, shop.engine.caller.late, keep_days=30).keep()  # type: ignore[attr-defined]
    left = shop.database.read(lambda tx: [row["id"] for row in tx.all("SELECT id FROM quotes")])
    assert left == [new["quote_id"]]
