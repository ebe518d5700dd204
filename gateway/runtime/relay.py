"""A relay: a pluggy manager with the specs of the families served and exactly one adapter in it.

Nothing in it knows of any other merchant: there is no way from one tenant's call into another's adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pluggy

from gateway.domain.errors import PluginError
from gateway.hookspecs import FAMILIES, FAMILY_OF, PROJECT
from gateway.runtime.hookcheck import implemented_hooks
from gateway.sdk import Adapter


class _Manager(pluggy.PluginManager):
    """A plugin manager that looks at the hooks only, so that registering an adapter runs none of its properties."""

    def __init__(self, hooks: frozenset[str]) -> None:
        super().__init__(PROJECT)
        self._hooks = hooks

    def parse_hookspec_opts(self, module_or_class: Any, name: str) -> Any:
        return super().parse_hookspec_opts(module_or_class, name) if name in self._hooks else None

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> Any:
        return super().parse_hookimpl_opts(plugin, name) if name in self._hooks else None


def build_relay(adapter: Adapter) -> Mapping[str, Callable[..., Any]]:
    """The callers of an adapter's hooks by name. Raises ``PluginError`` if a hook is not there exactly once.

    A relay's hook has one implementation, with the spec's own arguments and nothing around it: calling that one is what
    the manager would do.
    """
    hooks = implemented_hooks(type(adapter))
    manager = _Manager(hooks)
    for family in sorted({FAMILY_OF[hook] for hook in hooks}):
        manager.add_hookspecs(FAMILIES[family])
    try:
        manager.register(adapter, adapter.name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise PluginError(f"adapter {adapter.name!r} cannot be registered: {error}") from None
    callers = {hook: getattr(manager.hook, hook) for hook in hooks}
    for hook, caller in callers.items():
        if len(caller.get_hookimpls()) != 1:
            raise PluginError(f"adapter {adapter.name!r}: an attribute of the instance hides the hook {hook}")
    return {hook: caller.get_hookimpls()[0].function for hook, caller in callers.items()}
