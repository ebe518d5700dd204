"""The shape of ``gateway.toml`` and of a merchant's file, as marshmallow schemas that make the frozen values."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Iterable
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from gateway.hookspecs import FAMILIES
from gateway.runtime.config_fields import (
    ABOVE_0,
    AT_LEAST_0,
    BASIS_POINTS,
    HOURS,
    ID,
    NOT_EMPTY,
    PORT,
    PUBLIC_URL,
    TIME_OF_DAY,
    CodePattern,
    Flag,
    Form,
    Seconds,
    Tables,
    Texts,
    Whole,
    Zone,
)
from gateway.runtime.gateway_config import EvidenceConfig, Limits, PluginEvents, Server, Timings, Webhooks
from gateway.runtime.merchant import Counter, Policy, Pricing, Route, Store, StorePricing
from gateway.runtime.messages import EVENTS, LANGUAGES, MessageRule, Messages, wrong_in
from gateway.runtime.payment_codes import CodeRange
from gateway.runtime.when_down import refusal
from gateway.sdk import PathField, SecretField


def _once(name: str, ids: Iterable[str]) -> None:
    """Refuse an id that stands twice."""
    twice = sorted(value for value, times in Counts(ids).items() if times > 1)
    if twice:
        raise ValidationError(f"more than once: {', '.join(twice)}", name)


class CounterForm(Form):
    makes = Counter
    id = fields.String(required=True, validate=ID)
    name = fields.String(required=True, validate=NOT_EMPTY)
    name_en = fields.String()
    deduction_bp = Whole(validate=BASIS_POINTS)
    promotion_share_bp = Whole(validate=BASIS_POINTS)
    guarantee_amount = Whole(validate=AT_LEAST_0)


class StoreForm(Form):
    id = fields.String(required=True, validate=ID)
    name = fields.String(required=True, validate=NOT_EMPTY)
    name_en = fields.String()
    city = fields.String()
    address = fields.String()
    latitude = fields.Float(validate=validate.Range(-90, 90, error="expected degrees, -90 to 90"))
    longitude = fields.Float(validate=validate.Range(-180, 180, error="expected degrees, -180 to 180"))
    coordinate_system = fields.String(
        validate=validate.OneOf(("WGS-84", "GCJ-02", "BD-09"), error="expected one of: {choices}")
    )
    hours = fields.List(fields.String(validate=HOURS))
    tills = Texts()
    counters = fields.List(fields.Nested(CounterForm))

    @validates_schema(skip_on_field_errors=False)
    def both_degrees(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A place has both degrees or none."""
        if ("latitude" in data) != ("longitude" in data):
            raise ValidationError("a place needs both", "latitude" if "longitude" in data else "longitude")

    @validates_schema
    def ids_once(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A counter's and a till's id stand once in a store."""
        _once("counters", [counter.id for counter in data.get("counters", ())])
        _once("tills", data.get("tills", ()))

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Store:
        lists: dict[str, Any] = {name: tuple(data[name]) for name in ("hours", "counters") if name in data}
        return Store(**(data | lists))


class ConnectionForm(Form):
    """A connection without its settings, which the adapter's own schema checks."""

    adapter = fields.String(required=True, validate=NOT_EMPTY)
    settings = fields.Raw()
    insecure_transport = Flag()
    max_parallel = Whole(validate=validate.Range(1, 64, error="expected 1 to 64"))
    pool = Whole(validate=validate.Range(1, 64, error="expected 1 to 64"))
    ca_bundle = fields.String()
    read_timeout_s = Seconds(validate=ABOVE_0)
    query_timeout_s = Seconds(validate=ABOVE_0)
    page_timeout_s = Seconds(validate=ABOVE_0)
    grace_s = Seconds(validate=AT_LEAST_0)
    breaker_open_s = Seconds(validate=ABOVE_0)
    runner = Flag()
    runner_memory_mb = Whole(validate=validate.Range(128, 65536, error="expected 128 to 65536"))
    runner_cpu_s = Seconds(validate=ABOVE_0)
    runner_patience_s = Seconds(validate=validate.Range(0, 600, error="expected 0 to 600"))

    @validates_schema
    def runner_only(self, data: dict[str, Any], **kwargs: Any) -> None:
        """The bounds of a process need one."""
        bounds = {name: ["needs runner = true"] for name in data if name.startswith("runner_")}
        if bounds and not data.get("runner"):
            raise ValidationError(bounds)


class RouteForm(Form):
    makes = Route
    family = fields.String(required=True, validate=validate.OneOf(FAMILIES, error="expected one of: {choices}"))
    connection = fields.String(required=True)
    methods = Texts()
    channels = Texts()
    stores = Texts()
    kinds = Texts()
    tenders = Texts()
    code_pattern = CodePattern()


class CodeRangeForm(Form):
    makes = CodeRange
    prefix_from = fields.String(required=True, validate=validate.Regexp(r"\d+\Z", error="expected digits"))
    prefix_to = fields.String(required=True, validate=validate.Regexp(r"\d+\Z", error="expected digits"))
    length_min = Whole(required=True, validate=ABOVE_0)
    length_max = Whole(required=True, validate=ABOVE_0)
    channel = fields.String(required=True, validate=NOT_EMPTY)

    @validates_schema
    def ordered(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A range goes upward, between prefixes of one length."""
        if data["length_min"] > data["length_max"]:
            raise ValidationError("must not be below length_min", "length_max")
        if len(data["prefix_from"]) != len(data["prefix_to"]) or data["prefix_from"] > data["prefix_to"]:
            raise ValidationError("expected as many digits as prefix_from, and not below it", "prefix_to")


MODES = validate.OneOf(("gateway", "till", "compare"), error="expected one of: {choices}")


class StorePricingForm(Form):
    makes = StorePricing
    mode = fields.String(validate=MODES)
    till_wins = Flag()


class PointsRuleForm(Form):
    """How points pay: ``points`` are ``amount`` fen."""

    points = Whole(required=True, validate=ABOVE_0)
    amount = Whole(required=True, validate=ABOVE_0)
    limit_bp = Whole(validate=BASIS_POINTS)
    interval = Whole(validate=ABOVE_0)
    min = Whole(validate=AT_LEAST_0)


class PointsEarnForm(Form):
    """How points are earned: ``points`` for every whole ``per_amount`` paid."""

    per_amount = Whole(required=True, validate=ABOVE_0)
    points = Whole(required=True, validate=AT_LEAST_0)
    rate_by_tier = fields.Dict(keys=fields.String(), values=Whole(validate=AT_LEAST_0))


class PointsForm(Form):
    rule = fields.Nested(PointsRuleForm)
    earn = fields.Nested(PointsEarnForm)


class PricingForm(Form):
    makes = Pricing
    mode = fields.String(validate=MODES)
    till_wins = Flag()
    campaigns = Tables()
    rounding = fields.String(validate=validate.OneOf(("none", "jiao", "yuan"), error="expected one of: {choices}"))
    fees = Tables()
    points = fields.Nested(PointsForm)
    label_rules = Tables()
    periods = fields.Dict(keys=fields.String(), values=fields.List(fields.String(validate=HOURS)))
    coupon_templates = Tables()
    stores = fields.Dict(keys=fields.String(), values=fields.Nested(StorePricingForm))


class PolicyForm(Form):
    makes = Policy
    reserve_ttl_s = Whole(validate=ABOVE_0)
    inline_wait_s = Seconds(validate=AT_LEAST_0)
    close_after_s = Seconds(validate=ABOVE_0)
    on_order_post_failure = fields.String(
        validate=validate.OneOf(("task", "refund"), error="expected one of: {choices}")
    )
    on_redemption_failure = fields.String(
        validate=validate.OneOf(("refund", "await_tender", "task"), error="expected one of: {choices}")
    )
    spent_elsewhere = fields.String(validate=validate.OneOf(("refund", "honour"), error="expected one of: {choices}"))
    return_slots = fields.String(
        validate=validate.OneOf(("future", "always", "never"), error="expected one of: {choices}")
    )
    two_person_above_amount = Whole(validate=AT_LEAST_0)
    when_down = fields.Dict(keys=fields.String(), values=fields.String())

    @validates_schema(skip_on_field_errors=False)
    def sensible(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A part can only do what makes sense for it; a payment is awaited no longer than what it pays is held."""
        wrong = {part: refusal(part, choice) for part, choice in data.get("when_down", {}).items()}
        if any(wrong.values()):
            raise ValidationError({"when_down": {part: [text] for part, text in wrong.items() if text}})
        longest = data.get("reserve_ttl_s", Policy().reserve_ttl_s)
        if data.get("close_after_s", 0) > longest:
            raise ValidationError(f"must not be above reserve_ttl_s, {longest}", "close_after_s")


class MessageRuleForm(Form):
    makes = MessageRule
    event = fields.String(required=True, validate=validate.OneOf(EVENTS, error="expected one of: {choices}"))
    template = fields.String(required=True, validate=NOT_EMPTY)
    stores = Texts()
    texts = fields.Dict(
        keys=fields.String(validate=validate.OneOf(LANGUAGES, error="expected one of: {choices}")),
        values=fields.Dict(keys=fields.String(validate=NOT_EMPTY), values=fields.String(validate=NOT_EMPTY)),
    )

    @validates_schema(skip_on_field_errors=False)
    def texts_can_be_filled_in(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A text names facts that a message has."""
        wrong = {
            language: {name: [said] for name, text in texts.items() if (said := wrong_in(text))}
            for language, texts in data.get("texts", {}).items()
        }
        if any(wrong.values()):
            raise ValidationError({"texts": {language: {"value": found} for language, found in wrong.items() if found}})


class MessagesForm(Form):
    """The table ``[messages]``."""

    language = fields.String(validate=validate.OneOf(LANGUAGES, error="expected one of: {choices}"))
    expire_s = Seconds(validate=ABOVE_0)
    on = fields.List(fields.Nested(MessageRuleForm))

    @validates_schema
    def once(self, data: dict[str, Any], **kwargs: Any) -> None:
        """One message of a template an event."""
        _once("on", [f"{rule.event} with {rule.template}" for rule in data.get("on", ())])

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Messages:
        return Messages(**(data | {"on": tuple(data.get("on", ()))}))


class MerchantForm(Form):
    """The table ``[merchant]``."""

    id = fields.String(required=True, validate=ID)
    name = fields.String(required=True, validate=NOT_EMPTY)
    name_en = fields.String()
    industry = fields.String()
    currency = fields.String(validate=validate.Regexp(r"[A-Z]{3}\Z", error="expected an ISO 4217 code, such as CNY"))
    timezone = Zone()
    business_day_ends = fields.String(validate=TIME_OF_DAY)
    acquirer_fee_bp = Whole(validate=BASIS_POINTS)


class MerchantFile(Form):
    """A merchant's file. The connections are checked one by one, each with its adapter's schema."""

    merchant = fields.Nested(MerchantForm, required=True)
    stores = fields.List(fields.Nested(StoreForm))
    connections = fields.Dict(keys=fields.String(validate=ID))
    routes = fields.List(fields.Nested(RouteForm))
    pricing = fields.Nested(PricingForm)
    policy = fields.Nested(PolicyForm)
    messages = fields.Nested(MessagesForm)
    payment_codes = fields.List(fields.Nested(CodeRangeForm))

    @validates_schema
    def stores_once(self, data: dict[str, Any], **kwargs: Any) -> None:
        """A store's id stands once in a merchant."""
        _once("stores", [store.id for store in data.get("stores", ())])


class ServerForm(Form):
    makes = Server
    host = fields.String(validate=NOT_EMPTY)
    port = Whole(validate=PORT)
    console_host = fields.String(validate=NOT_EMPTY)
    console_port = Whole(validate=PORT)
    workers = Whole(validate=validate.Range(1, 64, error="expected 1 to 64"))
    threads = Whole(validate=validate.Range(1, 256, error="expected 1 to 256"))
    public_url = fields.String(validate=PUBLIC_URL)
    max_body_bytes = Whole(validate=ABOVE_0)
    master_key = SecretField()


class DatabaseForm(Form):
    url = fields.String(validate=NOT_EMPTY)
    busy_seconds = Seconds(validate=ABOVE_0)
    low_water_bytes = Whole(validate=AT_LEAST_0)
    ballast_bytes = Whole(validate=AT_LEAST_0)
    pool_size = Whole(validate=ABOVE_0)
    isolation = fields.String(validate=NOT_EMPTY)


PAUSES = validate.Length(1, 20, error="expected 1 to 20 pauses")


class PluginsForm(Form):
    allow = Texts()
    event_timeout_s = Seconds(validate=ABOVE_0)
    event_retry_s = fields.List(Seconds(validate=AT_LEAST_0), validate=PAUSES)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> tuple[tuple[str, ...] | None, PluginEvents]:
        """The plugins to load (``None``: as by default), and how they are told of events."""
        given: dict[str, Any] = {"timeout_s": data["event_timeout_s"]} if "event_timeout_s" in data else {}
        given |= {"retry_s": tuple(data["event_retry_s"])} if "event_retry_s" in data else {}
        return data.get("allow"), PluginEvents(**given)


class LimitsForm(Form):
    makes = Limits
    requests_per_s = Seconds(validate=ABOVE_0)
    burst_s = Seconds(validate=ABOVE_0)
    misses_per_hour = Whole(validate=ABOVE_0)


class WebhooksForm(Form):
    makes = Webhooks
    allow_hosts = Texts()
    ca_bundle = PathField()
    every_s = Seconds(validate=ABOVE_0)
    timeout_s = Seconds(validate=ABOVE_0)
    retry_s = fields.List(Seconds(validate=AT_LEAST_0), validate=PAUSES)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Webhooks:
        given: dict[str, Any] = {"retry_s": tuple(data["retry_s"])} if "retry_s" in data else {}
        given |= {"ca_bundle": str(data["ca_bundle"])} if "ca_bundle" in data else {}
        return Webhooks(**(data | given))


class EvidenceForm(Form):
    makes = EvidenceConfig
    keep_days = Whole(validate=ABOVE_0)


class TimingsForm(Form):
    makes = Timings
    lease_s = Seconds(validate=ABOVE_0)
    call_s = Seconds(validate=ABOVE_0)
    hold_s = Seconds(validate=ABOVE_0)
    pay_s = Seconds(validate=ABOVE_0)
    backoff_first_s = Seconds(validate=ABOVE_0)
    backoff_most_s = Seconds(validate=ABOVE_0)
    post_patience_s = Seconds(validate=ABOVE_0)
    task_after_s = Seconds(validate=ABOVE_0)
    watch_s = Seconds(validate=ABOVE_0)
    inline_s = Seconds(validate=ABOVE_0)
    recovery_every_s = Seconds(validate=ABOVE_0)
    scale = Seconds(validate=ABOVE_0)


class GatewayFile(Form):
    """``gateway.toml``."""

    data = fields.String(validate=NOT_EMPTY)
    merchants = Texts()
    server = fields.Nested(ServerForm)
    database = fields.Nested(DatabaseForm)
    plugins = fields.Nested(PluginsForm)
    engine = fields.Nested(TimingsForm)
    limits = fields.Nested(LimitsForm)
    webhooks = fields.Nested(WebhooksForm)
    evidence = fields.Nested(EvidenceForm)
    payment_codes = fields.List(fields.Nested(CodeRangeForm))
