"""Each way of installing is made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.installed import Installation, bare, build_wheel, copy_source, environment_in, install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    (folder / "source").mkdir()
    return build_wheel(copy_source(folder / "source"), folder)


@pytest.fixture(scope="session", params=["wheel", "editable", "bare"])
def installation(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp(request.param)
    python = environment_in(folder / "venv")
    if request.param == "wheel":
        return install(python, str(wheel))
    (folder / "source").mkdir()
    source = copy_source(folder / "source")
    return install(python, "-e", str(source)) if request.param == "editable" else bare(python, source)
