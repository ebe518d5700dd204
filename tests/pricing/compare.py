"""The engine beside the plain implementation on random documents; `python -m tests.pricing.compare 100000` for many."""

import sys
from multiprocessing import Pool
from random import Random
from typing import Any

from gateway.pricing import run_document
from tests.pricing import generator, oracle

Document = dict[str, Any]


def difference(seed: int) -> str | None:
    """What the two disagree on for one seed, or None."""
    r = Random(seed)
    document = generator.document(r, most=2)
    bill = oracle.Bill(document)
    result = run_document(document)
    for name, ours, theirs in compared(document, result, bill):
        if ours != theirs:
            return f"seed {seed}: {name}: {ours} is not {theirs}"
    return refund_difference(r, document, bill, seed) or recompute_difference(r, document, seed)


def compared(document: Document, result: Document, bill: oracle.Bill) -> list[tuple[str, Any, Any]]:
    places = [{"line_id": line["line_id"]} for line in document["lines"]]
    places += [{"fee_id": fee["fee_id"]} for fee in document["fees"]]
    split = {(s.get("line_id") or s.get("fee_id"), s["tender_id"]): s["amount"] for s in result["splits"]}
    rows = [[split.get((next(iter(p.values())), t["id"]), 0) for p in places] for t in document["tenders"]]
    return [
        ("steps", [(s["id"], s["amount"]) for s in result["steps"] if s["amount"]], bill.pricing.steps),
        ("nets", [line["net_amount"] for line in result["lines"]], bill.nets),
        ("fees", [fee["amount"] for fee in result["fees"]], bill.fees),
        ("points", (result["points"]["used"], result["points"]["amount"]), (bill.points_used, bill.points_amount)),
        ("rounding", result["rounding_amount"], bill.rounding),
        ("payable", result["payable_amount"], bill.payable),
        ("tenders", [tender["amount"] for tender in result["tenders"]], bill.tenders),
        ("forfeited", result["forfeited_amount"], bill.forfeited),
        ("matrix", rows, bill.matrix),
    ]


def refund_difference(r: Random, document: Document, bill: oracle.Bill, seed: int) -> str | None:
    """The same for the return of everything, in a random order and partition."""
    fees = [fee["fee_id"] for fee in document["fees"]]
    requests = generator.return_requests(r, document["lines"], fees, "prorata")
    requests = [{**request, "gift_returned": True} for request in requests]
    refunds = run_document({**document, "refunds": requests})["refunds"]
    if any(refund["deductions"] for refund in refunds):
        return None  # spent vouchers are not what the plain implementation is about
    returns = oracle.Returns(document, bill)
    for i, (request, refund) in enumerate(zip(requests, refunds, strict=True)):
        ours = (refund["amount"], [tender["amount"] for tender in refund["tenders"]])
        theirs = returns.give_back(request, fees)
        if ours != theirs:
            return f"seed {seed}: refund {i}: {ours} is not {theirs}"
    return None


def recompute_difference(r: Random, document: Document, seed: int) -> str | None:
    """Given back is what was paid less the best price of what is kept, not below nothing nor above the gross."""
    document = {**document, "points": None, "rounding": "none", "fees": []}
    document["campaigns"] = [{k: v for k, v in c.items() if k != "budget_amount"} for c in document["campaigns"]]
    requests = generator.return_requests(r, document["lines"], [], "recompute")
    result = run_document({**document, "refunds": [{**request, "gift_returned": True} for request in requests]})
    in_force = {campaign["id"] for campaign in result["snapshot"]["campaigns"]}
    sale = {**document, "campaigns": [c for c in document["campaigns"] if c["id"] in in_force]}
    applied = [item["id"] for item in result["applied"] if item["kind"] == "coupon"]
    sale["coupons"] = [coupon for coupon in document["coupons"] if coupon["code"] in applied]
    kept = oracle.Kept(sale, result["payable_amount"])
    ours = [refund["amount"] for refund in result["refunds"]]
    theirs = [kept.give_back(request) for request in requests]
    return None if ours == theirs else f"seed {seed}: recomputed refunds: {ours} is not {theirs}"


def main() -> int:
    count, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with Pool(2) as pool:
        found = [text for text in pool.imap_unordered(difference, range(first, first + count), 200) if text]
    print(*found[:20], f"{count} baskets, {len(found)} differences", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
