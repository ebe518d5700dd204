"""What pricing costs: a simple basket as in a checkout, a big one with many benefits, and how it grows.

Run `python benchmarks/pricing.py [--json]`. Times are the best of several rounds, in microseconds.
"""

import argparse
import json
import time
from collections.abc import Callable
from random import Random
from typing import Any

from gateway.pricing import parse, parse_campaigns, price, refund, run_document

Document = dict[str, Any]


def basket(lines: int, campaigns: int, coupons: int, seed: int = 1) -> Document:
    """A basket in which every benefit can take effect and some bar each other."""
    r = Random(seed)
    kinds = ["amount_off", "every_amount_off", "percent_off"]
    return {
        "currency": "CNY",
        "store_id": "s1",
        "at": "2014-03-08T12:00:00+08:00",
        "lines": [
            {
                "line_id": f"L{i}",
                "sku": f"S{i}",
                "category": r.choice(["shoes", "food", "drinks"]),
                "counter_id": f"K{i % 3}",
                "quantity": str(r.randint(1, 3)),
                "unit_amount": r.randint(3000, 40000),
            }
            for i in range(lines)
        ],
        "member": {"id": "m", "tier": "gold", "rate_bp": 9500},
        "campaigns": [_campaign(r, i, kinds[i % 3]) for i in range(campaigns)],
        "coupons": [
            {"code": f"C{i}", "kind": "cash", "off_amount": r.randint(500, 2000), "threshold_amount": 10000}
            for i in range(coupons)
        ],
        "select": "auto",
        "tenders": [{"id": "t1", "method": "red_envelope", "amount": 100}, {"id": "t2", "method": "payment_code"}],
    }


def _campaign(r: Random, i: int, kind: str) -> Document:
    value = {"rate_bp": r.randint(9300, 9900)} if kind == "percent_off" else {"off_amount": r.randint(300, 1500)}
    document: Document = {
        "id": f"M{i}",
        "version": 1,
        "kind": kind,
        "tiers": [{"threshold_amount": r.choice([5000, 10000, 20000]), **value}],
    }
    if i % 3 == 0:
        document["scope"] = {"categories": [r.choice(["shoes", "food", "drinks"])]}
    if kind == "every_amount_off":
        document["max_times"] = 2
    if i % 4 == 0:
        document["stack_group"] = "season"
    return document


def best_of(function: Callable[[], object], rounds: int = 7) -> float:
    """Microseconds of one call, the best round's mean."""
    start = time.process_time()
    function()
    once = time.process_time() - start
    count = max(1, min(2000, int(0.05 / max(once, 1e-7))))
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(count):
            function()
        best = min(best, (time.process_time() - start) / count)
    return best * 1e6


def phases(document: Document) -> dict[str, float]:
    """Parsing with ready campaigns, pricing, the document with its snapshot, and one refund."""
    campaigns = parse_campaigns(document["campaigns"])
    bare = {name: value for name, value in document.items() if name != "campaigns"}
    ready = parse(bare, campaigns)
    quote = price(ready)
    snapshot = quote.to_document()["snapshot"]
    first = {"lines": [{"line_id": document["lines"][0]["line_id"], "quantity": "1"}]}
    parsed = best_of(lambda: parse(bare, campaigns))
    priced = best_of(lambda: price(ready))
    whole = best_of(lambda: price(parse(bare, campaigns)).to_document())
    return {
        "parse": parsed,
        "price": priced,
        "document": max(0.0, whole - parsed - priced),
        "whole": whole,
        "refund": best_of(lambda: refund(snapshot, [], first)),
    }


CASES = {
    "simple: 3 lines, 1 campaign, 1 coupon": (3, 1, 1),
    "big: 20 lines, 10 campaigns, 5 coupons": (20, 10, 5),
    "5 lines, 4 candidates": (5, 2, 2),
    "50 lines, 4 candidates": (50, 2, 2),
    "500 lines, 4 candidates": (500, 2, 2),
    "1000 lines, 4 candidates": (1000, 2, 2),
    "10 lines, 8 candidates": (10, 5, 3),
    "10 lines, 12 candidates": (10, 8, 4),
    "10 lines, 16 candidates": (10, 10, 6),
    "10 lines, 24 candidates": (10, 16, 8),
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--json", action="store_true")
    as_json = options.parse_args().json
    results = {}
    for name, size in CASES.items():
        document = basket(*size)
        run_document({**document, "refunds": []})
        results[name] = phases(document)
    if as_json:
        print(json.dumps(results, indent=2))
        return
    print(f"{'':42}" + "".join(f"{phase:>12}" for phase in next(iter(results.values()))) + "   µs")
    for name, found in results.items():
        print(f"{name:42}" + "".join(f"{value:12.0f}" for value in found.values()))


if __name__ == "__main__":
    main()
