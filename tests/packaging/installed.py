"""The project as a wheel, as an editable install and as a bare checkout, each before a Python of its own.

No package registry is asked: the dependencies of the running environment are lent to the new one by links, without the
project's own metadata and without the hooks of an editable install.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("gateway", "plugins", "schemas", "config", "wsgi.py", "setup.py", "pyproject.toml", "README.md", "LICENSE")
#: What belongs to the project itself in an environment's folder of packages.
_OWN = ("o2o_gateway", "__editable__", "gateway", "plugins", "schemas", "wsgi", "config")


@dataclass(frozen=True)
class Installation:
    """A Python that has the project, and how its command is called."""

    python: Path
    command: tuple[str, ...]
    extra: dict[str, str] = field(default_factory=dict)

    def environment(self, **more: str) -> dict[str, str]:
        """This process' environment without what would lead to the checkout."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GATEWAY"))}
        return {**kept, **self.extra, **more}

    def run(self, *command: str, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the project's command; fails with what it said."""
        return _run([*self.command, *command], cwd, self.environment(**more))

    def ask(self, code: str, *, cwd: Path, **more: str) -> str:
        """What a line of Python prints."""
        return _run([str(self.python), "-c", code], cwd, self.environment(**more)).stdout.strip()


def _run(command: list[str], cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


def copy_source(to: Path) -> Path:
    """A copy of what is packaged, without what earlier builds left."""
    leave = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "var", "data")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=leave)
        else:
            shutil.copy2(source, to / name)
    return to


def build_wheel(source: Path, to: Path) -> Path:
    """The wheel, as ``pip wheel`` makes it."""
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--disable-pip-version-check"]
    _run([sys.executable, "-m", "pip", "wheel", *options, "-w", str(to), str(source)], to, dict(os.environ))
    (wheel,) = to.glob("*.whl")
    return wheel


def environment_in(folder: Path) -> Path:
    """A new environment that has this one's dependencies; its Python."""
    _run([sys.executable, "-m", "venv", "--without-pip", str(folder)], folder.parent, dict(os.environ))
    lent = folder / "lent"
    lent.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if not each.name.startswith(_OWN):
            (lent / each.name).symlink_to(each)
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "lent.pth").write_text(f"{lent}\n", encoding="utf-8")
    return folder / "bin" / "python"


def install(python: Path, *what: str) -> Installation:
    """Install without asking anybody."""
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    _run([sys.executable, "-m", "pip", "--python", str(python), "install", *options, *what], python.parent, clean)
    return Installation(python, (str(python.parent / "gateway"),))


def bare(python: Path, source: Path) -> Installation:
    """A checkout that nobody installed."""
    return Installation(python, (str(python), "-m", "gateway.cli"), {"PYTHONPATH": str(source)})
