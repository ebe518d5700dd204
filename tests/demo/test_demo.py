"""The demonstration: its story must come out right on real systems, and notice when one of them is broken."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def demo(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway.cli", "demo", "--once", "--json", "--data", str(folder), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.timeout(300)
def test_every_step_of_the_story_does_what_it_should(tmp_path: Path) -> None:
    told = demo(tmp_path)
    story = json.loads(told.stdout)
    wrong = [step for chapter in story["chapters"] for step in chapter["steps"] if not step["ok"]]
    assert (wrong, told.returncode) == ([], 0), told.stderr
    assert len(story["chapters"]) == 7


@pytest.mark.timeout(300)
def test_a_broken_leg_is_noticed(tmp_path: Path) -> None:
    told = demo(tmp_path, "--break", "ktv:new_code@OP")
    assert told.returncode == 1
    assert not json.loads(told.stdout)["ok"]
