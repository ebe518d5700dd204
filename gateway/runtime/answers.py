"""Checks that an adapter's answer has the type that the hook's spec names; the checks are made from the specs."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from gateway.domain.common import Page
from gateway.domain.outcomes import Declined, DeclineReason, Done, NextAction, NotFound, Pending
from gateway.hookspecs import FAMILIES, QUERY_HOOKS
from gateway.runtime.hookcheck import DOMAIN_SPECS

Check = Callable[[Any], str]

#: Hooks that change the outside world: those that take a ``call``.
CHANGE_HOOKS = frozenset(name for name, arguments in DOMAIN_SPECS.items() if "call" in arguments)


def _done(answer: Done) -> str:
    if type(answer.amount) is not int and answer.amount is not None:
        return "Done.amount is no whole number"
    return _texts(answer, "ref") or _facts(answer.facts)


def _pending(answer: Pending) -> str:
    action = answer.next_action
    if action is not None and not isinstance(action, NextAction):
        return "Pending.next_action is no NextAction"
    return _texts(answer, "ref") or _facts(answer.facts) or _facts(action.fields if action else {})


def _declined(answer: Declined) -> str:
    if not isinstance(answer.reason, DeclineReason):
        return "Declined.reason is no DeclineReason"
    return _texts(answer, "code", "message")


def _not_found(answer: NotFound) -> str:
    return "" if type(answer.final) is bool else "NotFound.final is no bool"


def _texts(answer: Any, *names: str) -> str:
    for name in names:
        if not isinstance(getattr(answer, name), str):
            return f"{type(answer).__name__}.{name} is no text"
    return ""


def _facts(facts: Any) -> str:
    """Facts are journalled as JSON: no secrets, no decimals, no objects."""
    if type(facts) is not dict and not isinstance(facts, Mapping):
        return "facts are no mapping"
    if facts:
        try:
            json.dumps(dict(facts), allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            return "facts are not JSON"
    return ""


_OUTCOMES: Mapping[type, Callable[[Any], str]] = {
    Done: _done,
    Declined: _declined,
    Pending: _pending,
    NotFound: _not_found,
}


def _outcome_check(allowed: tuple[type, ...]) -> Check:
    checks = {kind: _OUTCOMES[kind] for kind in allowed}
    expected = ", ".join(kind.__name__ for kind in allowed)

    def check(answer: Any) -> str:
        own = checks.get(type(answer))
        return own(answer) if own else f"expected one of {expected}, found {type(answer).__name__}"

    return check


def _fits(hint: Any) -> Callable[[Any], bool]:
    """Whether a value has the type that an annotation names."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        options = [_fits(option) for option in inner]
        return lambda value: any(fits(value) for fits in options)
    if origin is tuple:
        item = _fits(inner[0])
        return lambda value: isinstance(value, tuple) and all(map(item, value))
    if origin is Page:
        row = _fits(inner[0])
        return lambda value: isinstance(value, Page) and _whole(value) and all(map(row, value.items))
    return lambda value: isinstance(value, hint)


def _whole(page: Page[Any]) -> bool:
    return isinstance(page.items, tuple) and isinstance(page.next_cursor, str | None)


def _record_check(hint: Any) -> Check:
    fits = _fits(hint)
    expected = hint.__name__ if isinstance(hint, type) else re.sub(r"gateway\.domain\.\w+\.", "", str(hint))
    return lambda answer: "" if fits(answer) else f"expected {expected}, found {type(answer).__name__}"


def _check_for(hook: str, hint: Any) -> Check:
    if hook in CHANGE_HOOKS:
        return _outcome_check((Done, Declined, Pending))
    if hook in QUERY_HOOKS.values():
        return _outcome_check((Done, Declined, Pending, NotFound))
    return _record_check(hint)


#: For each hook a check that returns what is wrong with an answer, ``""`` if nothing is.
CHECKS: Mapping[str, Check] = {
    name: _check_for(name, get_type_hints(getattr(spec, name))["return"])
    for spec in FAMILIES.values()
    for name in DOMAIN_SPECS
    if hasattr(spec, name)
}
