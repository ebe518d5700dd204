"""What is published names no machine that it was made on, and no place that packages were taken from."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.packaging.installed import ROOT

#: Put together here, so that this file does not hold what it looks for.
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "index" + "-url", "extra-index")
PATHS = re.compile(r"(?<![\w.-])/(?:" + "|".join(("ro" + "ot", "wo" + "rk", "ho" + "me")) + r")/\w+")


def tracked() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone: nobody knows what is tracked")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.split("\n")[:-1]


def lines() -> Iterator[tuple[str, str]]:
    """Each line of each text file, with its place."""
    for name in tracked():
        if not (ROOT / name).is_file() or name.endswith(("swagger-ui-bundle.js", ".min.js")):
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{name}:{number}", line


def test_no_registry_is_named() -> None:
    """The lock has names, versions and hashes; where they come from is the business of whoever installs."""
    allowed = ("Makefile", "CONTRIBUTING.md", "tests/packaging/")
    found = [f"{place}: {line.strip()}" for place, line in lines() if any(host in line for host in HOSTS)]
    assert [each for each in found if not each.startswith(allowed)] == []


def test_no_path_of_a_machine_is_named() -> None:
    found = [f"{place}: {line.strip()}" for place, line in lines() if PATHS.search(line)]
    assert found == []
