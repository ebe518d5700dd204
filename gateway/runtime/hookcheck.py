"""Checks a plugin's hooks before they are registered; each reason names the class and the method.

Refused: a misspelt hook, one without ``@hookimpl``, other argument names than the spec's, defaults in the signature,
``async`` and generators, static and class methods, and pluggy's wrappers and ordering flags, which mean nothing where
one adapter stands alone.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Hashable, Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any, cast

from gateway.hookspecs import FAMILIES, FAMILY_OF, PROJECT, ProcessHooks
from gateway.sdk import Adapter, AdapterTraits, EmbeddedAdapter, Settings, Traits

_MARK = f"{PROJECT}_impl"
_FLAGS = ("wrapper", "hookwrapper", "tryfirst", "trylast", "optionalhook")

Specs = Mapping[str, tuple[str, ...]]


def _specs_of(*classes: type) -> dict[str, tuple[str, ...]]:
    """Hook names and their arguments, without ``self``."""
    return {
        name: tuple(inspect.signature(function).parameters)[1:]
        for spec in classes
        for name, function in vars(spec).items()
        if not name.startswith("_")
    }


#: The domain hooks and the process-wide ones, with the names of their arguments.
DOMAIN_SPECS: Specs = _specs_of(*FAMILIES.values())
PROCESS_SPECS: Specs = _specs_of(ProcessHooks)


def marked(value: Any) -> Mapping[str, Any] | None:
    """What ``@hookimpl`` noted on a function, or ``None`` if it carries no mark."""
    options = getattr(value, _MARK, None)
    return options if isinstance(options, dict) else None


@cache
def _implemented(adapter: Hashable) -> frozenset[str]:
    return frozenset(name for name in DOMAIN_SPECS if marked(getattr(adapter, name, None)) is not None)


def implemented_hooks(adapter: type[Adapter]) -> frozenset[str]:
    """The domain hooks that an adapter class implements."""
    return _implemented(cast("Hashable", adapter))


def hook_problems(target: type | ModuleType | object, specs: Specs, label: str) -> Iterator[str]:
    """What is wrong with the hooks of a class, module or object; nothing if it may be registered."""
    for name in dir(target):
        value = inspect.getattr_static(target, name, None)
        function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        options = marked(function)
        if options is None:
            if name in specs and inspect.isroutine(function):
                yield f"{label}.{name}: is named like a hook but has no @hookimpl"
            continue
        yield from _problems_of(
            f"{label}.{name}", name, value, function, options, specs, isinstance(target, ModuleType)
        )


def _problems_of(
    label: str, name: str, value: Any, function: Any, options: Mapping[str, Any], specs: Specs, in_module: bool
) -> Iterator[str]:
    if name not in specs:
        yield f"{label}: no such hook; {_nearest(name, specs)}"
        return
    if options.get("specname"):
        yield f"{label}: name the method as the hook, without specname"
    for flag in _FLAGS:
        if options.get(flag):
            yield f"{label}: {flag} has no place here, a hook is called alone"
    if value is not function:
        yield f"{label}: must be a plain method, not a {type(value).__name__}"
        return
    yield from _call_problems(label, function, specs[name], in_module)


def _call_problems(label: str, function: Any, expected: tuple[str, ...], in_module: bool) -> Iterator[str]:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield f"{label}: is async; hooks are called from threads and return their outcome"
    elif inspect.isgeneratorfunction(function):
        yield f"{label}: is a generator; a hook returns its outcome"
    parameters = list(inspect.signature(function).parameters.values())
    found = tuple(parameter.name for parameter in parameters[0 if in_module else 1 :])
    if found != expected or any(p.kind is not p.POSITIONAL_OR_KEYWORD for p in parameters):
        yield f"{label}: expected the arguments ({', '.join(expected)}), found ({', '.join(found)})"
    for parameter in parameters:
        if parameter.default is not parameter.empty:
            yield f"{label}: argument {parameter.name!r} has a default, which would replace the caller's value"


def _nearest(name: str, specs: Specs) -> str:
    near = difflib.get_close_matches(name, specs, n=1)
    return f"did you mean {near[0]!r}?" if near else f"hooks are named {next(iter(specs))!r} and the like"


def adapter_problems(adapter: Any, *, first_party: bool) -> list[str]:
    """Everything for which an adapter class is refused."""
    if not (isinstance(adapter, type) and issubclass(adapter, Adapter)):
        return [f"{adapter!r} is no subclass of gateway.sdk.Adapter"]
    hooks = list(hook_problems(adapter, DOMAIN_SPECS, adapter.__name__))
    if not hooks and not implemented_hooks(adapter):
        hooks = [f"{adapter.__name__}: implements no hook"]
    return [*_class_problems(adapter, first_party), *hooks]


def _class_problems(adapter: type[Adapter], first_party: bool) -> Iterator[str]:
    label = adapter.__name__
    if not isinstance(adapter.name, str) or not adapter.name.replace("-", "").replace("_", "").isalnum():
        yield f"{label}.name: expected letters, digits and hyphens, found {adapter.name!r}"
    if not (isinstance(adapter.Settings, type) and issubclass(adapter.Settings, Settings)):
        yield f"{label}.Settings: expected a subclass of gateway.sdk.Settings"
    elif adapter.Settings.Meta.unknown != "raise":
        yield f"{label}.Settings: must refuse unknown keys"
    if not isinstance(adapter.about, AdapterTraits):
        yield f"{label}.about: expected AdapterTraits"
    if issubclass(adapter, EmbeddedAdapter) and not first_party:
        yield f"{label}: only adapters that come with the gateway may be embedded in its database"
    yield from _trait_problems(adapter, label)


def _trait_problems(adapter: type[Adapter], label: str) -> Iterator[str]:
    for hook, traits in adapter.traits.items():
        if hook not in FAMILY_OF:
            yield f"{label}.traits: no such hook {hook!r}; {_nearest(hook, DOMAIN_SPECS)}"
        elif not isinstance(traits, Traits):
            yield f"{label}.traits[{hook!r}]: expected Traits"
