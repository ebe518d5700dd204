"""What is stated twice drifts: the reference pages are held to the code, links to files, examples to defaults."""

from __future__ import annotations

import pkgutil
import re
import tomllib
from dataclasses import asdict
from importlib import import_module
from pathlib import Path

import pytest

from docs.generate import OTHER_ROUTES, PAGES, in_order, page
from docs.reference_hooks import SECTIONS, unlisted
from docs.reference_sdk import MODULES, public
from gateway import sdk
from gateway.api.operation import OPERATIONS
from gateway.app import create_app
from gateway.cli import main as gateway_command
from gateway.folders import entry_points
from gateway.runtime.config import read_gateway
from gateway.runtime.gateway_config import Limits, Server, Timings, Webhooks
from tests.docs.guides import ROOT, blocks

GUIDES = ("integrator.md", "merchant.md", "platform.md", "tutorial.md")
PROSE = [ROOT / name for name in ("README.md", "README.zh.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PROSE += sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "plugins").glob("*/README.md"))


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_says_what_the_code_says(name: str) -> None:
    """A hook, problem, setting, command or route that changed without its page would mislead every reader."""
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == page(name), f"docs/{name} is stale: python -m docs.generate"


def test_no_name_of_the_sdk_is_left_out() -> None:
    """What an author imports is documented, but for the two unions, the marker and nothing else."""
    assert sorted(unlisted()) == ["Answer", "Change", "hookimpl"]


def test_no_part_of_the_sdk_is_left_out() -> None:
    """Who needs a database's session or a simulator's panel must not have to read the source."""
    told, inner = {*SECTIONS, *MODULES}, {"masking", "optional", "recording", "waits"}
    there = [each.name for each in pkgutil.walk_packages(sdk.__path__, "gateway.sdk.")]
    untold = [name for name in there if name not in told and public(import_module(name))]
    assert {name.rpartition(".")[2] for name in untold} == inner


def test_every_address_that_is_served_is_documented(tmp_path: Path) -> None:
    """A route that nobody wrote down is a route that nobody guards."""
    file = tmp_path / "gateway.toml"
    file.write_text("merchants = []\n", encoding="utf-8")
    app = create_app(file)
    try:
        served = {rule.rule for rule in app.url_map.iter_rules()}
    finally:
        app.extensions["gateway"].close()
    assert served == {each.path for each in OPERATIONS} | set(OTHER_ROUTES)
    assert len(in_order()) == len(OPERATIONS)


def test_the_example_configuration_shows_the_defaults() -> None:
    """The file says that it holds the defaults, so a reader may delete any line of it."""
    file = ROOT / "config" / "gateway.toml"
    raw, read = tomllib.loads(file.read_text(encoding="utf-8")), read_gateway(file)
    assert raw["server"] == {name: value for name, value in asdict(Server()).items() if value is not None}
    assert raw["limits"] == asdict(Limits())
    shown = {name: getattr(Webhooks(), name) for name in raw["webhooks"]}
    assert raw["webhooks"] == {name: list(v) if isinstance(v, tuple) else v for name, v in shown.items()}
    assert raw["engine"] == {name: value for name, value in asdict(Timings()).items() if name in raw["engine"]}
    assert set(raw["engine"]) == set(asdict(Timings()))
    assert read.plugins_allow == ("first-party",)


@pytest.mark.parametrize("file", PROSE, ids=lambda file: str(file.relative_to(ROOT)))
def test_links_lead_somewhere(file: Path) -> None:
    """A link to a page or heading that is not there."""
    text = re.sub(r"```.*?```", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        other = (file.parent / path).resolve() if path else file
        assert other.exists(), f"{file.name}: {target}"
        if anchor:
            assert anchor in _anchors(other), f"{file.name}: {target}"


def _anchors(file: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("name", GUIDES)
def test_commands_that_are_not_run_say_why(name: str) -> None:
    """Every command of a guide is run by a test, or a reason stands beside it."""
    found = list(blocks((ROOT / "docs" / name).read_text(encoding="utf-8")))
    assert any(block.kind == "run" for block in found)
    assert all(block.note for block in found if block.kind == "skip")


@pytest.mark.parametrize("file", PROSE, ids=lambda file: str(file.relative_to(ROOT)))
def test_commands_that_are_named_exist(file: Path) -> None:
    """``gateway …`` as code, anywhere: the next word is a command, the one after ``simulate`` a simulator."""
    known = set(gateway_command.commands)
    for word, name in re.findall(r"(?:^|[`/ ])gateway ([a-z]+)(?: ([a-z-]+))?", _code(file), flags=re.MULTILINE):
        assert word in known, f"{file.name}: gateway {word}"
        if word == "simulate" and name:
            assert name in {*entry_points("o2o_gateway.simulators"), "bonusbox", "bakery"}, (
                f"{file.name}: gateway simulate {name}"
            )


def _code(file: Path) -> str:
    """What stands as code in a page, a piece a line."""
    text = file.read_text(encoding="utf-8")
    shell = re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    return "\n".join([*shell, *re.findall(r"`(gateway [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))])


def test_the_map_of_the_folders_is_whole() -> None:
    """A reader who looks for a folder finds it in the README, and finds no other."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Folders")[2]
    told = {
        name for row in re.findall(r"^\| (`.*?) \|", text, flags=re.MULTILINE) for name in re.findall(r"`(.*?)`", row)
    }
    modules = (each for each in (ROOT / "gateway").glob("*/*.py") if each.name != "__init__.py")
    parts = {f"gateway/{each.parent.name}" for each in modules}
    tops = {"plugins", "schemas", "config", "docs", "tests", "benchmarks"}
    assert told == parts | tops
    assert all((ROOT / name).is_dir() for name in told)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_what_the_readme_makes_can_be_made(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    asked = set(re.findall(r"^make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert asked == {"demo", "test"}
    assert asked <= targets


@pytest.mark.parametrize("name", ["server", "policy", "pricing"])
def test_a_setting_that_nothing_uses_is_not_promised(name: str) -> None:
    """A merchant who sets a policy relies on it: one that is only checked says so, and one that is used does not."""
    texts = tomllib.loads((ROOT / "docs" / "settings_texts.toml").read_text(encoding="utf-8"))[name]
    readers = [each for each in (ROOT / "gateway").rglob("*.py") if not _reads_configuration(each)]
    code = "\n".join(each.read_text(encoding="utf-8") for each in [*readers, ROOT / "config" / "gunicorn.conf.py"])
    used = {key for key in texts if re.search(rf"\b_?{name}\w*\.{key}\b|\b{key}_(of|in)\(", code)}
    assert used == {key for key, text in texts.items() if "not used yet" not in text}


def _reads_configuration(file: Path) -> bool:
    own = {"merchant.py", "gateway_config.py"}
    return file.parent.name == "pricing" or file.name.startswith("config") or file.name in own
