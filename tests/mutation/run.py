"""Mutation testing: each small change of a rule must be noticed by the rules' own tests.

``make mutation`` changes the decision, the undo, the money's arithmetic and the credentials, one operator, number,
text or argument at a time (mutmut), and runs the tests of that group against each change; ``modules.toml`` says which.
Each group has a folder of its own under ``var/mutation``: a run that was stopped goes on there, what was killed stays
so until its function or the tests are changed, and survivors are tried again every time. A whole run of a group is a
line of evidence; a group fails that has fewer than 95 % of its mutants killed, those aside that ``equivalent.toml``
shows to change nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests import evidence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: What a group's folder holds besides the code that is mutated.
BESIDE = ("schemas", "tests/rules")
LEAST_PERCENT = 95
#: pytest's and mutmut's ends of a run that noticed the change: a failed test, an error, and one that did not end.
KILLED = frozenset({1, 3, 24, -24, 36, 152, 255})
PYPROJECT = """
[tool.pytest.ini_options]
addopts = "--strict-markers --import-mode=importlib -p no:cacheprovider"
filterwarnings = ["error"]
pythonpath = ["."]
markers = ["slow: takes more than a few seconds"]

[tool.mutmut]
source_paths = ["gateway"]
also_copy = ["schemas"]
only_mutate = {files}
pytest_add_cli_args_test_selection = {tests}
on_dependency_change = "ignore"
use_git_change_detection = false
track_dependencies = false
timeout_multiplier = 10.0
timeout_constant = 3.0
"""


@dataclass(frozen=True, slots=True)
class Group:
    """Modules that are held to their share together, and the tests that must notice changes of them."""

    name: str
    files: tuple[str, ...]
    tests: tuple[str, ...]

    @property
    def folder(self) -> Path:
        return ROOT / "var" / "mutation" / self.name


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: ``code`` is pytest's exit code, ``None`` before it was tried; ``was`` and ``now`` are its lines."""

    name: str
    file: str
    code: int | None
    was: str = ""
    now: str = ""

    def __str__(self) -> str:
        return f"{self.name}\n    - {self.was}\n    + {self.now}"


def groups(file: Path = HERE / "modules.toml") -> list[Group]:
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Group(name, tuple(each["files"]), tuple(each["tests"])) for name, each in read.items()]


def equivalents(file: Path = HERE / "equivalent.toml") -> dict[tuple[str, str, str], str]:
    """Why a change makes no difference, by file and the lines before and after."""
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    return {(each["file"], each["was"], each["now"]): each["why"] for each in read.get("mutant", ())}


# --- the folder of a group -------------------------------------------------------------------------------------------


def prepare(group: Group, fresh: bool, keep: bool) -> None:
    """Bring the group's folder to the tree's state: only what was changed is written, so that the rest stays known."""
    if fresh:
        shutil.rmtree(group.folder, ignore_errors=True)
    for name in ("gateway", *BESIDE):
        _mirror(ROOT / name, group.folder / name)
    _write(group.folder / "tests" / "__init__.py", b"")
    settings = PYPROJECT.format(files=json.dumps(group.files), tests=json.dumps(group.tests))
    _write(group.folder / "pyproject.toml", settings.encode())
    (group.folder / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)  # which test comes by which function
    changed = _tests_changed(group)
    _forget(group, keep or not changed)


def _mirror(source: Path, target: Path) -> None:
    files = [file for file in source.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    for file in files:
        _write(target / file.relative_to(source), file.read_bytes())
    for old in target.rglob("*"):
        if old.is_file() and "__pycache__" not in old.parts and not (source / old.relative_to(target)).exists():
            old.unlink()


def _write(target: Path, text: bytes) -> None:
    """Write a file if it is another one; mutmut goes by the time of its change."""
    if target.exists() and target.read_bytes() == text:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text)


def _tests_changed(group: Group) -> bool:
    """Whether a test of this group, or what it is built of, is another one than at the last run."""
    digest = hashlib.sha256()
    for file in sorted((ROOT / "tests/rules").glob("*.py")):
        if not file.name.startswith("test_") or f"tests/rules/{file.name}" in group.tests:
            digest.update(file.read_bytes())
    seen = group.folder / "tests.sha256"
    known = seen.read_text() if seen.exists() else ""
    seen.write_text(digest.hexdigest())
    return known != digest.hexdigest()


def _metas(group: Group) -> Iterator[tuple[str, Path]]:
    for file in group.files:
        meta = group.folder / "mutants" / f"{file}.meta"
        if meta.exists():
            yield file, meta


def _forget(group: Group, killed_stay: bool) -> None:
    """Let all be tried again that was not killed, and what was killed by other tests."""
    for _, meta in _metas(group):
        read = json.loads(meta.read_text())
        codes: dict[str, int | None] = read["exit_code_by_key"]
        read["exit_code_by_key"] = {
            name: code if killed_stay and code in KILLED else None for name, code in codes.items()
        }
        meta.write_text(json.dumps(read))


# --- the run ---------------------------------------------------------------------------------------------------------


def mutate(group: Group, within_s: float | None) -> bool:
    """Run mutmut in the group's folder, in one process beside everything else; whether it came to its end."""
    command = ["nice", "-n", "19", sys.executable, "-m", "mutmut", "run", "--max-children", "1"]
    # What pytest's installed plugins add is not needed here, and loading them takes longer than a test.
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("MUTANT_UNDER_TEST", None)
    with (group.folder / "mutmut.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=group.folder, env=environment, stdout=log, stderr=log)
        try:
            code = running.wait(within_s)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            running.send_signal(signal.SIGINT)
            running.wait(60)
            return False
    if code:
        print((group.folder / "mutmut.log").read_text(errors="replace")[-4000:], flush=True)
        raise SystemExit(f"{group.name}: mutmut ended with {code}")
    return True


def mutants(group: Group) -> list[Mutant]:
    """All mutants of a group as they now stand; the lines only of those that were not killed."""
    found = []
    for file, meta in _metas(group):
        codes: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
        for name, code in codes.items():
            was, now = ("", "") if code in KILLED or code is None else _lines(group, name, file)
            found.append(Mutant(name, file, code, was, now))
    return found


def _lines(group: Group, name: str, file: str) -> tuple[str, str]:
    from mutmut.mutation.diff_apply import get_diff_for_mutant

    with contextlib.chdir(group.folder):
        diff = str(get_diff_for_mutant(name, path=file)).splitlines()[2:]
    return tuple(" ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+")  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a group's mutants."""

    tried: int
    left: int
    killed: int
    equivalent: Sequence[Mutant]
    survivors: Sequence[Mutant]

    @property
    def percent(self) -> float:
        """Killed of those that change something."""
        return 100 * self.killed / max(self.tried - len(self.equivalent), 1)


def judge(found: Iterable[Mutant], known: Mapping[tuple[str, str, str], str]) -> Verdict:
    all_of_them = list(found)
    tried = [each for each in all_of_them if each.code is not None]
    alive = [each for each in tried if each.code not in KILLED]
    same = [each for each in alive if (each.file, each.was, each.now) in known]
    survivors = [each for each in alive if each not in same]
    return Verdict(len(tried), len(all_of_them) - len(tried), len(tried) - len(alive), same, survivors)


def run(group: Group, asked: argparse.Namespace) -> Verdict:
    begun = time.monotonic()
    evidence.tree()
    prepare(group, asked.fresh, asked.keep)
    whole = mutate(group, asked.minutes * 60 if asked.minutes else None)
    verdict = judge(mutants(group), equivalents())
    print(
        f"{group.name}: {verdict.killed} of {verdict.tried} killed, {len(verdict.equivalent)} change nothing, ", end=""
    )
    print(f"{len(verdict.survivors)} survived: {verdict.percent:.1f} %; {verdict.left} not tried", flush=True)
    for each in verdict.survivors:
        print(each, flush=True)
    if whole and not verdict.left and not asked.look:
        write_down(group, verdict, time.monotonic() - begun)
    return verdict


def write_down(group: Group, verdict: Verdict, seconds: float) -> None:
    too_few = verdict.percent < LEAST_PERCENT
    evidence.append(
        "mutation",
        command=f'make mutation ARGS="{group.name}"',
        count=verdict.tried,
        violations=len(verdict.survivors) if too_few else 0,
        seconds=seconds,
        variant=group.name,
        killed=verdict.killed,
        equivalent=len(verdict.equivalent),
        survivors=[f"{each.file}: {each.was} → {each.now}" for each in verdict.survivors],
        **({"error": f"{verdict.percent:.1f} % killed"} if too_few else {}),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    known = {group.name: group for group in groups()}
    parser = argparse.ArgumentParser(description="mutate the rules; their tests must notice")
    parser.add_argument(
        "groups", nargs="*", metavar="GROUP", help=f"of {', '.join(known)}; all of them if none is named"
    )
    parser.add_argument("--minutes", type=float, help="stop a group after so many minutes; it goes on there next time")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--keep", action="store_true", help="what was killed stays so although the tests were changed")
    parser.add_argument("--look", action="store_true", help="write no evidence")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.groups) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    verdicts = [run(known[name], asked) for name in asked.groups or known]
    return int(any(verdict.percent < LEAST_PERCENT or verdict.left for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
