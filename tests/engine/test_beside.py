"""Points and rounding come back with what they had paid for, however a sale is returned: a till's books close."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.engine.beside import BesideMoney
from gateway.pricing import refund, run_document

Json = dict[str, Any]


def _sold(prices: list[int], pieces: list[int], points: int) -> Json:
    """A quote with points, rounding to ten fen and a service charge."""
    lines = [
        {"line_id": f"L{n}", "sku": f"L{n}", "quantity": str(count), "unit_amount": price}
        for n, (price, count) in enumerate(zip(prices, pieces, strict=True))
    ]
    document: Json = {
        "at": "2026-03-01T12:00:00+08:00",
        "lines": lines,
        "member": {"id": "M1", "points_available": points},
        "rounding": "jiao",
        "fees": [{"fee_id": "svc", "kind": "service_charge", "charge_bp": 1000, "basis": "net"}],
        "tenders": [{"id": "t1", "method": "cash"}],
    }
    if points:
        document["points"] = {"rule": {"points": 1, "amount": 1}, "use": points}
    return run_document(document)


PRICES = st.integers(min_value=101, max_value=9_999)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), prices=st.lists(PRICES, min_size=1, max_size=4), points=st.integers(min_value=0, max_value=300))
def test_every_return_adds_up_and_all_of_them_bring_back_the_sale(data: Any, prices: list[int], points: int) -> None:
    pieces = [data.draw(st.integers(min_value=1, max_value=5)) for _ in prices]
    quote = _sold(prices, pieces, points)
    left = {f"L{n}": count for n, count in enumerate(pieces)}
    earlier: list[Json] = []
    nets = points_back = rounding_back = 0
    while any(left.values()):
        taken = {name: data.draw(st.integers(min_value=0, max_value=count)) for name, count in left.items()}
        wanted: Json = {"lines": [{"line_id": name, "quantity": str(count)} for name, count in taken.items() if count]}
        wanted = wanted if wanted["lines"] else {}
        result = refund(quote["snapshot"], [each["gives_back"] for each in earlier], wanted)
        beside = BesideMoney(quote, earlier, result)
        lines = [item for item in result["lines"] if "line_id" in item]
        told = sum(item["amount"] + beside.of(item["line_id"]) for item in lines)
        fees = result["amount"] + beside.points_amount + beside.rounding_amount - told
        assert beside.points_amount == result["points"]["returned_amount"]
        assert (fees > 0) == any("fee_id" in item for item in result["lines"])
        nets, points_back, rounding_back = (
            nets + told, points_back + beside.points_amount, rounding_back + beside.rounding_amount,
        )  # fmt: skip
        earlier.append({"gives_back": result})
        for item in lines:
            left[item["line_id"]] -= int(Decimal(item.get("quantity") or 0))
    assert nets == sum(line["net_amount"] for line in quote["lines"])
    assert points_back + rounding_back <= quote["points"]["amount"] + quote["rounding_amount"]
    if "fee_id" in str(earlier):
        assert (points_back, rounding_back) == (quote["points"]["amount"], quote["rounding_amount"])
