"""Refunds beside the money: gifts, vouchers, rewards, points, coupons, books, and policies that meet in one basket."""

from typing import Any

from tests.pricing.builders import campaign, cash, line, paid, percent, run, tier

PAY = [{"id": "t", "method": "payment_code"}]


def back(*line_ids: str, **more: Any) -> dict[str, Any]:
    return {"lines": [{"line_id": name} for name in line_ids], **more}


def amounts(result: dict[str, Any]) -> list[int]:
    return [refund["amount"] for refund in result["refunds"]]


def statuses(refund: dict[str, Any]) -> dict[str, str]:
    return {coupon["code"]: coupon["status"] for coupon in refund["coupons"]}


GIFT = campaign("G", "gift", tier(20000, gift={"sku": "cup", "quantity": "1", "value_amount": 2900}))


def test_a_gift_that_is_no_longer_earned_is_given_back_or_paid() -> None:
    goods = (line("A", 15000), line("B", 8000))
    assert amounts(run(*goods, campaigns=[GIFT], refunds=[back("B", gift_returned=True)])) == [8000]
    kept = run(*goods, campaigns=[GIFT], refunds=[back("B"), back("A")])
    assert amounts(kept) == [5100, 15000]
    assert kept["refunds"][0]["deductions"] == [{"id": "G", "kind": "gift", "amount": 2900}]


def test_a_gift_that_stands_as_a_line_is_back_when_the_line_is() -> None:
    cup = line("cup", 0, gift_value_amount=2900)
    offer = campaign("G", "gift", tier(20000, gift={"sku": "cup"}))
    goods = (line("A", 15000), line("B", 8000), cup)
    assert amounts(run(*goods, campaigns=[offer], refunds=[back("B", "cup")])) == [8000]
    assert amounts(run(*goods, campaigns=[offer], refunds=[back("B")])) == [5100]


def test_a_deduction_larger_than_the_refund_waits_for_the_next() -> None:
    dear = campaign("G", "gift", tier(20000, gift={"sku": "tv", "quantity": "1", "value_amount": 10000}))
    result = run(line("A", 15000), line("B", 8000), campaigns=[dear], refunds=[back("B"), back("A")])
    assert amounts(result) == [0, 13000]


def test_unused_vouchers_are_cancelled_and_spent_ones_deducted() -> None:
    voucher = campaign("V", "rebate_voucher", tier(10000, voucher_amount=2000), repeat=True)
    requests = [back("B", vouchers_spent_amount=5000), back("A", vouchers_spent_amount=5000)]
    result = run(line("A", 20000), line("B", 10000), campaigns=[voucher], refunds=requests)
    assert result["rewards"][0]["amount"] == 6000
    first, second = result["refunds"]
    assert first["rewards"] == [{"id": "V", "cancelled_amount": 1000, "clawed_back_amount": 1000}]
    assert second["rewards"] == [{"id": "V", "cancelled_amount": 0, "clawed_back_amount": 4000}]
    assert amounts(result) == [9000, 16000]


def test_a_reward_is_clawed_back_from_its_funder_not_from_the_customer() -> None:
    reward = campaign("R", "reward", tier(10000, reward_amount=500))
    result = run(line("A", 6000), line("B", 6000), campaigns=[reward], refunds=[back("B")])
    assert amounts(result) == [6000]
    assert result["refunds"][0]["rewards"] == [{"id": "R", "cancelled_amount": 0, "clawed_back_amount": 500}]


def test_a_coupon_comes_back_with_the_last_line_it_lowered() -> None:
    coupon = cash("C", 1000, scope={"skus": ["A", "B"]})
    requests = [back("A"), back("B"), back("X")]
    result = run(line("A", 5000), line("B", 5000), line("X", 5000), coupons=[coupon], select=["C"], refunds=requests)
    assert [statuses(refund)["C"] for refund in result["refunds"]] == ["redeemed", "available", "available"]


def test_a_coupon_that_ran_out_meanwhile_is_expired() -> None:
    coupon = cash("C", 1000, expires_at="2014-03-31")
    later = back("A", at="2014-04-02T10:00:00+08:00")
    result = run(line("A", 5000), coupons=[coupon], select=["C"], refunds=[later])
    assert statuses(result["refunds"][0]) == {"C": "expired"}


def test_recompute_frees_the_coupon_whose_threshold_is_lost() -> None:
    coupon = cash("C", 3000, 20000, on_return="recompute")
    result = run(line("A", 15000), line("B", 8000), coupons=[coupon], select=["C"], refunds=[back("B"), back("A")])
    assert amounts(result) == [5000, 15000]
    assert [statuses(refund)["C"] for refund in result["refunds"]] == ["available", "available"]


def test_recompute_falls_to_the_lower_tier() -> None:
    tiers = (tier(10000, off_amount=1000), tier(20000, off_amount=3000))
    off = campaign("M", "amount_off", *tiers, on_return="recompute")
    result = run(line("A", 15000), line("B", 8000), campaigns=[off], refunds=[back("B"), back("A")])
    assert amounts(result) == [20000 - 14000, 14000]


def test_recompute_never_gives_more_than_the_gross_nor_less_than_nothing() -> None:
    off = campaign("M", "amount_off", tier(20000, off_amount=9000), on_return="recompute")
    result = run(line("A", 15000), line("B", 6000), campaigns=[off], refunds=[back("B"), back("A")])
    assert amounts(result) == [0, 12000]


def test_recompute_gives_the_price_that_what_is_kept_would_have_had() -> None:
    """The exclusive campaign is lost with the return, and the member's price and the other campaign come back."""
    member = {"id": "m", "rate_bp": 9000}
    large = campaign("L", "amount_off", tier(20000, off_amount=6000), exclusive=True, exclusive_with=["member"])
    small = campaign("S", "amount_off", tier(10000, off_amount=1000))
    result = run(
        line("A", 15000),
        line("B", 8000),
        member=member,
        campaigns=[large, small],
        refunds=[back("B", policy="recompute")],
    )
    assert result["payable_amount"] == 17000
    assert amounts(result) == [17000 - (15000 - 1500 - 1000)]


def test_two_policies_in_one_basket() -> None:
    """The prorata coupon stays with its lines, the recomputed campaign looks at what is kept."""
    off = campaign("M", "amount_off", tier(20000, off_amount=3000), on_return="recompute")
    coupon = percent("Q", 9000)
    result = run(
        line("A", 15000), line("B", 8000), campaigns=[off], coupons=[coupon], select=["Q"], refunds=[back("B")]
    )
    assert result["payable_amount"] == 18000
    kept = 15000 - 1304  # the campaign is lost; the coupon's share of A stays
    assert result["lines"][0]["allocations"][1]["amount"] == 1304
    assert amounts(result) == [18000 - kept]


def test_units_of_a_line_one_after_the_other() -> None:
    requests = [{"lines": [{"line_id": "A", "quantity": "1"}]}] * 3
    result = run(line("A", 100, "3"), coupons=[cash("C", 296)], select=["C"], refunds=requests, tenders=PAY)
    assert result["units"][0]["net_amounts"] == [1, 1, 2]
    assert amounts(result) == [1, 1, 2]


def test_part_of_a_weighed_line() -> None:
    requests = [{"lines": [{"line_id": "A", "quantity": "0.250"}]}, {}]
    assert amounts(run(line("A", 2580, "0.750"), refunds=requests)) == [645, 1290]


def test_a_sum_without_goods_then_everything() -> None:
    result = run(line("A", 10000), line("B", 5000), tenders=PAY, refunds=[{"amount": 3000}, back("B"), back("A")])
    assert amounts(result) == [3000, 4000, 8000]


def test_fees_stay_unless_they_are_returned() -> None:
    fee = {"fee_id": "svc", "kind": "service_charge", "charge_bp": 1000}
    requests = [back("A"), {"lines": [{"fee_id": "svc"}]}]
    result = run(line("A", 10000), fees=[fee], refunds=requests, tenders=PAY)
    assert amounts(result) == [10000, 1000]
    assert amounts(run(line("A", 10000), fees=[fee], refunds=[{}])) == [11000]


def test_the_order_of_tenders_that_the_shop_wants() -> None:
    tenders = [{"id": "red", "method": "red_envelope", "amount": 500}, {"id": "t", "method": "payment_code"}]
    requests = [back("A", tender_order=["t"]), back("B", tender_order=["t"])]
    first, second = run(line("A", 5000), line("B", 5000), tenders=tenders, refunds=requests)["refunds"]
    assert paid(first["tenders"]) == {"red": 0, "t": 5000}
    assert paid(second["tenders"]) == {"red": 500, "t": 4500}


def test_points_earned_follow_what_is_kept() -> None:
    earn = {"per_amount": 1000, "points": 1}
    member = {"id": "m", "tier": "gold"}
    result = run(line("A", 1500), line("B", 900), member=member, points={"earn": earn}, refunds=[back("B"), back("A")])
    assert result["points"]["earned"] == 2
    assert [refund["points"]["revoked"] for refund in result["refunds"]] == [1, 1]


def test_a_voucher_that_paid_is_available_when_all_of_it_is_back() -> None:
    voucher = {"code": "V", "kind": "group_buy", "face_amount": 3000, "sold_amount": 2500}
    tenders = [{"id": "v", "method": "voucher", "code": "V"}, {"id": "t", "method": "cash"}]
    result = run(line("A", 5000), line("B", 5000), coupons=[voucher], tenders=tenders, refunds=[back("A"), back("B")])
    assert paid(result["refunds"][0]["tenders"]) == {"v": 1500, "t": 3500}
    assert [statuses(refund)["V"] for refund in result["refunds"]] == ["redeemed", "available"]


def test_a_return_takes_its_counter_out_of_the_books() -> None:
    contracts = [{"counter_id": name, "deduction_bp": 2500, "promotion_share_bp": 6000} for name in ("K1", "K2")]
    every = campaign("E", "every_amount_off", tier(50000, off_amount=10000))
    goods = (line("shoes", 89900, counter_id="K1"), line("dress", 65900, counter_id="K2"))
    result = run(
        *goods, campaigns=[every], contracts=contracts, acquirer_fee_bp=60, tenders=PAY, refunds=[back("shoes")]
    )
    sale = {(e["party"], e["kind"]): e["amount"] for e in result["settlement"]}
    change = {(e["party"], e["kind"]): e["amount"] for e in result["refunds"][0]["settlement"]}
    for kind in ("sale", "promo_cost", "deduction", "acquirer_fee", "due"):
        assert change["counter:K1", kind] == -sale["counter:K1", kind]
    assert not any(party == "counter:K2" and amount for (party, _), amount in change.items())
