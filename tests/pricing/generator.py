"""Random pricing documents: small prices for many ties, few scopes for many overlaps, every kind of benefit."""

from random import Random
from typing import Any

Document = dict[str, Any]
CATEGORIES = ["shoes", "food", "drinks"]
COUNTERS = ["K1", "K2"]


def _price(r: Random) -> int:
    return r.choice([0, 1, 7, 100, 333, 999, 1000, 2580, 5990, r.randint(0, 30000)])


def _line(r: Random, i: int, whole: bool) -> Document:
    document: Document = {"line_id": f"L{i}", "sku": r.choice(["A", "B", "C", "D"]), "unit_amount": _price(r)}
    document["quantity"] = (
        r.choice(["1", "1", "1", "2", "2", "3", "3", "12"]) if whole or r.random() < 0.8 else r.choice(["0.625", "1.5"])
    )
    document["category"] = r.choice(CATEGORIES)
    if r.random() < 0.5:
        document["counter_id"] = r.choice(COUNTERS)
    for flag in ("discountable", "member_price", "counts_to_minimum"):
        if r.random() < 0.12:
            document[flag] = False
    if r.random() < 0.1:
        document["member_amount"] = document["unit_amount"] * r.randint(70, 110) // 100
    return document


def _scope(r: Random) -> Document:
    scope: Document = {}
    if r.random() < 0.3:
        scope["categories"] = r.sample(CATEGORIES, r.randint(1, 2))
    if r.random() < 0.15:
        scope["skus"] = r.sample(["A", "B", "C", "D"], 2)
    if r.random() < 0.15:
        scope["exclude"] = {"skus": [r.choice("ABCD")]}
    return scope


def _threshold(r: Random) -> int:
    return r.choice([0, 100, 999, 1000, 5000, 10000, r.randint(0, 40000)])


def _rate(r: Random) -> int:
    return r.choice([0, 5000, 8800, 9500, 9999, r.randint(1000, 9999)])


def _rules(r: Random, stages: bool) -> Document:
    more: Document = {}
    if r.random() < 0.3:
        more["cap_amount"] = r.choice([0, 1, 500, 2000, 10000])
    if r.random() < 0.2:
        more["priority"] = r.choice([1, 50, 200])
    if r.random() < 0.25:
        more["stack_group"] = r.choice(["g", "h"])
    if r.random() < 0.1:
        more["exclusive"] = True
    if r.random() < 0.1:
        more["exclusive_with"] = [r.choice(["member", "M0", "C0"])]
    if r.random() < 0.4:
        more["basis"] = r.choice(["gross", "after_item", "after_member", "after_campaign"])
    if r.random() < 0.3:
        more["on_return"] = "recompute"
    if stages and r.random() < 0.2:
        more["stage"] = r.choice(["item", "member"])
    return more


def _tier(r: Random, kind: str, threshold: int) -> Document:
    tier: Document = {"threshold_amount": threshold}
    if kind in ("amount_off", "every_amount_off"):
        tier["off_amount"] = r.choice([1, 100, 1000, r.randint(1, 9000)])
    elif kind in ("percent_off", "member_rate"):
        tier["rate_bp"] = _rate(r)
    elif kind == "nth_unit":
        name = r.choice(["rate_bp", "off_amount", "price_amount"])
        tier[name] = {"rate_bp": _rate(r), "off_amount": r.randint(1, 3000), "price_amount": r.randint(0, 3000)}[name]
    elif kind in ("fixed_price", "add_on"):
        tier["price_amount"] = r.choice([0, 100, 990, r.randint(0, 9000)])
    elif kind == "gift":
        tier["gift"] = {"sku": "G", "quantity": "1", "value_amount": r.choice([0, 500, 1999])}
    elif kind == "rebate_voucher":
        tier["voucher_amount"] = r.choice([500, 1000])
    elif kind == "reward":
        tier["reward_amount"] = r.choice([100, 500])
    return tier


PRICED = ["amount_off", "every_amount_off", "percent_off", "nth_unit", "buy_n_cheapest", "fixed_price", "add_on"]


def _by_pieces(tier: Document, pieces: int) -> Document:
    """The tier with a threshold in pieces."""
    return {**{k: v for k, v in tier.items() if k != "threshold_amount"}, "threshold_quantity": pieces}


def campaign(r: Random, i: int, kinds: list[str]) -> Document:
    kind = r.choice(kinds)
    document: Document = {"id": f"M{i}", "version": 1, "kind": kind, **_rules(r, True)}
    if scope := _scope(r):
        document["scope"] = scope
    thresholds = sorted({max(1, _threshold(r)) if kind == "every_amount_off" else _threshold(r) for _ in range(2)})
    document["tiers"] = [_tier(r, kind, threshold) for threshold in thresholds[: r.randint(1, 2)]]
    if kind in ("nth_unit", "buy_n_cheapest", "fixed_price"):
        document["n"] = r.randint(1, 4)
        if r.random() < 0.3:
            document["max_times"] = r.randint(1, 2)
    if kind in ("amount_off", "percent_off", "gift") and r.random() < 0.2:
        document["tiers"] = [_by_pieces(tier, n) for n, tier in enumerate(document["tiers"], 1)]
    if r.random() < 0.15:
        document["budget_amount"] = 5000
        document["used"] = {"budget_amount": r.choice([0, 2000, 4500])}
    if kind in ("amount_off", "every_amount_off") and r.random() < 0.4:
        document["repeat"] = True
        document["max_times"] = r.randint(1, 3)
    return document


def coupon(r: Random, i: int) -> Document:
    kind = r.choice(["cash", "cash", "percent", "exchange", "count_pass"])
    document: Document = {"code": f"C{i}", "kind": kind, **_rules(r, False), "threshold_amount": _threshold(r)}
    if kind == "cash":
        document["off_amount"] = r.choice([1, 500, 3000, r.randint(1, 20000)])
    elif kind == "percent":
        document["rate_bp"] = _rate(r)
    elif kind == "exchange":
        document["sku"] = r.choice("ABCD")
    else:
        document["counts"] = {"initial": 10, "available": r.randint(1, 3), "held": 0, "used": 0}
        if r.random() < 0.5:
            document["sku"] = r.choice("ABCD")
    if scope := _scope(r):
        document["scope"] = scope
    if r.random() < 0.3:
        document["expires_at"] = f"2014-0{r.randint(4, 9)}-01T00:00:00+08:00"
    return document


def _fees(r: Random) -> list[Document]:
    fees: list[Document] = []
    if r.random() < 0.3:
        fees.append({"fee_id": "svc", "kind": "service_charge", "charge_bp": 1000, "basis": r.choice(["net", "gross"])})
    if r.random() < 0.2:
        fees.append({"fee_id": "min", "kind": "minimum_spend", "amount": _threshold(r)})
    return fees


def _tenders(r: Random) -> list[Document]:
    tenders: list[Document] = []
    if r.random() < 0.3:
        tenders += [{"id": f"e{i}", "method": "qr_code", "share": "equal"} for i in range(r.randint(2, 3))]
        return tenders
    if r.random() < 0.4:
        tenders.append({"id": "v", "method": "voucher", "code": "V", "count": r.randint(1, 2)})
    tenders.append({"id": "rest", "method": r.choice(["payment_code", "cash", "stored_value"])})
    return tenders


def document(r: Random, kinds: list[str] | None = None, most: int = 3) -> Document:
    """One document with tenders, without refunds. `most` bounds the campaigns and the coupons."""
    kinds = kinds or [*PRICED, "gift", "rebate_voucher", "reward", "member_rate"]
    coupons = [coupon(r, i) for i in range(r.randint(0, most))]
    codes = [item["code"] for item in coupons]
    coupons.append({"code": "V", "kind": "group_buy", "face_amount": 1500, "sold_amount": 1200})
    found: Document = {
        "currency": "CNY",
        "store_id": "s1",
        "at": "2014-03-08T12:00:00+08:00",
        "lines": [_line(r, i, r.random() < 0.8) for i in range(r.randint(1, 5))],
        "campaigns": [campaign(r, i, kinds) for i in range(r.randint(0, most))],
        "coupons": coupons,
        "select": "auto" if r.random() < 0.6 else codes,
        "fees": _fees(r),
        "rounding": r.choice(["none", "none", "jiao", "yuan"]),
        "tenders": _tenders(r),
        "accounts": {"stored_value": {"real": 9_000_000, "gift": 333_333, "prepaid": 100, "order": r.choice(ORDERS)}},
        "contracts": [{"counter_id": "K1", "deduction_bp": 2500, "promotion_share_bp": 6000}],
        "acquirer_fee_bp": r.choice([0, 38, 60]),
        "guides": [
            {"guide_id": "g1", "role": "serving", "share_bp": 7000, "commission_bp": 200},
            {"guide_id": "g2", "role": "recruiting", "share_bp": 3000, "commission_bp": 200},
        ],
    }
    if r.random() < 0.7:
        found["member"] = {"id": "m", "tier": "gold", "rate_bp": r.choice([10000, 9500, 8888]), "points_available": 900}
        if r.random() < 0.5:
            rule = {
                "points": r.choice([1, 3, 100]),
                "amount": r.choice([1, 10, 100]),
                "limit_bp": r.choice([3000, 10000]),
            }
            rule["interval"] = r.choice([1, 10])
            earn = {"per_amount": 100, "points": 1, "rate_by_tier": {"gold": 15000}}
            found["points"] = {"use": r.choice([0, 77, 500]), "rule": rule, "earn": earn}
    return found


ORDERS = ["percent", "real_first", "gift_first"]


def return_requests(r: Random, lines: list[Document], fees: list[str], policy: str | None) -> list[Document]:
    """All units and fees in a random order and a random partition."""
    pieces: list[Document] = []
    for item in lines:
        quantity = item["quantity"]
        if "." in quantity:
            pieces.append({"line_id": item["line_id"], "quantity": quantity})
        else:
            pieces += [{"line_id": item["line_id"], "quantity": "1"} for _ in range(int(quantity))]
    pieces += [{"fee_id": fee} for fee in fees]
    r.shuffle(pieces)
    requests: list[Document] = []
    while pieces:
        count = r.randint(1, len(pieces))
        request: Document = {"lines": pieces[:count]}
        if policy:
            request["policy"] = policy
        requests.append(request)
        pieces = pieces[count:]
    return requests
