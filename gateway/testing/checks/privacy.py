"""Nothing leaks: no secret into a log, no tenant into another, no spoilt answer into an error of the plugin's own."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from gateway.domain.common import Secret
from gateway.runtime.answers import CHANGE_HOOKS
from gateway.sdk.settings import settings_folder
from gateway.testing.bench import Bench, moved, told
from gateway.testing.far import Far
from gateway.testing.ladder import Verdict
from gateway.testing.outcome import Outcome
from gateway.testing.profile import Missing
from gateway.testing.proxy import Plan
from gateway.testing.resolver import resolve
from gateway.testing.spoiling import mutated

_SHORTEST = 6
SPOILT, QUICK_SPOILT = 24, 6
_FUZZED, _QUICK_FUZZED = 400, 120


class _Lines(logging.Handler):
    """Keeps what adapters log, formatted with their exceptions."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@contextmanager
def _logged() -> Iterator[list[str]]:
    handler, root = _Lines(), logging.getLogger()
    levels = {name: logging.getLogger(name).level for name in ("", "gateway", "plugins")}
    root.addHandler(handler)
    for name in levels:
        logging.getLogger(name).setLevel(logging.DEBUG)
    libraries = logging.getLogger("urllib3")
    quiet = libraries.level
    libraries.setLevel(logging.INFO)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        libraries.setLevel(quiet)
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def secrets(bench: Bench) -> None:
    """Make every change, well and under faults, and look for what must not be seen anywhere."""
    with bench.ground.far() as far, _logged() as lines:
        planted = set(_of_settings(bench, far)) | set(bench.profile.personal())
        seen: list[tuple[str, str]] = []
        numbers: set[str] = set()  # the system's own numbers of its members, which all calls carry
        far.frames = []
        for hook in [name for name in bench.hooks if name in CHANGE_HOOKS]:
            for fault in ("", "garbage", "half", "reset") if far.line.proxies else ("",):
                try:
                    request = far.ready(hook)()
                except (Missing, RuntimeError):
                    break
                planted |= set(_in_request(request))
                numbers.add(getattr(request, "member_ref", ""))
                seen += _tell(far, hook, request, fault)
        for hook in (name for name in bench.hooks if name not in CHANGE_HOOKS and not name.endswith("_query")):
            seen += _read(bench, far, hook, planted)
        seen += [("the log", line) for line in lines]
        seen += [(f"a recorded message of {hook}", frame) for hook, frame in far.frames]
        seen += [(f"the adapter's store under {row.split(' ')[0]!r}", row) for row in far.store.text().splitlines()]
        seen += [(f"the file {file.name}", file.read_text("utf-8", "replace")) for file in _spool(far)]
    looked_for = planted - numbers
    leaks = {(where, _masked(value)) for where, text in seen for value in looked_for if value in text}
    for where, value in sorted(leaks):
        bench.report.refuted("no_secret_leaks", subject=where, why=f"{value} can be read in it")
    if not leaks:
        bench.report.shown("no_secret_leaks", why=f"{len(looked_for)} secrets looked for in {len(seen)} places")


def _tell(far: Far, hook: str, request: Any, fault: str) -> list[tuple[str, str]]:
    """Make a change, perhaps under a fault, and resolve it; what was told on the way."""
    if fault:
        far.line.set(Plan(fault))
    made, came = far.change(hook, request, seconds=far.profile.deadline_s)
    far.line.set(None)
    told_ = [("an error's text", came.text), ("an answer", repr(came.answer))]
    told_ += [("the journal", repr(made.steps))]
    if came.kind in ("unknown", "not_sent"):
        resolve(far, made, came)
    return told_


def _read(bench: Bench, far: Far, hook: str, planted: set[str]) -> list[tuple[str, str]]:
    try:
        request = bench.profile.request(hook, far)
    except (Missing, RuntimeError):
        return []
    planted |= set(_in_request(request))
    return [
        (f"what {hook} answers" if not came.text else "an error's text", came.text) for came in [far.run(hook, request)]
    ]


def _spool(far: Far) -> list[Any]:
    return [path for path in (far.folder / "spool").rglob("*") if path.is_file()]


def _of_settings(bench: Bench, far: Far) -> Iterator[str]:
    with settings_folder(far.folder):
        yield from _in_request(far.adapter.context.settings)


def _in_request(value: Any) -> Iterator[str]:
    """Values of all ``Secret`` in a request or in settings; a key's file counts by its inner lines."""
    if isinstance(value, Secret):
        text = value.reveal()
        yield from (
            part for part in ([text] if "\n" not in text else text.splitlines()[1:-1]) if len(part) >= _SHORTEST
        )
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _in_request(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _in_request(each)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _in_request(getattr(value, field.name))


def _masked(value: str) -> str:
    return f"{value[:2]}…{value[-2:]} ({len(value)} characters)"


def tenants(bench: Bench) -> None:
    """Two merchants' connections, side by side in one process: each change shows in its own system's books only."""
    for hook in bench.changes[:3] if bench.quick else bench.changes:
        with bench.ground.far("first") as one, bench.ground.far("second") as two:
            try:
                problem = _crossed(bench, hook, one, two) or _crossed(bench, hook, two, one)
            except (Missing, RuntimeError) as trouble:
                bench.report.not_shown("tenants_apart", hook, "", str(trouble))
                return
        if problem:
            bench.report.refuted("tenants_apart", hook, "", problem)
            return
    if bench.changes:
        bench.report.shown("tenants_apart", why=f"{len(bench.changes)} changes of two merchants")


def _crossed(bench: Bench, hook: str, own: Far, other: Far) -> str:
    request = own.ready(hook)()
    mine, theirs = own.quiet(), other.quiet()
    own.settled(*own.change(hook, request))
    effect, strange = moved(mine, own.quiet()), moved(theirs, other.quiet())
    if strange:
        return f"a change of {own.merchant} moved the books of {other.merchant}: {told(strange)}"
    if effect != dict(bench.measured[hook].effect):
        return f"beside another merchant it shows {told(effect)}"
    return ""


def parsers(bench: Bench) -> None:
    """Spoilt answers, on the wire and into the parsers: only errors that the spec names come out."""
    rule, tried, bad = "parsers_raise_parse_error", 0, 0
    for parse, sample in bench.profile.parsers():
        tried += 1
        problem = _fuzzed(parse, sample, _QUICK_FUZZED if bench.quick else _FUZZED)
        if problem:
            bad += 1
            bench.report.refuted(rule, subject=_named(parse), why=problem)
    for hook, came in _spoilt_on_the_wire(bench):
        tried += 1
        if came.kind in ("plugin_error", "hung"):
            bad += 1
            bench.report.refuted(rule, hook, "a spoilt answer", str(came))
    if tried and not bad:
        bench.report.shown(rule, why=f"{tried} parsers and spoilt answers")
    elif not tried and bench.profile.simulator is None:
        bench.report.add(rule, Verdict.EXEMPT, why="nothing comes to it over a wire")
    elif not tried:
        bench.report.not_shown(rule, why="nothing was parsed: name the parsers in the profile's parsers()")


def _fuzzed(parse: Any, sample: bytes, count: int) -> str:
    chance = random.Random(7)  # noqa: S311 - repeatable
    parse(sample)
    for _ in range(count):
        spoilt = mutated(sample, chance)
        try:
            parse(spoilt)
        except Exception as error:
            if not any(kind.__name__ == "ParseError" for kind in type(error).__mro__):
                return f"raises {type(error).__name__} for {spoilt[:60]!r}"
    return ""


def _named(parse: Any) -> str:
    return str(getattr(parse, "__name__", parse))


def _spoilt_on_the_wire(bench: Bench) -> Iterator[tuple[str, Outcome]]:
    """Reads and changes whose answers come with bytes changed."""
    count = QUICK_SPOILT if bench.quick else SPOILT
    with bench.ground.far() as far:
        if not far.line.proxies:
            return
        chance = random.Random(11)  # noqa: S311 - repeatable
        for hook in bench.hooks:
            for number in range(count):
                try:
                    request = far.ready(hook)() if not hook.endswith("_query") else None
                except (Missing, RuntimeError):
                    break
                if request is None or hook == "notice_read":
                    break
                far.line.set(Plan("mutate", chance.randint(1, 2), seed=chance.randrange(1 << 30) + number))
                if hook in CHANGE_HOOKS:
                    came = far.change(hook, request, seconds=far.profile.patience_s)[1]
                else:
                    came = far.run(hook, request)
                far.line.set(None)
                yield hook, came
