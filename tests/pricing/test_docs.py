"""docs/pricing.md says what the code does: its tables are the parser's fields, its examples come out as written."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.pricing import parse_basket, parse_benefit, parse_money, refunds, run_document

PAGE = Path(__file__).parents[2] / "docs" / "pricing.md"
TEXT = PAGE.read_text("utf-8")
TABLES = {
    "Document": parse_basket._TOP,
    "Line": parse_basket._LINE,
    "Slot": parse_basket._SLOT,
    "Component": parse_basket._COMPONENT,
    "Label rule": parse_basket._LABEL,
    "Member": parse_basket._MEMBER,
    "Campaign": parse_benefit._CAMPAIGN,
    "Tier": parse_benefit._TIER_FIELDS,
    "Gift": parse_benefit._GIFT,
    "Scope": parse_benefit._SCOPE,
    "When": parse_benefit._WHEN,
    "Members": parse_benefit._WHO,
    "Limits": parse_benefit._LIMITS,
    "Used": parse_benefit._USED,
    "Funding": parse_benefit._FUNDING,
    "Coupon": parse_benefit._COUPON,
    "Fee": parse_money._SERVICE | parse_money._MINIMUM | parse_money._TIME,
    "Rate slot": parse_money._RATE_SLOT,
    "Package": parse_money._PACKAGE,
    "Points": parse_money._POINTS,
    "Points rule": parse_money._RULE,
    "Earning": parse_money._EARN,
    "Tender": parse_money._TENDER,
    "Stored value": parse_money._STORED,
    "Contract": parse_money._CONTRACT,
    "Guide": parse_money._GUIDE,
    "Refund": refunds._REQUEST,
}
EXAMPLES = re.findall(r"### ([^\n]+)\n.*?```json in\n(.*?)```\n```json out\n(.*?)```", TEXT.split("## Out")[1], re.S)


@pytest.mark.parametrize("title", TABLES)
def test_the_table_lists_exactly_the_fields_that_are_read(title: str) -> None:
    section = TEXT.split(f"### {title}\n")[1].split("\n#")[0]
    cells = re.findall(r"^\| (`.*?) \|", section, re.M)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == TABLES[title]


def holds(expected: Any, found: Any) -> bool:
    """Whether everything expected is there, with anything else beside it."""
    if isinstance(expected, dict):
        return all(name in found and holds(value, found[name]) for name, value in expected.items())
    if isinstance(expected, list):
        return len(expected) == len(found) and all(map(holds, expected, found))
    return bool(expected == found)


@pytest.mark.parametrize(("title", "given", "expected"), EXAMPLES, ids=[title for title, _, _ in EXAMPLES])
def test_examples_come_out_as_written(title: str, given: str, expected: str) -> None:
    result = run_document(json.loads(given))
    assert holds(json.loads(expected), result), json.dumps(result, ensure_ascii=False)


def test_every_kind_has_an_example() -> None:
    documents = [json.loads(given) for _, given, _ in EXAMPLES]
    assert {c["kind"] for d in documents for c in d.get("campaigns", [])} == set(parse_benefit.CAMPAIGN_KINDS)
    assert {c["kind"] for d in documents for c in d.get("coupons", [])} == set(parse_benefit.COUPON_KINDS)


def test_every_part_of_the_output_is_described() -> None:
    result = run_document({"lines": [{"sku": "A", "quantity": "1", "unit_amount": 1}]})
    described = TEXT.split("## Out")[1].split("## An example")[0]
    assert [name for name in result if not re.search(rf"\b{name}\b", described)] == []
