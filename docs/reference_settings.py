"""The page about settings: every key of ``gateway.toml``, of a merchant's file, and of each adapter's connections."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from marshmallow import Schema, fields, missing, validate

from gateway.runtime import config_fields as own
from gateway.runtime import config_schema as forms
from gateway.runtime import discover
from gateway.runtime.gateway_config import EvidenceConfig, Limits, Server, Timings, Webhooks
from gateway.runtime.merchant import ConnectionConfig, Counter, Merchant, Policy, Pricing, Route, Store
from gateway.runtime.messages import MessageRule, Messages
from gateway.sdk import PathField, SecretField

TEXTS = Path(__file__).with_name("settings_texts.toml")

#: The tables of the two files: what they are called in the texts, how they are written, form, and the defaults' class.
TABLES: dict[str, tuple[str, type[Schema], type | None]] = {
    "gateway": ("gateway.toml", forms.GatewayFile, None),
    "server": ("[server]", forms.ServerForm, Server),
    "database": ("[database]", forms.DatabaseForm, None),
    "plugins": ("[plugins]", forms.PluginsForm, None),
    "engine": ("[engine]", forms.TimingsForm, Timings),
    "limits": ("[limits]", forms.LimitsForm, Limits),
    "webhooks": ("[webhooks]", forms.WebhooksForm, Webhooks),
    "evidence": ("[evidence]", forms.EvidenceForm, EvidenceConfig),
    "payment_codes": ("[[payment_codes]]", forms.CodeRangeForm, None),
    "merchant": ("[merchant]", forms.MerchantForm, Merchant),
    "stores": ("[[stores]]", forms.StoreForm, Store),
    "counters": ("[[stores.counters]]", forms.CounterForm, Counter),
    "connections": ("[connections.NAME]", forms.ConnectionForm, ConnectionConfig),
    "routes": ("[[routes]]", forms.RouteForm, Route),
    "pricing": ("[pricing]", forms.PricingForm, Pricing),
    "points_rule": ("[pricing.points.rule]", forms.PointsRuleForm, None),
    "points_earn": ("[pricing.points.earn]", forms.PointsEarnForm, None),
    "pricing_store": ("[pricing.stores.ID]", forms.StorePricingForm, None),
    "policy": ("[policy]", forms.PolicyForm, Policy),
    "messages": ("[messages]", forms.MessagesForm, Messages),
    "messages_on": ("[[messages.on]]", forms.MessageRuleForm, MessageRule),
}
IN_GATEWAY = ("server", "database", "plugins", "engine", "limits", "webhooks", "evidence", "payment_codes")
IN_MERCHANT = (
    "merchant",
    "stores",
    "counters",
    "connections",
    "routes",
    "pricing",
    "points_rule",
    "points_earn",
    "pricing_store",
    "policy",
    "messages",
    "messages_on",
)

_TYPES: dict[type, str] = {
    own.Whole: "whole number",
    own.Seconds: "seconds",
    own.Flag: "`true` or `false`",
    own.Zone: "time zone",
    own.CodePattern: "regular expression",
    own.Texts: "list of texts",
    own.Tables: "list of tables",
    SecretField: "secret, by reference",
    PathField: "path",
    fields.Dict: "table",
    fields.Nested: "table",
    fields.List: "list",
    fields.Url: "address",
    fields.Integer: "whole number",
    fields.Float: "number",
    fields.Boolean: "`true` or `false`",
    fields.Enum: "one of its values",
    fields.Raw: "the adapter's own",
    fields.String: "text",
}


class MissingText(Exception):
    """A key of the configuration has no text in ``settings_texts.toml``, or a text has no key."""


def settings_page() -> Iterator[str]:
    texts = tomllib.loads(TEXTS.read_text(encoding="utf-8"))
    check_texts(texts)
    yield "# Settings"
    yield ""
    yield "Unknown keys, wrong types and references to nothing are refused, all at once, with file and key. Relative"
    yield "paths start at the folder of the file they stand in. A secret is a reference, `env:NAME` or `file:PATH` (a"
    yield "file that only its owner can read), never the secret itself. [merchant.md](merchant.md) is the guide."
    yield ""
    yield "## gateway.toml"
    yield ""
    simple = ("data", "merchants")
    yield from _table("gateway", texts, [name for name in forms.GatewayFile().fields if name in simple])
    for name in IN_GATEWAY:
        yield from _section(name, texts)
    yield ""
    yield "## A merchant's file"
    yield ""
    yield "One merchant a file. `[[payment_codes]]` may stand here too, before the gateway's."
    for name in IN_MERCHANT:
        yield from _section(name, texts)
    yield ""
    yield "## The settings of each adapter"
    yield ""
    yield "`[connections.NAME.settings]`, checked by the adapter's own schema. The plugins' READMEs explain each."
    for name, adapter in sorted(discover(("first-party",)).adapters.items()):
        yield from _adapter(name, adapter.Settings(), adapter.__module__.split(".")[1])


def check_texts(texts: dict[str, dict[str, str]]) -> None:
    """Every key has a text, and every text a key. Raises ``MissingText`` that names them."""
    known = {name: set(form().fields) for name, (_, form, _) in TABLES.items()}
    known["gateway"] = {"data", "merchants"}
    told = {name: set(keys) for name, keys in texts.items()}
    wrong = [f"no text for {t}.{k}" for t, keys in known.items() for k in sorted(keys - told.get(t, set()))]
    wrong += [f"no key for the text {t}.{k}" for t, keys in told.items() for k in sorted(keys - known.get(t, set()))]
    if wrong:
        raise MissingText(f"docs/settings_texts.toml: {'; '.join(wrong)}")


def _section(name: str, texts: dict[str, dict[str, str]]) -> Iterator[str]:
    yield ""
    yield f"### `{TABLES[name][0]}`"
    yield ""
    yield from _table(name, texts, list(TABLES[name][1]().fields))


def _table(name: str, texts: dict[str, dict[str, str]], keys: list[str]) -> Iterator[str]:
    _, form, makes = TABLES[name]
    found = form().fields
    yield "| Key | Value | Default | Meaning |"
    yield "|---|---|---|---|"
    for key in keys:
        default = "**required**" if found[key].required else _default(makes, key)
        meaning, _, told = texts[name][key].partition(" [default: ")
        yield f"| `{key}` | {_escaped(_value(found[key]))} | {told.rstrip(']') or default} | {_escaped(meaning)} |"


def _adapter(name: str, settings: Schema, package: str) -> Iterator[str]:
    yield ""
    yield f'### `adapter = "{name}"`'
    yield ""
    if (TEXTS.parents[1] / "plugins" / package / "README.md").exists():
        yield f"Explained in [plugins/{package}/README.md](../plugins/{package}/README.md)."
        yield ""
    if not settings.fields:
        yield "None."
        return
    yield "| Key | Value | Default |"
    yield "|---|---|---|"
    for key, field in settings.fields.items():
        default = "**required**" if field.required else _shown(_loaded(field))
        yield f"| `{key}` | {_escaped(_value(field))} | {default} |"


def _loaded(field: fields.Field[Any]) -> Any:
    default = field.load_default
    value = default() if callable(default) else default
    simple = not isinstance(value, list) or all(isinstance(each, str) for each in value)
    if value is missing or value is None:
        return ""
    # A default that names this machine's Python is shown by its rule, not by its value.
    return value if simple and "python" not in str(value) else "…"


def _value(field: fields.Field[Any]) -> str:
    kind = next((text for cls in type(field).__mro__ if (text := _TYPES.get(cls))), "value")
    rules = [rule for validator in field.validators if (rule := _rule(validator))]
    return ", ".join([kind, *rules])


def _rule(validator: Any) -> str:
    if isinstance(validator, validate.OneOf):
        return "one of " + ", ".join(f"`{choice}`" for choice in validator.choices)
    if isinstance(validator, validate.Range):
        return _range(validator)
    said = str(getattr(validator, "error", None) or "")
    if said.startswith(("expected ", "must not be empty")):
        return said.removeprefix("expected ").replace("must not be empty", "not empty")
    if isinstance(validator, validate.Regexp):
        return f"`{str(validator.regex.pattern).removesuffix(chr(92) + 'Z')}`"
    return ""


def _range(rule: validate.Range) -> str:
    if rule.max is None:
        return "above 0" if rule.min == 0 and not rule.min_inclusive else f"at least {rule.min}"
    return f"{rule.min} to {rule.max}"


def _default(makes: type | None, key: str) -> str:
    for field in dataclasses.fields(makes) if makes else ():
        if field.name == key:
            if field.default is not dataclasses.MISSING:
                return _shown(field.default)
            if field.default_factory is not dataclasses.MISSING:
                return _shown(field.default_factory())
    return ""


def _shown(value: Any) -> str:
    if value in ("", None, (), [], {}):
        return ""
    if value == "…":
        return "…"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return f"`[{', '.join(str(each) for each in value)}]`"
    return f"`{getattr(value, 'value', value)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
