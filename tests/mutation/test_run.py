"""The mutation run itself: what it counts as noticed, and that its lists name what is there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

pytest.importorskip("mutmut", reason="pip install -e '.[mutation]'")

from tests.mutation import run
from tests.mutation.mutants import Mutant

FILES = {file for group in run.groups() for file in group.files}


def mutant(number: int, now: str = "x") -> Mutant:
    return Mutant(f"m{number}", "gateway/domain/money.py", "f", "if numerator < 0:", now)


def test_the_share_is_of_what_was_tried_and_makes_a_difference() -> None:
    """A share of what was not tried, or with equivalents among the killed, would be a claim without a run."""
    all_of_them = [mutant(1), mutant(2), mutant(3, "if numerator <= 0:"), mutant(4), mutant(5)]
    verdict = run.judge(all_of_them, {"m1", "m2"}, {"m1", "m2", "m3", "m4"})
    assert (verdict.mutants, verdict.untried, verdict.killed, verdict.equivalent) == (5, 1, 2, 1)
    assert verdict.survivors == [all_of_them[3]]
    assert round(verdict.percent, 1) == 66.7


def test_what_was_killed_by_other_tests_or_in_another_function_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = run.Group("money", ("gateway/domain/money.py",), ("tests/rules/test_money.py",))
    monkeypatch.setattr(run.Group, "folder", tmp_path)
    (tmp_path / "tests" / "rules").mkdir(parents=True)
    (tmp_path / "tests" / "rules" / "test_money.py").touch()
    lines = [
        f'{{"name": "m1", "function": "f", "tests": "{group.digest}", "outcome": "killed"}}',
        f'{{"name": "m2", "function": "g", "tests": "{group.digest}", "outcome": "killed"}}',
        '{"name": "m3", "function": "f", "tests": "older", "outcome": "endless"}',
        f'{{"name": "m4", "function": "f", "tests": "{group.digest}", "outcome": "survived"}}',
        '{"name": "m5", "func',
    ]
    (tmp_path / "results.jsonl").write_text("\n".join(lines), encoding="utf-8")
    mutants = [mutant(number) for number in range(1, 6)]
    assert run.killed(group, mutants, keep=False) == {"m1"}
    assert run.killed(group, mutants, keep=True) == {"m1", "m3"}


def test_every_group_names_files_and_tests_that_are_there() -> None:
    for group in run.groups():
        assert all((run.ROOT / name).is_file() for name in (*group.files, *group.tests)), group.name


def test_every_change_said_to_make_no_difference_is_of_a_line_that_is_there_and_has_a_reason() -> None:
    """A line that was changed since may make a difference now: its entry has to go, or to be thought over."""
    listed = tomllib.loads((run.HERE / "equivalent.toml").read_text(encoding="utf-8"))["mutant"]
    texts = {file: " ".join((run.ROOT / file).read_text(encoding="utf-8").split()) for file in FILES}
    stale = [each["was"] for each in listed if " ".join(each["was"].split()) not in texts[each["file"]]]
    assert stale == []
    assert all(len(each["why"]) > 10 and each["was"] != each["now"] for each in listed)
    assert len({(each["file"], each["was"], each["now"]) for each in listed}) == len(listed)
