"""The conformance suite: runs all checks on one plugin and reports what was shown, what was not, and the grade."""

from __future__ import annotations

import importlib
import inspect
import logging
import tempfile
import time
import tomllib
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from gateway.runtime.answers import CHANGE_HOOKS
from gateway.runtime.capabilities import capabilities
from gateway.testing.bench import Bench
from gateway.testing.checks import bronze, contract, faults, kills, ledger, privacy, traits
from gateway.testing.ground import Ground
from gateway.testing.ladder import GRADES, RULES, Report
from gateway.testing.profile import Profile

#: How many hooks are tried side by side: most of the time is waiting.
_SIDE_BY_SIDE = 12
_WORDS = {"messages": int, "time": float}

Progress = Callable[[str], None]


class NoProfile(Exception):
    """There is nothing to run; the text says what to write and where."""


def profile_of(name: str) -> list[type[Profile]]:
    """The profiles of a plugin, by the name of its entry point, its package or its adapter.

    Raises :class:`NoProfile` with what to write.
    """
    package, adapter = _package(name)
    module = f"{package}.conformance"
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise NoProfile(f"{package} has no conformance.py: put a subclass of gateway.testing.Profile there") from None
    profiles = [
        value
        for value in vars(found).values()
        if isinstance(value, type) and issubclass(value, Profile) and value.__module__ == module
    ]
    chosen = [profile for profile in profiles if adapter in ("", profile.adapter.name)]
    if not chosen:
        raise NoProfile(f"{module} has no profile of {adapter or 'any adapter'}")
    return chosen


def _package(name: str) -> tuple[str, str]:
    """The package of a plugin, and the adapter meant if the name is an adapter's."""
    from gateway.runtime import discover
    from gateway.runtime.discovery import find

    entries = {entry.name: entry.value.partition(":")[0] for entry in find()}
    if name in entries:
        return entries[name], ""
    for cls in discover(("first-party", *entries)).adapters.values():
        if cls.name == name:
            return cls.__module__.rpartition(".")[0], name
    if importlib.util.find_spec(name.partition(":")[0]) is not None:
        return name, ""
    raise NoProfile(f"no plugin {name!r}; there are: {', '.join(sorted(entries))}")


def quality_of(folder: Path, adapter: str) -> dict[str, Any]:
    """What ``quality.toml`` says of an adapter: ``grade``, ``[exempt]``, ``[cost]``, ``[shown]``.

    A plugin with several adapters has a table for each but the first. Raises ``ValueError`` for what is no rule.
    """
    file = folder / "quality.toml"
    if not file.is_file():
        return {}
    text = tomllib.loads(file.read_text(encoding="utf-8"))
    own: dict[str, Any] = text.get("adapters", {}).get(adapter, text)
    strange = {*own.get("exempt", {}), *own.get("shown", {})} - RULES.keys()
    if strange:
        raise ValueError(f"{file}: no such rule: {', '.join(sorted(strange))}; there are: {', '.join(RULES)}")
    if own.get("grade", "none") not in GRADES:
        raise ValueError(f"{file}: grade: expected one of {', '.join(GRADES)}")
    return own


def run(
    profile: type[Profile], *, quick: bool = False, progress: Progress | None = None, only: Collection[str] = ()
) -> Report:
    """Run everything on one plugin, or ``only`` what some rules ask for.

    ``quick`` tries the most telling faults at the first and last message only.
    """
    began = time.monotonic()
    folder = Path(inspect.getfile(profile)).parent
    quality = quality_of(folder, profile.adapter.name)
    report = Report(
        adapter=profile.adapter.name,
        plugin=folder.name,
        quick=quick,
        claimed_grade=quality.get("grade", "none"),
        real=profile.foreign is not None,
        exemptions=quality.get("exempt", {}),
        hooks=capabilities(profile.adapter)["hooks"],
    )
    for rule, what in quality.get("shown", {}).items():
        report.shown(rule, why=what)
    work = Path(tempfile.mkdtemp(prefix=f"conformance-{profile.adapter.name}-"))
    ground = Ground(profile(), work)
    bench = Bench(ground.profile, ground, report, work, quick, quality=quality, plugin_folder=folder)
    logging.getLogger("gateway.adapter").addHandler(logging.NullHandler())  # else warnings go to standard error
    try:
        _run(bench, progress or (lambda text: None), only)
        if report.real and not only:
            _on_a_real_system(report)
    finally:
        ground.close()
    report.seconds = time.monotonic() - began
    return report


def _run(bench: Bench, progress: Progress, only: Collection[str]) -> None:
    bronze.installs(bench)
    bronze.readme(bench)
    progress("starting the far system")
    if not _opened(bench):
        return
    progress("the contract of each hook")
    changing = [hook for hook in bench.hooks if hook in CHANGE_HOOKS]
    _each(bench, changing, contract.check)
    _each(bench, [hook for hook in bench.hooks if hook not in CHANGE_HOOKS], contract.check)
    progress("traits, faults and kills")
    _all(
        bench,
        [
            _task(bench, check, hook)
            for hook in bench.changes
            for check, rule in ((faults.check, faults.RULE), (traits.check, traits.RULE), (kills.check, kills.RULE))
            if not only or rule in only
        ]
        + [_task(bench, check) for check, rule in _WHOLE if not only or rule in only],
    )
    progress("secrets and costs")
    for check, rule in _ALONE:
        if not only or rule in only:
            _task(bench, check)()


def _on_a_real_system(report: Report) -> None:
    """A run that nothing was refuted in, and that holds silver at least, is itself what platinum asks for."""
    if report.grade in GRADES[GRADES.index("silver") :] and not report.unexcused:
        report.shown("foreign_system", why="this run: on a system that nobody here wrote")
    elif not any(finding.rule == "foreign_system" for finding in report.findings):
        report.not_shown("foreign_system", why="this run on a real system does not hold silver, or refuted something")


def _opened(bench: Bench) -> bool:
    """Start the first far system; without one, nothing else can be tried."""
    try:
        bench.ground.open()
        with bench.ground.far() as far:
            bronze.settings(bench, far)
            bronze.check_speaks(bench, far)
    except Exception as trouble:
        bench.report.refuted(
            "hooks_pass", why=f"no far system with an adapter on it: {type(trouble).__name__}: {trouble}"
        )
        return False
    return True


def _task(bench: Bench, check: Callable[..., None], *arguments: str) -> Callable[[], None]:
    """A check that can't take the run down with it: what it raises is a finding."""

    def work() -> None:
        try:
            check(bench, *arguments)
        except Exception as trouble:
            where = inspect.trace()[-1]
            text = f"the suite could not try it: {type(trouble).__name__}: {trouble} ({Path(where[1]).name}:{where[2]})"
            rule = getattr(inspect.getmodule(check), "RULE", "hooks_pass")
            bench.report.not_shown(rule, hook=arguments[0] if arguments else check.__name__, why=text)

    return work


def _each(bench: Bench, hooks: list[str], check: Callable[..., None]) -> None:
    _all(bench, [_task(bench, check, hook) for hook in hooks])


def _all(bench: Bench, tasks: list[Callable[[], None]]) -> None:
    foreign = bench.ground.foreign
    with ThreadPoolExecutor(_SIDE_BY_SIDE if foreign is None else foreign.side_by_side) as pool:
        for done in [pool.submit(task) for task in tasks]:
            done.result()


def _declines(bench: Bench) -> None:
    """Refusals are values with the reason expected, a code, and no effect."""
    rule, shown = "declined_codes_listed", 0
    with bench.ground.far() as far:
        for hook in bench.changes:
            for reason, request in bench.profile.declines(far, hook):
                before = far.quiet()
                _, came = far.settled(*far.change(hook, request))
                moved = far.quiet() != before
                if came.kind != "declined" or moved or came.answer.reason != reason:
                    books = ", and the books have moved" if moved else ""
                    bench.report.refuted(rule, hook, reason, f"it came to {came}{books}")
                else:
                    shown += 1
                    bench.report.shown(rule, hook, reason, came.answer.code)
    if not shown:
        bench.report.not_shown(rule, why="the profile's declines() names no request that is refused")


#: Checks of the adapter as a whole, and those that must run alone: one reads the log of the whole process, the other
#: measures time.
_WHOLE = (
    (traits.about, traits.RULE),
    (privacy.tenants, "tenants_apart"),
    (privacy.parsers, "parsers_raise_parse_error"),
    (ledger.reconcile, "source_to_reconcile"),
    (_declines, "declined_codes_listed"),
)
_ALONE = ((privacy.secrets, "no_secret_leaks"), (ledger.cost, "cost_per_call"))

__all__ = ["Mapping", "NoProfile", "profile_of", "quality_of", "run"]
