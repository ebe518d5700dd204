"""What a careful reader of the pricing document works out by hand, where the fields meet in unusual ways."""

import json
from typing import Any

import pytest

from gateway.pricing import PricingErrors, run_document
from tests.pricing.builders import basket, campaign, line, nets, paid, refusals, run, steps, tier
from tests.pricing.test_command import command

CODE = {"id": "rest", "method": "payment_code"}


def faults(**document: Any) -> list[tuple[str, str]]:
    with pytest.raises(PricingErrors) as caught:
        run_document(basket(line("A", 10000), **document))
    return [(error["pointer"], error["detail"]) for error in caught.value.errors]


@pytest.mark.parametrize("members", [{}, {"tiers": [], "tags": [], "first_order": False}])
def test_a_condition_on_members_that_asks_for_nothing_lets_everybody_in(members: dict[str, Any]) -> None:
    off = campaign("M", "amount_off", tier(off_amount=100), members=members)
    assert run(line("A", 1000), campaigns=[off])["payable_amount"] == 900


def test_a_condition_on_members_keeps_strangers_out() -> None:
    off = campaign("M", "amount_off", tier(off_amount=100), members={"tags": ["staff"]})
    result = run(line("A", 1000), campaigns=[off])
    assert (result["payable_amount"], refusals(result)) == (1000, {"M": "member"})


def test_the_tender_without_an_amount_takes_the_rest_wherever_it_stands() -> None:
    tenders = [{"id": "t1", "method": "payment_code"}, {"id": "t2", "method": "red_envelope", "amount": 1000}]
    assert paid(run(line("A", 10000), tenders=tenders)["tenders"]) == {"t1": 9000, "t2": 1000}


def test_equal_shares_leave_nothing_to_the_rest() -> None:
    equal = [{"id": name, "method": "payment_code", "share": "equal"} for name in ("a", "b")]
    fixed = {"id": "red", "method": "red_envelope", "amount": 1000}
    result = run(line("A", 10001), tenders=[*equal, fixed, CODE])
    assert paid(result["tenders"]) == {"a": 4501, "b": 4500, "red": 1000, "rest": 0}
    assert sum(part["amount"] for part in result["splits"]) == 10001


def test_two_tenders_cannot_both_take_the_rest() -> None:
    assert [pointer for pointer, _ in faults(tenders=[{"id": "a", "method": "cash"}, CODE])] == ["/tenders/0/amount"]


SET = {"code": "G", "kind": "group_buy", "sku": "set", "sold_amount": 9900, "platform_fee_bp": 500}


def test_a_group_buy_voucher_for_an_article_pays_one_unit_of_it() -> None:
    """12800 of it by the voucher: 9900 income, 2900 not; the fee is 5 % of 9900; the beer by code."""
    voucher = {"id": "v", "method": "voucher", "code": "G", "count": 1}
    result = run(line("set", 12800, "2"), line("beer", 1000), coupons=[SET], tenders=[voucher, CODE])
    assert result["tenders"][0] == {
        "id": "v",
        "method": "voucher",
        "amount": 12800,
        "code": "G",
        "count": 1,
        "income_amount": 9900,
        "non_income_amount": 2900,
        "fee_amount": 495,
        "forfeited_amount": 0,
    }
    assert result["splits"] == [
        {"line_id": "set", "tender_id": "v", "amount": 12800},
        {"line_id": "set", "tender_id": "rest", "amount": 12800},
        {"line_id": "beer", "tender_id": "rest", "amount": 1000},
    ]


def test_a_group_buy_voucher_with_a_face_and_an_article_pays_for_that_article_only() -> None:
    voucher = {"id": "v", "method": "voucher", "code": "G", "count": 1}
    coupon = {**SET, "face_amount": 13000}
    result = run(line("set", 12800), line("beer", 1000), coupons=[coupon], tenders=[voucher, CODE])
    assert paid(result["tenders"]) == {"v": 12800, "rest": 1000}
    assert (result["forfeited_amount"], result["tenders"][0]["forfeited_amount"]) == (200, 200)


def test_a_group_buy_coupon_for_an_article_takes_one_unit_off() -> None:
    result = run(line("set", 12800, "2"), line("beer", 1000), coupons=[SET], select=["G"])
    assert (nets(result), steps(result)) == ([12800, 1000], [("G", 12800)])


@pytest.mark.parametrize(
    ("part", "pointer"),
    [
        ({"campaigns": [{"id": "M", "version": 1, "kind": "amount_of", "tiers": [{"off_amount": 1}]}]}, "/campaigns/0"),
        ({"coupons": [{"code": "C", "kind": "money", "face_amount": 1}]}, "/coupons/0"),
    ],
)
def test_an_unknown_kind_is_one_fault_and_not_several(part: dict[str, Any], pointer: str) -> None:
    assert [where for where, _ in faults(**part)] == [f"{pointer}/kind"]


def test_a_byte_order_mark_does_no_harm() -> None:
    text = b"\xef\xbb\xbf" + json.dumps(basket(line("A", 1000))).encode()
    result = command("-", text=text)
    assert (result.exit_code, json.loads(result.stdout)["payable_amount"]) == (0, 1000)


def test_an_empty_file_is_named_as_such() -> None:
    result = command("-", text=b"")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["errors"] == [{"pointer": "", "detail": "is empty"}]


def test_tables_show_commissions_rewards_and_points_of_a_return() -> None:
    document = basket(
        line("A", 15000),
        line("B", 10000),
        campaigns=[campaign("V50", "rebate_voucher", tier(20000, voucher_amount=5000))],
        points={"use": 1000, "rule": {"points": 1, "amount": 1}, "earn": {"per_amount": 100, "points": 1}},
        guides=[{"guide_id": "g1", "role": "seller", "commission_bp": 300}],
        refunds=[{"lines": [{"line_id": "B", "quantity": "1"}], "vouchers_spent_amount": 3000}],
    )
    text = command("--explain", "-", text=json.dumps(document)).stdout
    for words in ("guide g1", "V50 cancelled", "V50 clawed back", "points returned", "240 points earned"):
        assert words in text


def test_tables_in_chinese() -> None:
    coupon = {"code": "C30", "kind": "cash", "off_amount": 3000, "threshold_amount": 20000}
    document = basket(line("鞋", 15000), coupons=[coupon], select=["C30"], refunds=[{}])
    text = command("--explain", "--lang", "zh", "-", text=json.dumps(document)).stdout
    for words in ("商品行", "未达门槛", "还差 50.00", "应付", "退款 1 (按比例)"):
        assert words in text
    assert "payable" not in text


@pytest.mark.parametrize(
    ("coupon", "count", "pointer", "words"),
    [
        (SET, 1, "/tenders/0/code", "scope"),
        ({**SET, "face_amount": 5000}, 1, "/tenders/0/code", "scope"),
        ({**SET, "sku": "A"}, 2, "/tenders/0/count", "only 1 units"),
    ],
)
def test_a_voucher_is_not_used_up_for_nothing(coupon: dict[str, Any], count: int, pointer: str, words: str) -> None:
    voucher = {"id": "v", "method": "voucher", "code": "G", "count": count}
    [(where, detail)] = faults(coupons=[coupon], tenders=[voucher, CODE])
    assert where == pointer
    assert words in detail
