"""The first rung: it loads, refuses wrong settings by their path, its check speaks plainly, it has a README."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import ValidationError

from gateway.runtime.hookcheck import adapter_problems
from gateway.sdk import SecretField
from gateway.testing.bench import Bench
from gateway.testing.far import Far
from gateway.testing.outcome import Outcome, classed
from gateway.testing.proxy import Plan


def installs(bench: Bench) -> None:
    """The hook checks that the gateway makes when it loads a plugin."""
    problems = adapter_problems(bench.profile.adapter, first_party=True)
    for problem in problems:
        bench.report.refuted("installs", why=problem)
    if not problems:
        bench.report.shown("installs", why=f"{len(bench.hooks)} hooks")


def settings(bench: Bench, far: Far) -> None:
    """Unknown keys, missing ones and wrong types are refused by their path."""
    good = dict(bench.profile.settings(far))
    fields = bench.profile.adapter.Settings().fields
    cases: list[tuple[str, dict[str, Any]]] = [("no_such_setting", {**good, "no_such_setting": 1})]
    cases += [(name, {**good, name: [{}]}) for name in fields]
    cases += [
        (name, {key: value for key, value in good.items() if key != name})
        for name, field in fields.items()
        if field.required
    ]
    bad = 0
    for name, tried in cases:
        problem = _refused(bench, name, tried)
        if problem:
            bad += 1
            bench.report.refuted("settings_checked", subject=name, why=problem)
    if not bad:
        bench.report.shown("settings_checked", why=f"{len(cases)} wrong ones, each named")


def _refused(bench: Bench, name: str, tried: Mapping[str, Any]) -> str:
    try:
        bench.profile.adapter.Settings().load(tried)
    except ValidationError as error:
        named = error.messages if isinstance(error.messages, dict) else {}
        return "" if name in named else f"refused without its name: {sorted(named)}"
    except Exception as error:
        return f"the settings raise {type(error).__name__} instead of naming what is wrong"
    return "a wrong value, or none, is taken"


def check_speaks(bench: Bench, far: Far) -> None:
    """``check()`` where all is well, where the system is down, and with wrong credentials."""
    rule, report = "check_says_what_to_do", bench.report
    before = far.quiet()
    well = _check(bench, far)
    if well.kind != "read":
        report.refuted(rule, subject="all is well", why=f"it says {well}")
    elif far.quiet() != before:
        report.refuted(rule, subject="all is well", why="it changes the books")
    else:
        report.shown(rule, subject="all is well")
    if far.line.proxies:
        far.line.set(Plan("refuse"))
        _must_speak(bench, far, "the system is down", _check(bench, far))
        far.line.set(None)
        far.line.set(Plan("half", 0))
        _must_not_pass(bench, "the answer is cut", _check(bench, far))
        far.line.set(None)
    for what, changes in _wrong(bench, far):
        _must_speak(bench, far, what, _check(bench, far, changes))


def _wrong(bench: Bench, far: Far) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Wrong settings: the profile's, and a wrong secret for each secret."""
    yield from bench.profile.wrong_settings(far).items()
    good = bench.profile.settings(far)
    for name, field in bench.profile.adapter.Settings().fields.items():
        if isinstance(field, SecretField) and name in good and name not in bench.profile.unchecked_secrets:
            yield f"a wrong {name}", {name: far.secret(f"wrong-{name}", "not-the-one-that-was-agreed")}


def _check(bench: Bench, far: Far, changes: Mapping[str, Any] | None = None) -> Outcome:
    try:
        adapter = far.connect(**changes) if changes else far.adapter
    except ValidationError as error:
        return Outcome("misconfigured", None, f"settings: {error.messages}")
    try:
        return classed(adapter.name, "check", adapter.check)
    finally:
        if changes:
            adapter.close()
            adapter.context.http.close()


def _must_not_pass(bench: Bench, what: str, came: Outcome) -> None:
    if came.kind in ("plugin_error", "read"):
        said = "that all is well" if came.kind == "read" else str(came)
        bench.report.refuted("check_says_what_to_do", subject=what, why=f"it says {said}")


def _must_speak(bench: Bench, far: Far, what: str, came: Outcome) -> None:
    """It must refuse, and name a setting, an address or a path: something that a person can look at."""
    rule = "check_says_what_to_do"
    if not came.not_sent:
        said = "that all is well" if came.kind == "read" else str(came)
        bench.report.refuted(rule, subject=what, why=f"it says {said}; NotSent or Misconfigured is needed")
        return
    names = {*bench.profile.adapter.Settings().fields, *_values(bench.profile.settings(far))}
    if not any(name in came.text for name in names):
        bench.report.refuted(rule, subject=what, why=f"names no setting and no address: {came.text!r}")
    else:
        bench.report.shown(rule, subject=what)


def _values(settings: Mapping[str, Any]) -> Iterator[str]:
    """What a message may name: values of settings, and the host and port in an address."""
    for value in settings.values():
        text = str(value)
        if len(text) >= 4:
            yield text
        if "://" in text:
            yield text.split("://", 1)[1].split("/", 1)[0]


def readme(bench: Bench) -> None:
    """A README beside the adapter, and the same in Chinese for the last rung."""
    text = _text(bench, "README.md")
    if len(text) > 200:
        bench.report.shown("readme")
    else:
        bench.report.not_shown("readme", why=f"no README.md of more than a few words in {bench.plugin_folder.name}/")
    if text and _text(bench, "README.zh.md"):
        bench.report.shown("docs_in_two_languages")


def _text(bench: Bench, name: str) -> str:
    file = bench.plugin_folder / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""
