"""Campaigns as files: read as written, faults with their path, schema and parser with the same fields."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.pricing import PricingErrors, parse_benefit, parse_campaigns
from gateway.pricing.reader import Notes
from gateway.pricing.schema import (
    CampaignSchema,
    CouponSchema,
    GiftSchema,
    LimitsSchema,
    MembersSchema,
    ScopeSchema,
    TierSchema,
    UsedSchema,
    WhenSchema,
    dump_benefits,
    load_benefit_file,
    load_benefits,
)
from tests.pricing import generator

TOML = """
[[campaigns]]
id = "M500"
version = 3
kind = "every_amount_off"
tiers = [{threshold_amount = 50000, off_amount = 10000}]
scope = {counters = ["K1", "K2"], exclude = {skus = ["gift-card"]}}
when = {from = "2014-03-07", to = "2014-03-09", hours = [["10:00", "22:00"]]}
funding = [{party = "counter", share_bp = 6000}, {party = "mall", share_bp = 4000}]
on_return = "recompute"

[[coupons]]
code = "C30"
kind = "cash"
off_amount = 3000
threshold_amount = 20000
"""


def test_a_toml_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "march.toml"
    path.write_text(TOML, "utf-8")
    found = load_benefit_file(path)
    (campaign,) = parse_campaigns(found["campaigns"])
    assert (campaign.id, campaign.version, campaign.on_return) == ("M500", 3, "recompute")
    assert campaign.funding == (("counter", 6000), ("mall", 4000))
    assert found["coupons"][0]["code"] == "C30"


@pytest.mark.parametrize("form", ["json", "toml"])
def test_what_is_written_is_read_back_to_the_same(form: str) -> None:
    kinds = list(parse_benefit.CAMPAIGN_KINDS)
    r = Random(7)
    campaigns = parse_campaigns([generator.campaign(r, i, kinds) for i in range(60)])
    coupons = tuple(parse_benefit.parse_coupon(generator.coupon(r, i), "", Notes()) for i in range(30))
    found = load_benefits(dump_benefits([*campaigns, *coupons], form), form)
    assert parse_campaigns(found["campaigns"]) == campaigns
    assert tuple(parse_benefit.parse_coupon(c, "", Notes()) for c in found["coupons"]) == coupons


GOOD = {"id": "M", "version": 1, "kind": "amount_off", "tiers": [{"threshold_amount": 1, "off_amount": 1}]}


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"id": None}, "/campaigns/0/id"),
        ({"kind": "magic"}, "/campaigns/0/kind"),
        ({"tiers": [{"threshold_amount": "1"}]}, "/campaigns/0/tiers/0/threshold_amount"),
        ({"tiers": [{"threshold_amount": 1}]}, "/campaigns/0/tiers/0"),
        ({"scope": {"shops": []}}, "/campaigns/0/scope/shops"),
        ({"scope": {"exclude": {"exclude": {}}}}, "/campaigns/0/scope/exclude/exclude"),
        ({"when": {"weekdays": [8]}}, "/campaigns/0/when/weekdays/0"),
        ({"when": {"from": "yesterday"}}, "/campaigns/0/when/from"),
        ({"when": {"hours": [["10:00"]]}}, "/campaigns/0/when/hours/0"),
        ({"funding": [{"party": "mall"}]}, "/campaigns/0/funding/0/share_bp"),
        ({"limits": {"total": 1.5}}, "/campaigns/0/limits/total"),
        ({"sale": True}, "/campaigns/0/sale"),
    ],
)
def test_faults_have_their_path(change: dict[str, Any], pointer: str) -> None:
    with pytest.raises(PricingErrors) as caught:
        load_benefits(json.dumps({"campaigns": [{**GOOD, **change}]}), "json")
    assert pointer in [error["pointer"] for error in caught.value.errors]


@pytest.mark.parametrize(("text", "form"), [("{", "json"), ("a = ", "toml"), ("[]", "json")])
def test_what_is_no_file_of_campaigns(text: str, form: str) -> None:
    with pytest.raises(PricingErrors):
        load_benefits(text, form)


@pytest.mark.parametrize(
    ("schema", "fields"),
    [
        (CampaignSchema, parse_benefit._CAMPAIGN),
        (CouponSchema, parse_benefit._COUPON),
        (TierSchema, parse_benefit._TIER_FIELDS),
        (ScopeSchema, parse_benefit._SCOPE),
        (WhenSchema, parse_benefit._WHEN),
        (MembersSchema, parse_benefit._WHO),
        (LimitsSchema, parse_benefit._LIMITS),
        (UsedSchema, parse_benefit._USED),
        (GiftSchema, parse_benefit._GIFT),
    ],
)
def test_schema_and_parser_know_the_same_fields(schema: Any, fields: frozenset[str]) -> None:
    assert {field.data_key or name for name, field in schema().fields.items()} == fields
