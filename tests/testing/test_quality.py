"""What `quality.toml` claims is held against a run or against what a run left behind; nothing in it is believed."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli_plugins import plugins
from gateway.testing import printing
from gateway.testing.ladder import GRADES, LADDER, Report
from gateway.testing.quality import BadQuality, quality_of
from gateway.testing.suite import profile_of
from gateway.testing.traffic.file import Exchange, Traffic
from tests.testing.foreign.conformance import ForeignWalletProfile
from tests.testing.test_first_party import PLUGINS
from tests.testing.wallet import WalletProfile

TODAY = datetime.now(UTC).date()
ANSWER = b'{"state": "done", "key": "K", "amount": 1200}'


def read(folder: Path, text: str, profile: type[WalletProfile] = WalletProfile) -> dict[str, str]:
    """What the evidence in a ``quality.toml`` shows, rule by rule."""
    (folder / "quality.toml").write_text(text, encoding="utf-8")
    return dict(quality_of(folder, profile).shown)


def claim(rule: str, file: str, day: date = TODAY) -> str:
    return f'[shown.{rule}]\nfile = "{file}"\ncommand = "make sandbox"\ndate = {day}\n'


def report_of_tests(folder: Path) -> str:
    """A report that pytest really wrote."""
    (folder / "test_sandbox.py").write_text("def test_sandbox():\n    pass\n", encoding="utf-8")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".")
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    options = ("--junitxml=sandbox.xml", "test_sandbox.py")
    subprocess.run((*command, *options), cwd=folder, env=environment, capture_output=True, timeout=50, check=True)
    return "sandbox.xml"


def run_report(folder: Path, *, real: bool, grade: str = "silver") -> str:
    """A record of a run, as ``--record`` writes it."""
    report = Report("wallet", "wallet", quick=False, claimed_grade="none", real=real)
    for rule in LADDER:
        if GRADES.index(rule.grade) <= GRADES.index(grade):
            report.shown(rule.name)
    printing.record([report], folder / "run.json")
    return "run.json"


def recording(folder: Path, answer: bytes = ANSWER) -> str:
    Traffic("wallet", "", (Exchange(b"key=K", answer, "POST /ask"),)).save(folder / "wallet.traffic")
    return "wallet.traffic"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[shown]\nforeign_system = "tests/test_sandbox.py, on the sandbox"', "shown.foreign_system: a claim needs"),
        ('[shown]\ntraits_proved = "trust me"', "shown.traits_proved: the suite tries this rule itself"),
        ('[shown]\nbest_of_all = "yes"', "shown.best_of_all: there is no such rule"),
        (claim("foreign_system", "gone.xml"), "file: 'gone.xml' is not there; looked in"),
        (claim("foreign_system", "quality.toml"), "is neither a record of"),
        (claim("recorded_traffic", "quality.toml"), "not recorded traffic"),
        (claim("foreign_system", "x.xml", TODAY + timedelta(days=9)), "is yet to come"),
        ('[exempt]\ntraits_proved = "too hard"', "exempt.traits_proved: nobody is exempt from it"),
        ('[exempt]\nno_person_needed = ""', "exempt.no_person_needed: say in words"),
        ("[cost]\norder_post = {messages = 1, time = 1.0}", "cost.order_post: no changing hook of wallet"),
        ("[cost]\npayment_charge = {message = 1}", "cost.payment_charge: expected {messages = 1"),
        ('grade = "Gold"', "grade: 'Gold' is none"),
        ("[shonw]\n", "shonw: nothing is called so"),
        ("grade = ", "Invalid value"),
    ],
)
def test_a_claim_without_proof_is_refused_with_its_path(tmp_path: Path, text: str, why: str) -> None:
    """Else a plugin climbs the ladder by a sentence, and the sentence is what a merchant is sold."""
    with pytest.raises(BadQuality) as refused:
        read(tmp_path, text)
    assert why in str(refused.value) and str(tmp_path / "quality.toml") in str(refused.value)


def test_tests_on_a_vendors_sandbox_show_it_if_they_passed(tmp_path: Path) -> None:
    """A report that says that all failed, or were skipped for want of the sandbox, proves nothing."""
    file = report_of_tests(tmp_path)
    shown = read(tmp_path, claim("foreign_system", file))
    assert "1 tests passed" in shown["foreign_system"] and "make sandbox" in shown["foreign_system"]
    with pytest.raises(BadQuality, match="is claimed, and the file is of"):
        read(tmp_path, claim("foreign_system", file, TODAY - timedelta(days=30)))
    passed = (tmp_path / file).read_text(encoding="utf-8")
    for word in ("failures", "errors", "skipped"):
        (tmp_path / file).write_text(passed.replace(f'{word}="0"', f'{word}="1"'), encoding="utf-8")
        with pytest.raises(BadQuality, match="1 tests, "):
            read(tmp_path, claim("foreign_system", file))


def test_a_recorded_run_shows_it_if_it_was_on_the_real_system(tmp_path: Path) -> None:
    """A run on the simulator is no run on the system, and one that found no silver shows nothing."""
    assert "silver on the real system" in str(read(tmp_path, claim("foreign_system", run_report(tmp_path, real=True))))
    with pytest.raises(BadQuality, match="was on its simulator"):
        read(tmp_path, claim("foreign_system", run_report(tmp_path, real=False)))
    with pytest.raises(BadQuality, match="found bronze"):
        read(tmp_path, claim("foreign_system", run_report(tmp_path, real=True, grade="bronze")))
    with pytest.raises(BadQuality, match="the run is the proof"):
        read(tmp_path, claim("foreign_system", run_report(tmp_path, real=True)), ForeignWalletProfile)


def test_recorded_traffic_must_be_of_this_system(tmp_path: Path) -> None:
    """Else any recording would do, and the parsers have never seen the real one."""
    assert "1 read by the parsers" in str(read(tmp_path, claim("recorded_traffic", recording(tmp_path))))
    with pytest.raises(BadQuality, match="none of its 1 answers"):
        read(tmp_path, claim("recorded_traffic", recording(tmp_path, b"<html>502</html>")))


@pytest.mark.parametrize("name", [*PLUGINS, "pretix", "tryton"])
def test_the_plugins_that_come_with_the_gateway_claim_nothing_without_proof(name: str) -> None:
    """What we ask of others holds for us."""
    for profile in profile_of(name):
        assert quality_of(Path(inspect.getfile(profile)).parent, profile).grade in GRADES


def test_the_command_says_it_in_a_sentence_before_anything_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads a traceback looks for the mistake in the suite; who waits ten minutes for it, reads no more."""
    package = tmp_path / "claimed_box"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "conformance.py").write_text(
        "from tests.testing.wallet import WalletProfile\n\n\nclass BoxProfile(WalletProfile):\n    pass\n",
        encoding="utf-8",
    )
    (package / "quality.toml").write_text('[shown]\nforeign_system = "yes"\n', encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    said = CliRunner().invoke(plugins, ["check", "claimed_box"])
    assert said.exit_code == 1 and isinstance(said.exception, SystemExit)
    assert f"Error: {package / 'quality.toml'}: shown.foreign_system: a claim needs" in said.output
    assert "[1/" not in said.output
