"""Limits are counted in the store: what was used bars a campaign, what a quote uses is charged."""

import pytest

from gateway.pricing import Use, Used, parse, parse_campaigns, price, run_document, uses_of, with_used
from tests.pricing.builders import basket, campaign, cash, line, tier

CAMPAIGNS = [
    campaign("M", "amount_off", tier(1000, off_amount=300), limits={"total": 2, "per_member": 1}, budget_amount=1000),
    campaign("G", "gift", tier(0, gift={"sku": "cup", "quantity": "1", "value_amount": 2900})),
    campaign("V", "rebate_voucher", tier(0, voucher_amount=500)),
]


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        (Used(total=1), None),
        (Used(total=2), "limit"),
        (Used(member=1), "limit"),
        (Used(budget_amount=700), None),
        (Used(budget_amount=701), "budget"),
    ],
)
def test_what_was_used_bars_a_ready_campaign(used: Used, reason: str | None) -> None:
    ready = parse_campaigns(CAMPAIGNS)
    document = price(parse(basket(line("A", 5000)), with_used(ready, {"M": used}))).to_document()
    assert {item["id"]: item["reason"] for item in document["rejected"]}.get("M") == reason
    fresh = price(parse(basket(line("A", 5000)), ready)).to_document()
    assert fresh["inputs_hash"] != document["inputs_hash"]


def test_what_a_quote_uses() -> None:
    passes = {"code": "P", "kind": "count_pass", "sku": "swim", "counts": {"available": 5}}
    document = basket(
        line("A", 5000), line("swim", 2000, "3"), campaigns=CAMPAIGNS, coupons=[passes, cash("C", 100)], select="auto"
    )
    assert uses_of(run_document(document)) == (
        Use("campaign", "M", 1, 1, 300),
        Use("campaign", "G", 1, 1, 2900),
        Use("campaign", "V", 1, 1, 500),
        Use("coupon", "P", None, 3, 5836),
        Use("coupon", "C", None, 1, 100),
    )
