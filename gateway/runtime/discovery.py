"""Finds plugins by the entry points of the group ``o2o_gateway.plugins``, and loads each in isolation.

Only plugins on the allow list are imported: ``first-party`` stands for all that come with the gateway, others are
named. They are loaded first-party first, then by name. One that cannot be used is named with its reason, and the others
work: it does not import, its hooks are wrong, it has the name of another, one of its adapters does.
"""

from __future__ import annotations

import configparser
import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, distributions
from pathlib import Path
from typing import Any

import pluggy

from gateway.hookspecs import PROJECT, ProcessHooks
from gateway.runtime.hookcheck import PROCESS_SPECS, adapter_problems, hook_problems, marked
from gateway.sdk import Adapter, EmbeddedAdapter

GROUP = "o2o_gateway.plugins"
FIRST_PARTY = "first-party"
DISTRIBUTION = "o2o-gateway"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """An entry point and the distribution that declares it."""

    name: str
    value: str
    distribution: str
    version: str = ""

    @property
    def first_party(self) -> bool:
        return self.distribution == DISTRIBUTION


@dataclass(frozen=True, slots=True)
class Plugin:
    """A plugin in force."""

    found: Found
    adapters: tuple[type[Adapter], ...]


class Refused(Exception):
    """A plugin cannot be used; the text says why."""


@dataclass(frozen=True)
class Discovery:
    """What was found: ``loaded`` by plugin name, ``failed`` with the reason, ``ignored`` are not on the allow list.

    ``manager`` is the process-wide plugin manager.
    """

    manager: pluggy.PluginManager
    loaded: Mapping[str, Plugin] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()

    @cached_property
    def adapters(self) -> Mapping[str, type[Adapter]]:
        """All adapter classes by their names."""
        return {adapter.name: adapter for plugin in self.loaded.values() for adapter in plugin.adapters}

    @cached_property
    def migrations(self) -> tuple[tuple[str, str], ...]:
        """Name and SQL of the tables that embedded adapters need, in the order of the plugins, each once."""
        embedded = [cls for cls in self.adapters.values() if issubclass(cls, EmbeddedAdapter)]
        return tuple(dict.fromkeys(migration for cls in embedded for migration in cls.migrations))

    def commands(self) -> list[Any]:
        """The commands that plugins add to ``gateway``; one that raises is logged and left out."""
        return [command for _, commands in self._each("o2o_commands") for command in commands]

    def health(self) -> dict[str, Mapping[str, Any]]:
        """The health facts of each plugin that gives any."""
        return dict(self._each("o2o_health"))

    def listeners(self) -> dict[str, Callable[[Mapping[str, Any]], None]]:
        """The hook ``o2o_event`` of each plugin that has it. Whoever calls it must expect anything of it."""
        return {impl.plugin_name: _listener(impl) for impl in self.manager.hook.o2o_event.get_hookimpls()}

    def _each(self, hook: str, **arguments: Any) -> Iterator[tuple[str, Any]]:
        """Call a process-wide hook plugin by plugin, so that one that raises harms no other."""
        for impl in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                yield impl.plugin_name, impl.function(*(arguments[name] for name in impl.argnames))
            except (Exception, SystemExit) as error:
                log.error("plugin %s: %s raised %s", impl.plugin_name, hook, type(error).__name__)


def _listener(impl: pluggy.HookImpl) -> Callable[[Mapping[str, Any]], None]:
    """The function as it can be called with an event, whether it takes it or not."""

    def tell(event: Mapping[str, Any]) -> None:
        impl.function(*(event for _ in impl.argnames))

    return tell


def discover(allow: Collection[str] = (FIRST_PARTY,), entry_points: Iterable[Found] | None = None) -> Discovery:
    """Find, check and load the plugins on the allow list. ``entry_points`` replaces what is installed (for tests)."""
    found = sorted(find() if entry_points is None else entry_points, key=lambda f: (not f.first_party, f.name))
    wanted = [f for f in found if f.name in allow or (f.first_party and FIRST_PARTY in allow)]
    failed = dict.fromkeys(sorted(set(allow) - {FIRST_PARTY} - {f.name for f in found}), "is not installed")
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(ProcessHooks)
    loaded: dict[str, Plugin] = {}
    for entry in wanted:
        try:
            loaded[entry.name] = _load(manager, entry, wanted, loaded)
        except Refused as refusal:
            failed[entry.name] = str(refusal)
            loaded.pop(entry.name, None)
    ignored = tuple(sorted({f.name for f in found} - {f.name for f in wanted}))
    return Discovery(manager=manager, loaded=loaded, failed=failed, ignored=ignored)


def find() -> list[Found]:
    """All entry points of the group; those of a bare checkout come from ``plugins/entry_points.txt``."""
    seen: dict[tuple[str, str, str], Found] = {}
    for dist in distributions():
        for entry in dist.entry_points.select(group=GROUP):
            name = (dist.name or "").lower().replace("_", "-")
            found = Found(entry.name, entry.value, name, dist.version)
            seen.setdefault((found.name, found.value, found.distribution), found)
    if not _installed():
        seen.update({(f.name, f.value, f.distribution): f for f in _bare_checkout()})
    return list(seen.values())


def _installed() -> bool:
    try:
        distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return False
    return True


def _bare_checkout() -> list[Found]:
    file = Path(__file__).parents[2] / "plugins" / "entry_points.txt"
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    if not file.is_file():
        return []
    parser.read_string(file.read_text(encoding="utf-8"))
    section = parser[GROUP] if parser.has_section(GROUP) else {}
    return [Found(name, value, DISTRIBUTION) for name, value in section.items()]


def _load(manager: pluggy.PluginManager, entry: Found, wanted: Sequence[Found], loaded: Mapping[str, Plugin]) -> Plugin:
    rivals = sorted({f"{f.distribution} ({f.value})" for f in wanted if f.name == entry.name})
    if len(rivals) > 1:
        raise Refused(f"the name is declared more than once, by {' and '.join(rivals)}")
    plugin = _import(entry)
    problems = list(hook_problems(plugin, PROCESS_SPECS, entry.value))
    if problems:
        raise Refused("; ".join(problems))
    if not any(marked(getattr(plugin, hook, None)) for hook in PROCESS_SPECS):
        raise Refused(f"{entry.value} implements none of {', '.join(PROCESS_SPECS)}")
    adapters = _adapters(entry, plugin)
    taken = {cls.name: name for name, other in loaded.items() for cls in other.adapters}
    for cls in adapters:
        if cls.name in taken:
            raise Refused(f"adapter {cls.name!r} is there already, from plugin {taken[cls.name]!r}")
        taken[cls.name] = entry.name
    manager.register(plugin, entry.name)
    return Plugin(entry, adapters)


def _import(entry: Found) -> Any:
    try:
        return EntryPoint(entry.name, entry.value, GROUP).load()
    except (Exception, SystemExit) as error:
        text = str(error).splitlines()[0] if str(error) else "no reason given"
        raise Refused(f"does not import: {type(error).__name__}: {text}") from error


def _adapters(entry: Found, plugin: Any) -> tuple[type[Adapter], ...]:
    hook = getattr(plugin, "o2o_adapters", None)
    if hook is None or marked(hook) is None:
        return ()
    try:
        adapters = tuple(hook())
    except (Exception, SystemExit) as error:
        raise Refused(f"o2o_adapters raised {type(error).__name__}: {error}") from error
    problems = [text for cls in adapters for text in adapter_problems(cls, first_party=entry.first_party)]
    if problems:
        raise Refused("; ".join(problems))
    return adapters
