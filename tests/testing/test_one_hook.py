"""One hook tried again by itself: what an author runs while he mends it."""

from __future__ import annotations

from click.testing import CliRunner

from gateway.cli import main
from gateway.testing.ladder import RULES, Verdict
from gateway.testing.suite import run
from tests.testing.breakages import ActsTwice
from tests.testing.wallet import WalletProfile

HOOK = "payment_charge"


def test_only_what_concerns_the_hook_is_tried_and_there_is_no_grade() -> None:
    """The other hooks' faults take minutes; a grade from a part of the suite would be worth nothing."""
    report = run(WalletProfile, quick=True, hooks=[HOOK])
    after_contract = [finding for finding in report.findings if finding.rule in ("outcome_classes", "traits_proved")]
    assert {finding.hook for finding in after_contract} == {HOOK} and report.ok
    assert report.standing(RULES["no_secret_leaks"]).state == "untried"


def test_what_is_refuted_is_told_as_in_a_whole_run() -> None:
    report = run(ActsTwice, quick=True, hooks=[HOOK])
    refuted = [finding for finding in report.findings if finding.verdict is Verdict.REFUTED]
    assert refuted and not report.ok and "change:" in report.next_step


def test_the_command_names_the_hooks_that_there_are() -> None:
    ran = CliRunner().invoke(main, ["plugins", "check", "sandbox", "--hook", "stock_reserv"])
    assert ran.exit_code == 2 and "stock_reserve" in ran.output
    ran = CliRunner().invoke(main, ["plugins", "check", "sandbox", "--hook", "stock_reserve", "--badge", "x.svg"])
    assert ran.exit_code == 2 and "no grade" in ran.output
