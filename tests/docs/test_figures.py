"""What is claimed of long runs is what their lines say: no figure without a run, no violation left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docs import figures
from tests import evidence
from tests.docs.guides import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_the_figures_are_those_of_the_lines_that_the_page_names() -> None:
    """A figure that was written by hand, or of lines that are gone, would be a claim without a run."""
    assert figures.written(PAGE) == figures.block(figures.said(PAGE)), "python -m docs.generate"


def test_no_violation_is_missing_from_the_page() -> None:
    """Lines may be added while a run goes on; but one with a violation belongs on the page at once."""
    assert figures.hidden(PAGE) == [], "python -m docs.generate"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVIDENCE", str(tmp_path))
    return tmp_path


def ran(first: int, last: int, violations: int = 0, **own: Any) -> None:
    count = 4 * (last - first + 1)
    evidence.append(
        "simulation", command="make simulate", seeds=(first, last), count=count, violations=violations, seconds=1, **own
    )


def test_a_violation_stays_on_the_page_whatever_runs_after_it(folder: Path) -> None:
    """Who reads the page must see what went wrong once, and how much has run since without it."""
    ran(1, 100)
    ran(101, 103, violations=1, seed=103, error="Violation: M1: charged twice")
    ran(104, 200)
    text = figures.block(figures.files(folder), folder)
    assert "| simulated checkouts | 800 | 1 | 388 | 1–200 |" in text
    assert "| 103 | 1 | Violation: M1: charged twice |" in text


def test_a_line_added_later_does_not_break_the_page_but_a_violation_does(folder: Path) -> None:
    """A run of hours writes while others test; only what must be seen stops them."""
    ran(1, 100)
    page = figures.renewed(f"before\n{figures.BEGIN} -->\n{figures.END}\nafter", folder)
    assert page.startswith("before\n") and page.endswith("\nafter")
    ran(101, 200)
    assert figures.written(page) == figures.block(figures.said(page), folder)
    assert not figures.hidden(page, folder)
    ran(201, 210, violations=1, seed=210, error="x")
    assert [line["seed"] for line in figures.hidden(page, folder)] == [210]


def test_of_changed_rules_only_the_last_run_of_a_group_is_told(folder: Path) -> None:
    """Added up, runs of the same changes would look like more of them; a share below the bound stays to be seen."""
    for killed, violations in ((90, 8), (97, 0)):
        own = {"variant": "money", "killed": killed, "equivalent": 2, "survivors": ["x"] * (98 - killed)}
        own |= {"error": "91.8 % killed"} if violations else {}
        evidence.append("mutation", command="make mutation", count=100, violations=violations, seconds=1, **own)
    text = figures.block(figures.files(folder), folder)
    assert "| money | 100 | 97 | 2 | 1 | 99.0 % |" in text
    assert text.count("| money |") == 1
    assert "| 8 | 91.8 % killed |" in text


def test_a_line_that_a_kill_cut_short_is_passed_over(folder: Path) -> None:
    """A machine that lost its power must not stop the next run from going on."""
    ran(1, 5)
    with (folder / "simulation.jsonl").open("a") as file:
        file.write('{"what": "simul')
    assert evidence.done("simulation").next_seed(1) == 6
    ran(6, 7)
    lines = [json.loads(line) for line in (folder / "simulation.jsonl").read_text().splitlines() if line[-1:] == "}"]
    assert lines and evidence.done("simulation").next_seed(1) == 8, "the next line was lost with the broken one"


def test_seeds_that_were_not_done_are_not_passed_over(folder: Path) -> None:
    """A run goes on at the first gap, not behind the last seed that anybody has ever done."""
    ran(1, 5)
    ran(11, 20)
    assert evidence.done("simulation").next_seed(1) == 6
    ran(6, 10)
    assert evidence.done("simulation").next_seed(1) == 21
    assert evidence.done("simulation").next_seed(500) == 500
