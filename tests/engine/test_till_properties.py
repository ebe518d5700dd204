"""A price at the till's sum: whatever the basket and the sum, all that holds of a price holds of it."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from gateway.engine.retender import retendered
from gateway.engine.tillquote import Unbookable, has_till_sum, with_till_sum
from gateway.pricing import PricingErrors, parse, price, refund
from tests.pricing import generator

CASES = 400


def drawn(seed: int) -> tuple[dict[str, Any], int] | None:
    """A random basket at a random sum of the till, as a document; ``None`` where it cannot be priced or booked."""
    rng = Random(seed)
    document = generator.document(rng)
    document.pop("refunds", None)
    document["tenders"] = [{"id": "t1", "method": "cash"}]
    try:
        basket = parse(document)
        ours = price(replace(basket, tenders=()))
        spread = rng.choice([1, 5, 100, 5000])
        theirs = max(0, ours.payable_amount + rng.randint(-spread, spread))
        return with_till_sum(ours, basket, theirs, {}).to_document(), theirs
    except (PricingErrors, Unbookable):
        return None


def found() -> list[tuple[dict[str, Any], int]]:
    return [case for seed in range(CASES) if (case := drawn(seed)) is not None]


@pytest.fixture(scope="module")
def cases() -> list[tuple[dict[str, Any], int]]:
    drawn_cases = found()
    assert len(drawn_cases) > CASES * 3 // 4
    assert sum(has_till_sum(quote) for quote, _ in drawn_cases) > CASES // 2
    return drawn_cases


def test_the_parts_add_up_to_the_tills_sum(cases: list[tuple[dict[str, Any], int]]) -> None:
    for quote, theirs in cases:
        nets = [line["net_amount"] for line in quote["lines"]]
        assert quote["payable_amount"] == theirs
        assert min(nets) >= 0
        assert sum(nets) == quote["gross_amount"] - quote["discount_amount"]
        paid = sum(nets) + quote["fee_amount"] - quote["points"]["amount"] - quote["rounding_amount"]
        assert paid == theirs
        assert sum(item["amount"] for item in quote["applied"]) == quote["discount_amount"]
        assert sum(split["amount"] for split in quote["splits"]) == theirs
        assert sum(entry["amount"] for entry in quote["settlement"] if entry["kind"] != "due") == theirs
        for line in quote["lines"]:
            assert sum(part["amount"] for part in line["allocations"]) == line["discount_amount"]


def test_all_of_it_is_given_back_in_any_parts(cases: list[tuple[dict[str, Any], int]]) -> None:
    rng = Random(1)
    for quote, theirs in cases:
        if not theirs:
            continue
        done: list[dict[str, Any]] = []
        for line in rng.sample(quote["lines"], len(quote["lines"])):
            try:
                done.append(refund(quote["snapshot"], done, {"lines": [{"line_id": line["line_id"]}]}))
            except PricingErrors:
                continue
        done.append(refund(quote["snapshot"], done, {}) if open_fees(quote, done) else {"amount": 0})
        kept_back = sum(item["amount"] for each in done for item in each.get("deductions", ()))
        assert sum(item["amount"] for item in done) + kept_back == theirs


def open_fees(quote: dict[str, Any], done: list[dict[str, Any]]) -> bool:
    return bool(quote["fees"]) and sum(item["amount"] for item in done) < quote["payable_amount"]


def test_other_payers_change_nothing_of_it(cases: list[tuple[dict[str, Any], int]]) -> None:
    for quote, theirs in cases:
        if not has_till_sum(quote):
            continue
        half = theirs // 2
        split = [{"id": "a", "method": "cash", "amount": half}, {"id": "b", "method": "qr", "amount": theirs - half}]
        again = retendered(quote, split)
        assert [line["net_amount"] for line in again["lines"]] == [line["net_amount"] for line in quote["lines"]]
        assert (again["payable_amount"], again["fee_amount"]) == (theirs, quote["fee_amount"])
        assert sum(part["amount"] for part in again["splits"]) == theirs
