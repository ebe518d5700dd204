"""For every basket: no fen is lost or made, nothing is given back twice, the best set is the best."""

import json
from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.pricing import PricingErrors, parse, parse_campaigns, price, refund, run_document
from tests.pricing import generator

Document = dict[str, Any]
pytestmark = pytest.mark.slow
seeds = st.integers(0, 2**40)
many = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))


def total(items: list[Document], kind: str | None = None) -> int:
    return sum(item["amount"] for item in items if kind is None or item["kind"] == kind)


def without_due(entries: list[Document]) -> int:
    return sum(entry["amount"] for entry in entries if entry["kind"] != "due")


@given(seeds)
@many
def test_shares_add_up_to_each_discount_and_stay_within_their_line(seed: int) -> None:
    result = run_document(generator.document(Random(seed)))
    given_by: dict[str, int] = {}
    for line in result["lines"]:
        taken = total(line["allocations"])
        assert taken == line["discount_amount"] == line["gross_amount"] - line["net_amount"]
        assert 0 <= line["net_amount"] <= line["gross_amount"]
        for allocation in line["allocations"]:
            assert total(allocation["funding"]) == allocation["amount"] > 0
            given_by[allocation["id"]] = given_by.get(allocation["id"], 0) + allocation["amount"]
    assert given_by == {step["id"]: step["amount"] for step in result["steps"] if step["amount"]}
    for units, line in zip(result["units"], result["lines"], strict=True):
        assert sum(units["net_amounts"]) == line["net_amount"]
        assert min(units["net_amounts"]) >= 0


@given(seeds)
@many
def test_payable_is_the_sum_of_its_parts_and_the_matrix_adds_up_both_ways(seed: int) -> None:
    result = run_document(generator.document(Random(seed)))
    nets = sum(line["net_amount"] for line in result["lines"])
    payable = nets + result["fee_amount"] - result["points"]["amount"] - result["rounding_amount"]
    assert payable == result["payable_amount"] >= 0
    assert total(result["tenders"]) == total(result["splits"]) == payable
    for tender in result["tenders"]:
        assert total([s for s in result["splits"] if s["tender_id"] == tender["id"]]) == tender["amount"]
        assert tender["amount"] >= 0
    due = dict(zip([*range(len(result["snapshot"]["due"]))], result["snapshot"]["due"], strict=True))
    names = [line["line_id"] for line in result["lines"]] + [fee["fee_id"] for fee in result["fees"]]
    for position, name in enumerate(names):
        row = [s for s in result["splits"] if name in (s.get("line_id"), s.get("fee_id"))]
        assert total(row) == due[position] >= 0
    assert without_due(result["settlement"]) == total(result["settlement"], "due") == payable


def returned(seed: int, policy: str | None, gift_returned: bool = True) -> tuple[Document, Document]:
    r = Random(seed)
    document = generator.document(r)
    result = run_document(document)
    fees = [fee["fee_id"] for fee in result["fees"]]
    requests = generator.return_requests(r, result["lines"], fees, policy)
    requests = [{**request, "gift_returned": gift_returned} for request in requests]
    return result, run_document({**document, "refunds": requests})


@pytest.mark.parametrize("policy", ["prorata", "recompute", None])
@given(seed=seeds)
@many
def test_everything_back_in_any_order_is_what_was_paid(policy: str | None, seed: int) -> None:
    sale, result = returned(seed, policy)
    refunds = result["refunds"]
    kept_back = sum(total(refund["deductions"]) for refund in refunds)
    assert total(refunds) + kept_back == sale["payable_amount"]
    for refund_document in refunds:
        assert total(refund_document["lines"]) == total(refund_document["tenders"]) == refund_document["amount"] >= 0
        assert without_due(refund_document["settlement"]) == -refund_document["amount"]
    if kept_back:
        return
    for i, tender in enumerate(sale["tenders"]):
        assert sum(r["tenders"][i]["amount"] for r in refunds) == tender["amount"]
    for bucket, taken in sale["accounts"]["stored_value"].items():
        assert sum(r["accounts"].get("stored_value", {}).get(bucket, 0) for r in refunds) == taken
    assert sum(r["points"]["returned"] for r in refunds) == sale["points"]["used"]
    assert sum(r["points"]["revoked"] for r in refunds) == sale["points"]["earned"]
    assert {coupon["status"] for coupon in refunds[-1]["coupons"]} <= {"available"}
    for entry in sale["settlement"]:
        key = (entry["party"], entry["kind"])
        back = [e["amount"] for r in refunds for e in r["settlement"] if (e["party"], e["kind"]) == key]
        assert entry["amount"] + sum(back) == 0


@given(seeds, st.sampled_from(["prorata", "recompute", None]), st.booleans())
@many
def test_a_refund_is_never_above_what_is_left(seed: int, policy: str | None, gift_returned: bool) -> None:
    sale, result = returned(seed, policy, gift_returned)
    left = sale["payable_amount"]
    for done in result["refunds"]:
        left -= done["amount"]
        assert left >= 0
        assert all(item["amount"] >= 0 for item in [*done["lines"], *done["tenders"]])
    snapshot = result["snapshot"]
    for request in ({"amount": left + 1}, {"lines": [{"line_id": sale["lines"][0]["line_id"], "quantity": "1"}]}):
        with pytest.raises(PricingErrors):
            refund(snapshot, result["refunds"], request)


@given(seeds)
@many
def test_prorata_gives_a_line_no_more_than_its_net(seed: int) -> None:
    sale, result = returned(seed, "prorata")
    for line in sale["lines"]:
        back = [
            item["amount"] for r in result["refunds"] for item in r["lines"] if item.get("line_id") == line["line_id"]
        ]
        assert sum(back) <= line["net_amount"]


@given(seeds)
@many
def test_sums_without_goods_come_out_of_the_same_money(seed: int) -> None:
    r = Random(seed)
    document = generator.document(r)
    sale = run_document(document)
    if sale["payable_amount"] < 2:
        return
    amount = r.randint(1, sale["payable_amount"])
    requests: list[Document] = [
        {"amount": amount},
        {"policy": r.choice(["prorata", "recompute"]), "gift_returned": True},
    ]
    first, second = run_document({**document, "refunds": requests})["refunds"]
    assert first["amount"] == amount
    assert amount + second["amount"] + total(second["deductions"]) == sale["payable_amount"]


def best_saving(document: Document) -> int:
    discount: int = run_document({**document, "tenders": []})["discount_amount"]
    return discount


@given(seeds)
@many
def test_taking_a_benefit_away_never_lowers_the_price(seed: int) -> None:
    r = Random(seed)
    document = {**generator.document(r), "select": "auto"}
    name = r.choice(["campaigns", "coupons"])
    if document[name]:
        fewer = list(document[name])
        fewer.pop(r.randrange(len(fewer)))
        assert best_saving({**document, name: fewer}) <= best_saving(document)


@given(seeds)
@many
def test_the_best_set_is_that_of_brute_force(seed: int) -> None:
    """Every subset is offered alone; none may save more than what was found among all."""
    document = generator.document(Random(seed), kinds=generator.PRICED, most=2)
    coupons = [c for c in document["coupons"] if c["kind"] != "group_buy"]
    every = [("campaigns", c) for c in document["campaigns"]] + [("coupons", c) for c in coupons]
    document = {**document, "select": "auto", "tenders": []}
    best = 0
    for size in range(len(every) + 1):
        for chosen in combinations(every, size):
            offered = {name: [c for kind, c in chosen if kind == name] for name in ("campaigns", "coupons")}
            best = max(best, best_saving({**document, **offered}))
    assert best_saving(document) == best


@given(seeds)
@many
def test_the_same_input_gives_the_same_result(seed: int) -> None:
    document = generator.document(Random(seed))
    again = json.loads(json.dumps(dict(reversed(document.items()))))
    first, second = run_document(document), run_document(again)
    assert first == second
    ready = parse_campaigns(document["campaigns"])
    bare = {name: value for name, value in document.items() if name != "campaigns"}
    assert price(parse(bare, ready)).to_document() == {**first, "refunds": []}
    moved = {**document, "lines": [{**document["lines"][0], "unit_amount": 12345}, *document["lines"][1:]]}
    if moved["lines"] != document["lines"]:
        assert price(parse(moved)).inputs_hash != first["inputs_hash"]


@given(seeds)
@many
def test_a_preview_is_what_then_happens_also_from_stored_json(seed: int) -> None:
    _, result = returned(seed, None)
    stored = json.loads(json.dumps(result["snapshot"]))
    assert stored == result["snapshot"]
    request = {"lines": [{"line_id": result["lines"][0]["line_id"]}], "gift_returned": True}
    assert refund(stored, [], request) == refund(result["snapshot"], [], request)
