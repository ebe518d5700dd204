"""The tutorial: an adapter from nothing to silver, by the page alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.stage import free_port
from tests.docs.guides import run_guide
from tests.packaging.installed import build_wheel, copy_source, environment_in, install


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_the_tutorial_runs_as_written(tmp_path: Path) -> None:
    """In an environment of its own, so that the plugin does not stay in this one."""
    for name in ("source", "wheel", "shell"):
        (tmp_path / name).mkdir()
    python = environment_in(tmp_path / "venv")
    install(python, str(build_wheel(copy_source(tmp_path / "source"), tmp_path / "wheel")))
    ports = {told: str(free_port()) for told in ("8096", "8097", "8098")}
    run_guide("tutorial.md", tmp_path / "shell", {}, ports, programs=python.parent)
