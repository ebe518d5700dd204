"""Mutation testing: each small change of a rule must be noticed by the rules' own tests.

``make mutation`` changes the decision, the undo, the money's arithmetic and the credentials, one operator, number,
text or argument at a time, and runs the tests of that group against each change; ``modules.toml`` says which. Each
group has a folder of its own under ``var/mutation``: a run that was stopped goes on there, what was killed stays so
until its function or the tests are changed, and survivors are tried again every time. A whole run of a group is a line
of evidence; a group fails that has fewer than 95 % of its mutants killed, those aside that ``equivalent.toml`` shows to
change nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import evidence
from tests.mutation.mutants import Mutant, made

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LEAST_PERCENT = 95
#: What became of a mutant that some test noticed: a test failed, or did not end.
KILLED = frozenset({"killed", "endless"})
PYPROJECT = """
[tool.pytest.ini_options]
addopts = "--strict-markers --import-mode=importlib -p no:cacheprovider"
filterwarnings = ["error"]

[tool.mutmut]
source_paths = ["gateway"]
track_dependencies = false
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

    @property
    def digest(self) -> str:
        """Of the tests in its folder, and of what they are built of; the tree may move on during a run."""
        rules = self.folder / "tests" / "rules"
        beside = sorted(file for file in rules.glob("*.py") if not file.name.startswith("test_"))
        texts = [file.read_bytes() for file in (*beside, *(self.folder / test for test in self.tests))]
        return hashlib.sha256(b"\0".join(texts)).hexdigest()[:16]


def groups(file: Path = HERE / "modules.toml") -> list[Group]:
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    return [Group(name, tuple(each["files"]), tuple(each["tests"])) for name, each in read.items()]


def equivalents(file: Path = HERE / "equivalent.toml") -> dict[tuple[str, str, str], str]:
    """Why a change makes no difference, by file and the lines before and after."""
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    return {(each["file"], each["was"], each["now"]): each["why"] for each in read.get("mutant", ())}


def prepare(group: Group) -> list[Mutant]:
    """Bring the group's folder to the tree's state; its mutants."""

    def copy(source: str, target: str) -> None:
        if str(Path(source).relative_to(ROOT)) not in group.files:
            shutil.copyfile(source, target)

    shutil.rmtree(group.folder / "tests", ignore_errors=True)
    for name in ("gateway", "schemas", "tests/rules"):
        ignored = shutil.ignore_patterns("__pycache__", "static")
        shutil.copytree(ROOT / name, group.folder / name, ignore=ignored, copy_function=copy, dirs_exist_ok=True)
    (group.folder / "tests" / "__init__.py").touch()
    (group.folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    with contextlib.chdir(group.folder):  # mutmut reads its settings there
        return [mutant for file in group.files for mutant in made(ROOT / file, file, group.folder)]


def killed(group: Group, mutants: Sequence[Mutant], keep: bool) -> set[str]:
    """Those of which earlier runs showed that the tests, as they are, notice them."""
    functions = {mutant.name: mutant.function for mutant in mutants}
    return {
        name
        for name, known in outcomes(group).items()
        if known["outcome"] in KILLED
        and known["function"] == functions.get(name)
        and (keep or known["tests"] == group.digest)
    }


def outcomes(group: Group) -> dict[str, dict[str, str]]:
    """What was last found of each mutant."""
    found: dict[str, dict[str, str]] = {}
    results = group.folder / "results.jsonl"
    for line in results.read_text(encoding="utf-8").splitlines() if results.exists() else ():
        with contextlib.suppress(ValueError):  # a run that was killed may have left half a line
            read = json.loads(line)
            found[read["name"]] = read
    return found


def attempt(group: Group, todo: Sequence[Mutant], within_s: float | None) -> None:
    """Try these mutants in the group's folder, in one process beside everything else; until the time is over."""
    asked = {"tests": group.digest, "functions": {mutant.name: mutant.function for mutant in todo}}
    (group.folder / "todo.json").write_text(json.dumps(asked), encoding="utf-8")
    command = ["nice", "-n", "19", sys.executable, str(HERE / "trial.py"), "todo.json", "results.jsonl", *group.tests]
    # What pytest's installed plugins add is not needed here.
    settings = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(group.folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with (group.folder / "trial.log").open("wb") as log:
        running = subprocess.Popen(command, cwd=group.folder, env=os.environ | settings, stdout=log, stderr=log)
        try:
            code = running.wait(within_s)
        except subprocess.TimeoutExpired:
            running.terminate()
            running.wait()
            return
    if code:
        print((group.folder / "trial.log").read_text(errors="replace")[-4000:], flush=True)
        raise SystemExit(f"{group.name}: the tests ended with {code}")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a group's mutants."""

    mutants: int
    untried: int
    killed: int
    equivalent: int
    survivors: Sequence[Mutant]

    @property
    def percent(self) -> float:
        """Killed of those that change something."""
        return 100 * self.killed / max(self.mutants - self.untried - self.equivalent, 1)


def judge(mutants: Sequence[Mutant], noticed: Container[str], tried: Container[str]) -> Verdict:
    same = equivalents()
    alive = [mutant for mutant in mutants if mutant.name in tried and mutant.name not in noticed]
    survivors = [mutant for mutant in alive if (mutant.file, mutant.was, mutant.now) not in same]
    untried = sum(mutant.name not in tried for mutant in mutants)
    dead = len(mutants) - untried - len(alive)
    return Verdict(len(mutants), untried, dead, len(alive) - len(survivors), survivors)


def run(group: Group, asked: argparse.Namespace) -> Verdict:
    begun = time.monotonic()
    evidence.tree()
    if asked.fresh:
        shutil.rmtree(group.folder, ignore_errors=True)
    mutants = prepare(group)
    before = killed(group, mutants, asked.keep)
    todo = [mutant for mutant in mutants if mutant.name not in before][:: asked.every]
    attempt(group, todo, asked.minutes and asked.minutes * 60)
    now = {name for name, known in outcomes(group).items() if known["tests"] == group.digest}
    verdict = judge(mutants, killed(group, mutants, asked.keep), before | (now & {mutant.name for mutant in todo}))
    print(
        f"{group.name}: {verdict.killed} of {verdict.mutants - verdict.untried} killed, {verdict.equivalent} ", end=""
    )
    print(f"change nothing, {len(verdict.survivors)} survived: {verdict.percent:.1f} %; {verdict.untried} not tried")
    print(*verdict.survivors, sep="\n", flush=True)
    if not verdict.untried and not asked.look:
        write_down(group, verdict, len(before), time.monotonic() - begun)
    return verdict


def write_down(group: Group, verdict: Verdict, kept: int, seconds: float) -> None:
    """Add the line of a whole run; ``kept`` are those of which an earlier run had shown that they are noticed."""
    too_few = verdict.percent < LEAST_PERCENT
    error: dict[str, Any] = {"error": f"{verdict.percent:.1f} % killed"} if too_few else {}
    evidence.append(
        "mutation",
        command=f"make mutation ARGS={group.name}",
        count=verdict.mutants,
        violations=len(verdict.survivors) if too_few else 0,
        seconds=seconds,
        variant=group.name,
        killed=verdict.killed,
        kept=kept,
        equivalent=verdict.equivalent,
        survivors=[f"{each.file}: {each.was} → {each.now}" for each in verdict.survivors],
        **error,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    known = {group.name: group for group in groups()}
    parser = argparse.ArgumentParser(description="mutate the rules; their tests must notice")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(known)}; all if none is named")
    parser.add_argument("--minutes", type=float, help="stop a group after so many minutes; it goes on there next time")
    parser.add_argument("--every", type=int, default=1, help="a sample: one mutant in so many")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--keep", action="store_true", help="what was killed stays so although the tests were changed")
    parser.add_argument("--look", action="store_true", help="write no evidence")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.groups) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    verdicts = [run(known[name], asked) for name in asked.groups or known]
    return int(any(verdict.percent < LEAST_PERCENT or verdict.untried for verdict in verdicts))


if __name__ == "__main__":
    sys.exit(main())
