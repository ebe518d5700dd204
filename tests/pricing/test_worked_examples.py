"""The trade's worked examples, to the fen: if one of these moves, shops' books no longer agree with ours."""

from typing import Any

import pytest

from gateway.pricing import run_document
from tests.pricing.builders import basket, campaign, cash, line, nets, paid, percent, run, shares, steps, tier

MEMBER = {"id": "m1", "tier": "gold", "rate_bp": 9500}
E01_LINES = (line("A", 12800), line("B", 5990), line("C", 4550, "2"))
E01 = {
    "member": MEMBER,
    "coupons": [cash("C30", 3000, 20000, basis="after_member")],
    "select": ["C30"],
    "tenders": [{"id": "red", "method": "red_envelope", "amount": 500}, {"id": "cash", "method": "cash"}],
}


def split_rows(result: dict[str, Any], tender: str) -> list[int]:
    return [item["amount"] for item in result["splits"] if item["tender_id"] == tender]


def test_e01_member_price_coupon_and_red_envelope() -> None:
    result = run(*E01_LINES, **E01)
    assert [item["gross_amount"] for item in result["lines"]] == [12800, 5990, 9100]
    assert shares(result, "member") == [640, 299, 455]
    assert shares(result, "C30") == [1377, 644, 979]
    assert nets(result) == [10783, 5047, 7666]
    assert result["payable_amount"] == 23496
    assert paid(result["tenders"]) == {"red": 500, "cash": 22996}
    assert split_rows(result, "red") == [230, 107, 163]
    assert split_rows(result, "cash") == [10553, 4940, 7503]


def test_e02_and_e03_returns_one_after_the_other() -> None:
    requests = [
        {"policy": "prorata", "lines": [{"line_id": "B", "quantity": "1"}]},
        {"policy": "prorata", "lines": [{"line_id": "A", "quantity": "1"}]},
        {"policy": "prorata", "lines": [{"line_id": "C", "quantity": "2"}]},
    ]
    first, second, third = run(*E01_LINES, **E01, refunds=requests)["refunds"]
    assert first["amount"] == 5047
    assert paid(first["tenders"]) == {"red": 107, "cash": 4940}
    assert first["coupons"] == [{"code": "C30", "status": "redeemed"}]
    assert (second["amount"], paid(second["tenders"])) == (10783, {"red": 230, "cash": 10553})
    assert (third["amount"], paid(third["tenders"])) == (7666, {"red": 163, "cash": 7503})
    assert third["coupons"] == [{"code": "C30", "status": "available"}]


@pytest.mark.parametrize(("policy", "given"), [("prorata", 6957), ("recompute", 5000)])
def test_e05_the_return_loses_the_threshold(policy: str, given: int) -> None:
    off = campaign("M", "amount_off", tier(20000, off_amount=3000), on_return=policy)
    returned = [{"lines": [{"line_id": "B", "quantity": "1"}]}]
    result = run(line("A", 15000), line("B", 8000), campaigns=[off], refunds=returned)
    assert shares(result, "M") == [1957, 1043]
    assert nets(result) == [13043, 6957]
    assert result["payable_amount"] == 20000
    assert result["refunds"][0]["amount"] == given


TIERS = (tier(10000, off_amount=1000), tier(20000, off_amount=3000), tier(30000, off_amount=5000))


def test_e06_the_highest_tier_once() -> None:
    result = run(line("A", 18880), line("B", 9960), line("C", 4550), campaigns=[campaign("M", "amount_off", *TIERS)])
    assert shares(result, "M") == [2827, 1492, 681]
    assert nets(result) == [16053, 8468, 3869]


@pytest.mark.parametrize(
    ("price", "off"), [(9999, 0), (10000, 1000), (19999, 1000), (20000, 3000), (30000, 5000), (32000, 5000)]
)
def test_e06_a_threshold_is_reached_exactly(price: int, off: int) -> None:
    assert run(line("A", price), campaigns=[campaign("M", "amount_off", *TIERS)])["discount_amount"] == off


def test_e11_percent_with_a_cap() -> None:
    coupon = percent("Q", 8800, cap_amount=2000)
    result = run(line("A", 12345), line("B", 6789), coupons=[coupon], select=["Q"])
    assert shares(result, "Q") == [1290, 710]
    assert result["payable_amount"] == 17134
    assert result["forfeited_amount"] == 0
    del coupon["cap_amount"]
    assert run(line("A", 12345), line("B", 6789), coupons=[coupon], select=["Q"])["discount_amount"] == 2296


def test_e13_three_equal_lines() -> None:
    result = run(line("A", 1000), line("B", 1000), line("C", 1000), coupons=[cash("C", 1000)], select=["C"])
    assert shares(result, "C") == [334, 333, 333]
    assert nets(result) == [666, 667, 667]


def e17(select: Any) -> dict[str, Any]:
    coupons = [
        cash("P", 3000, 20000, priority=1),
        percent("Q", 8800, priority=2),
        cash("S", 2000, 10000, priority=3),
        cash("R", 6000, 30000, exclusive=True),
    ]
    return run(line("A", 16800), line("B", 9900), line("C", 6600), coupons=coupons, select=select)


@pytest.mark.parametrize(
    ("codes", "saved"),
    [("P", 3000), ("Q", 3996), ("R", 6000), ("S", 2000), ("PQ", 6636), ("PS", 5000), ("QS", 5996), ("PQS", 8636)],
)
def test_e17_savings_of_each_set(codes: str, saved: int) -> None:
    assert e17(list(codes))["discount_amount"] == saved


def test_e17_best_combination() -> None:
    result = e17("auto")
    assert steps(result) == [("P", 3000), ("Q", 3636), ("S", 2000)]
    assert result["payable_amount"] == 24664
    assert result["rejected"] == [{"id": "R", "kind": "coupon", "reason": "not_best"}]
    assert e17(["P", "Q", "R", "S"])["rejected"] == [{"id": "R", "kind": "coupon", "reason": "excluded"}]


@pytest.mark.parametrize(
    ("order", "taken", "given_back"),
    [
        ("percent", (19580, 3916), (4206, 841)),
        ("real_first", (23496, 0), (5047, 0)),
        ("gift_first", (13496, 10000), (2899, 2148)),
    ],
)
def test_e24_stored_value_buckets(order: str, taken: tuple[int, int], given_back: tuple[int, int]) -> None:
    account = {"stored_value": {"real": 50000, "gift": 10000, "prepaid": 0, "order": order}}
    document = {**E01, "tenders": [{"id": "v", "method": "stored_value"}], "accounts": account}
    result = run(*E01_LINES, **document, refunds=[{"lines": [{"line_id": "B", "quantity": "1"}]}])
    assert result["accounts"]["stored_value"] == {"real": taken[0], "gift": taken[1], "prepaid": 0}
    back = result["refunds"][0]["accounts"]["stored_value"]
    assert back == {"real": given_back[0], "gift": given_back[1], "prepaid": 0}


@pytest.mark.parametrize(("basis", "charge", "wiped", "payable"), [("net", 3565, 5, 39210), ("gross", 3866, 6, 39510)])
def test_e25_restaurant_bill(basis: str, charge: int, wiped: int, payable: int) -> None:
    dishes = [line(f"d{i}", amount) for i, amount in enumerate((8800, 12855, 4600, 3800))]
    drinks = [line(f"w{i}", amount, member_price=False) for i, amount in enumerate((3600, 5000))]
    fee = {"fee_id": "svc", "kind": "service_charge", "charge_bp": 1000, "basis": basis}
    result = run(*dishes, *drinks, member={"id": "m", "rate_bp": 9000}, fees=[fee], rounding="jiao")
    assert nets(result) == [7920, 11570, 4140, 3420, 3600, 5000]
    assert result["fees"][0]["amount"] == charge
    assert result["rounding_amount"] == wiped
    assert result["payable_amount"] == payable


def test_e28_karaoke_over_two_price_slots_and_minimum_spend() -> None:
    drinks = [line(f"w{i}", amount) for i, amount in enumerate((6800, 12800, 5800))]
    smoke = line("smoke", 2800, counts_to_minimum=False)
    room = {
        "fee_id": "room",
        "kind": "time",
        "from": "2014-03-08T16:30:00+08:00",
        "to": "2014-03-08T19:30:00+08:00",
        "unit_minutes": 1,
        "slots": [
            {"from": "13:00", "to": "18:00", "rate_amount": 4800, "per": "hour"},
            {"from": "18:00", "to": "24:00", "rate_amount": 9800, "per": "hour"},
        ],
    }
    result = run(*drinks, smoke, fees=[room, {"fee_id": "min", "kind": "minimum_spend", "amount": 40000}])
    time, minimum = result["fees"]
    assert [segment["amount"] for segment in time["segments"]] == [7200, 14700]
    assert time["amount"] == 21900
    assert (minimum["basis_amount"], minimum["amount"]) == (25400, 14600)
    assert result["payable_amount"] == 64700


def e30() -> dict[str, Any]:
    goods = [
        line("shoes", 89900, counter_id="K1"),
        line("dress", 65900, counter_id="K2"),
        line("scarf", 19900, counter_id="K3"),
    ]
    contracts = [
        {"counter_id": "K1", "deduction_bp": 2500, "promotion_share_bp": 6000},
        {"counter_id": "K2", "deduction_bp": 2800, "promotion_share_bp": 5000},
        {"counter_id": "K3", "deduction_bp": 3000, "promotion_share_bp": 10000},
    ]
    every = campaign("M500", "every_amount_off", tier(50000, off_amount=10000))
    return basket(*goods, campaigns=[every], contracts=contracts, acquirer_fee_bp=60)


def test_e30_settlement_of_three_counters() -> None:
    result = run_document(e30())
    assert (result["gross_amount"], result["discount_amount"], result["payable_amount"]) == (175700, 30000, 145700)
    entries = {(entry["party"], entry["kind"]): entry["amount"] for entry in result["settlement"]}
    bases = {(entry["party"], entry["kind"]): entry["basis_amount"] for entry in result["settlement"]}
    assert shares(result, "M500") == [15350, 11252, 3398]
    expected = {"K1": (74550, 6140, 80690, 20173, 447, 60070), "K2": (54648, 5626, 60274, 16877, 328, 43069)}
    expected["K3"] = (16502, 0, 16502, 4951, 99, 11452)
    for counter, (net, mall_bears, basis, deduction, fee, due) in expected.items():
        party = f"counter:{counter}"
        assert entries[party, "sale"] == net
        assert entries.get((party, "promo_cost"), 0) == mall_bears
        assert (bases[party, "deduction"], entries[party, "deduction"]) == (basis, -deduction)
        assert entries[party, "acquirer_fee"] == -fee
        assert entries[party, "due"] == due
    assert entries["mall", "due"] == 30235
    assert entries["acquirer", "due"] == 874
    assert sum(amount for (_, kind), amount in entries.items() if kind != "due") == 145700
    assert sum(amount for (_, kind), amount in entries.items() if kind == "due") == 145700
    funding = {part["party"]: part["amount"] for part in result["lines"][0]["allocations"][0]["funding"]}
    assert funding == {"counter:K1": 9210, "mall": 6140}


RULES = [
    {"prefix": "21", "layout": "plu5_amount5"},
    {"prefix": "22", "layout": "plu5_weight5", "sku_map": {"01234": "apples"}},
    {"prefix": "26", "layout": "plu5_amount5_weight5"},
]


def test_e33_labels_of_weighed_goods() -> None:
    labels: list[dict[str, Any]] = [
        {"scale_label": "2106013040083"},
        {"scale_label": "2201234007508", "unit_amount": 2580},
        {"scale_label": "261234501580006258"},
    ]
    result = run(*labels, label_rules=RULES)
    assert [item["sku"] for item in result["lines"]] == ["06013", "apples", "12345"]
    assert [item["quantity"] for item in result["lines"]] == ["1", "0.750", "0.625"]
    assert [item["gross_amount"] for item in result["lines"]] == [4008, 1935, 1580]
    assert result["lines"][2]["unit_amount"] == 2528


def test_the_documents_own_example() -> None:
    document = basket(
        *E01_LINES,
        member={"id": "m1", "tier": "gold", "tags": [], "first_order": False, "rate_bp": 9500, "points_available": 0},
        campaigns=[],
        coupons=[cash("C30", 3000, 20000, basis="after_member")],
        select=["C30"],
        fees=[],
        rounding="none",
        points=None,
        tenders=[
            {"id": "t1", "method": "red_envelope", "amount": 500},
            {"id": "t2", "method": "payment_code"},
        ],
        accounts={},
        contracts=[],
        acquirer_fee_bp=0,
        guides=[],
        refunds=[{"policy": "prorata", "lines": [{"line_id": "B", "quantity": "1"}]}],
    )
    result = run_document(document)
    assert nets(result) == [10783, 5047, 7666]
    assert paid(result["refunds"][0]["tenders"]) == {"t1": 107, "t2": 4940}
