"""The suite is worth what it finds: each breakage of a plugin that does all right must fail its rule, and say why."""

import pytest

from gateway.testing.ladder import RULES, Verdict
from gateway.testing.suite import run
from tests.testing.breakages import BREAKAGES
from tests.testing.wallet import WalletProfile

#: What lies beside a plugin in its folder, and is not here.
_NOT_HERE = {"readme", "cost_per_call", "foreign_system", "recorded_traffic", "docs_in_two_languages"}


def test_the_wallet_does_all_right() -> None:
    """Without this the table below would prove nothing."""
    report = run(WalletProfile, quick=True)
    failed = {s.rule.name: s.why for s in report.standings if s.state == "fail" and s.rule.name not in _NOT_HERE}
    assert not failed and not report.unexcused


def test_there_are_enough_breakages() -> None:
    assert len(BREAKAGES) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", BREAKAGES)
def test_a_breakage_is_found_for_what_it_is(name: str) -> None:
    profile, rule, reason = BREAKAGES[name]
    report = run(profile, quick=True, only=[rule])
    assert report.standing(RULES[rule]).state == "fail" and report.grade == "none"
    found = [
        str(each)
        for each in report.findings
        if each.rule == rule and each.verdict in (Verdict.REFUTED, Verdict.NOT_SHOWN)
    ]
    assert any(reason in each for each in found), found
