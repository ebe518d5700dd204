"""What is published names no machine that it was made on, and no place that packages were taken from."""

from __future__ import annotations

import hashlib
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


#: The release files of swagger-ui-dist 5.35.0, which `/docs` is shown with where there is no way to the internet.
RELEASED = {
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d",
}


@pytest.mark.parametrize("name", RELEASED)
def test_what_others_wrote_is_as_they_released_it(name: str) -> None:
    """Whoever looks for changes of ours, or for somebody else's, in a file of 1.7 MB on one line finds none."""
    assert hashlib.sha256((ROOT / "gateway/api/static" / name).read_bytes()).hexdigest() == RELEASED[name]
