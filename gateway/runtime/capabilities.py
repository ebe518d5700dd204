"""What a connection can do, derived from the hooks that its adapter implements and the traits that it declares."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from gateway.domain.traits import Traits
from gateway.hookspecs import FAMILY_OF, QUERY_HOOKS, UNDO_HOOKS
from gateway.runtime.answers import CHANGE_HOOKS
from gateway.runtime.hookcheck import implemented_hooks
from gateway.sdk import Adapter

_NONE = Traits()


def queryable(adapter: type[Adapter], hook: str) -> bool:
    """Whether the family's query is there, so that a change whose outcome is unknown can be asked for."""
    query = QUERY_HOOKS.get(FAMILY_OF[hook])
    return query is not None and query in implemented_hooks(adapter)


def reversible(adapter: type[Adapter], hook: str) -> bool:
    """Whether the undo is there."""
    undo = UNDO_HOOKS.get(hook)
    return undo is not None and undo in implemented_hooks(adapter)


def capabilities(adapter: type[Adapter]) -> dict[str, Any]:
    """Families, hooks with what is declared other than the default, and the adapter's own traits, as plain values."""
    hooks = sorted(implemented_hooks(adapter))
    about = {**asdict(adapter.about), "freshness": str(adapter.about.freshness)}
    return {
        "adapter": adapter.name,
        "families": sorted({FAMILY_OF[hook] for hook in hooks}),
        "hooks": {hook: _hook(adapter, hook) for hook in hooks},
        **about,
        "currencies": list(adapter.about.currencies),
    }


def _hook(adapter: type[Adapter], hook: str) -> dict[str, Any]:
    traits = adapter.traits.get(hook, _NONE)
    declared = {
        trait.name: getattr(traits, trait.name)
        for trait in fields(Traits)
        if getattr(traits, trait.name) != getattr(_NONE, trait.name)
    }
    if hook not in CHANGE_HOOKS:
        return declared
    return {"queryable": queryable(adapter, hook), "reversible": reversible(adapter, hook), **declared}
