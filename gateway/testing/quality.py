"""``quality.toml``: the grade that a plugin claims, what it is exempt from, what a call may cost, what proves the rest.

Nothing in it is believed. The grade is held against the run, a cost against what was measured, an exemption is taken
only for rules that allow one, and what stands in ``[shown]`` names a file that a run left behind: the file is read, and
must say what is claimed. What does not hold is refused before anything is run, with the path and the reason.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gateway.runtime.answers import CHANGE_HOOKS
from gateway.runtime.hookcheck import implemented_hooks
from gateway.testing.ladder import GRADES, RULES
from gateway.testing.profile import Profile
from gateway.testing.traffic.file import Traffic

_TABLES = {"grade": str, "exempt": dict, "cost": dict, "shown": dict}
_COST: Mapping[str, type | tuple[type, ...]] = {"messages": int, "time": (int, float)}
_EVIDENCE = ("file", "command", "date")
#: A report's own date may differ from the one that is told by the time zone.
_ZONES = timedelta(days=1)


class BadQuality(ValueError):
    """What ``quality.toml`` says can't be so; a line for each, with the path of what is wrong."""


@dataclass(frozen=True, slots=True)
class Quality:
    """What a plugin says of itself, read and checked. ``shown``: rule → what its evidence says."""

    file: Path
    grade: str = "none"
    exempt: Mapping[str, str] = field(default_factory=dict)
    cost: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)


def quality_of(folder: Path, profile: type[Profile]) -> Quality:
    """What the ``quality.toml`` in a folder says of a profile's adapter; nothing is claimed where there is none.

    A plugin with several adapters has a table ``[adapters.NAME]`` for each. Raises :class:`BadQuality` with all that
    is wrong, before anything is run.
    """
    file = folder / "quality.toml"
    if not file.is_file():
        return Quality(file)
    try:
        text = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadQuality(f"{file}: {error}") from None
    name = profile.adapter.name
    own = text.get("adapters", {}).get(name, text)
    path = f"adapters.{name}." if own is not text else ""
    found = _Reader(file, path, profile)
    quality = found.read({key: value for key, value in own.items() if key != "adapters"})
    if found.wrong:
        raise BadQuality("\n".join(found.wrong))
    return quality


class _Reader:
    """Reads one table and gathers what is wrong in it."""

    def __init__(self, file: Path, path: str, profile: type[Profile]) -> None:
        self.file, self.path, self.profile = file, path, profile
        self.wrong: list[str] = []

    def read(self, own: Mapping[str, Any]) -> Quality:
        told = {name: value for name, value in own.items() if self._is_table(name, value)}
        grade = told.get("grade", "none")
        if grade not in GRADES:
            self.refuse("grade", f"{grade!r} is none; expected one of {', '.join(GRADES)}")
        return Quality(
            self.file,
            grade,
            dict(self._exempt(told.get("exempt", {}))),
            dict(self._cost(told.get("cost", {}))),
            dict(self._shown(told.get("shown", {}))),
        )

    def refuse(self, where: str, why: str) -> None:
        self.wrong.append(f"{self.file}: {self.path}{where}: {why}")

    def _is_table(self, name: str, value: Any) -> bool:
        if name not in _TABLES:
            self.refuse(name, f"nothing is called so; there are: {', '.join(_TABLES)}")
        elif not isinstance(value, _TABLES[name]):
            self.refuse(name, "expected a text" if _TABLES[name] is str else "expected a table")
        else:
            return True
        return False

    def _exempt(self, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        there = [name for name, rule in RULES.items() if rule.exemptible]
        for rule, why in told.items():
            if rule not in there:
                self.refuse(f"exempt.{rule}", f"nobody is exempt from it; only from {', '.join(there)}")
            elif not isinstance(why, str) or not why.strip():
                self.refuse(f"exempt.{rule}", "say in words why the system leaves no other way")
            else:
                yield rule, why

    def _cost(self, told: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, float]]]:
        changes = sorted(implemented_hooks(self.profile.adapter) & CHANGE_HOOKS)
        for hook, cost in told.items():
            if hook not in changes:
                self.refuse(f"cost.{hook}", f"no changing hook of {self.profile.adapter.name}; it has {changes}")
            elif not _is_cost(cost):
                self.refuse(f"cost.{hook}", f"expected {{messages = 1, time = 8.0}}, it says {cost!r}")
            else:
                yield hook, cost

    def _shown(self, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for rule, claim in told.items():
            try:
                yield rule, self._proved(rule, claim)
            except ValueError as error:
                self.refuse(f"shown.{rule}", str(error))

    def _proved(self, rule: str, claim: Any) -> str:
        """What the evidence of a claim says. Raises ``ValueError`` where there is none, or it says something else."""
        if rule not in _READERS:
            known = "the suite tries this rule itself: take the line out" if rule in RULES else "there is no such rule"
            raise ValueError(f"{known}; what can be shown elsewhere: {', '.join(_READERS)}")
        if not isinstance(claim, dict) or set(claim) != set(_EVIDENCE):
            raise ValueError(
                "a claim needs what a run left behind: "
                '{file = "evidence/sandbox.xml", command = "pytest … --junitxml=…", date = 2026-11-20}'
            )
        command, day = claim["command"], claim["date"]
        if not isinstance(command, str) or not command.strip():
            raise ValueError("command: say what was run, so that somebody else can run it")
        if type(day) is not date:
            raise ValueError(f"date: expected a day as 2026-11-20, without quotes, it is {day!r}")
        if day > date.today() + _ZONES:  # noqa: DTZ011 - the author's own day
            raise ValueError(f"date: {day} is yet to come")
        said = _READERS[rule](self.profile, self._file(claim["file"]), day)
        return f"{claim['file']} of {day}: {said}; by {command}"

    def _file(self, name: Any) -> Path:
        """The evidence, beside ``quality.toml`` or below the project's folder."""
        places = [self.file.parent]
        places += [
            each for each in self.file.parents if (each / "pyproject.toml").exists() or (each / "setup.py").exists()
        ]
        found = [place / str(name) for place in places if name and (place / str(name)).is_file()]
        if found:
            return found[0]
        looked = ", ".join(str(place) for place in dict.fromkeys(places))
        raise ValueError(f"file: {name!r} is not there; looked in {looked}")


def _is_cost(cost: Any) -> bool:
    if not isinstance(cost, dict) or set(cost) != set(_COST):
        return False
    return all(isinstance(cost[name], kind) and cost[name] >= 0 for name, kind in _COST.items())


# -- what evidence says ----------------------------------------------------------------------------------------------


def _on_a_real_system(profile: type[Profile], file: Path, day: date) -> str:
    """A record of this suite's own run on a real system, or pytest's report of tests on the vendor's sandbox."""
    if profile.foreign is not None:
        raise ValueError("this profile runs on the system itself: the run is the proof, take the line out")
    if file.suffix == ".json":
        return _recorded_run(profile, file, day)
    if file.suffix == ".xml":
        return _tests_passed(file, day)
    raise ValueError(
        f"file: {file.name} is neither a record of `gateway plugins check --record FILE.json` on the real system nor "
        "a report of `pytest --junitxml=FILE.xml`"
    )


def _recorded_run(profile: type[Profile], file: Path, day: date) -> str:
    name = profile.adapter.name
    try:
        run = json.loads(file.read_text(encoding="utf-8"))[name]
        grade, real, ran = str(run["grade"]), bool(run["real"]), str(run["date"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"file: {file.name} is no dated record of a run of {name}: {error!r}") from None
    if not real:
        raise ValueError(f"file: that run of {name} was on its simulator")
    if grade not in GRADES[GRADES.index("silver") :]:
        raise ValueError(f"file: that run of {name} found {grade}; silver is the least that shows it")
    _same_day(ran, day)
    return f"{grade} on the real system"


def _tests_passed(file: Path, day: date) -> str:
    try:
        suites = list(ElementTree.fromstring(file.read_bytes()).iter("testsuite"))  # noqa: S314 - the author's own file
        counts = {
            name: sum(int(one.get(name, 0)) for one in suites) for name in ("tests", "failures", "errors", "skipped")
        }
    except (ElementTree.ParseError, ValueError) as error:
        raise ValueError(f"file: {file.name} is no report of pytest --junitxml: {error}") from None
    bad = counts["failures"] + counts["errors"]
    if bad or counts["tests"] <= counts["skipped"]:
        raise ValueError(f"file: {counts['tests']} tests, {bad} failed, {counts['skipped']} were skipped")
    _same_day(suites[0].get("timestamp", ""), day)
    return f"{counts['tests'] - counts['skipped']} tests passed"


def _same_day(told: str, day: date) -> None:
    try:
        ran = datetime.fromisoformat(told).date()
    except ValueError:
        raise ValueError("file: it does not say when it was run") from None
    if abs(ran - day) > _ZONES:
        raise ValueError(f"date: {day} is claimed, and the file is of {ran}")


def _traffic(profile: type[Profile], file: Path, day: date) -> str:
    """What ``gateway record`` wrote; the plugin's own parsers must be able to read some of the answers."""
    try:
        answers = [each.reply for each in Traffic.load(file).exchanges if each.reply is not None]
    except (OSError, ValueError) as error:
        raise ValueError(f"file: {error}") from None
    if not answers:
        raise ValueError(f"file: {file.name} holds no answer of the system")
    parsers = [parse for parse, _ in profile().parsers()]
    read = sum(any(_reads(parse, answer) for parse in parsers) for answer in answers)
    if parsers and not read:
        raise ValueError(f"file: none of its {len(answers)} answers is one that the profile's parsers() read")
    return f"{len(answers)} answers of the system" + (f", {read} read by the parsers" if parsers else "")


def _reads(parse: Callable[[bytes], Any], answer: bytes) -> bool:
    try:
        parse(answer)
    except Exception:
        return False
    return True


_READERS: Mapping[str, Callable[[type[Profile], Path, date], str]] = {
    "foreign_system": _on_a_real_system,
    "recorded_traffic": _traffic,
}
