"""The conformance suite: runs all checks on one plugin and reports what was shown, what was not, and the grade."""

from __future__ import annotations

import importlib
import inspect
import logging
import tempfile
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gateway.runtime.answers import CHANGE_HOOKS
from gateway.runtime.capabilities import capabilities
from gateway.testing.bench import Bench
from gateway.testing.checks import bronze, contract, faults, kills, ledger, privacy, sales, traits, ways
from gateway.testing.estimate import UNKNOWN_S, at_a_time, left_out, one_call_s, seconds
from gateway.testing.ground import Ground
from gateway.testing.ladder import GRADES, Report
from gateway.testing.places import places_of
from gateway.testing.profile import Profile
from gateway.testing.progress import LastTimes, Watch, told
from gateway.testing.quality import BadQuality, quality_of

#: How many hooks are tried side by side: most of the time is waiting.
_SIDE_BY_SIDE = 12
_START = "start, settings and check()"


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


def run(
    profile: type[Profile],
    *,
    quick: bool = False,
    progress: TextIO | None = None,
    only: Collection[str] = (),
    hooks: Collection[str] = (),
) -> Report:
    """Run everything on one plugin, or ``only`` what some rules ask for, or what concerns some ``hooks``.

    ``quick`` tries the most telling faults at the first and last message only. What is being tried, and about how much
    is left, goes to ``progress``. Raises :class:`~gateway.testing.quality.BadQuality` before anything is run.
    """
    began = time.monotonic()
    folder = Path(inspect.getfile(profile)).parent
    quality = quality_of(folder, profile)
    report = Report(
        adapter=profile.adapter.name,
        plugin=folder.name,
        quick=quick,
        claimed_grade=quality.grade,
        real=profile.foreign is not None,
        only=tuple(hooks),
        exemptions=quality.exempt,
        hooks=capabilities(profile.adapter)["hooks"],
        places=places_of(profile, folder),
    )
    for rule, what in quality.shown.items():
        report.shown(rule, why=what)
    work = Path(tempfile.mkdtemp(prefix=f"conformance-{profile.adapter.name}-"))
    ground = Ground(profile(), work)
    bench = Bench(ground.profile, ground, report, work, quick, costs_agreed=quality.cost, plugin_folder=folder)
    logging.getLogger("gateway.adapter").addHandler(logging.NullHandler())  # else warnings go to standard error
    watch, last = Watch(progress), LastTimes()
    name = f"{profile.__module__}.{profile.__name__}{', quick' if quick else ''}"
    try:
        _announce(watch, report, last.of(name))
        _run(bench, watch, only)
        if report.real and not (only or hooks):
            _on_a_real_system(report)
    finally:
        watch.close()
        ground.close()
    report.seconds = time.monotonic() - began
    if not (only or hooks):
        last.keep(name, report.seconds)
    return report


def _announce(watch: Watch, report: Report, last: str) -> None:
    """What is run, what it leaves out, and how long it took last time."""
    before = f"last time it took {last}" if last else "it was not run here before; an estimate follows the first calls"
    watch.say(f"{report.adapter}: {len(report.hooks)} hooks{', quick' if report.quick else ''}; {before}")
    if report.quick:
        watch.say(left_out(report.real))


def _run(bench: Bench, watch: Watch, only: Collection[str]) -> None:
    bronze.installs(bench)
    bronze.readme(bench)
    changing = [hook for hook in bench.hooks if hook in CHANGE_HOOKS]
    others = [hook for hook in bench.hooks if hook not in CHANGE_HOOKS]
    first = [_Check("contract", contract.check, contract.RULE, hook) for hook in (*changing, *others)]
    alone = _alone(bench, only)
    to_come = _expected(bench, [*first, *_rest(bench, changing, only)], alone)
    watch.expect({_START: UNKNOWN_S, **to_come}, at_a_time(_wide(bench)))
    watch.began(_START)
    there = _opened(bench)
    watch.over(_START)
    if not there:
        return
    _side_by_side(bench, watch, first[: len(changing)])
    _side_by_side(bench, watch, first[len(changing) :])
    rest = _rest(bench, bench.changes, only)
    watch.expect(_expected(bench, rest, alone), at_a_time(_wide(bench)))
    one = one_call_s(bench)
    watch.say(f"one call takes {one:.2f} s here: about {told(watch.left_s())} for the {len(rest)} checks to come")
    _side_by_side(bench, watch, rest)
    for check in alone:
        _tried(bench, watch, check)


@dataclass(frozen=True, slots=True)
class _Check:
    """One check: what it is called, what runs it, the rule that it is for, the hook that it is about (or none)."""

    title: str
    run: Callable[..., None]
    rule: str
    hook: str = ""

    @property
    def name(self) -> str:
        return f"{self.title} {self.hook}".strip()


def _rest(bench: Bench, hooks: list[str], only: Collection[str]) -> list[_Check]:
    """What comes after the contract, side by side: each hook's faults, traits and kills, then the whole adapter."""
    some = bench.report.only
    found = [_Check(title, run, rule, hook) for hook in some or hooks if hook in hooks for title, run, rule in _EACH]
    whole = [check for check in _WHOLE if not some or check.hook in some]
    return [check for check in (*found, *whole) if not only or check.rule in only]


def _alone(bench: Bench, only: Collection[str]) -> list[_Check]:
    return [] if bench.report.only else [check for check in _ALONE if not only or check.rule in only]


def _expected(bench: Bench, checks: list[_Check], alone: list[_Check]) -> dict[str, float]:
    """About how long each takes; one that runs alone counts for as many as would else run beside it."""
    found = {check.name: seconds(bench, check.rule, check.hook) for check in (*checks, *alone)}
    return found | {check.name: found[check.name] * at_a_time(_wide(bench)) for check in alone}


def _wide(bench: Bench) -> int:
    """How many checks run side by side."""
    return _SIDE_BY_SIDE if bench.profile.foreign is None else bench.profile.foreign.side_by_side


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


def _tried(bench: Bench, watch: Watch, check: _Check) -> None:
    """Run a check. It can't take the run down with it: what it raises is a finding."""
    watch.began(check.name)
    try:
        check.run(bench, *([check.hook] if check.hook else []))
    except Exception as trouble:
        where = inspect.trace()[-1]
        text = f"the suite could not try it: {type(trouble).__name__}: {trouble} ({Path(where[1]).name}:{where[2]})"
        bench.report.not_shown(check.rule, hook=check.hook or check.title, why=text)
    finally:
        watch.over(check.name)


def _side_by_side(bench: Bench, watch: Watch, checks: list[_Check]) -> None:
    with ThreadPoolExecutor(_wide(bench)) as pool:
        for done in [pool.submit(_tried, bench, watch, check) for check in checks]:
            done.result()


def _declines(bench: Bench) -> None:
    """Refusals are values with the reason expected, a code, and no effect."""
    rule, shown = "declined_codes_listed", 0
    with bench.ground.far() as far:
        for hook in bench.changes:
            for reason, request in bench.profile.declines(far, hook):
                before = far.quiet()
                for _ in range(contract.tries(bench)):
                    _, came = far.settled(*far.change(hook, request))
                    if came.kind not in contract.NO_ANSWER:
                        break
                moved = far.quiet() != before
                if came.kind != "declined" or moved or came.answer.reason != reason:
                    books = ", and the books have moved" if moved else ""
                    bench.report.refuted(rule, hook, reason, f"it came to {came}{books}")
                else:
                    shown += 1
                    bench.report.shown(rule, hook, reason, came.answer.code)
    if not shown:
        bench.report.not_shown(rule, why="the profile's declines() names no request that is refused")


#: Checks of each changing hook, of the adapter as a whole, and those that must run alone: one reads the log of the
#: whole process, the other measures time.
_EACH = (
    ("other ways", ways.check, ways.RULE),
    ("faults", faults.check, faults.RULE),
    ("traits", traits.check, traits.RULE),
    ("kills", kills.check, kills.RULE),
)
_WHOLE = (
    _Check("traits as a whole", traits.about, traits.RULE),
    _Check("tenants", privacy.tenants, "tenants_apart"),
    _Check("parsers", privacy.parsers, "parsers_raise_parse_error"),
    _Check("statements", ledger.reconcile, "source_to_reconcile"),
    _Check("kinds of sale", sales.check, sales.RULE, sales.POST),
    _Check("refusals", _declines, "declined_codes_listed"),
)
_ALONE = (
    _Check("faults that never happened", faults.never, faults.RULE),
    _Check("secrets", privacy.secrets, "no_secret_leaks"),
    _Check("costs", ledger.cost, "cost_per_call"),
)

__all__ = ["BadQuality", "NoProfile", "profile_of", "run"]
