"""A document with a fault is not priced, and says where: nothing is guessed, nothing breaks."""

import copy
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pricing import PricingErrors, parse, run_document
from tests.pricing import generator
from tests.pricing.builders import basket, campaign, cash, line, tier

M_TIER = "/campaigns/0/tiers/0"


def off(**more: Any) -> dict[str, Any]:
    return campaign("M", "amount_off", off_amount=1, **more)


def pointers(document: Any) -> list[str]:
    with pytest.raises(PricingErrors) as caught:
        run_document(document)
    assert all(error["detail"] for error in caught.value.errors)
    return [error["pointer"] for error in caught.value.errors]


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"lines": []}, "/lines"),
        ({"lines": None}, "/lines"),
        ({"lines": {"A": 1}}, "/lines"),
        ({"lines": ["A"]}, "/lines/0"),
        ({"lines": [{**line("A", 1), "quantity": "0"}]}, "/lines/0/quantity"),
        ({"lines": [{**line("A", 1), "quantity": "1.0001"}]}, "/lines/0/quantity"),
        ({"lines": [{**line("A", 1), "quantity": 1}]}, "/lines/0/quantity"),
        ({"lines": [{**line("A", 1), "quantity": "-1"}]}, "/lines/0/quantity"),
        ({"lines": [line("A", -1)]}, "/lines/0/unit_amount"),
        ({"lines": [{**line("A", 1), "unit_amount": 1.0}]}, "/lines/0/unit_amount"),
        ({"lines": [{**line("A", 1), "unit_amount": True}]}, "/lines/0/unit_amount"),
        ({"lines": [{**line("A", 1), "unit_amount": "1"}]}, "/lines/0/unit_amount"),
        ({"lines": [line("A", 10**15)]}, "/lines/0/unit_amount"),
        ({"lines": [line("A", 10**11, "999")]}, "/lines/0/unit_amount"),
        ({"lines": [line("A", 1), line("A", 1)]}, "/lines/1/line_id"),
        ({"lines": [{**line("A", 1), "discount~able/": 1}]}, "/lines/0/discount~0able~1"),
        ({"lines": [{**line("A", 1), "discountable": 1}]}, "/lines/0/discountable"),
        ({"lines": [{"quantity": "1", "unit_amount": 1}]}, "/lines/0/sku"),
        ({"lines": [{**line("A", 1), "components": [{"sku": "x"}]}]}, "/lines/0/components/0/list_amount"),
        ({"surprise": 1}, "/surprise"),
        ({"currency": "yuan"}, "/currency"),
        ({"at": "2014-03-08T12:00:00"}, "/at"),
        ({"at": "2014-02-30T12:00:00+08:00"}, "/at"),
        ({"business_date": "20140308"}, "/business_date"),
        ({"member": {"rate_bp": 10001}}, "/member/rate_bp"),
        ({"member": []}, "/member"),
        ({"campaigns": [{"id": "M", "kind": "magic"}]}, "/campaigns/0/kind"),
        ({"campaigns": [campaign("M", "amount_off", tier(100, off_amount=0))]}, M_TIER + "/off_amount"),
        ({"campaigns": [campaign("M", "amount_off", tier(100))]}, M_TIER),
        ({"campaigns": [campaign("M", "amount_off", tier(-1, off_amount=1))]}, M_TIER + "/threshold_amount"),
        ({"campaigns": [campaign("M", "amount_off", tier(1, rate_bp=1, off_amount=1))]}, M_TIER + "/rate_bp"),
        ({"campaigns": [campaign("M", "every_amount_off", tier(0, off_amount=1))]}, M_TIER + "/threshold_amount"),
        ({"campaigns": [campaign("M", "buy_n_cheapest")]}, "/campaigns/0/n"),
        ({"campaigns": [campaign("M", "amount_off", off_amount=1)] * 2}, "/campaigns/1/id"),
        ({"campaigns": [off(when={"hours": [["9:00", "25:00"]]})]},
         "/campaigns/0/when/hours/0/0"),
        ({"campaigns": [off(when={"weekdays": [0]})]}, "/campaigns/0/when/weekdays/0"),
        ({"campaigns": [off(scope={"sku": ["A"]})]}, "/campaigns/0/scope/sku"),
        ({"campaigns": [off(funding=[{"party": "x", "share_bp": 9000}] * 2)]},
         "/campaigns/0/funding"),
        ({"coupons": [cash("C", 0)]}, "/coupons/0/off_amount"),
        ({"coupons": [cash("C", 1), cash("C", 1)]}, "/coupons/1/code"),
        ({"coupons": [{"code": "C", "kind": "exchange"}]}, "/coupons/0/sku"),
        ({"select": ["X"]}, "/select/0"),
        ({"select": "best"}, "/select"),
        ({"fees": [{"kind": "tax"}]}, "/fees/0/kind"),
        ({"fees": [{"kind": "service_charge", "charge_bp": 1000, "amount": 1}]}, "/fees/0/amount"),
        ({"fees": [{"kind": "time", "slots": []}]}, "/fees/0/from"),
        ({"rounding": "fen"}, "/rounding"),
        ({"points": {"use": 5}}, "/points/rule"),
        ({"points": {"use": 5, "rule": {"points": 0, "amount": 1}}}, "/points/rule/points"),
        ({"tenders": [{"id": "a", "method": "cash"}, {"id": "b", "method": "cash"}]}, "/tenders/0/amount"),
        ({"tenders": [{"id": "a", "method": "cash", "amount": 1}, {"id": "a", "method": "cash"}]}, "/tenders/1/id"),
        ({"tenders": [{"id": "a", "method": "cash", "amount": 5001}]}, "/tenders/0/amount"),
        ({"tenders": [{"id": "a", "method": "cash", "amount": 10}]}, "/tenders"),
        ({"tenders": [{"id": "a", "method": "voucher", "code": "nope"}]}, "/tenders/0/code"),
        ({"tenders": [{"id": "a", "method": "deposit", "amount": 5000, "held_amount": 400}]}, "/tenders/0/amount"),
        ({"accounts": {"stored_value": {"real": 1}}, "tenders": [{"id": "a", "method": "stored_value"}]}, "/tenders/0"),
        ({"accounts": {"stored_value": {"order": "last_first"}}}, "/accounts/stored_value/order"),
        ({"contracts": [{"counter_id": "K"}]}, "/contracts/0/deduction_bp"),
        ({"guides": [{"guide_id": "g"}]}, "/guides/0/commission_bp"),
        ({"refunds": {}}, "/refunds"),
        ({"refunds": [{"lines": [{"line_id": "Z"}]}]}, "/refunds/0/lines/0/line_id"),
        ({"refunds": [{"lines": [{"line_id": "A", "quantity": "2"}]}]}, "/refunds/0/lines/0/quantity"),
        ({"refunds": [{"lines": [{"line_id": "A"}]}, {"lines": [{"line_id": "A"}]}]}, "/refunds/1/lines/0/quantity"),
        ({"refunds": [{"lines": [{"line_id": "A"}, {"line_id": "A"}]}]}, "/refunds/0/lines/1/quantity"),
        ({"refunds": [{"lines": [{"fee_id": "Z"}]}]}, "/refunds/0/lines/0/fee_id"),
        ({"refunds": [{"lines": []}]}, "/refunds/0/lines"),
        ({"refunds": [{"amount": 5001}]}, "/refunds/0/amount"),
        ({"refunds": [{"amount": 0}]}, "/refunds/0/amount"),
        ({"refunds": [{"amount": 3000}, {"amount": 2001}]}, "/refunds/1/amount"),
        ({"refunds": [{"amount": 1, "lines": []}]}, "/refunds/0/amount"),
        ({"refunds": [{"policy": "full"}]}, "/refunds/0/policy"),
        ({"refunds": [5]}, "/refunds/0"),
        ({"tenders": [{"id": "a", "method": "cash"}], "refunds": [{"tender_order": ["b"]}]},
         "/refunds/0/tender_order/0"),
    ],
)  # fmt: skip
def test_every_fault_has_its_path(more: dict[str, Any], pointer: str) -> None:
    assert pointer in pointers({**basket(line("A", 5000)), **more})


def test_all_faults_are_named_at_once() -> None:
    document = basket({**line("A", 1), "quantity": "x"}, line("B", -1), rounding="fen", extra=1)
    assert sorted(pointers(document)) == ["/extra", "/lines/0/quantity", "/lines/1/unit_amount", "/rounding"]


@pytest.mark.parametrize("document", [None, 5, "x", [], {}, {"lines": "x"}])
def test_what_is_no_document(document: Any) -> None:
    assert pointers(document)


def test_a_code_is_a_coupon_or_a_voucher_not_both() -> None:
    voucher = {"code": "V", "kind": "group_buy", "face_amount": 100}
    tenders = [{"id": "v", "method": "voucher", "code": "V"}, {"id": "r", "method": "cash"}]
    assert pointers(basket(line("A", 5000), coupons=[voucher], select=["V"], tenders=tenders)) == ["/tenders/0/code"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("2106013040084", "check digit is 4 and should be 3"),
        ("2306013040083", "no label rule"),
        ("210601304008", "no label rule"),
        ("21060130400x3", "must be digits"),
        ("2200001000001", "weight on the label is 0"),
    ],
)
def test_labels_that_cannot_be_read(label: str, words: str) -> None:
    rules = [{"prefix": "21", "layout": "plu5_amount5"}, {"prefix": "22", "layout": "plu5_weight5"}]
    document = basket({"scale_label": label, "unit_amount": 1}, label_rules=rules)
    with pytest.raises(PricingErrors, match=words):
        parse(document)


JUNK = [None, -1, 0, 1, 2**70, 1.5, True, "", "x", "2014-03-08", [], [None], {}, {"x": 1}, "\ud800"]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for name in value:
            found += places(value[name], (*path, name))
    if isinstance(value, list):
        for i, item in enumerate(value):
            found += places(item, (*path, i))
    return found


@given(st.integers(0, 2**32))
@settings(max_examples=1500, deadline=None)
def test_junk_anywhere_is_priced_or_refused_and_never_breaks(seed: int) -> None:
    r = Random(seed)
    document = generator.document(r)
    document["refunds"] = generator.return_requests(r, document["lines"], [], None)
    document = copy.deepcopy(document)
    for _ in range(r.randint(1, 2)):
        path = r.choice(places(document)[1:])
        target: Any = document
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = copy.deepcopy(r.choice(JUNK))
        if not isinstance(document["lines"], list):
            break
    try:
        result = run_document(document)
    except PricingErrors as errors:
        assert errors.errors
    else:
        assert result["payable_amount"] >= 0
