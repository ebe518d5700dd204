"""A run of hours is killed now and then: what it says it has done must be done, and nothing is done twice."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import evidence

pytestmark = pytest.mark.slow


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """Else seeds would be claimed that never ran, or a run would begin again each time."""
    command = [sys.executable, "-m", "tests.simulation.run", "--seed", "5", "--jobs", "2", "--resume"]
    env = {**os.environ, "EVIDENCE": str(tmp_path), "TELL_EVERY": "0"}
    _killed([*command, "--checkouts", "100000"], env)
    told = _seeds(tmp_path)
    target = 4 * (told[-1] - 5 + 1 + 20)
    subprocess.run([*command, "--checkouts", str(target)], env=env, check=True, timeout=60)
    seeds = _seeds(tmp_path)
    assert seeds == list(range(5, 5 + target // 4)), "seeds are missing or were done twice"
    assert sum(line["count"] for line in evidence.lines("simulation", tmp_path)) == target


def test_a_killed_run_leaves_no_process(tmp_path: Path) -> None:
    """A run's processes end soon after it; they would else eat the machine that it was killed to free."""
    env = {**os.environ, "EVIDENCE": str(tmp_path), "TELL_EVERY": "0"}
    words = [sys.executable, "-m", "tests.simulation.run", "--checkouts", "100000", "--jobs", "2", "--seed", "77001"]
    _killed(words, env)
    until = time.monotonic() + 20
    while _children(words[-1]) and time.monotonic() < until:
        time.sleep(0.2)
    assert not _children(words[-1])


def _killed(words: list[str], env: dict[str, str]) -> None:
    """Begin a run, and kill it once it has told something."""
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE) as run:
        assert run.stdout is not None and run.stdout.readline(), "it told nothing"
        run.kill()


def _seeds(folder: Path) -> list[int]:
    return [
        seed for line in evidence.lines("simulation", folder) for seed in range(line["seeds"][0], line["seeds"][1] + 1)
    ]


def _children(word: str) -> list[str]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in words:
            found.append(file.parent.name)
    return found
