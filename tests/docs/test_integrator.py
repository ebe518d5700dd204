"""The integrator's guide: a plugin from outside is written, installed, tested under faults and used, as written."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.demo.stage import free_port
from tests.docs.guides import run_guide
from tests.packaging.installed import build_wheel, copy_source, environment_in, install


@pytest.mark.slow
@pytest.mark.timeout(250)
def test_the_guide_for_integrators_runs_as_written(tmp_path: Path) -> None:
    """In an environment of its own, so that the plugin does not stay in this one."""
    for name in ("source", "wheel", "shell"):
        (tmp_path / name).mkdir()
    python = environment_in(tmp_path / "venv")
    install(python, str(build_wheel(copy_source(tmp_path / "source"), tmp_path / "wheel")))
    run_guide("integrator.md", tmp_path / "shell", {}, {"8099": str(free_port())}, programs=python.parent)
