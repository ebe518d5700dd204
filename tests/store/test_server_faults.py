"""A real server whose disk fills up, whose file is locked, moved, refused by the system, whose clock is turned."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.scenes import SCENES
from tests.store.test_processes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]


def play(folder: Path, *words: str) -> list[str]:
    """Play scenes with a small disk that nobody else sees; the names of those that ended well."""
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        sys.executable,
        "-m",
        "tests.store.scenes",
        str(folder),
    ]
    done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, timeout=140)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line)["scene"] for line in done.stdout.splitlines()]


def test_a_server_lives_through_it(tmp_path: Path) -> None:
    """Nobody gets a 500, what was acknowledged stands, what is under way ends, and it sells again by itself."""
    assert play(tmp_path / "street") == list(SCENES)


def test_a_worker_killed_in_the_middle_of_it(tmp_path: Path) -> None:
    """The same with a worker killed at that moment: its sale is finished by another."""
    assert play(tmp_path / "street", "--kill", "--scenes", "full,clock") == ["full", "clock"]
