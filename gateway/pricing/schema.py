"""Campaigns and coupons as files: TOML or JSON, checked by a marshmallow schema, read, written and versioned.

The schema checks the shape and names the path of everything that is wrong with it; the parser then checks what each
kind needs. The hot path of pricing does not come here.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from marshmallow import RAISE, Schema, fields, validate

from gateway.domain.money import FULL_RATE_BP, MAX_AMOUNT
from gateway.pricing.errors import PricingError, PricingErrors, fail
from gateway.pricing.model import Benefit
from gateway.pricing.parse_benefit import BASES, CAMPAIGN_KINDS, COUPON_KINDS, POLICIES, STAGES, read_campaigns
from gateway.pricing.parse_benefit import parse_coupon as _parse_coupon
from gateway.pricing.reader import Notes, escape

FORMATS: Final = ("json", "toml")


class _Strict(Schema):
    class Meta:
        unknown = RAISE


def _amount(low: int = 0, high: int = MAX_AMOUNT, **more: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(low, high), **more)


def _rate(**more: Any) -> fields.Integer:
    return fields.Integer(strict=True, validate=validate.Range(0, FULL_RATE_BP), **more)


def _text(**more: Any) -> fields.String:
    return fields.String(validate=validate.Length(1, 128), **more)


def _names() -> fields.List[Any]:
    return fields.List(_text())


class MarksSchema(_Strict):
    """What a scope names, or leaves out."""

    skus = _names()
    categories = _names()
    brands = _names()
    counters = _names()
    stores = _names()
    channels = _names()
    resources = _names()


class ScopeSchema(MarksSchema):
    """Every list that is given narrows the scope."""

    without = fields.Nested(MarksSchema, data_key="exclude")


class WhenSchema(_Strict):
    """Dates or times with offset, weekdays 1 (Monday) to 7, times of day, meal periods, a day of the month."""

    begins = _text(data_key="from")
    ends = _text(data_key="to")
    weekdays = fields.List(fields.Integer(strict=True, validate=validate.Range(1, 7)))
    hours = fields.List(fields.List(_text(), validate=validate.Length(equal=2)))
    periods = _names()
    member_day = fields.Integer(strict=True, validate=validate.Range(1, 31))


class MembersSchema(_Strict):
    """Which members."""

    tiers = _names()
    tags = _names()
    first_order = fields.Boolean(truthy={True}, falsy={False})


class GiftSchema(_Strict):
    """An article given with a purchase."""

    sku = _text(required=True)
    quantity = fields.Raw()
    value_amount = _amount()


class _Values(_Strict):
    threshold_amount = _amount()
    threshold_quantity = fields.Raw()
    off_amount = _amount(1)
    rate_bp = _rate()
    price_amount = _amount()
    gift = fields.Nested(GiftSchema)
    voucher_amount = _amount(1)
    reward_amount = _amount(1)


class TierSchema(_Values):
    """A threshold and what is given when it is reached."""


class LimitsSchema(_Strict):
    """How often."""

    total = _amount()
    per_member = _amount()
    per_day = _amount()


class UsedSchema(_Strict):
    """How often so far."""

    total = _amount()
    member = _amount()
    member_today = _amount()
    budget_amount = _amount()


class FundingSchema(_Strict):
    """Who bears how much of a discount."""

    party = _text(required=True)
    share_bp = _rate(required=True)


class AfterTendersSchema(_Strict):
    """Methods whose money does not count towards a threshold."""

    exclude_methods = _names()


class _Rules(Schema):
    name = _text()
    version = fields.Raw()
    scope = fields.Nested(ScopeSchema)
    when = fields.Nested(WhenSchema)
    members = fields.Nested(MembersSchema)
    cap_amount = _amount()
    basis = fields.String(validate=validate.OneOf(BASES))
    priority = fields.Integer(strict=True)
    stack_group = _text()
    exclusive = fields.Boolean(truthy={True}, falsy={False})
    exclusive_with = _names()
    after_tenders = fields.Nested(AfterTendersSchema)
    limits = fields.Nested(LimitsSchema)
    budget_amount = _amount()
    used = fields.Nested(UsedSchema)
    funding = fields.List(fields.Nested(FundingSchema))
    on_return = fields.String(validate=validate.OneOf(POLICIES))


class CampaignSchema(_Values, _Rules):
    """One campaign; `id` and `version` together name a definition for ever."""

    id = _text(required=True)
    kind = fields.String(required=True, validate=validate.OneOf(CAMPAIGN_KINDS))
    tiers = fields.List(fields.Nested(TierSchema))
    n = _amount(1, 1_000_000)
    stage = fields.String(validate=validate.OneOf(STAGES))
    repeat = fields.Boolean(truthy={True}, falsy={False})
    max_times = _amount(1)


class CountsSchema(_Strict):
    """A coupon's uses."""

    initial = _amount()
    available = _amount()
    held = _amount()
    used = _amount()


class CouponSchema(_Strict, _Rules):
    """One coupon."""

    code = _text(required=True)
    template = _text()
    kind = fields.String(required=True, validate=validate.OneOf(COUPON_KINDS))
    off_amount = _amount(1)
    rate_bp = _rate()
    sku = _text()
    threshold_amount = _amount()
    expires_at = _text()
    counts = fields.Nested(CountsSchema)
    no_change = fields.Boolean(truthy={True}, falsy={False})
    face_amount = _amount()
    sold_amount = _amount()
    income_amount = _amount()
    platform_fee_bp = _rate()


class BenefitFileSchema(_Strict):
    """A file of campaigns and coupons."""

    campaigns = fields.List(fields.Nested(CampaignSchema))
    coupons = fields.List(fields.Nested(CouponSchema))


def _pointers(messages: Mapping[Any, Any] | Sequence[Any], pointer: str) -> Iterable[PricingError]:
    """marshmallow's nested messages as pointers."""
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _pointers(inner, pointer if name == "_schema" else f"{pointer}/{escape(str(name))}")
        return
    for message in messages:
        yield {"pointer": pointer, "detail": str(message)}


def load_benefits(text: str, form: str) -> dict[str, list[dict[str, Any]]]:
    """The checked definitions in a file's text: `{"campaigns": […], "coupons": […]}`, as they stand there.

    `form` is `json` or `toml`. Raises `PricingErrors` with the path of everything that is wrong.
    """
    document = _read(text, form)
    errors = list(_pointers(BenefitFileSchema().validate(document), ""))
    if errors:
        raise PricingErrors(errors)
    notes = Notes()
    read_campaigns(document.get("campaigns") or [], notes)
    for i, coupon in enumerate(document.get("coupons") or []):
        _parse_coupon(coupon, f"/coupons/{i}", notes)
    notes.raise_any()
    return {"campaigns": list(document.get("campaigns") or []), "coupons": list(document.get("coupons") or [])}


def _read(text: str, form: str) -> dict[str, Any]:
    try:
        document = tomllib.loads(text) if form == "toml" else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise fail("", f"is not {form.upper()}: {error}") from error
    if not isinstance(document, dict):
        raise fail("", "must be an object with campaigns and coupons")
    return document


def load_benefit_file(path: Path) -> dict[str, list[dict[str, Any]]]:
    """`load_benefits` of a `.toml` or `.json` file in UTF-8."""
    form = path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise fail("", f"{path.name} is neither .toml nor .json")
    try:
        return load_benefits(path.read_text("utf-8"), form)
    except UnicodeDecodeError as error:
        raise fail("", f"{path.name} is not UTF-8") from error


def dump_benefits(benefits: Iterable[Benefit], form: str = "json") -> str:
    """Definitions as a file's text that `load_benefits` reads back to the same."""
    groups: dict[str, list[dict[str, Any]]] = {"campaigns": [], "coupons": []}
    for benefit in benefits:
        groups[f"{benefit.source}s"].append(json.loads(benefit.definition))
    if form == "json":
        return json.dumps(groups, ensure_ascii=False, indent=2) + "\n"
    parts = []
    for name, definitions in groups.items():
        for definition in definitions:
            body = "\n".join(f"{key} = {_toml(value)}" for key, value in definition.items() if value is not None)
            parts.append(f"[[{name}]]\n{body}\n")
    return "\n".join(parts)


def _toml(value: object) -> str:
    """A JSON value in TOML; nulls are left out, as TOML has none."""
    if isinstance(value, dict):
        inner = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=True)


__all__ = ["BenefitFileSchema", "CampaignSchema", "dump_benefits", "load_benefit_file", "load_benefits"]
