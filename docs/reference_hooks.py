"""The pages about hooks and about the records that they take and give, from the code's signatures and docstrings."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import gateway.hookspecs as specs
from gateway import sdk
from gateway.hookspecs import FAMILIES, FAMILY_OF, QUERY_HOOKS, UNDO_HOOKS, ProcessHooks, hook_names

#: The sections of the records' page: the modules of the domain, in the order in which an author meets them.
SECTIONS = {
    "gateway.domain.call": "The call",
    "gateway.domain.common": "Common to all families",
    "gateway.domain.outcomes": "Outcomes",
    "gateway.domain.errors": "Errors",
    "gateway.domain.traits": "Traits",
    "gateway.domain.payments": "Payments",
    "gateway.domain.membership": "Membership",
    "gateway.domain.coupons": "Coupons",
    "gateway.domain.stock": "Stock",
    "gateway.domain.orders": "Orders",
    "gateway.domain.messages": "Messages and notices",
    "gateway.sdk.adapter": "The adapter",
    "gateway.sdk.settings": "Settings",
    "gateway.sdk.transports.http": "HTTP",
    "gateway.sdk.parsing": "Parsing",
    "gateway.sdk.transports.tcp": "TCP",
    "gateway.sdk.transports.stream": "Lines",
    "gateway.sdk.transports.session": "Sessions",
    "gateway.sdk.transports.frames": "Frames",
    "gateway.sdk.transports.drop_folder": "Drop folders",
}


def markdown(text: str) -> str:
    """A docstring as Markdown: one line a paragraph or list item."""
    text = inspect.cleandoc(text).replace("``", "`")
    text = re.sub(r":\w+:`([\w.]+)`", lambda found: f"`{found[1].rpartition('.')[2]}`", text)
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", text)
    return "\n".join(" ".join(each.split()) if each.startswith("- ") else f"{_joined(each)}\n" for each in paragraphs)


def _joined(text: str) -> str:
    return " ".join(text.split())


# --- hooks -----------------------------------------------------------------------------------------------------------


def hooks_page() -> Iterator[str]:
    yield "# Hooks"
    yield ""
    rules = (specs.__doc__ or "").partition("Rules common to all domain hooks")[2]
    yield "What an adapter may implement, with the exact signatures. The requests and replies are in"
    yield "[records.md](records.md); how to write an adapter is in [integrator.md](integrator.md)."
    yield ""
    yield "## Rules common to all hooks"
    yield ""
    yield markdown(rules)
    yield ""
    for family, spec in FAMILIES.items():
        yield from _family(family, spec)
    yield from _family("process-wide", ProcessHooks)


def _family(family: str, spec: type) -> Iterator[str]:
    yield f"## {family}"
    yield ""
    said = markdown(spec.__doc__ or "")
    yield re.sub(
        r"^Specs of the family `\w+`; the rules common to all hooks stand in `gateway.hookspecs`.\n*", "", said
    )
    names = hook_names(family) if family in FAMILIES else [n for n in vars(spec) if not n.startswith("_")]
    for name in names:
        yield from _hook(name, spec)


def _hook(name: str, spec: type) -> Iterator[str]:
    function = inspect.unwrap(getattr(spec, name))
    yield f"### {name}"
    yield ""
    yield "```python"
    yield f"def {name}{inspect.signature(function)}".replace("'", "")
    yield "```"
    yield ""
    yield markdown(function.__doc__ or "")
    facts = list(_facts(name, "call" in inspect.signature(function).parameters))
    if facts:
        yield " · ".join(facts) + "\n"


def _facts(name: str, changes: bool) -> Iterator[str]:
    if name in UNDO_HOOKS:
        yield f"undone by [`{UNDO_HOOKS[name]}`](#{UNDO_HOOKS[name]})"
    undoes = [f"[`{hook}`](#{hook})" for hook, undo in UNDO_HOOKS.items() if undo == name]
    if undoes:
        yield f"undoes {', '.join(undoes)}"
    query = QUERY_HOOKS.get(FAMILY_OF.get(name, ""))
    if changes and query:
        yield f"asked about by [`{query}`](#{query})"


# --- records ---------------------------------------------------------------------------------------------------------


def records_page() -> Iterator[str]:
    yield "# Records"
    yield ""
    yield "All that `from gateway.sdk import …` gives: what hooks take and return. Records are frozen, made by keyword."
    for module, title in SECTIONS.items():
        found = [getattr(sdk, name) for name in sdk.__all__ if getattr(getattr(sdk, name), "__module__", "") == module]
        yield ""
        yield f"## {title}"
        for each in sorted(found, key=source_line):
            yield from function(each) if inspect.isfunction(each) else record(each)


def unlisted() -> list[str]:
    """Names of the SDK's that the page would leave out; it must be empty but for aliases and the hook marker."""
    return [n for n in sdk.__all__ if getattr(getattr(sdk, n), "__module__", "") not in SECTIONS]


def source_line(cls: Any) -> int:
    try:
        return inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return sys.maxsize


def function(made: Callable[..., object]) -> Iterator[str]:
    """A function's name, signature and words."""
    yield ""
    yield f"### {made.__name__}"
    yield ""
    yield f"`{made.__name__}{_signature(made)}`"
    yield ""
    yield markdown(made.__doc__ or "")


def record(cls: type) -> Iterator[str]:
    """A class: its words, its fields or values, its methods."""
    yield ""
    yield f"### {cls.__name__}"
    yield ""
    if cls.__doc__ and not cls.__doc__.startswith(f"{cls.__name__}("):
        yield markdown(cls.__doc__)
    if issubclass(cls, enum.Enum):
        yield ", ".join(f"`{each.name}`" for each in cls)
    elif dataclasses.is_dataclass(cls):
        yield from _fields(cls)
        yield ""
        yield from _methods(cls)
    elif issubclass(cls, BaseException):
        yield f"A kind of `{cls.__bases__[0].__name__}`."
    else:
        made = None if getattr(cls, "_is_protocol", False) else vars(cls).get("__init__")
        if made is not None:
            yield f"`{cls.__name__}{_signature(made).replace('(self, ', '(').replace('(self)', '()')}`"
            yield ""
        yield from _methods(cls)


def _fields(cls: type) -> Iterator[str]:
    yield "| Field | Type | Default |"
    yield "|---|---|---|"
    for field in dataclasses.fields(cls):
        shown = str(field.type).replace("|", "\\|")
        yield f"| `{field.name}` | `{shown}` | {_default(cls, field)} |"


def _default(cls: type, field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        value = field.default
        if dataclasses.is_dataclass(value):  # a constant beside it is called by its name
            beside = vars(sys.modules[cls.__module__])
            return f"`{next((name for name, each in beside.items() if each is value), repr(value))}`"
        if callable(value):
            return f"`{value.__name__}`"
        return f"`{value.name}`" if isinstance(value, enum.Enum) else f"`{value!r}`"
    return "empty" if field.default_factory is not dataclasses.MISSING else "required"


def _methods(cls: type) -> Iterator[str]:
    for name, each in vars(cls).items():
        if name.startswith("_") or not inspect.isfunction(each) or not each.__doc__:
            continue
        yield f"- `{name}{_signature(each)}`: {_joined(markdown(each.__doc__))}"


def _signature(made: Callable[..., object]) -> str:
    """The signature as it is written: Python shows annotations that are texts in quotes."""
    found = inspect.signature(made)
    parameters = [each.replace(annotation=_Written(each.annotation)) for each in found.parameters.values()]
    shown = found.replace(parameters=parameters, return_annotation=_Written(found.return_annotation))
    return str(shown).replace("'", '"').replace("Ellipsis", "...")


class _Written:
    """An annotation that is shown as it stands in the code."""

    def __new__(cls, annotation: Any) -> Any:
        return super().__new__(cls) if isinstance(annotation, str) else annotation

    def __init__(self, annotation: str) -> None:
        self._text = annotation

    def __repr__(self) -> str:
        return self._text
